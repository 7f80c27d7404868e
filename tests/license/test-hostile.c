/* SPDX-License-Identifier: Apache-2.0 */
/* Licenses that mean harm: each is answered quickly, with an error or with a
 * license whose signature does not vouch for what was changed. */
#include <string.h>

#include "base/error.h"
#include "helper.h"
#include "license/license.h"
#include "license/text.h"

#define HEAD "<XrML><BODY type=\"Microsoft Rights Label\">"
#define TAIL "</BODY></XrML>"

/* A short genuine-looking license, UTF-8 behind a byte order mark. */
static GBytes *
short_license (void)
{
  JsonArray *files = fixture_files ();
  GBytes *best = NULL;

  for (guint i = 0; i < json_array_get_length (files); i++)
    {
      JsonObject *entry = json_array_get_object_element (files, i);
      g_autoptr (GBytes) bytes = NULL;

      if (strcmp (json_word (entry, "kind"), "pfile") != 0 || strcmp (json_word (entry, "signature"), "good") != 0)
        continue;
      bytes = fixture_license (entry);
      if (bytes != NULL && (best == NULL || g_bytes_get_size (bytes) < g_bytes_get_size (best)))
        {
          g_clear_pointer (&best, g_bytes_unref);
          best = g_steal_pointer (&bytes);
        }
    }
  g_assert_nonnull (best);
  return best;
}

/* Parses what must not open; returns the message. */
static char *
refused (const char *text, gsize len)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdLicense) license = tpd_license_parse ((const guint8 *) text, len, &error);

  g_assert_null (license);
  g_assert_error (error, TPD_ERROR, TPD_ERROR_DAMAGED);
  return g_strdup (error->message);
}

static void
test_truncated_at_every_length (void)
{
  g_autoptr (GBytes) bytes = short_license ();
  gsize len;
  const char *data = g_bytes_get_data (bytes, &len);
  gsize whole = (gsize) (g_strrstr_len (data, (gssize) len, "</XrML>") - data);

  for (gsize n = 0; n < whole + 7; n++)
    {
      /* A copy of that length, so that a sanitizer sees a read beyond it. */
      g_autofree char *copy = g_memdup2 (data, n);

      g_free (refused (copy, n));
    }
}

static void
test_flipped_bits (void)
{
  g_autoptr (GBytes) bytes = short_license ();
  gsize len;
  const char *data = g_bytes_get_data (bytes, &len);
  g_autofree char *copy = g_memdup2 (data, len);
  gsize body = (gsize) (g_strstr_len (data, (gssize) len, "<BODY") - data);
  gsize body_end = (gsize) (g_strstr_len (data, (gssize) len, "</BODY>") - data) + 7;

  for (gsize at = 0; at < len; at++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (TpdLicense) license = NULL;

      copy[at] ^= (char) (1 << (at % 8));
      license = tpd_license_parse ((const guint8 *) copy, len, &error);
      copy[at] = data[at];
      g_assert_true ((license == NULL) == (error != NULL));
      if (error != NULL)
        g_assert_true (error->domain == TPD_ERROR);
      else if (at >= body && at < body_end)
        g_assert_cmpint (license->signature, !=, TPD_SIGNATURE_GOOD);
    }
}

static void
test_doctype_and_entities (void)
{
  static const char *const texts[] = {
    "<!DOCTYPE XrML [<!ENTITY a \"b\">]>" HEAD TAIL,
    "<!doctype XrML SYSTEM \"file:///etc/passwd\">" HEAD TAIL,
    "<XrML><!DOCTYPE a><BODY type=\"Microsoft Rights Label\"></BODY></XrML>",
    HEAD TAIL "<!ENTITY a SYSTEM \"http://127.0.0.1/\">",
    "<!DOCTYPE a [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\"><!ENTITY c "
    "\"&b;&b;&b;&b;&b;&b;&b;\">"
    "<!ENTITY d \"&c;&c;&c;&c;&c;&c;&c;\"><!ENTITY e \"&d;&d;&d;&d;&d;&d;&d;&d;\">]>" HEAD "&e;" TAIL,
  };

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autofree char *message = refused (texts[i], strlen (texts[i]));
      g_assert_nonnull (strstr (message, "document type declaration"));
    }
}

static void
test_undeclared_entity (void)
{
  g_autofree char *message = refused (HEAD "&a;" TAIL, strlen (HEAD "&a;" TAIL));

  g_assert_nonnull (strstr (message, "not well-formed"));
}

/* `head`, `n` times `word`, `tail`. */
static void
assert_repeated_refused (const char *head, const char *word, guint n, const char *tail, const char *sentence)
{
  GString *text = g_string_sized_new (strlen (word) * n + strlen (head) + strlen (tail) + 1);
  gint64 start = g_get_monotonic_time ();
  g_autofree char *message = NULL;

  g_string_append (text, head);
  for (guint i = 0; i < n; i++)
    g_string_append (text, word);
  g_string_append (text, tail);
  message = refused (text->str, text->len);
  if (strstr (message, sentence) == NULL)
    g_error ("\"%s\" does not say \"%s\"", message, sentence);
  g_assert_cmpint (g_get_monotonic_time () - start, <, 20 * G_USEC_PER_SEC);
  g_string_free (text, TRUE);
}

static void
test_many_of_anything (void)
{
  assert_repeated_refused (HEAD, "<a>", 100000, TAIL, "nested too deeply");
  assert_repeated_refused (HEAD, "<a b='", 100000, "'>" TAIL, "ends inside a tag");
  assert_repeated_refused (HEAD, "<a/>", 1000000, TAIL, "too many elements");
  assert_repeated_refused (HEAD, "<!---->", 1000000, TAIL, "too many elements");
  assert_repeated_refused (HEAD, "<![CDATA[]]>", 1000000, TAIL, "too many elements");
  assert_repeated_refused (HEAD, "<!--", 1000000, TAIL, "ends inside a comment");
  assert_repeated_refused (HEAD "<a", " a='1'", 1000000, "/>" TAIL, "too many attributes");
  assert_repeated_refused (HEAD, "<a b='' c='' d='' e='' f='' g='' h='' i='' j=''/>", 200000, TAIL,
                           "too many attributes");
  assert_repeated_refused (HEAD "<a", " xmlns:a='1'", 1000000, "/>" TAIL, "too many attributes");
  assert_repeated_refused ("", "<XrML></XrML>", 1000000, "", "none of the XrML documents");
  assert_repeated_refused ("", "<XrML ", 1000000, "", "no complete XrML document");
  assert_repeated_refused ("", "<XrML>", 1000000, "</XrML>", "nested too deeply");
  assert_repeated_refused (HEAD, "&lt;&amp;", 1000000, TAIL, "exactly one server");
  assert_repeated_refused (HEAD, "</a>", 1000000, TAIL, "too many elements");
  assert_repeated_refused ("", "<", 1000000, "", "neither XrML nor JSON");
}

static void
test_huge_texts (void)
{
  assert_repeated_refused (HEAD "<a b=\"", "0123456789abcdef", 1000000, "\"/>" TAIL, "");
  assert_repeated_refused (HEAD "<WORK>", "0123456789abcdef", 1000000, "</WORK>" TAIL, "exactly one server");
  assert_repeated_refused (HEAD "<", "a123456789abcdef", 1000000, "/>" TAIL, "");
  assert_repeated_refused (HEAD, "0123456789abcdef0", 1000000, TAIL, "longer than 16 MiB");
}

static void
test_nuls (void)
{
  g_autoptr (GBytes) bytes = short_license ();
  gsize len;
  const char *data = g_bytes_get_data (bytes, &len);
  g_autofree char *copy = g_memdup2 (data, len);
  g_autofree char *zeros = g_malloc0 (1 << 20);
  g_autofree char *message = NULL;

  message = refused (zeros, 1 << 20);
  copy[len / 2] = '\0';
  g_clear_pointer (&message, g_free);
  message = refused (copy, len);
  g_assert_nonnull (strstr (message, "UTF-8"));
}

/* The most nodes that are let through, in memory and time. */
static void
test_largest_accepted_tree (void)
{
  assert_repeated_refused (HEAD, "<a/>", 499000, TAIL, "exactly one server");
  assert_repeated_refused (HEAD, "<a b='1' c='2' d='3'>", 20, "", "no complete XrML document");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/hostile-license/truncated-at-every-length", test_truncated_at_every_length);
  g_test_add_func ("/hostile-license/flipped-bits", test_flipped_bits);
  g_test_add_func ("/hostile-license/doctype-and-entities", test_doctype_and_entities);
  g_test_add_func ("/hostile-license/undeclared-entity", test_undeclared_entity);
  g_test_add_func ("/hostile-license/many-of-anything", test_many_of_anything);
  g_test_add_func ("/hostile-license/huge-texts", test_huge_texts);
  g_test_add_func ("/hostile-license/nuls", test_nuls);
  g_test_add_func ("/hostile-license/largest-accepted-tree", test_largest_accepted_tree);
  return g_test_run ();
}
