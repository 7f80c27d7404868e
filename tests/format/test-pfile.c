/* SPDX-License-Identifier: Apache-2.0 */
/* Promises of the pfile header: what a probe tells without a key, however
 * hostile the file. The files are made here. */
#include "format/format.h"
#include "support.h"

/* A pfile as a writer makes it. */
typedef struct {
  guint32 major, minor, redirect, header_len;
  const void *extension;
  gsize extension_len;
  const char *license;
  const char *metadata;
  gsize metadata_len;
  guint64 original_size;
  gsize content_len;
  gboolean reversed; /* metadata, license, extension */
} Pfile;

/* Offsets of the header fields from the header's start. */
enum {
  FIELD_LEN = 0,
  FIELD_EXTENSION_OFF = 4,
  FIELD_EXTENSION_LEN = 8,
  FIELD_LICENSE_OFF = 12,
  FIELD_LICENSE_LEN = 16,
  FIELD_CONTENT_OFF = 20,
  FIELD_ORIGINAL_SIZE = 24,
  FIELD_METADATA_OFF = 32,
  FIELD_METADATA_LEN = 36,
};

static void
set_le (GByteArray *file, gsize off, guint64 value, guint bytes)
{
  g_assert_cmpuint (off + bytes, <=, file->len);
  for (guint i = 0; i < bytes; i++)
    file->data[off + i] = (guint8) (value >> 8 * i);
}

static guint32
append (GByteArray *file, const void *data, gsize len)
{
  guint32 off = file->len;

  if (len > 0)
    g_byte_array_append (file, data, (guint) len);
  return off;
}

static GByteArray *
make_pfile (const Pfile *p)
{
  GByteArray *file = g_byte_array_new ();
  guint32 header = 18 + p->redirect, offs[3];
  const void *parts[] = { p->extension, p->license, p->metadata };
  gsize lens[] = { p->extension_len, p->license != NULL ? strlen (p->license) : 0, p->metadata_len };
  g_autofree guint8 *content = make_noise (p->content_len, 1);

  g_byte_array_set_size (file, header + p->header_len);
  memset (file->data, '\n', header);
  memset (file->data + header, 0, p->header_len);
  memcpy (file->data, ".pfile", 6);
  set_le (file, 6, p->major, 4);
  set_le (file, 10, p->minor, 4);
  set_le (file, 14, p->redirect, 4);
  for (int i = 0; i < 3; i++)
    {
      int part = p->reversed ? 2 - i : i;
      offs[part] = append (file, parts[part], lens[part]);
    }
  set_le (file, header + FIELD_LEN, p->header_len, 4);
  for (int i = 0; i < 2; i++)
    {
      set_le (file, header + FIELD_EXTENSION_OFF + 8 * (gsize) i, offs[i], 4);
      set_le (file, header + FIELD_EXTENSION_LEN + 8 * (gsize) i, lens[i], 4);
    }
  set_le (file, header + FIELD_CONTENT_OFF, file->len, 4);
  if (p->header_len >= 40)
    {
      set_le (file, header + FIELD_ORIGINAL_SIZE, p->original_size, 8);
      set_le (file, header + FIELD_METADATA_OFF, offs[2], 4);
      set_le (file, header + FIELD_METADATA_LEN, lens[2], 4);
    }
  append (file, content, p->content_len);
  return file;
}

static const Pfile v30 = {
  .major = 3,
  .redirect = 396,
  .header_len = 40,
  .extension = ".txt",
  .extension_len = 4,
  .license = "\xef\xbb\xbf<XrML>license</XrML>",
  .original_size = G_MAXUINT64,
  .content_len = 4112,
};

static TpdProbe *
probe_bytes (const GByteArray *file)
{
  g_autoptr (TpdSource) source = source_from (file->data, file->len);

  return tpd_probe (source, NULL);
}

static TpdProbe *
probe_pfile (const Pfile *p)
{
  g_autoptr (GByteArray) file = make_pfile (p);

  return probe_bytes (file);
}

static void
assert_refused (const TpdProbe *probe, TpdVerdict verdict)
{
  g_assert_cmpstr (tpd_verdict_word (probe->verdict), ==, tpd_verdict_word (verdict));
  g_assert_cmpint (probe->kind, ==, TPD_KIND_PFILE);
  g_assert_nonnull (probe->message);
}

static void
assert_plain (const TpdProbe *probe)
{
  g_assert_cmpint (probe->verdict, ==, TPD_VERDICT_NOT_PROTECTED);
  g_assert_cmpint (probe->kind, ==, TPD_KIND_PLAIN);
  g_assert_null (probe->format);
  g_assert_null (probe->message);
}

/* --- Plain files ------------------------------------------------------ */

static void
test_plain_costs_one_read (void)
{
  static const gsize sizes[] = { 1, 5, 300, 4096, 4097, 100000 };
  g_autofree guint8 *data = make_text (100000);

  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autoptr (TpdSource) memory = source_from (data, sizes[i]);
      FaultSource *counted = fault_source_new (memory, FAULT_NONE, 0);
      g_autoptr (TpdSource) source = &counted->base;
      g_autoptr (TpdProbe) probe = tpd_probe (source, NULL);

      assert_plain (probe);
      g_assert_cmpint (counted->reads, ==, 1);
      g_assert_cmpuint (counted->longest, ==, MIN (sizes[i], TPD_HEAD_SIZE));
    }
}

static void
test_empty_is_plain (void)
{
  g_autoptr (TpdSource) memory = source_from ("", 0);
  FaultSource *counted = fault_source_new (memory, FAULT_NONE, 0);
  g_autoptr (TpdSource) source = &counted->base;
  g_autoptr (TpdProbe) probe = tpd_probe (source, NULL);

  assert_plain (probe);
  g_assert_cmpint (counted->reads, ==, 0);
}

static void
test_magic_alone_is_plain (void)
{
  g_autoptr (GByteArray) file = make_pfile (&v30);

  for (guint len = 1; len < 14; len++)
    {
      g_autoptr (TpdSource) source = source_from (file->data, len);
      g_autoptr (TpdProbe) probe = tpd_probe (source, NULL);

      assert_plain (probe);
    }
}

static void
test_large_version_words_are_plain (void)
{
  static const guint32 words[] = { 256, 300, 0x10000, 0xffffffff };

  for (gsize i = 0; i < G_N_ELEMENTS (words); i++)
    {
      Pfile major = v30, minor = v30;
      g_autoptr (TpdProbe) first = NULL;
      g_autoptr (TpdProbe) second = NULL;

      major.major = words[i];
      minor.minor = words[i];
      first = probe_pfile (&major);
      second = probe_pfile (&minor);
      assert_plain (first);
      assert_plain (second);
    }
}

/* --- Versions and headers --------------------------------------------- */

static void
test_other_versions_unsupported (void)
{
  static const guint32 majors[] = { 0, 1, 4, 255 };

  for (gsize i = 0; i < G_N_ELEMENTS (majors); i++)
    {
      Pfile p = v30;
      g_autoptr (TpdProbe) probe = NULL;

      p.major = majors[i];
      probe = probe_pfile (&p);
      assert_refused (probe, TPD_VERDICT_UNSUPPORTED);
      g_assert_cmpuint (probe->version_major, ==, majors[i]);
    }
}

/* The header's length says what it holds, whatever the version. */
static void
test_header_size_decides (void)
{
  static const struct {
    guint32 major, minor, header_len;
    gboolean has_size;
  } cases[] = {
    { 2, 0, 24, FALSE }, { 2, 1, 24, FALSE }, { 2, 1, 40, TRUE }, { 2, 1, 48, TRUE },  { 3, 0, 40, TRUE },
    { 3, 0, 64, TRUE },  { 3, 7, 24, FALSE }, { 2, 0, 40, TRUE }, { 3, 0, 36, FALSE }, { 3, 0, 6000, TRUE }
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      Pfile p = v30;
      g_autoptr (TpdProbe) probe = NULL;

      p.major = cases[i].major;
      p.minor = cases[i].minor;
      p.header_len = cases[i].header_len;
      p.original_size = 4100;
      probe = probe_pfile (&p);
      g_assert_cmpint (probe->verdict, ==, TPD_VERDICT_OK);
      g_assert_cmpint (probe->kind, ==, TPD_KIND_PFILE);
      g_assert_cmpstr (probe->extension, ==, ".txt");
      g_assert_cmpuint (probe->version_major, ==, cases[i].major);
      g_assert_cmpuint (probe->version_minor, ==, cases[i].minor);
      g_assert_cmpint (probe->size_class, ==, cases[i].has_size ? TPD_SIZE_EXACT : TPD_SIZE_NEEDS_KEY);
      g_assert_cmpuint (probe->plain_size, ==, cases[i].has_size ? 4100 : 0);
    }
}

static void
test_redirect_of_any_length (void)
{
  static const guint32 lens[] = { 0, 1, 254, 394, 397, 4000, 4060, 4096, 65537, 1024 * 1024 };

  for (gsize i = 0; i < G_N_ELEMENTS (lens); i++)
    {
      Pfile p = v30;
      g_autoptr (TpdProbe) probe = NULL;

      p.redirect = lens[i];
      probe = probe_pfile (&p);
      g_assert_cmpint (probe->verdict, ==, TPD_VERDICT_OK);
      g_assert_cmpstr (probe->extension, ==, ".txt");
    }
}

static void
test_redirect_bounded (void)
{
  static const guint32 lens[] = { 65537, 0x7fffffff, 0xffffffff };
  Pfile p = v30;
  g_autoptr (TpdProbe) longer = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (lens); i++)
    {
      g_autoptr (GByteArray) file = make_pfile (&v30);
      g_autoptr (TpdProbe) probe = NULL;

      set_le (file, 14, lens[i], 4);
      probe = probe_bytes (file);
      assert_refused (probe, TPD_VERDICT_DAMAGED);
    }
  p.redirect = 1024 * 1024 + 1;
  longer = probe_pfile (&p);
  assert_refused (longer, TPD_VERDICT_UNSUPPORTED);
}

static void
test_any_order (void)
{
  Pfile p = v30;
  g_autoptr (GByteArray) file = NULL;
  g_autoptr (TpdSource) source = NULL;
  g_autoptr (TpdProbe) probe = NULL;
  g_autoptr (GBytes) license = NULL;

  p.reversed = TRUE;
  p.metadata = "<?xpacket?>";
  p.metadata_len = strlen (p.metadata);
  file = make_pfile (&p);
  source = source_from (file->data, file->len);
  probe = tpd_probe (source, NULL);
  g_assert_cmpint (probe->verdict, ==, TPD_VERDICT_OK);
  g_assert_cmpstr (probe->extension, ==, ".txt");
  g_assert_cmpstr (probe->metadata, ==, "<?xpacket?>");
  license = tpd_probe_read_license (probe, source, NULL);
  g_assert_cmpmem (g_bytes_get_data (license, NULL), g_bytes_get_size (license), p.license, strlen (p.license));
}

/* Each field in turn points out of the file, or over another thing. */
static void
test_bad_fields_are_damage (void)
{
  g_autoptr (GByteArray) sound = make_pfile (&v30);
  guint32 header = 18 + v30.redirect;
  guint32 content = header + v30.header_len + 4 + (guint32) strlen (v30.license);
  const struct {
    gsize field;
    guint32 value;
  } cases[] = {
    { FIELD_LEN, 0 },
    { FIELD_LEN, 23 },
    { FIELD_LEN, 0xffffffff },
    { FIELD_LEN, sound->len - header + 1 },
    { FIELD_LEN, content - header + 1 },
    { FIELD_EXTENSION_OFF, 0xffffffff },
    { FIELD_EXTENSION_OFF, content - 3 },
    { FIELD_EXTENSION_LEN, 0xffffffff },
    { FIELD_LICENSE_OFF, 0xffffffff },
    { FIELD_LICENSE_OFF, content - 5 },
    { FIELD_LICENSE_LEN, 0xffffffff },
    { FIELD_LICENSE_LEN, (guint32) strlen (v30.license) + 1 },
    { FIELD_LICENSE_LEN, 0 },
    { FIELD_CONTENT_OFF, sound->len + 1 },
    { FIELD_CONTENT_OFF, 0xffffffff },
    { FIELD_CONTENT_OFF, 0 },
    { FIELD_CONTENT_OFF, content - 1 },
    { FIELD_CONTENT_OFF, content + 1 },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GByteArray) file = g_byte_array_new ();
      g_autoptr (TpdProbe) probe = NULL;

      append (file, sound->data, sound->len);
      set_le (file, header + cases[i].field, cases[i].value, 4);
      probe = probe_bytes (file);
      assert_refused (probe, TPD_VERDICT_DAMAGED);
    }
}

static void
test_huge_license_refused (void)
{
  Pfile p = v30;
  g_autofree char *license = g_strnfill (16 * 1024 * 1024 + 1, 'x');
  g_autoptr (TpdProbe) probe = NULL;

  p.license = license;
  probe = probe_pfile (&p);
  assert_refused (probe, TPD_VERDICT_DAMAGED);
}

/* Wherever the file is cut: damaged, or plain where not even the version is left. */
static void
test_cut_anywhere (void)
{
  Pfile p = v30;
  g_autoptr (GByteArray) file = NULL;

  p.original_size = 100;
  p.content_len = 112;
  p.metadata = "<x/>";
  p.metadata_len = 4;
  file = make_pfile (&p);
  for (guint len = 0; len < file->len; len++)
    {
      g_autoptr (TpdSource) source = source_from (file->data, len);
      g_autoptr (TpdProbe) probe = tpd_probe (source, NULL);

      if (len < 14)
        assert_plain (probe);
      else
        assert_refused (probe, TPD_VERDICT_DAMAGED);
    }
}

static void
test_json_license_unsupported (void)
{
  static const char *const licenses[] = { "{\"pld\":\"\"}", "\xef\xbb\xbf{\"pld\":\"\"}", "{" };

  for (gsize i = 0; i < G_N_ELEMENTS (licenses); i++)
    {
      Pfile p = v30;
      g_autoptr (TpdProbe) probe = NULL;

      p.license = licenses[i];
      probe = probe_pfile (&p);
      assert_refused (probe, TPD_VERDICT_UNSUPPORTED);
    }
}

/* --- Size class ------------------------------------------------------- */

static void
test_size_class (void)
{
  static const struct {
    guint64 stored;
    gsize content;
    TpdVerdict verdict;
    TpdSizeClass size_class;
  } cases[] = {
    { 0, 16, TPD_VERDICT_OK, TPD_SIZE_NEEDS_KEY },
    { 0, 0, TPD_VERDICT_OK, TPD_SIZE_NEEDS_KEY },
    { G_MAXUINT64, 4112, TPD_VERDICT_OK, TPD_SIZE_NEEDS_KEY },
    { G_MAXUINT64, 0, TPD_VERDICT_OK, TPD_SIZE_NEEDS_KEY },
    { 20, 32, TPD_VERDICT_OK, TPD_SIZE_EXACT },
    { 16, 32, TPD_VERDICT_OK, TPD_SIZE_EXACT },
    { 16, 16, TPD_VERDICT_OK, TPD_SIZE_EXACT },
    { 4096, 4112, TPD_VERDICT_OK, TPD_SIZE_EXACT },
    { 5000, 8192, TPD_VERDICT_OK, TPD_SIZE_EXACT },
    { 5000, 5120, TPD_VERDICT_OK, TPD_SIZE_EXACT },
    { 20, 16, TPD_VERDICT_DAMAGED },
    { 20, 48, TPD_VERDICT_DAMAGED },
    { 20, 0, TPD_VERDICT_DAMAGED },
    { G_MAXUINT64 - 1, 16, TPD_VERDICT_DAMAGED },
    { G_MAXUINT64 - 15, 0, TPD_VERDICT_DAMAGED },
    { 1, 15, TPD_VERDICT_DAMAGED },
    { 0, 17, TPD_VERDICT_DAMAGED },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      Pfile p = v30;
      g_autoptr (TpdProbe) probe = NULL;

      p.original_size = cases[i].stored;
      p.content_len = cases[i].content;
      probe = probe_pfile (&p);
      g_assert_cmpint (probe->verdict, ==, cases[i].verdict);
      if (probe->verdict != TPD_VERDICT_OK)
        continue;
      g_assert_cmpint (probe->size_class, ==, cases[i].size_class);
      g_assert_cmpuint (probe->plain_size, ==, cases[i].size_class == TPD_SIZE_EXACT ? cases[i].stored : 0);
    }
}

/* --- Extension -------------------------------------------------------- */

static void
test_extension (void)
{
  static const struct {
    const char *stored;
    gsize len;
    const char *extension;
    gboolean warns;
  } cases[] = {
    { ".txt", 4, ".txt" },
    { "", 0, "" },
    { "txt", 3, ".txt" },
    { ".txt\0", 5, ".txt" },
    { ".t\0x\0t\0", 7, "", TRUE },
    { ".\0t\0x\0t\0", 8, ".txt" },
    { ".\0t\0x\0t\0\0\0", 10, ".txt" },
    { ".\0\xe4\0", 4, ".\xc3\xa4" },
    { ".\0\0\xd8", 4, "", TRUE },
    { ".\0t\0\0\0t\0", 8, "", TRUE },
    { ".tar.gz", 7, ".tar.gz" },
    { ".\xc3\xa4", 3, ".\xc3\xa4" },
    { ".\xff", 2, "", TRUE },
    { "/../../../evil.sh", 17, "", TRUE },
    { ".a/b", 4, "", TRUE },
    { ".a\\b", 4, "", TRUE },
    { "..", 2, "", TRUE },
    { ".a..b", 5, "", TRUE },
    { ".", 1, "", TRUE },
    { ".a\nb", 4, "", TRUE },
    { ".a\0b", 4, "", TRUE },
    { ".a\x7f", 3, "", TRUE },
    { ".txt\xe2\x80\xae"
      "gpj",
      10, "", TRUE },
    { ".\xe2\x81\xa6x", 5, "", TRUE },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      Pfile p = v30;
      g_autoptr (TpdProbe) probe = NULL;

      p.extension = cases[i].stored;
      p.extension_len = cases[i].len;
      probe = probe_pfile (&p);
      g_assert_cmpint (probe->verdict, ==, TPD_VERDICT_OK);
      g_assert_cmpstr (probe->extension, ==, cases[i].extension);
      g_assert_cmpint (probe->warnings != NULL, ==, cases[i].warns);
    }
}

static void
test_extension_length (void)
{
  for (gsize len = 60; len < 300; len++)
    {
      Pfile p = v30;
      g_autofree char *extension = g_strnfill (len, 'x');
      g_autoptr (TpdProbe) probe = NULL;

      extension[0] = '.';
      p.extension = extension;
      p.extension_len = len;
      probe = probe_pfile (&p);
      g_assert_cmpint (probe->verdict, ==, TPD_VERDICT_OK);
      g_assert_cmpint (probe->warnings != NULL, ==, len > 255);
      g_assert_cmpstr (probe->extension, ==, len <= 255 ? extension : "");
    }
}

/* --- Metadata --------------------------------------------------------- */

static void
test_metadata (void)
{
  static const char xmp[] = "\xef\xbb\xbf<?xpacket begin=''?><x:xmpmeta/>\0\0\0\0";
  static const char zeros[1024];
  static const char broken[] = "<x>\xff\xff</x>";
  g_autofree char *large = g_strnfill (100000, '<');
  const struct {
    const char *data;
    gsize len;
    const char *metadata;
    gboolean warns;
  } cases[] = {
    { xmp, sizeof xmp, "<?xpacket begin=''?><x:xmpmeta/>" },
    { zeros, sizeof zeros, NULL },
    { "no markup", 9, NULL },
    { broken, sizeof broken, NULL, TRUE },
    { large, 65536, NULL },
    { large, 65537, NULL, TRUE },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      Pfile p = v30;
      g_autoptr (TpdProbe) probe = NULL;

      p.metadata = cases[i].data;
      p.metadata_len = cases[i].len;
      probe = probe_pfile (&p);
      g_assert_cmpint (probe->verdict, ==, TPD_VERDICT_OK);
      if (cases[i].len == 65536)
        g_assert_cmpuint (strlen (probe->metadata), ==, 65536);
      else
        g_assert_cmpstr (probe->metadata, ==, cases[i].metadata);
      g_assert_cmpint (probe->warnings != NULL, ==, cases[i].warns);
    }
}

/* Without a stored size nothing else shows that blocks are lost at the start. */
static void
test_content_starts_behind_the_parts (void)
{
  static const struct {
    guint32 gap;
    guint8 fill;
    gboolean sized, sound;
  } cases[] = {
    { 0, 'x', FALSE, TRUE },     { 15, 'x', FALSE, TRUE },      { 16, 'x', FALSE, FALSE }, { 4096, 'x', FALSE, FALSE },
    { 4096, '\0', FALSE, TRUE }, { 80000, '\0', FALSE, FALSE }, { 16, 'x', TRUE, TRUE },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      Pfile p = v30;
      g_autoptr (GByteArray) file = NULL, longer = g_byte_array_new ();
      g_autofree guint8 *gap = g_malloc (cases[i].gap + 1);
      g_autofree char *words = NULL;
      g_autoptr (TpdProbe) probe = NULL;
      guint start;

      p.original_size = cases[i].sized ? 4100 : G_MAXUINT64;
      file = make_pfile (&p);
      start = file->len - (guint) p.content_len;
      memset (gap, cases[i].fill, cases[i].gap + 1);
      g_byte_array_append (longer, file->data, start);
      g_byte_array_append (longer, gap, cases[i].gap);
      g_byte_array_append (longer, file->data + start, (guint) p.content_len);
      set_le (longer, 18 + p.redirect + FIELD_CONTENT_OFF, start + cases[i].gap, 4);
      probe = probe_bytes (longer);
      if (cases[i].sound)
        {
          g_assert_cmpint (probe->verdict, ==, TPD_VERDICT_OK);
          continue;
        }
      assert_refused (probe, TPD_VERDICT_DAMAGED);
      words = g_strdup_printf ("leaves %u bytes unexplained", cases[i].gap);
      g_assert_nonnull (strstr (probe->message, words));
    }
}

/* The label is for reports: trouble with it keeps nobody from his document
 * whose size is known, and else hints at content that starts elsewhere. */
static void
test_misplaced_metadata_is_ignored (void)
{
  Pfile p = v30;
  g_autoptr (GByteArray) file = NULL;
  g_autoptr (TpdProbe) probe = NULL;
  g_autoptr (TpdProbe) unsized = NULL;

  p.original_size = 4100;
  p.metadata = "<x/>";
  p.metadata_len = 4;
  file = make_pfile (&p);
  set_le (file, 18 + p.redirect + FIELD_METADATA_LEN, 0xffffffff, 4);
  probe = probe_bytes (file);
  g_assert_cmpint (probe->verdict, ==, TPD_VERDICT_OK);
  g_assert_null (probe->metadata);
  g_assert_nonnull (probe->warnings);
  set_le (file, 18 + p.redirect + FIELD_ORIGINAL_SIZE, G_MAXUINT64, 8);
  unsized = probe_bytes (file);
  assert_refused (unsized, TPD_VERDICT_DAMAGED);
}

/* --- Failing reads ---------------------------------------------------- */

static void
test_failing_reads (void)
{
  Pfile p = v30;
  g_autoptr (GByteArray) file = NULL;
  g_autoptr (TpdSource) memory = NULL;
  g_autofree char *license = g_strnfill (9000, 'x');

  /* Header, extension, license and metadata each need a read of their own. */
  p.redirect = 5000;
  p.metadata = "<x/>";
  p.metadata_len = 4;
  p.license = license;
  file = make_pfile (&p);
  memory = source_from (file->data, file->len);
  for (int at = 0; at < 5; at++)
    {
      FaultSource *failing = fault_source_new (memory, FAULT_EIO, at);
      g_autoptr (TpdSource) source = &failing->base;
      g_autoptr (TpdProbe) probe = tpd_probe (source, NULL);
      FaultSource *shorter = fault_source_new (memory, FAULT_SHORT, at);
      g_autoptr (TpdSource) short_source = &shorter->base;
      g_autoptr (TpdProbe) short_probe = tpd_probe (short_source, NULL);

      g_assert_cmpint (probe->verdict, ==, TPD_VERDICT_IO_ERROR);
      g_assert_cmpint (probe->io_errno, ==, EIO);
      g_assert_nonnull (probe->message);
      g_assert_cmpint (short_probe->verdict, ==, at == 0 ? TPD_VERDICT_IO_ERROR : TPD_VERDICT_DAMAGED);
    }
}

static void
test_cancelled (void)
{
  g_autoptr (GByteArray) file = make_pfile (&v30);
  g_autoptr (TpdSource) source = source_from (file->data, file->len);
  g_autoptr (TpdProbe) probe = NULL;
  TpdBudget budget;

  tpd_budget_init_probe (&budget);
  budget.cancelled = 1;
  probe = tpd_probe (source, &budget);
  g_assert_cmpint (probe->verdict, ==, TPD_VERDICT_IO_ERROR);
  g_assert_cmpint (probe->io_errno, ==, EINTR);
}

static void
test_open_of_what_does_not_open (void)
{
  g_autoptr (TpdSource) plain = source_from ("text", 4);
  g_autoptr (TpdProbe) plain_probe = tpd_probe (plain, NULL);
  Pfile p = v30;
  g_autoptr (GByteArray) file = NULL;
  g_autoptr (TpdSource) source = NULL;
  g_autoptr (TpdProbe) probe = NULL;
  g_autoptr (GError) error = NULL;

  p.content_len = 17;
  file = make_pfile (&p);
  source = source_from (file->data, file->len);
  probe = tpd_probe (source, NULL);
  g_assert_null (tpd_document_open (plain, plain_probe, NULL, NULL, NULL, NULL, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_NOT_PROTECTED);
  g_clear_error (&error);
  g_assert_null (tpd_document_open (source, probe, NULL, NULL, NULL, NULL, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_DAMAGED);
  g_assert_cmpstr (error->message, ==, probe->message);
}

static void
test_words (void)
{
  g_assert_cmpstr (tpd_kind_word (TPD_KIND_PLAIN), ==, "plain");
  g_assert_cmpstr (tpd_kind_word (TPD_KIND_PFILE), ==, "pfile");
  g_assert_cmpstr (tpd_kind_word (TPD_KIND_ZIP), ==, "zip");
  g_assert_cmpstr (tpd_proof_word (TPD_PROOF_NONE), ==, "none");
  g_assert_cmpstr (tpd_proof_word (TPD_PROOF_PLAUSIBLE), ==, "plausible");
  g_assert_cmpstr (tpd_proof_word (TPD_PROOF_PROVEN), ==, "proven");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/probe/plain-costs-one-read", test_plain_costs_one_read);
  g_test_add_func ("/probe/empty-is-plain", test_empty_is_plain);
  g_test_add_func ("/probe/words", test_words);
  g_test_add_func ("/probe/cancelled", test_cancelled);
  g_test_add_func ("/probe/open-repeats-the-verdict", test_open_of_what_does_not_open);
  g_test_add_func ("/pfile/magic-alone-is-plain", test_magic_alone_is_plain);
  g_test_add_func ("/pfile/large-version-words-are-plain", test_large_version_words_are_plain);
  g_test_add_func ("/pfile/other-versions-unsupported", test_other_versions_unsupported);
  g_test_add_func ("/pfile/header-size-decides", test_header_size_decides);
  g_test_add_func ("/pfile/redirect-of-any-length", test_redirect_of_any_length);
  g_test_add_func ("/pfile/redirect-bounded", test_redirect_bounded);
  g_test_add_func ("/pfile/any-order", test_any_order);
  g_test_add_func ("/pfile/bad-fields-are-damage", test_bad_fields_are_damage);
  g_test_add_func ("/pfile/huge-license-refused", test_huge_license_refused);
  g_test_add_func ("/pfile/cut-anywhere", test_cut_anywhere);
  g_test_add_func ("/pfile/json-license-unsupported", test_json_license_unsupported);
  g_test_add_func ("/pfile/size-class", test_size_class);
  g_test_add_func ("/pfile/extension/sanitised", test_extension);
  g_test_add_func ("/pfile/extension/length", test_extension_length);
  g_test_add_func ("/pfile/metadata/kept-when-xml", test_metadata);
  g_test_add_func ("/pfile/metadata/misplaced-is-ignored", test_misplaced_metadata_is_ignored);
  g_test_add_func ("/pfile/content-starts-behind-the-parts", test_content_starts_behind_the_parts);
  g_test_add_func ("/pfile/failing-reads", test_failing_reads);
  return g_test_run ();
}
