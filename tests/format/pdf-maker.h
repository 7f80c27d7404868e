/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PDF file as a writer with rights management makes it, and its plain twin:
 * one page, with everything in it that the protection treats in a way of its
 * own. Strings and streams are encrypted by support.h, which knows nothing of
 * the product's cipher.
 */
#pragma once

#include <zlib.h>

#include "pdf-support.h"
#include "support.h"

#define MAKER_LICENSE "\xef\xbb\xbf<XrML version=\"1.2\">filler</XrML>"
#define MAKER_OBJECTS 16

typedef enum {
  LAYOUT_TABLE,
  LAYOUT_STREAM, /* a cross-reference stream */
  LAYOUT_HYBRID,
  LAYOUT_UPDATED, /* a second revision behind the first */
} Layout;

typedef struct {
  Layout layout;
  TpdCipherMode mode;
  TpdIvRule rule;
  gsize key_len;
  const char *title;      /* a literal string of Info; NULL: a short one */
  const char *junk;       /* in front of the header */
  const char *license;    /* as it is written between the parentheses; NULL: a short one */
  gsize license_len;      /* white space that is added to it */
  gboolean shared_length; /* two streams of different length share /Length */
  gboolean clear_metadata;
  gboolean clear_string;    /* one string of Info is not encrypted */
  gboolean clear_id;        /* the first part of /ID is not encrypted; the second never is */
  gboolean no_crypt_filter; /* qpdf 11 writes linearised files with one wrongly */
  const char *encrypt_key;  /* NULL: /Encrypt */
  const char *filter;       /* NULL: ours */
  gboolean direct;          /* the encryption dictionary stands in the trailer */
  gboolean license_apart;   /* the license is an object of its own */
  guint free_rows;          /* so many more in a cross-reference stream */
  guint many_strings;       /* so many more in Info, in front of all long streams */
} Spec;

typedef struct {
  const Spec *spec;
  gboolean encrypt;
  GString *out;
  guint64 offs[MAKER_OBJECTS];
} Maker;

static const guint8 maker_key[32] = "0123456789abcdefFEDCBA9876543210";

static inline TpdContentKey
maker_content_key (const Spec *spec, guint16 word)
{
  return (TpdContentKey){ .key = tpd_secret_new (maker_key, spec->key_len != 0 ? spec->key_len : 16),
                          .mode_word = word,
                          .size_word = 16,
                          .ref_count = 1 };
}

static inline guint16
maker_word (const Spec *spec)
{
  switch (spec->mode)
    {
    case TPD_CIPHER_ECB:
      return TPD_MODE_WORD_ECB;
    case TPD_CIPHER_CBC4K:
      return TPD_MODE_WORD_CBC4K;
    case TPD_CIPHER_CBC4K_NOPAD:
      return TPD_MODE_WORD_CBC4K_NOPAD;
    case TPD_CIPHER_CBC512:
    default:
      return TPD_MODE_WORD_CBC512;
    }
}

/* BE32(length) and data, encrypted; or the data. */
static inline GBytes *
maker_item (Maker *maker, const void *data, gsize len)
{
  g_autofree guint8 *item = g_malloc (len + 4);

  if (!maker->encrypt || len == 0)
    return g_bytes_new (data, len);
  item[0] = (guint8) (len >> 24);
  item[1] = (guint8) (len >> 16);
  item[2] = (guint8) (len >> 8);
  item[3] = (guint8) len;
  memcpy (item + 4, data, len);
  return encrypt_body (maker_key, maker->spec->key_len != 0 ? maker->spec->key_len : 16, maker->spec->mode,
                       maker->spec->rule, FALSE, item, len + 4);
}

static inline void
maker_literal (GString *out, const guint8 *data, gsize len)
{
  g_string_append_c (out, '(');
  for (gsize i = 0; i < len; i++)
    if (data[i] == '\r')
      g_string_append (out, "\\r");
    else
      {
        if (strchr ("()\\", data[i]) != NULL && data[i] != 0)
          g_string_append_c (out, '\\');
        g_string_append_c (out, (char) data[i]);
      }
  g_string_append_c (out, ')');
}

static inline void
maker_string (Maker *maker, const char *text, gboolean hex)
{
  g_autoptr (GBytes) item = maker_item (maker, text, strlen (text));
  const guint8 *data = g_bytes_get_data (item, NULL);
  gsize len = g_bytes_get_size (item);

  if (!hex)
    {
      maker_literal (maker->out, data, len);
      return;
    }
  g_string_append_c (maker->out, '<');
  for (gsize i = 0; i < len; i++)
    g_string_append_printf (maker->out, "%02x", data[i]);
  g_string_append_c (maker->out, '>');
}

static inline void
maker_object (Maker *maker, guint num)
{
  maker->offs[num] = maker->out->len;
  g_string_append_printf (maker->out, "%u 0 obj\n", num);
}

static inline void
maker_end (Maker *maker)
{
  g_string_append (maker->out, "\nendobj\n");
}

/* A stream; `length`: object number for an indirect /Length, 0: direct. Gives the stored length. */
static inline gsize
maker_stream (Maker *maker, guint num, const char *keys, guint length, gboolean clear, const void *data, gsize len)
{
  gboolean encrypt = maker->encrypt;
  g_autoptr (GBytes) item = NULL;

  maker->encrypt = encrypt && !clear;
  item = maker_item (maker, data, len);
  maker->encrypt = encrypt;
  maker_object (maker, num);
  if (length > 0)
    g_string_append_printf (maker->out, "<<%s/Length %u 0 R>>\nstream\r\n", keys, length);
  else
    g_string_append_printf (maker->out, "<<%s/Length %" G_GSIZE_FORMAT ">>\nstream\r\n", keys, g_bytes_get_size (item));
  g_string_append_len (maker->out, g_bytes_get_data (item, NULL), (gssize) g_bytes_get_size (item));
  g_string_append (maker->out, "\nendstream");
  maker_end (maker);
  return g_bytes_get_size (item);
}

static inline GBytes *
deflate_bytes (const void *data, gsize len, int window_bits)
{
  uLong bound = compressBound ((uLong) len) + 64;
  g_autofree guint8 *out = g_malloc (bound);
  z_stream z = { 0 };

  g_assert_cmpint (deflateInit2 (&z, 9, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY), ==, Z_OK);
  z.next_in = (guint8 *) data;
  z.avail_in = (uInt) len;
  z.next_out = out;
  z.avail_out = (uInt) bound;
  g_assert_cmpint (deflate (&z, Z_FINISH), ==, Z_STREAM_END);
  deflateEnd (&z);
  return g_bytes_new (out, z.total_out);
}

static inline void
maker_info (Maker *maker, const char *title)
{
  maker_object (maker, 7);
  g_string_append (maker->out, "<</Title ");
  maker_string (maker, title, FALSE);
  g_string_append (maker->out, "/Author ");
  maker_string (maker, "Grüße (von) \\ uns\r\n", TRUE);
  g_string_append (maker->out, "/Subject");
  maker_string (maker, "", FALSE);
  if (maker->spec->clear_string)
    g_string_append (maker->out, "/Clear (not encrypted, and no multiple of sixteen)/Sixteen (sixteen bytes 16)");
  g_string_append (maker->out, "/Nested [[<</A ");
  maker_string (maker, "))((\\\\", FALSE);
  g_string_append (maker->out, " % a comment\n>> true null -1.5 /Na#20me]]/Many[");
  for (guint i = 0; i < maker->spec->many_strings; i++)
    maker_string (maker, "one of many", TRUE);
  g_string_append (maker->out, "]>>");
  maker_end (maker);
}

static inline void
maker_license (Maker *maker)
{
  g_autofree char *blanks = g_strnfill (maker->spec->license_len, ' ');

  g_string_append_c (maker->out, '(');
  g_string_append (maker->out, maker->spec->license != NULL ? maker->spec->license : MAKER_LICENSE);
  g_string_append (maker->out, blanks);
  g_string_append_c (maker->out, ')');
}

static inline void
maker_encryption (Maker *maker)
{
  const Spec *spec = maker->spec;

  g_string_append_printf (maker->out,
                          "<</Filter/%s/V 5/CF<</MicrosoftIRMServices<</Type/CryptFilter/CFM/None>>>>"
                          "/StmF/MicrosoftIRMServices/StrF/MicrosoftIRMServices/MicrosoftIRMVersion 2"
                          "/EncryptMetadata %s/PublishingLicense ",
                          spec->filter != NULL ? spec->filter : "MicrosoftIRMServices",
                          spec->clear_metadata ? "false" : "true");
  if (spec->license_apart)
    g_string_append (maker->out, "15 0 R");
  else
    maker_license (maker);
  g_string_append (maker->out, ">>");
}

static inline void
maker_body (Maker *maker)
{
  static const char page[] = "BT /F1 24 Tf 72 700 Td (Hello) Tj ET";
  static const char more[] = "BT /F1 24 Tf 72 600 Td (World!) Tj ET";
  static const char xmp[] = "<?xpacket begin=\"\"?><x:xmpmeta xmlns:x=\"adobe:ns:meta/\"/><?xpacket end=\"w\"?>";
  const Spec *spec = maker->spec;
  g_autofree guint8 *noise = make_noise (20000, 4711);
  g_autoptr (GBytes) flate = deflate_bytes (noise, 20000, 15);
  gsize len;

  maker_object (maker, 1);
  g_string_append (maker->out, "<</Type/Catalog/Pages 2 0 R/Metadata 9 0 R/Extra [11 0 R 12 0 R 13 0 R]/Lang");
  maker_string (maker, "en-US", FALSE);
  g_string_append (maker->out, ">>");
  maker_end (maker);
  maker_object (maker, 2);
  g_string_append (maker->out, "<</Type/Pages/Kids[3 0 R]/Count 1>>");
  maker_end (maker);
  maker_object (maker, 3);
  g_string_append (maker->out, "<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents[4 0 R 10 0 R]"
                               "/Resources<</Font<</F1 6 0 R>>>>>>");
  maker_end (maker);
  len = maker_stream (maker, 4, "", 5, FALSE, page, strlen (page));
  maker_object (maker, 5);
  g_string_append_printf (maker->out, "%" G_GSIZE_FORMAT, len);
  maker_end (maker);
  maker_object (maker, 6);
  g_string_append (maker->out, "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>");
  maker_end (maker);
  maker_info (maker, spec->title != NULL ? spec->title : "A title");
  if (maker->encrypt && !spec->direct)
    {
      maker_object (maker, 8);
      maker_encryption (maker);
      maker_end (maker);
    }
  if (maker->encrypt && spec->license_apart)
    {
      maker_object (maker, 15);
      maker_license (maker);
      maker_end (maker);
    }
  maker_stream (maker, 9, "/Type/Metadata/Subtype/XML", 0, spec->clear_metadata, xmp, strlen (xmp));
  maker_stream (maker, 10, "", spec->shared_length && maker->encrypt ? 5 : 0, FALSE, more, strlen (more));
  maker_stream (maker, 11, "/Filter/FlateDecode", 0, FALSE, g_bytes_get_data (flate, NULL), g_bytes_get_size (flate));
  maker_object (maker, 12);
  g_string_append (maker->out, "<</Type/Sig/ByteRange[0 1 2 3]/Contents<00112233445566778899aabbccddeeff>/Reason");
  maker_string (maker, "approved", FALSE);
  g_string_append (maker->out, ">>");
  maker_end (maker);
  maker_stream (maker, 13, spec->no_crypt_filter ? "" : "/Filter[/Crypt]/DecodeParms[<</Name/Identity>>]", 0,
                !spec->no_crypt_filter, "clear by its own filter, all of it, yes", 39);
}

static inline void
maker_trailer_keys (Maker *maker)
{
  g_string_append_printf (maker->out, "/Root 1 0 R/Info 7 0 R/Size %u", MAKER_OBJECTS + maker->spec->free_rows);
  g_string_append (maker->out, "/ID[");
  if (maker->spec->clear_id)
    g_string_append (maker->out, "<00112233445566778899aabbccddeeff>");
  else
    maker_string (maker, "sixteen bytes id", TRUE);
  g_string_append (maker->out, "<31415926535897932384626433832795>]");
  if (!maker->encrypt)
    return;
  g_string_append_printf (maker->out, "/%s ", maker->spec->encrypt_key != NULL ? maker->spec->encrypt_key : "Encrypt");
  if (maker->spec->direct)
    maker_encryption (maker);
  else
    g_string_append (maker->out, "8 0 R");
}

/* A cross-reference stream as object 14, for the objects in [first, last]. */
static inline void
maker_xref_stream (Maker *maker, guint first, guint last, gboolean trailer)
{
  guint count = last - first + 1 + maker->spec->free_rows;

  maker_object (maker, 14);
  g_string_append_printf (maker->out, "<</Type/XRef/W[1 3 1]/Index[%u %u]/Length %u", first, count, count * 5);
  if (trailer)
    maker_trailer_keys (maker);
  else
    g_string_append_printf (maker->out, "/Size %u", MAKER_OBJECTS);
  g_string_append (maker->out, ">>\nstream\n");
  for (guint i = first; i <= last; i++)
    {
      guint64 off = maker->offs[i];

      g_string_append_c (maker->out, off > 0 ? 1 : 0);
      g_string_append_c (maker->out, (char) (off >> 16));
      g_string_append_c (maker->out, (char) (off >> 8));
      g_string_append_c (maker->out, (char) off);
      g_string_append_c (maker->out, 0);
    }
  for (guint i = 0; i < maker->spec->free_rows; i++)
    g_string_append_len (maker->out, "\0\0\0\0\0", 5);
  g_string_append (maker->out, "\nendstream");
  maker_end (maker);
}

static inline guint64
maker_table (Maker *maker, guint hidden, const char *more)
{
  guint64 place = maker->out->len;

  g_string_append_printf (maker->out, "xref\n0 %u\n0000000000 65535 f \n", MAKER_OBJECTS);
  for (guint i = 1; i < MAKER_OBJECTS; i++)
    if (maker->offs[i] == 0 || i == hidden)
      g_string_append (maker->out, "0000000000 00000 f \n");
    else
      g_string_append_printf (maker->out, "%010" G_GUINT64_FORMAT " 00000 n \n", maker->offs[i]);
  g_string_append (maker->out, "trailer\n<<");
  maker_trailer_keys (maker);
  g_string_append_printf (maker->out, "%s>>\n", more);
  return place;
}

static inline void
maker_tail (Maker *maker, guint64 place)
{
  g_string_append_printf (maker->out, "startxref\n%" G_GUINT64_FORMAT "\n%%%%EOF\n", place);
}

/* The file of `spec`, encrypted or its plain twin. (transfer full) */
static inline GBytes *
make_pdf (const Spec *spec, gboolean encrypt)
{
  Maker maker = { .spec = spec, .encrypt = encrypt, .out = g_string_new (NULL) };
  guint64 place;

  g_string_append (maker.out, "%PDF-1.7\n%\xe2\xe3\xcf\xd3\n");
  maker_body (&maker);
  switch (spec->layout)
    {
    case LAYOUT_STREAM:
      place = maker.out->len;
      maker.offs[14] = place;
      maker_xref_stream (&maker, 0, MAKER_OBJECTS - 1, TRUE);
      break;
      case LAYOUT_HYBRID: {
        g_autofree char *more = g_strdup_printf ("/XRefStm %u", (guint) maker.out->len);
        maker_xref_stream (&maker, 7, 7, FALSE);
        place = maker_table (&maker, 7, more);
        break;
      }
      case LAYOUT_UPDATED: {
        g_autofree char *more = NULL;
        guint64 old = maker_table (&maker, 0, "");

        maker_tail (&maker, old);
        maker_info (&maker, "A newer title");
        more = g_strdup_printf ("/Prev %" G_GUINT64_FORMAT, old);
        place = maker.out->len;
        g_string_append_printf (maker.out, "xref\n7 1\n%010" G_GUINT64_FORMAT " 00000 n \ntrailer\n<<", maker.offs[7]);
        maker_trailer_keys (&maker);
        g_string_append_printf (maker.out, "%s>>\n", more);
        break;
      }
    case LAYOUT_TABLE:
    default:
      place = maker_table (&maker, 0, "");
    }
  maker_tail (&maker, place);
  if (spec->junk != NULL)
    g_string_prepend (maker.out, spec->junk);
  return g_string_free_to_bytes (maker.out);
}
