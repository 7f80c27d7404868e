/* SPDX-License-Identifier: Apache-2.0 */
/* What a row of the index is worth under the options of a mount. */
#include "fs/hinted.h"

#include "fs/look.h"

#define UNKNOWN G_MAXUINT

/* A row, an option, and the verdict and size that follow; verdict UNKNOWN: the
 * file has to be looked at. The file has 5000 bytes, its plaintext 4000. */
typedef struct {
  const char *what;
  TpdKind kind;
  TpdVerdict verdict;
  TpdSizeClass size_class;
  const char *marks; /* o: opened, e: exact, h: held, c: checked, k: other keys */
  const char *words;
  guint wanted;
  guint64 size;
} Example;

static const Example examples[] = {
  { "plain", TPD_KIND_PLAIN, TPD_VERDICT_NOT_PROTECTED, 0, "", NULL, TPD_VERDICT_NOT_PROTECTED, 5000 },
  { "plain, nested", TPD_KIND_PLAIN, TPD_VERDICT_NOT_PROTECTED, 0, "", "nested=3", TPD_VERDICT_NOT_PROTECTED, 5000 },
  { "plain with a size", TPD_KIND_PLAIN, TPD_VERDICT_NOT_PROTECTED, 0, "eh", NULL, TPD_VERDICT_NOT_PROTECTED, 5000 },
  { "labelled", TPD_KIND_OOXML, TPD_VERDICT_NOT_PROTECTED, 0, "", NULL, TPD_VERDICT_NOT_PROTECTED, 5000 },
  { "archive", TPD_KIND_ZIP, TPD_VERDICT_NOT_PROTECTED, 0, "", NULL, TPD_VERDICT_NOT_PROTECTED, 5000 },
  { "archive, odd", TPD_KIND_ZIP, TPD_VERDICT_NO_KEY, 0, "eh", NULL, UNKNOWN, 0 },
  { "plain and opened", TPD_KIND_PLAIN, TPD_VERDICT_NOT_PROTECTED, 0, "o", NULL, UNKNOWN, 0 },

  { "sealed", TPD_KIND_PFILE, TPD_VERDICT_NO_KEY, TPD_SIZE_EXACT, "eh", NULL, TPD_VERDICT_KEY_HELD, 4000 },
  { "sealed, size lost", TPD_KIND_PFILE, TPD_VERDICT_NO_KEY, TPD_SIZE_EXACT, "h", NULL, UNKNOWN, 0 },
  { "not held", TPD_KIND_PFILE, TPD_VERDICT_NO_KEY, TPD_SIZE_EXACT, "e", NULL, TPD_VERDICT_NO_KEY, 5000 },
  { "opened, not held", TPD_KIND_PFILE, TPD_VERDICT_OK, TPD_SIZE_NEEDS_KEY, "oe", NULL, TPD_VERDICT_NO_KEY, 5000 },
  { "opened", TPD_KIND_PFILE, TPD_VERDICT_OK, TPD_SIZE_EXACT, "oeh", NULL, TPD_VERDICT_KEY_HELD, 4000 },
  { "opened for its size", TPD_KIND_PFILE, TPD_VERDICT_OK, TPD_SIZE_NEEDS_KEY, "oeh", NULL, TPD_VERDICT_OK, 4000 },
  { "not opened", TPD_KIND_PFILE, TPD_VERDICT_NO_KEY, TPD_SIZE_NEEDS_KEY, "h", NULL, UNKNOWN, 0 },
  { "ok, never opened", TPD_KIND_PFILE, TPD_VERDICT_OK, TPD_SIZE_NEEDS_KEY, "eh", NULL, UNKNOWN, 0 },
  { "inner layers", TPD_KIND_PFILE, TPD_VERDICT_OK, TPD_SIZE_EXACT, "oeh", "nested=1", UNKNOWN, 0 },
  { "inner, not held", TPD_KIND_PFILE, TPD_VERDICT_OK, TPD_SIZE_EXACT, "oe", "nested=1", TPD_VERDICT_NO_KEY, 5000 },
  { "forced chaining", TPD_KIND_PFILE, TPD_VERDICT_OK, TPD_SIZE_NEEDS_KEY, "oeh", "iv=index", UNKNOWN, 0 },
  { "forced, in clear", TPD_KIND_PFILE, TPD_VERDICT_OK, TPD_SIZE_EXACT, "oeh", "iv=index", TPD_VERDICT_KEY_HELD, 4000 },
  { "raw, opened", TPD_KIND_OOXML, TPD_VERDICT_OK, TPD_SIZE_EXACT, "oeh", "unreadable=raw", TPD_VERDICT_OK, 4000 },
  { "raw, not opened", TPD_KIND_OOXML, TPD_VERDICT_NO_KEY, TPD_SIZE_EXACT, "eh", "unreadable=raw", UNKNOWN, 0 },
  { "raw, not held", TPD_KIND_OOXML, TPD_VERDICT_NO_KEY, TPD_SIZE_EXACT, "e", "unreadable=raw", TPD_VERDICT_NO_KEY,
    5000 },

  { "damaged", TPD_KIND_OOXML, TPD_VERDICT_DAMAGED, TPD_SIZE_EXACT, "h", NULL, TPD_VERDICT_DAMAGED, 5000 },
  { "opens not", TPD_KIND_PFILE, TPD_VERDICT_DAMAGED, TPD_SIZE_NEEDS_KEY, "oh", NULL, TPD_VERDICT_DAMAGED, 5000 },
  { "double key", TPD_KIND_PFILE, TPD_VERDICT_DOUBLE_KEY, TPD_SIZE_NEEDS_KEY, "oh", NULL, TPD_VERDICT_DOUBLE_KEY,
    5000 },
  { "double key, others", TPD_KIND_PFILE, TPD_VERDICT_DOUBLE_KEY, TPD_SIZE_NEEDS_KEY, "ohk", NULL, UNKNOWN, 0 },
  { "double key, size in clear", TPD_KIND_PFILE, TPD_VERDICT_DOUBLE_KEY, TPD_SIZE_EXACT, "oehk", NULL, UNKNOWN, 0 },
  { "opened with two keys", TPD_KIND_PFILE, TPD_VERDICT_OK, TPD_SIZE_EXACT, "oehk", NULL, UNKNOWN, 0 },
  { "two keys, none held", TPD_KIND_PFILE, TPD_VERDICT_OK, TPD_SIZE_EXACT, "oek", NULL, TPD_VERDICT_NO_KEY, 5000 },
  { "mail, other keys in it", TPD_KIND_MSG, TPD_VERDICT_OK, TPD_SIZE_NEEDS_DECODING, "oehk", NULL, UNKNOWN, 0 },
  { "reads not", TPD_KIND_PFILE, TPD_VERDICT_DAMAGED, TPD_SIZE_NEEDS_KEY, "oehc", NULL, UNKNOWN, 0 },
  { "read, damaged", TPD_KIND_PFILE, TPD_VERDICT_DAMAGED, TPD_SIZE_NEEDS_KEY, "ohc", NULL, UNKNOWN, 0 },
  { "reads not, in clear", TPD_KIND_OOXML, TPD_VERDICT_DAMAGED, TPD_SIZE_EXACT, "oehc", NULL, TPD_VERDICT_KEY_HELD,
    4000 },
  { "too large to decode", TPD_KIND_MSG, TPD_VERDICT_TOO_LARGE, TPD_SIZE_NEEDS_DECODING, "oh", NULL, UNKNOWN, 0 },
  { "plain and damaged", TPD_KIND_PLAIN, TPD_VERDICT_DAMAGED, TPD_SIZE_EXACT, "", NULL, UNKNOWN, 0 },
  { "denied", TPD_KIND_PFILE, TPD_VERDICT_DENIED, TPD_SIZE_NEEDS_KEY, "oh", NULL, UNKNOWN, 0 },

  { "mail", TPD_KIND_MSG, TPD_VERDICT_OK, TPD_SIZE_NEEDS_DECODING, "oeh", NULL, TPD_VERDICT_OK, 4000 },
  { "mail, sealed", TPD_KIND_MSG, TPD_VERDICT_NO_KEY, TPD_SIZE_NEEDS_DECODING, "h", NULL, UNKNOWN, 0 },
  { "mail as eml", TPD_KIND_MSG, TPD_VERDICT_OK, TPD_SIZE_NEEDS_DECODING, "oeh", "mail=eml", UNKNOWN, 0 },
  { "mail that is left", TPD_KIND_MSG, TPD_VERDICT_OK, TPD_SIZE_NEEDS_DECODING, "oeh", "mail=source", TPD_VERDICT_OK,
    5000 },
  { "mail left, sealed", TPD_KIND_EML, TPD_VERDICT_NO_KEY, TPD_SIZE_NEEDS_DECODING, "", "mail=source", TPD_VERDICT_OK,
    5000 },
  { "mail left, damaged", TPD_KIND_EML, TPD_VERDICT_DAMAGED, TPD_SIZE_NEEDS_DECODING, "", "mail=source", UNKNOWN, 0 },
  { "mail, little memory", TPD_KIND_MSG, TPD_VERDICT_OK, TPD_SIZE_NEEDS_DECODING, "oeh", "decode_budget=10000", UNKNOWN,
    0 },
  { "pdf, little memory", TPD_KIND_PDF, TPD_VERDICT_NO_KEY, TPD_SIZE_EXACT, "eh", "decode_budget=10000",
    TPD_VERDICT_KEY_HELD, 4000 },
};

static TpdFsOptions *
parse (const char *words)
{
  char *argv[] = { (char *) "tpdfs", (char *) "/source", (char *) "/point", (char *) "-o", (char *) words, NULL };
  TpdFsOptions *options = tpd_fs_options_parse (words != NULL ? 5 : 3, argv, NULL);

  g_assert_nonnull (options);
  return options;
}

static TpdIndexHint
hint_of (const Example *example)
{
  return (TpdIndexHint){
    .size = 5000,
    .plain_size = 4000,
    .kind = (guint8) example->kind,
    .verdict = (guint8) example->verdict,
    .size_class = (guint8) example->size_class,
    .opened = strchr (example->marks, 'o') != NULL,
    .exact = strchr (example->marks, 'e') != NULL,
    .held = strchr (example->marks, 'h') != NULL,
    .checked = strchr (example->marks, 'c') != NULL,
    .other_keys = strchr (example->marks, 'k') != NULL,
  };
}

static void
test_facts (gconstpointer data)
{
  const Example *example = data;
  g_autoptr (TpdFsOptions) options = parse (example->words);
  const TpdIndexHint hint = hint_of (example);
  const TpdStamp stamp = { .size = 5000 };
  TpdFacts facts;
  gboolean told = tpd_hinted_facts (options, &hint, &stamp, &facts);

  g_assert_cmpint (told, ==, example->wanted != UNKNOWN);
  if (!told)
    return;
  g_assert_cmpuint (facts.verdict, ==, example->wanted);
  g_assert_cmpuint (facts.size, ==, example->size);
  g_assert_cmpuint (facts.kind, ==, example->kind == TPD_KIND_ZIP ? TPD_KIND_PLAIN : example->kind);
  g_assert_true (facts.known && facts.hinted);
  g_assert_cmpuint (facts.cipher, ==, 0);
}

static void
test_sizes (void)
{
  static const struct {
    guint64 size;
    gboolean makes_sense;
  } sizes[] = {
    { 0, TRUE },           { 5000, TRUE },         { 64 * 5000 + (64 << 20), TRUE }, { 64 * 5001 + (64 << 20), FALSE },
    { G_MAXINT64, FALSE }, { G_MAXUINT64, FALSE },
  };
  const Example example = { "", TPD_KIND_PFILE, TPD_VERDICT_NO_KEY, TPD_SIZE_EXACT, "eh", NULL, 0, 0 };
  g_autoptr (TpdFsOptions) options = parse (NULL);
  const TpdStamp stamp = { .size = 5000 };
  TpdIndexHint hint = hint_of (&example);
  TpdFacts facts;

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      hint.plain_size = sizes[i].size;
      g_assert_cmpint (tpd_hinted_facts (options, &hint, &stamp, &facts), ==, sizes[i].makes_sense);
    }
}

static void
test_names (void)
{
  static const struct {
    const char *name;
    TpdKind kind;
    const char *marks, *words;
    TpdVerdict verdict;
    int wanted; /* -1: has to be looked at */
  } names[] = {
    { "x.txt.pfile", TPD_KIND_PFILE, "eh", NULL, TPD_VERDICT_NO_KEY, 1 },
    { "x.txt.pfile", TPD_KIND_PFILE, "", NULL, TPD_VERDICT_NO_KEY, 1 },
    { "x.txt.pfile", TPD_KIND_PLAIN, "", NULL, TPD_VERDICT_NOT_PROTECTED, 0 },
    { "x.docx", TPD_KIND_OOXML, "eh", NULL, TPD_VERDICT_NO_KEY, 0 },
    { "x.txt.pfile", TPD_KIND_PFILE, "oeh", "unreadable=raw", TPD_VERDICT_OK, 1 },
    { "x.txt.pfile", TPD_KIND_PFILE, "e", "unreadable=raw", TPD_VERDICT_NO_KEY, 0 },
    { "x.txt.pfile", TPD_KIND_PFILE, "eh", "unreadable=raw", TPD_VERDICT_NO_KEY, -1 },
    { "x.txt.pfile", TPD_KIND_PFILE, "", "unreadable=raw", TPD_VERDICT_DAMAGED, 0 },
    { "x.txt.pfile", TPD_KIND_PFILE, "oehk", "unreadable=raw", TPD_VERDICT_OK, -1 },
    { "message.rpmsg", TPD_KIND_RPMSG, "h", "unreadable=raw", TPD_VERDICT_NO_KEY, 1 },
    { "message.rpmsg", TPD_KIND_RPMSG, "", "unreadable=raw", TPD_VERDICT_NO_KEY, 0 },
  };
  const TpdStamp stamp = { .size = 5000 };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      const Example example = { "", names[i].kind, names[i].verdict, TPD_SIZE_EXACT, names[i].marks, NULL, 0, 0 };
      g_autoptr (TpdFsOptions) options = parse (names[i].words);
      const TpdIndexHint hint = hint_of (&example);
      gboolean plain = -1;

      if (!tpd_hinted_name (options, &hint, &stamp, names[i].name, &plain))
        plain = -1;
      g_assert_cmpint (plain, ==, names[i].wanted);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (examples); i++)
    {
      g_autofree char *path = g_strconcat ("/hinted/facts/", examples[i].what, NULL);

      g_test_add_data_func (path, &examples[i], test_facts);
    }
  g_test_add_func ("/hinted/sizes", test_sizes);
  g_test_add_func ("/hinted/names", test_names);
  return g_test_run ();
}
