/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Promises about the inside of a protected mail: names that are safe and
 * unique, attachments that are found whatever the lists say, text in every
 * code page, and no crash on anything.
 */
#include "mail-support.h"

static TpdMailContent *
read_content (GBytes *compound, GError **error)
{
  g_autoptr (TpdSource) source = tpd_source_new_bytes (compound);
  g_autoptr (TpdMailContent) content = tpd_mail_content_new ();

  if (!tpd_mail_content_read (content, source, NULL, error))
    return NULL;
  return g_steal_pointer (&content);
}

/* U+E000 stands for the NUL that no C string can hold. */
static GBytes *
with_nuls (GBytes *compound)
{
  gsize len = g_bytes_get_size (compound);
  guint8 *data = g_memdup2 (g_bytes_get_data (compound, NULL), len);
  guint found = 0;

  for (gsize at = 0; at + 6 <= len; at += 2)
    if (memcmp (data + at, "\0\xe0.\0", 4) == 0)
      {
        data[at + 1] = 0;
        found++;
      }
  g_assert_cmpuint (found, >=, 2);
  return g_bytes_new_take (data, len);
}

static void
test_hostile_names (void)
{
  static const struct {
    const char *stored, *name;
  } names[] = {
    { "plain.txt", "plain.txt" },
    { "PLAIN.TXT", "PLAIN (2).TXT" },
    { "../../etc/passwd", "_._etc_passwd" },
    { "..\\..\\boot.ini", "_._boot.ini" },
    { "..", "attachment" },
    { "", "attachment (2)" },
    { "a\001b\n\177.txt", "a_b__.txt" },
    { "invoice\u202efdp.exe", "invoicefdp.exe" },
    { "x\u2028y\u2066z\ufeff.doc", "x_yz.doc" },
    { "  spaced .txt. . ", "spaced .txt" },
    { "Plain (2).txt", "Plain (2) (2).txt" },
    { ".hidden", "hidden" },
    { "nul\xee\x80\x80.exe\xee\x80\x80.txt", "nul\xef\xbf\xbd.exe\xef\xbf\xbd.txt" },
  };
  MadeMail *mail = mail_new (TPD_BODY_HTML, 65001, "x", 1);
  g_autoptr (GBytes) made = NULL, compound = NULL;
  g_autoptr (TpdMailContent) content = NULL;
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    mail_add_file (mail, names[i].stored, "", FALSE, "data", 4);
  made = mail_finish (mail, -1);
  compound = with_nuls (made);
  content = read_content (compound, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (content->attachments->len, ==, G_N_ELEMENTS (names));
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      const TpdMailAttachment *attachment = g_ptr_array_index (content->attachments, i);
      g_assert_cmpstr (attachment->name, ==, names[i].name);
      g_assert_null (strchr (attachment->name, '/'));
      g_assert_null (strstr (attachment->name, ".."));
    }
}

static void
test_hostile_long_names (void)
{
  g_autofree char *stem = g_strnfill (5000, 'n');
  g_autofree char *ascii = g_strconcat (stem, ".docx", NULL);
  g_autoptr (GString) wide = g_string_new (NULL);
  g_autofree char *a = tpd_mail_safe_name (ascii, "f");
  g_autofree char *b = NULL;
  g_autofree char *c = NULL;

  for (int i = 0; i < 300; i++)
    g_string_append (wide, "長");
  b = tpd_mail_safe_name (wide->str, "f");
  g_string_append (wide, ".xlsx");
  c = tpd_mail_safe_name (wide->str, "f");
  g_assert_cmpuint (strlen (a), ==, TPD_MAIL_NAME_MAX);
  g_assert_true (g_str_has_suffix (a, "n.docx"));
  g_assert_cmpuint (strlen (b), <=, TPD_MAIL_NAME_MAX);
  g_assert_true (g_utf8_validate (b, -1, NULL));
  g_assert_cmpuint (strlen (c), <=, TPD_MAIL_NAME_MAX);
  g_assert_true (g_str_has_suffix (c, "長.xlsx"));
}

/* Names that all are one name stay apart, and quickly so. */
static void
test_hostile_same_names (void)
{
  const guint n = TPD_MAIL_MAX_ATTACHMENTS;
  g_autoptr (TpdMailContent) content = tpd_mail_content_new ();
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);

  for (guint i = 0; i < n; i++)
    tpd_mail_content_add (content, TPD_ATTACH_FILE)->long_name = g_strdup (i % 2 ? "Same.txt" : "same.TXT");
  tpd_mail_name_attachments (content);
  for (guint i = 0; i < n; i++)
    g_assert_true (g_hash_table_add (seen, ((TpdMailAttachment *) g_ptr_array_index (content->attachments, i))->name));
}

/* The same where each pair of names is cut to what the others are cut to. */
static void
test_alike_long_names (void)
{
  const guint n = TPD_MAIL_MAX_ATTACHMENTS;
  g_autoptr (TpdMailContent) content = tpd_mail_content_new ();
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);
  g_autofree char *stem = g_strnfill (TPD_MAIL_NAME_MAX - 5, 'n');
  guint far = 0;

  for (guint i = 0; i < n; i++)
    tpd_mail_content_add (content, TPD_ATTACH_FILE)->long_name = g_strdup_printf ("%s%05u", stem, i / 2);
  tpd_mail_name_attachments (content);
  for (guint i = 0; i < n; i++)
    {
      const char *name = ((TpdMailAttachment *) g_ptr_array_index (content->attachments, i))->name;

      g_assert_true (g_hash_table_add (seen, (gpointer) name));
      g_assert_cmpuint (strlen (name), <=, TPD_MAIL_NAME_MAX);
      if (i == 3)
        g_assert_true (g_str_has_suffix (name, "n0 (3)"));
      far += strstr (name, " (10") != NULL && g_str_has_suffix (name, ")") && strlen (strstr (name, " (10")) == 9;
    }
  /* Those near are taken after a few; nobody tries them all again. */
  g_assert_cmpuint (far, >, n / 2 - 100);
}

static void
test_hostile_counts (void)
{
  static const gint64 claims[] = { 0, 100000, 0xffffffff };

  for (guint i = 0; i < G_N_ELEMENTS (claims); i++)
    {
      MadeMail *mail = mail_new (TPD_BODY_RTF, 1252, "<p>", 3);
      g_autoptr (GBytes) compound = NULL;
      g_autoptr (TpdMailContent) content = NULL;
      g_autoptr (GError) error = NULL;

      mail_add_file (mail, "one.txt", "", FALSE, "1", 1);
      g_string_append (mail->names, "MailAttachment 77|nonsense|MailAttachment 0|MailAttachment -1|");
      compound = mail_finish (mail, claims[i]);
      content = read_content (compound, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (content->attachments->len, ==, 1);
      g_assert_cmpuint (content->warnings->len, ==, 4);
    }
}

/* Attachments that the list forgets are there all the same, by number. */
static void
test_hostile_no_list (void)
{
  MadeMail *mail = mail_new (TPD_BODY_HTML, 65001, "x", 1);
  g_autoptr (GBytes) compound = NULL;
  g_autoptr (TpdMailContent) content = NULL;
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < 12; i++)
    {
      g_autofree char *name = g_strdup_printf ("%u.txt", i);
      mail_add_file (mail, name, "", FALSE, name, strlen (name));
    }
  g_string_assign (mail->names, "MailAttachment 11|");
  compound = mail_finish (mail, -1);
  content = read_content (compound, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (content->attachments->len, ==, 12);
  g_assert_cmpstr (((TpdMailAttachment *) g_ptr_array_index (content->attachments, 0))->name, ==, "11.txt");
  g_assert_cmpstr (((TpdMailAttachment *) g_ptr_array_index (content->attachments, 1))->name, ==, "0.txt");
  g_assert_cmpstr (((TpdMailAttachment *) g_ptr_array_index (content->attachments, 11))->name, ==, "10.txt");
}

static void
test_too_many_attachments (void)
{
  MadeMail *mail = mail_new (TPD_BODY_HTML, 65001, "x", 1);
  g_autoptr (GBytes) compound = NULL;
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i <= TPD_MAIL_MAX_ATTACHMENTS; i++)
    mail_attachment_storage (mail);
  g_string_truncate (mail->names, 0);
  compound = mail_finish (mail, -1);
  g_assert_null (read_content (compound, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_TOO_LARGE);
}

/* A description that is cut anywhere costs names, not content. */
static void
test_cut_description (void)
{
  g_autoptr (GByteArray) desc = g_byte_array_new ();
  const guint8 none[22] = { 0 };

  add_u16 (desc, 0x0203);
  g_byte_array_append (desc, none, 22);
  add_u32 (desc, 1);
  for (int i = 0; i < 11; i++)
    add_wide (desc, i == 5 ? "name.txt" : "x");
  add_u32 (desc, 0);
  add_u32 (desc, 0);
  for (gsize len = 0; len <= desc->len; len++)
    {
      MadeMail *mail = mail_new (TPD_BODY_HTML, 65001, "x", 1);
      guint32 storage = mail_attachment_storage (mail);
      g_autoptr (GBytes) compound = NULL;
      g_autoptr (TpdMailContent) content = NULL;
      g_autoptr (GBytes) bytes = NULL;
      g_autoptr (GError) error = NULL;
      const TpdMailAttachment *attachment;

      g_assert_true (tpd_cfb_writer_add_bytes (mail->writer, storage, "AttachDesc", desc->data, len, NULL));
      g_assert_true (tpd_cfb_writer_add_bytes (mail->writer, storage, "AttachContents", "data", 4, NULL));
      compound = mail_finish (mail, -1);
      content = read_content (compound, &error);
      g_assert_no_error (error);
      attachment = g_ptr_array_index (content->attachments, 0);
      bytes = source_read_all (attachment->source);
      g_assert_cmpmem (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), "data", 4);
      g_assert_cmpuint (content->warnings->len, ==, len < desc->len);
      if (len == desc->len)
        g_assert_cmpstr (attachment->name, ==, "name.txt");
    }
}

/* An OLE object comes out as a compound file of its own. */
static void
test_ole_object (void)
{
  static const guint8 clsid[16] = { 0x20, 0x08, 0x02, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46 };
  MadeMail *mail = mail_new (TPD_BODY_RTF, 1252, "<p>", 3);
  guint32 storage = mail_attachment_storage (mail);
  g_autoptr (GBytes) compound = NULL;
  g_autoptr (TpdMailContent) content = NULL;
  g_autoptr (TpdCfb) cfb = NULL;
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) error = NULL;
  const TpdMailAttachment *attachment;
  const TpdCfbEntry *entry = NULL;

  tpd_cfb_writer_set_clsid (mail->writer, storage, clsid);
  g_assert_true (tpd_cfb_writer_add_bytes (mail->writer, storage, "Workbook", "sheet", 5, NULL));
  compound = mail_finish (mail, -1);
  content = read_content (compound, &error);
  g_assert_no_error (error);
  attachment = g_ptr_array_index (content->attachments, 0);
  g_assert_cmpint (attachment->method, ==, TPD_ATTACH_OLE);
  g_assert_cmpstr (attachment->name, ==, "object.bin");
  cfb = tpd_cfb_open (attachment->source, &error);
  g_assert_no_error (error);
  g_assert_cmpmem (tpd_cfb_root (cfb)->clsid, 16, clsid, 16);
  g_assert_true (tpd_cfb_find (cfb, NULL, "Workbook", &entry, &error));
  bytes = tpd_cfb_stream_read (cfb, entry, 100, &error);
  g_assert_cmpmem (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), "sheet", 5);
}

static void
test_no_mail (void)
{
  MadeMail *unknown = mail_new ((TpdBodyFormat) 4, 1252, "x", 1);
  g_autoptr (GBytes) format = mail_finish (unknown, -1);
  g_autoptr (Image) image = image_new (3);
  g_autoptr (GBytes) empty = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_null (read_content (format, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_UNSUPPORTED);
  g_clear_error (&error);
  image_add_entry (image, "Root Entry", 5, NO_ENTRY, NO_ENTRY, NO_ENTRY, END_OF_CHAIN, 0);
  empty = image_finish (image);
  g_assert_null (read_content (empty, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_DAMAGED);
}

/* --- Text ------------------------------------------------------------- */

static void
test_text_encodings (void)
{
  static const struct {
    const char *data;
    gsize len;
    guint code_page;
    const char *text;
  } plain[] = {
    { "h\0\xe4\0", 4, 1252, "hä" },           /* UTF-16LE whatever the code page */
    { "h\0i\0\0\0", 6, 65001, "hi" },         /* a terminator is none of it */
    { "\xff\xfe\x1a\x4f", 4, 65001, "会" },   /* by its mark */
    { "\x1a\x4f\x70\x8b", 4, 65001, "会議" }, /* UTF-8 cannot be */
    { "h\xe4", 2, 1252, "hä" },
    { "\x80\x93", 2, 1252, "€“" },
    { "gr\xc3\xbc", 4, 65001, "grü" },
    { "\xef\xbb\xbfx", 4, 1252, "x" },
    { "\xcf\xf0", 2, 1251, "Пр" },
    { "\x89\xef\x8b\x63", 4, 932, "会議" },
    { "ab\0cdefghijk", 12, 65001, "ab\ufffdcdefghijk" },
    { "", 0, 65001, "" },
    { "x\xff", 2, 4711, "xÿ" }, /* unknown code page */
  };

  for (guint i = 0; i < G_N_ELEMENTS (plain); i++)
    {
      g_autofree char *text = tpd_mail_decode_plain ((const guint8 *) plain[i].data, plain[i].len, plain[i].code_page);
      g_assert_cmpstr (text, ==, plain[i].text);
    }
  g_assert_cmpstr (tpd_mail_charset (28591), ==, "iso-8859-1");
  g_assert_null (tpd_mail_charset (4711));
}

/* Whatever the bytes, the result is valid text without NUL. */
static void
test_text_noise (void)
{
  static const guint pages[] = { 1252, 20127, 65001, 1200, 1201, 932, 936, 50220, 65000, 54936, 1255, 0 };

  for (guint i = 0; i < 600; i++)
    {
      gsize len = i % 97;
      g_autofree guint8 *noise = make_noise (len, i);
      g_autofree char *text = tpd_mail_decode (noise, len, pages[i % G_N_ELEMENTS (pages)]);
      g_autofree char *plain = tpd_mail_decode_plain (noise, len, pages[i % G_N_ELEMENTS (pages)]);

      g_assert_true (g_utf8_validate (text, -1, NULL));
      g_assert_true (g_utf8_validate (plain, -1, NULL));
    }
}

/* Flipped bits give a mail or a refusal, never both or neither. */
static void
test_flipped_content (void)
{
  MadeMail *mail = mail_new (TPD_BODY_HTML, 65001, "<p>x</p>", 8);
  g_autoptr (GBytes) compound = NULL;
  gsize len;

  mail_add_file (mail, "a.txt", "id", TRUE, "data", 4);
  mail_add_file (mail, "b.txt", "", FALSE, "more", 4);
  compound = mail_finish (mail, -1);
  len = g_bytes_get_size (compound);
  for (gsize i = 0; i < len; i++)
    for (guint bit = 1; bit < 0x100; bit <<= 3)
      {
        g_autofree guint8 *copy = g_memdup2 (g_bytes_get_data (compound, NULL), len);
        g_autoptr (GBytes) changed = NULL;
        g_autoptr (TpdMailContent) content = NULL;
        g_autoptr (GError) error = NULL;

        copy[i] ^= (guint8) bit;
        changed = g_bytes_new_take (g_steal_pointer (&copy), len);
        content = read_content (changed, &error);
        g_assert_true ((content != NULL) != (error != NULL));
      }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mail/names/hostile", test_hostile_names);
  g_test_add_func ("/mail/names/long-keep-extension", test_hostile_long_names);
  g_test_add_func ("/mail/names/unique", test_hostile_same_names);
  g_test_add_func ("/mail/names/unique-when-cut", test_alike_long_names);
  g_test_add_func ("/mail/attachments/claimed-counts", test_hostile_counts);
  g_test_add_func ("/mail/attachments/unlisted-are-found", test_hostile_no_list);
  g_test_add_func ("/mail/attachments/too-many", test_too_many_attachments);
  g_test_add_func ("/mail/attachments/cut-description", test_cut_description);
  g_test_add_func ("/mail/attachments/ole-object", test_ole_object);
  g_test_add_func ("/mail/no-mail-inside", test_no_mail);
  g_test_add_func ("/mail/text/encodings", test_text_encodings);
  g_test_add_func ("/mail/text/noise-is-valid-text", test_text_noise);
  g_test_add_func ("/mail/flipped-bits", test_flipped_content);
  return g_test_run ();
}
