/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How documents are read that are nearly, or not at all, of the plain form that
 * has a way of its own: what each holds is written down here. Whether it may go
 * the plain way is, too: a form that it took by mistake would be seen only where
 * the two ways differ.
 */
#include <string.h>

#include "base/error.h"
#include "helper.h"
#include "license/xml_tree.h"

#define DEPTH(n) n n n n n n n n n n

typedef enum {
  PLAIN,   /* in one pass */
  OTHER,   /* well-formed, by libxml2 */
  REFUSED, /* an error */
} Way;

typedef struct {
  Way way;
  const char *text;
  const char *own;   /* text of the root */
  const char *value; /* attribute v of the root */
} Row;

static void
check (const Row *row, const char *text, gsize len)
{
  /* Alone, so that a sanitizer sees a read beyond it. */
  g_autofree char *copy = g_memdup2 (text, len);
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdXml) plain = tpd_xml_read_plain (copy, len, NULL);
  g_autoptr (TpdXml) xml = tpd_xml_parse (copy, len, "sample", &error);
  g_autofree char *own = NULL, *value = NULL;

  if ((plain != NULL) != (row->way == PLAIN) || (xml != NULL) != (row->way != REFUSED))
    g_error ("another way: %s", text);
  if (xml == NULL)
    {
      g_assert_error (error, TPD_ERROR, TPD_ERROR_DAMAGED);
      return;
    }
  own = tpd_xml_text (tpd_xml_root (xml));
  value = tpd_xml_attribute (tpd_xml_root (xml), "v");
  if (g_strcmp0 (own, row->own) != 0 || g_strcmp0 (value, row->value) != 0)
    g_error ("%s: \"%s\", \"%s\"", text, own, value);
  g_assert_true (tpd_xml_attribute_is (tpd_xml_root (xml), "v", row->value));
  g_assert_false (tpd_xml_attribute_is (tpd_xml_root (xml), "v", "another"));
}

static void
check_rows (const Row *rows, gsize n)
{
  for (gsize i = 0; i < n; i++)
    check (&rows[i], rows[i].text, strlen (rows[i].text));
}

static void
test_text (void)
{
  static const Row rows[] = {
    { PLAIN, "<a></a>", NULL, NULL },
    { PLAIN, "<a> \r\n\t</a>", NULL, NULL },
    { PLAIN, "<a>\n one  two\t</a>", "one  two", NULL },
    { PLAIN, "<a>\r\none\r\n\rtwo\rthree\r</a>", "one\n\ntwo\nthree", NULL },
    { PLAIN, "<a>\"'&gt; > ]] ] ]&gt;</a>", "\"'> > ]] ] ]>", NULL },
    { PLAIN, "<a>&lt;b&gt;&amp;amp;&quot;&apos;</a>", "<b>&amp;\"'", NULL },
    { PLAIN, "<a>\x7f \xc3\xa4 \xc2\x85 \xe2\x80\xa8 \xef\xbf\xbd \xf0\x9f\x98\x80</a>",
      "\x7f \xc3\xa4 \xc2\x85 \xe2\x80\xa8 \xef\xbf\xbd \xf0\x9f\x98\x80", NULL },
    { PLAIN, "<a> <b>x</b>\r\n<b/> </a>", NULL, NULL },
    { OTHER, "<a/>", NULL, NULL },
    { OTHER, "<a> one <b>x</b></a>", "one", NULL },
    { OTHER, "<a><b/>one<b/> two </a>", "one two", NULL },
    { OTHER, "<a>&lt;<b/></a>", "<", NULL },
    { OTHER, "<a>&#65;&#x42;&#x20AC;</a>", "AB\xe2\x82\xac", NULL },
    { OTHER, "<a>one&#13;&#10;two</a>", "one\r\ntwo", NULL },
    { OTHER, "<a>&#32;one&#32;</a>", "one", NULL },
    { OTHER, "<a>one<!-- two -->three</a>", "onethree", NULL },
    { OTHER, "<a><![CDATA[<b>]]>]]&gt;</a>", "<b>]]>", NULL },
    { OTHER, "<a>one<?two?></a>", "one", NULL },
    { REFUSED, "<a>one ]]> two</a>", NULL, NULL },
    { REFUSED, "<a>&other;</a>", NULL, NULL },
    { REFUSED, "<a>&amp</a>", NULL, NULL },
    { REFUSED, "<a>& </a>", NULL, NULL },
    { REFUSED, "<a>&LT;</a>", NULL, NULL },
    { REFUSED, "<a>&#0;</a>", NULL, NULL },
    { REFUSED, "<a>&#1;</a>", NULL, NULL },
    { REFUSED, "<a>\x01</a>", NULL, NULL },
    { REFUSED, "<a>\x1f</a>", NULL, NULL },
    { REFUSED, "<a>\xef\xbf\xbe</a>", NULL, NULL },
    { REFUSED, "<a>\xef\xbf\xbf</a>", NULL, NULL },
  };
  static const Row nul = { REFUSED, NULL, NULL, NULL };

  check_rows (rows, G_N_ELEMENTS (rows));
  check (&nul, "<a>one\0two</a>", 14);
  check (&nul, "<a v='\0'></a>", 13);
}

static void
test_attributes (void)
{
  static const Row rows[] = {
    { PLAIN, "<a v='1'></a>", NULL, "1" },
    { PLAIN, "<a v=\"1\"></a>", NULL, "1" },
    { PLAIN, "<a v='\"'></a>", NULL, "\"" },
    { PLAIN, "<a v=\"a'b'\"></a>", NULL, "a'b'" },
    { PLAIN, "<a v=' /a=b/ '></a>", NULL, "/a=b/" },
    { PLAIN, "<a v = '1'></a>", NULL, "1" },
    { PLAIN, "<a v= \r\n'1'\tw\n=\"\"></a>", NULL, "1" },
    { PLAIN, "<a v=''></a>", NULL, NULL },
    { PLAIN, "<a v='  '></a>", NULL, NULL },
    { PLAIN, "<a\r\n\tv='1'\nw='2' ></a>", NULL, "1" },
    { PLAIN, "<a w='2' v='&lt;&amp;#38;&apos;&quot;&gt;'></a>", NULL, "<&#38;'\">" },
    { PLAIN, "<a v='\xc3\xa4'></a>", NULL, "\xc3\xa4" },
    { PLAIN, "<a xmlns='' v='1'></a>", NULL, "1" },
    { PLAIN, "<a V='2' vv='3' v-='4' v='1'></a>", NULL, "1" },
    { OTHER, "<a v='one\n\ttwo\r\nthree\rfour'></a>", NULL, "one  two three four" },
    { OTHER, "<a v='one&#10;&#x9;two'></a>", NULL, "one\n\ttwo" },
    { OTHER, "<a v='a>b'></a>", NULL, "a>b" },
    { OTHER, "<a v='\x7f'></a>", NULL, "\x7f" },
    { OTHER, "<a xmlns='urn:x' v='1'></a>", NULL, "1" },
    { OTHER, "<a xmlns:p='urn:x' p:v='2' v='1'></a>", NULL, "1" },
    { OTHER, "<a xmlns:p='urn:x' p:v='2'></a>", NULL, NULL },
    { OTHER, "<a \xc3\xa4='2' v='1'></a>", NULL, "1" },
    { REFUSED, "<a v='1' v='1'></a>", NULL, NULL },
    { REFUSED, "<a v='1' w='' v='2'></a>", NULL, NULL },
    { REFUSED, "<a xmlns='' xmlns=''></a>", NULL, NULL },
    { REFUSED, "<a v></a>", NULL, NULL },
    { REFUSED, "<a v =></a>", NULL, NULL },
    { REFUSED, "<a v = ></a>", NULL, NULL },
    { REFUSED, "<a v w='1'></a>", NULL, NULL },
    { REFUSED, "<a v=1></a>", NULL, NULL },
    { REFUSED, "<a v='1\"></a>", NULL, NULL },
    { REFUSED, "<a v='1'w='2'></a>", NULL, NULL },
    { REFUSED, "<a v='<'></a>", NULL, NULL },
    { REFUSED, "<a v='&'></a>", NULL, NULL },
    { REFUSED, "<a v='&amp'></a>", NULL, NULL },
    { REFUSED, "<a v='&other;'></a>", NULL, NULL },
    { REFUSED, "<a v='\x01'></a>", NULL, NULL },
    { REFUSED, "<a v='\xef\xbf\xbf'></a>", NULL, NULL },
    { REFUSED, "<a -v='1'></a>", NULL, NULL },
    { REFUSED, "<a =''></a>", NULL, NULL },
  };

  check_rows (rows, G_N_ELEMENTS (rows));
}

static void
test_tags (void)
{
  static const Row rows[] = {
    { PLAIN, "<a></a> \r\n\t", NULL, NULL },
    { PLAIN, "<a.b-c_1>x</a.b-c_1>", "x", NULL },
    { PLAIN, "<_>x</_>", "x", NULL },
    { PLAIN, "<a><b/><b /><b\n/><b c=''/></a>", NULL, NULL },
    { OTHER, "<a>x</a >", "x", NULL },
    { OTHER, " <a>x</a>", "x", NULL },
    { OTHER, "\xef\xbb\xbf<a>x</a>", "x", NULL },
    { OTHER, "<?xml version='1.0'?><a>x</a>", "x", NULL },
    { OTHER, "<a>x</a><!-- -->", "x", NULL },
    { OTHER, "<p:a>x</p:a>", "x", NULL },
    { OTHER, "<\xc3\xa4>x</\xc3\xa4>", "x", NULL },
    { REFUSED, "", NULL, NULL },
    { REFUSED, "x", NULL, NULL },
    { REFUSED, "<a>", NULL, NULL },
    { REFUSED, "<a", NULL, NULL },
    { REFUSED, "<a></a", NULL, NULL },
    { REFUSED, "<a></b>", NULL, NULL },
    { REFUSED, "<a></aa>", NULL, NULL },
    { REFUSED, "<aa></a>", NULL, NULL },
    { REFUSED, "<a></A>", NULL, NULL },
    { REFUSED, "<a><b></a></b>", NULL, NULL },
    { REFUSED, "<a></a></a>", NULL, NULL },
    { REFUSED, "<a></a><a></a>", NULL, NULL },
    { REFUSED, "<a/><a></a>", NULL, NULL },
    { REFUSED, "<a></a>x", NULL, NULL },
    { REFUSED, "< a></a>", NULL, NULL },
    { REFUSED, "<1></1>", NULL, NULL },
    { REFUSED, "<></>", NULL, NULL },
    { REFUSED, "<a>< /a>", NULL, NULL },
    { REFUSED, "<a><b / ></a>", NULL, NULL },
    { REFUSED, "<a><b/c='1'></a>", NULL, NULL },
    { REFUSED, "<a></a v='1'>", NULL, NULL },
    { REFUSED, "<!DOCTYPE a><a></a>", NULL, NULL },
    { REFUSED, "<a><!DOCTYPE a></a>", NULL, NULL },
    { REFUSED, "<a><?xml version='1.0'?></a>", NULL, NULL },
  };

  check_rows (rows, G_N_ELEMENTS (rows));
}

/* `n` times `word` between `head` and `tail`. */
static void
check_many (Way way, const char *head, const char *word, guint n, const char *tail)
{
  const Row row = { way, NULL, NULL, NULL };
  g_autoptr (GString) text = g_string_new (head);

  for (guint i = 0; i < n; i++)
    g_string_append (text, word);
  g_string_append (text, tail);
  check (&row, text->str, text->len);
}

static void
check_many_attributes (Way way, const char *head, guint n)
{
  const Row row = { way, NULL, NULL, NULL };
  g_autoptr (GString) text = g_string_new (head);

  for (guint i = 0; i < n; i++)
    g_string_append_printf (text, " b%u=''", i);
  g_string_append (text, "></a>");
  check (&row, text->str, text->len);
}

static void
test_bounds (void)
{
  check_many_attributes (PLAIN, "<a", 32);
  check_many_attributes (REFUSED, "<a", 33);
  check_many_attributes (PLAIN, "<a xmlns=''", 31);
  check_many_attributes (REFUSED, "<a xmlns=''", 32);
  check_many (PLAIN, "<a>", "<b c='1'/>", 40000, "</a>");
  check_many (OTHER, "<a>", "<b c='1'/>", 240000, "</a>");
  check_many (REFUSED, "<a>", "<b/>", 500000, "</a>");
  check_many (PLAIN, "<a><", "n", 1000, "/></a>");
  check_many (OTHER, "<a><", "n", 1001, "/></a>");
  check_many (PLAIN, "<a><b>", "0123456789abcdef", 200000, "</b></a>");
  check_many (OTHER, "<a><b>", "0123456789abcdef", 300000, "</b></a>");
}

static void
test_depth (void)
{
  static const Row rows[] = {
    { PLAIN, "<a><b>" DEPTH ("<c>") DEPTH ("<c>") DEPTH ("<c>") DEPTH ("</c>") DEPTH ("</c>") DEPTH ("</c>") "</b></a>",
      NULL, NULL },
    { PLAIN,
      "<a><b>" DEPTH ("<c>") DEPTH ("<c>") DEPTH ("<c>") "<d/>" DEPTH ("</c>") DEPTH ("</c>") DEPTH ("</c>") "</b></a>",
      NULL, NULL },
    { REFUSED,
      "<a><b><b>" DEPTH ("<c>") DEPTH ("<c>") DEPTH ("<c>") DEPTH ("</c>") DEPTH ("</c>") DEPTH ("</c>") "</b></b></a>",
      NULL, NULL },
  };

  check_rows (rows, G_N_ELEMENTS (rows));
}

/* Both makers, by the same document in two forms. */
static void
test_walk (void)
{
  static const char *const forms[] = {
    "<r><x/><b i='1'><c>one</c><c>two</c><d><c>three</c></d></b> <b i='2'><d/></b></r>",
    "<r xmlns='urn:x' xmlns:p='urn:p'>\n<p:x/><!-- --><b "
    "i='1'><c>o<![CDATA[ne]]></c><c>two</c><d><c>thr&#101;e</c></d></b><?p?>"
    "<b p:i='3' i='2'>text<d></d></b></r>",
  };

  for (guint i = 0; i < G_N_ELEMENTS (forms); i++)
    {
      g_autoptr (TpdXml) xml = tpd_xml_parse (forms[i], strlen (forms[i]), "sample", NULL);
      const TpdXmlNode *root = tpd_xml_root (xml), *b = tpd_xml_child (root, "b"), *last = tpd_xml_next (b, NULL);
      g_autofree char *name = tpd_xml_name (root), *one = tpd_xml_path_text (root, "b/c");
      g_autofree char *three = tpd_xml_path_text (root, "b/d/c");
      g_autofree char *two = tpd_xml_text (tpd_xml_next (tpd_xml_child (b, "c"), "c"));

      g_assert_cmpstr (name, ==, "r");
      g_assert_cmpstr (one, ==, "one");
      g_assert_cmpstr (two, ==, "two");
      g_assert_cmpstr (three, ==, "three");
      g_assert_true (tpd_xml_name_is (tpd_xml_child (root, NULL), "x"));
      g_assert_null (tpd_xml_child (tpd_xml_child (root, "x"), NULL));
      g_assert_true (tpd_xml_attribute_is (b, "i", "1") && tpd_xml_attribute_is (last, "i", "2"));
      g_assert_true (tpd_xml_next (b, "b") == last && tpd_xml_next (last, NULL) == NULL);
      g_assert_true (tpd_xml_parent (last) == root && tpd_xml_parent (b) == root && tpd_xml_parent (root) == NULL);
      g_assert_true (tpd_xml_parent (tpd_xml_path (root, "b/d/c")) == tpd_xml_child (b, "d"));
      g_assert_null (tpd_xml_path (root, "b/d/d"));
      g_assert_null (tpd_xml_path (root, "x/c"));
      g_assert_null (tpd_xml_path (NULL, "b"));
      g_assert_null (tpd_xml_text (NULL));
      g_assert_null (tpd_xml_attribute (NULL, "i"));
    }
}

/* Only the first of several documents is asked for. */
static void
test_document_before_others (void)
{
  static const char text[] = "<a>\nx</a>\n<a><!-- --></b><c>";
  gsize used = 0;
  g_autoptr (TpdXml) xml = tpd_xml_read_plain (text, strlen (text), &used);
  g_autofree char *own = NULL;

  g_assert_nonnull (xml);
  g_assert_cmpuint (used, ==, strlen ("<a>\nx</a>"));
  own = tpd_xml_text (tpd_xml_root (xml));
  g_assert_cmpstr (own, ==, "x");
  g_assert_null (tpd_xml_read_plain (text, strlen (text), NULL));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/xml/text", test_text);
  g_test_add_func ("/xml/attributes", test_attributes);
  g_test_add_func ("/xml/tags", test_tags);
  g_test_add_func ("/xml/bounds", test_bounds);
  g_test_add_func ("/xml/depth", test_depth);
  g_test_add_func ("/xml/walk", test_walk);
  g_test_add_func ("/xml/document-before-others", test_document_before_others);
  return g_test_run ();
}
