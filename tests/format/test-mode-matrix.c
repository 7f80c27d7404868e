/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the license says of the cipher mode against what a writer did, for all kinds
 * of content: right bytes, or a refusal, or a proof of none. Wrong bytes are never
 * called plausible, and what is right and makes sense opens.
 */
#include "format/cfb_writer.h"
#include "format/scratch.h"
#include "mode-try.h"

/* --- Content ------------------------------------------------------------ */

typedef enum { TEXT, LATIN, WIDE, WIDE_BOM, PDF, ZIP, ZIP_MANY, COMPOUND, TABLE, NOISE } Kind;

static const struct {
  Kind kind;
  const char *name, *extension;
} kinds[] = {
  { TEXT, "text", ".txt" },
  { LATIN, "Latin-1", ".txt" },
  { WIDE, "UTF-16", ".txt" },
  { WIDE_BOM, "UTF-16 with BOM", ".txt" },
  { PDF, "PDF", ".pdf" },
  { ZIP, "ZIP of one member", ".docx" },
  { ZIP_MANY, "ZIP of many", NULL },
  { COMPOUND, "compound file", ".doc" },
  { TABLE, "zeros", ".bin" },
  { NOISE, "noise", NULL },
};

/* Around the borders of blocks and segments, and short. */
static const gsize lengths[] = { 1,   2,   3,    5,    12,   15,   16,   17,   31,   40,   300,  511,  512,  513,
                                 530, 900, 1003, 1536, 3000, 4090, 4096, 4100, 4500, 8190, 8192, 9001, 20000 };

static GByteArray *
make_latin (gsize len)
{
  static const char line[] = "Gr\xf6\xdf"
                             "er als zuvor, sch\xf6n f\xfcr das B\xfcro; na ja, \xe4hnlich.\r\n";
  GByteArray *out = g_byte_array_new ();

  while (out->len < len)
    g_byte_array_append (out, (const guint8 *) line, sizeof line - 1);
  return out;
}

static GByteArray *
make_wide (gsize len, gboolean bom)
{
  GByteArray *out = g_byte_array_new ();
  g_autoptr (GByteArray) text = make_latin (len);

  if (bom)
    put_le (out, 0xfeff, 2);
  for (gsize i = 0; out->len < len; i++)
    put_le (out, text->data[i], 2);
  return out;
}

/* Objects in text, and streams of noise. */
static GByteArray *
make_pdf (gsize len)
{
  GByteArray *out = g_byte_array_new ();

  g_byte_array_append (out, (const guint8 *) "%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", 15);
  for (guint i = 1; out->len < len; i++)
    {
      gsize n = 40 + 173 * i % 700;
      g_autofree guint8 *noise = make_noise (n, i);
      g_autofree char *head = g_strdup_printf ("%u 0 obj\n<</Type/XObject/Subtype/Form/BBox[0 0 612 792]/Resources"
                                               "<</Font<</F1 %u 0 R>>>>/Filter/FlateDecode/Length %zu>>\nstream\n",
                                               i, i + 7, n);

      g_byte_array_append (out, (const guint8 *) head, (guint) strlen (head));
      g_byte_array_append (out, noise, (guint) n);
      g_byte_array_append (out, (const guint8 *) "\nendstream\nendobj\n", 18);
    }
  return out;
}

/* Stored members of 40 to 700 bytes of noise. */
static GByteArray *
make_zip_of_many (gsize len)
{
  GByteArray *out = g_byte_array_new ();
  g_autoptr (GByteArray) directory = g_byte_array_new ();
  guint n = 0;
  guint32 start;

  do
    {
      guint32 size = 40 + 211 * n % 660, header = out->len;
      g_autofree guint8 *data = make_noise (size, n + 100);
      g_autofree char *name = g_strdup_printf ("part%03u", n++);
      guint32 crc = (guint32) crc32 (0, data, size);

      put_zip_header (directory, TRUE, name, crc, size, header);
      put_zip_header (out, FALSE, name, crc, size, 0);
      g_byte_array_append (out, data, size);
  } while (out->len < len);
  start = out->len;
  g_byte_array_append (out, directory->data, directory->len);
  put_zip_end (out, n, start);
  return out;
}

static GByteArray *
make_compound (gsize len)
{
  TpdCfbWriter *writer = tpd_cfb_writer_new (3);
  g_autoptr (TpdSink) sink = tpd_sink_new (NULL, NULL);
  g_autoptr (TpdSource) source = NULL;
  g_autofree guint8 *text = make_text (len);
  g_autofree guint8 *noise = make_noise (len, 5);
  GByteArray *out = g_byte_array_new ();

  g_assert_true (tpd_cfb_writer_add_bytes (writer, 0, "WordDocument", text, len / 2, NULL));
  g_assert_true (tpd_cfb_writer_add_bytes (writer, 0, "Data", noise, len / 2, NULL));
  g_assert_true (tpd_cfb_writer_add_bytes (writer, 0, "1Table", text, len / 8, NULL));
  g_assert_true (tpd_cfb_writer_finish (writer, sink, NULL));
  tpd_cfb_writer_free (writer);
  source = tpd_sink_to_source (g_steal_pointer (&sink), NULL);
  g_byte_array_set_size (out, (guint) source->size);
  g_assert_true (tpd_source_read_exact (source, out->data, out->len, 0, NULL));
  return out;
}

/* Records of a database: many blocks of zeros, some numbers. */
static GByteArray *
make_table (gsize len)
{
  GByteArray *out = g_byte_array_new ();

  for (guint i = 0; out->len < len; i++)
    {
      put_le (out, i * 2654435761u, 4);
      for (guint j = 0; j < 15 + i % 40; j++)
        put_le (out, 0, 4);
    }
  return out;
}

static GByteArray *
as_array (guint8 *data, gsize len)
{
  return g_byte_array_new_take (data, len);
}

/* About `len` bytes, and exactly as many where any part of it will do. */
static GByteArray *
make_content (Kind kind, gsize len)
{
  GByteArray *out = NULL;

  switch (kind)
    {
    case TEXT:
      out = as_array (make_text (len), len);
      break;
    case LATIN:
      out = make_latin (len);
      break;
    case WIDE:
    case WIDE_BOM:
      out = make_wide (len, kind == WIDE_BOM);
      break;
    case PDF:
      out = make_pdf (len);
      break;
    case ZIP:
      return make_zip (len);
    case ZIP_MANY:
      return make_zip_of_many (len);
    case COMPOUND:
      return make_compound (len);
    case TABLE:
      out = make_table (len);
      break;
    case NOISE:
      out = as_array (make_noise (len, (guint32) len), len);
      break;
    }
  g_byte_array_set_size (out, (guint) len);
  return out;
}

/* --- What a writer did -------------------------------------------------- */

static const struct {
  TpdCipherMode mode;
  TpdIvRule rule;
  gboolean whole;
  guint16 word; /* the true one */
  const char *name;
} writers[] = {
  { TPD_CIPHER_ECB, TPD_IV_INDEX, FALSE, TPD_MODE_WORD_ECB, "ECB" },
  { TPD_CIPHER_CBC4K, TPD_IV_INDEX, FALSE, TPD_MODE_WORD_CBC4K, "CBC4K" },
  { TPD_CIPHER_CBC4K_NOPAD, TPD_IV_INDEX, FALSE, TPD_MODE_WORD_CBC4K_NOPAD, "nopad, index" },
  { TPD_CIPHER_CBC4K_NOPAD, TPD_IV_INDEX, TRUE, TPD_MODE_WORD_CBC4K_NOPAD, "nopad, index, whole" },
  { TPD_CIPHER_CBC4K_NOPAD, TPD_IV_OFFSET, FALSE, TPD_MODE_WORD_CBC4K_NOPAD, "nopad, offset" },
  { TPD_CIPHER_CBC4K_NOPAD, TPD_IV_OFFSET, TRUE, TPD_MODE_WORD_CBC4K_NOPAD, "nopad, offset, whole" },
  { TPD_CIPHER_CBC512, TPD_IV_OFFSET, FALSE, TPD_MODE_WORD_CBC512, "CBC512" },
  { TPD_CIPHER_CBC512, TPD_IV_OFFSET, TRUE, TPD_MODE_WORD_CBC512, "CBC512, whole" },
};

static const guint16 words[] = { TPD_MODE_WORD_ECB, TPD_MODE_WORD_CBC4K_NOPAD, TPD_MODE_WORD_CBC4K,
                                 TPD_MODE_WORD_CBC512, 0x1234 };

/* What became of the tries. */
typedef struct {
  guint right, refused, unproved, wrong;
} Tally;

/* Whether all that the document shows within `len` bytes is right. */
static gboolean
is_right (TpdDocument *document, const GByteArray *plain)
{
  g_autoptr (GBytes) bytes = document_read_all (document, NULL);
  gsize n;
  const guint8 *data = g_bytes_get_data (bytes, &n);

  return n >= plain->len && memcmp (data, plain->data, plain->len) == 0
         && (n == plain->len || document->proof == TPD_PROOF_NONE);
}

/* Whether content makes so much sense that the true word has to be believed: at the
 * start, and at the first place where the modes differ. */
static gboolean
has_to_open (guint kind, gsize len, guint writer)
{
  if (kinds[kind].kind == NOISE || kinds[kind].kind == PDF)
    return FALSE;
  if (writers[writer].mode == TPD_CIPHER_ECB || writers[writer].mode == TPD_CIPHER_CBC4K)
    return len >= 40;
  return len >= 530 && (len <= 4096 || (len >= 4500 && kinds[kind].kind != COMPOUND));
}

static void
try_word (guint kind, const GByteArray *plain, guint writer, GBytes *bytes, const guint8 *key_data, guint16 word,
          guint options, TpdIvChoice iv, Tally *tally)
{
  g_autoptr (TpdSource) body = tpd_source_new_bytes (bytes);
  g_autoptr (TpdContentKey) key = g_new0 (TpdContentKey, 1);
  g_autoptr (GError) error = NULL;
  g_auto (TpdModeAnswer) answer = { 0 };
  g_autoptr (TpdDocument) document = NULL;
  gboolean unknown = (options & 1) != 0;
  TpdModeQuestion question = { .body = body,
                               .stored_size = unknown ? TPD_SIZE_UNKNOWN : plain->len,
                               .maybe_longer = (options & 2) != 0,
                               .force_cbc4k = (options & 4) != 0,
                               .extension = (options & 8) != 0 ? NULL : kinds[kind].extension,
                               .iv = iv };

  key->ref_count = 1;
  key->key = tpd_secret_new (key_data, 32);
  key->mode_word = word;
  if (!tpd_mode_decide (&question, key, &answer, &error))
    {
      if (word == writers[writer].word && options == 0 && has_to_open (kind, plain->len, writer))
        g_error ("%s of %u bytes, written in %s: %s", kinds[kind].name, plain->len, writers[writer].name,
                 error->message);
      tally->refused++;
      return;
    }
  document = tpd_mode_answer_to_document (&answer, TPD_KIND_PFILE, body);
  if (is_right (document, plain))
    {
      tally->right++;
      if (word == writers[writer].word && options == 0 && has_to_open (kind, plain->len, writer))
        g_assert_cmpint (document->proof, >=, TPD_PROOF_PLAUSIBLE);
    }
  else if (document->proof == TPD_PROOF_NONE)
    tally->unproved++;
  else
    {
      g_autofree char *fallbacks = document->fallbacks != NULL ? g_strjoinv (" ", document->fallbacks) : NULL;

      tally->wrong++;
      g_test_message ("wrong bytes: %s of %u bytes, written in %s, word %04x, options %u, iv %d: %s %s proof %d",
                      kinds[kind].name, plain->len, writers[writer].name, word, options, iv, document->cipher,
                      fallbacks != NULL ? fallbacks : "", document->proof);
    }
}

/* A body with its end filled up with zeros or with noise. Noise that ends like padding
 * of CBC4K cannot be told from it where no size is stored; this one does not. */
static GBytes *
encrypt_filled (const guint8 *key, guint writer, const GByteArray *plain, guint32 noise_seed)
{
  gsize unit = writers[writer].whole ? tpd_cipher_mode_segment (writers[writer].mode) : 16;
  gsize len = (plain->len + unit - 1) / unit * unit;
  g_autofree guint8 *filled = noise_seed != 0 ? make_noise (len, noise_seed) : g_malloc0 (len);

  if (writers[writer].mode == TPD_CIPHER_CBC4K)
    return encrypt_body (key, 32, TPD_CIPHER_CBC4K, TPD_IV_INDEX, FALSE, plain->data, plain->len);
  if (noise_seed != 0)
    filled[len - 1] |= 0x80;
  memcpy (filled, plain->data, plain->len);
  return encrypt_body (key, 32, writers[writer].mode, writers[writer].rule, FALSE, filled, len);
}

static void
test_matrix (gconstpointer data)
{
  guint kind = GPOINTER_TO_UINT (data);
  Tally tally = { 0 };

  for (guint i = 0; i < G_N_ELEMENTS (lengths); i++)
    {
      g_autofree guint8 *key = make_noise (32, 1000 + i);
      g_autoptr (GByteArray) plain = make_content (kinds[kind].kind, lengths[i]);

      for (guint writer = 0; writer < G_N_ELEMENTS (writers); writer++)
        for (guint noise = 0; noise < 2; noise++)
          {
            g_autoptr (GBytes) bytes = encrypt_filled (key, writer, plain, noise * (i + 1));

            for (guint word = 0; word < G_N_ELEMENTS (words); word++)
              for (guint options = 0; options < 16; options++)
                try_word (kind, plain, writer, bytes, key, words[word], options, TPD_IV_AUTO, &tally);
            for (guint iv = 0; iv < 2; iv++)
              try_word (kind, plain, writer, bytes, key, TPD_MODE_WORD_CBC4K_NOPAD, 8,
                        iv ? TPD_IV_FORCE_OFFSET : TPD_IV_FORCE_INDEX, &tally);
          }
    }
  g_test_message ("%s: %u right, %u refused, %u with proof none, %u wrong", kinds[kind].name, tally.right,
                  tally.refused, tally.unproved, tally.wrong);
  g_assert_cmpuint (tally.wrong, ==, 0);
  g_assert_cmpuint (tally.right, >, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  tpd_secret_init (65536);
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      g_autofree char *path = g_strdup_printf ("/mode/matrix/%s", kinds[i].name);

      g_assert_cmpint (kinds[i].kind, ==, (int) i);
      g_test_add_data_func (path, GUINT_TO_POINTER (i), test_matrix);
    }
  return g_test_run ();
}
