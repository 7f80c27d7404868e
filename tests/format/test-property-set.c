/* SPDX-License-Identifier: Apache-2.0 */
/* Custom properties of binary Office files ([MS-OLEPS]), and the labels in them. */
#include <glib.h>
#include <string.h>

#include "cfb-image.h"
#include "format/label.h"
#include "format/property_set.h"
#include "support.h"

#define LABEL "074e257c-5848-4582-9a6f-34a182080e71"
#define SITE "72f988bf-86f1-41af-91ab-2d7cd011db47"
#define NAME(word) TPD_LABEL_PREFIX LABEL "_" word

/* As LibreOffice 7.4 wrote it into a .doc: custom properties of a label, and
 * "Reviewer", in code page 65001. */
static const guint8 written[] = {
  0xfe, 0xff, 0x00, 0x00, 0x01, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
  0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x02, 0xd5, 0xcd, 0xd5, 0x9c, 0x2e, 0x1b, 0x10, 0x93, 0x97,
  0x08, 0x00, 0x2b, 0x2c, 0xf9, 0xae, 0x44, 0x00, 0x00, 0x00, 0x05, 0xd5, 0xcd, 0xd5, 0x9c, 0x2e, 0x1b, 0x10, 0x93,
  0x97, 0x08, 0x00, 0x2b, 0x2c, 0xf9, 0xae, 0x5c, 0x00, 0x00, 0x00, 0x18, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,
  0x01, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0xe9, 0xfd, 0x00, 0x00, 0x3c, 0x02, 0x00,
  0x00, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x48, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x98, 0x01,
  0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0xa0, 0x01, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0xb0, 0x01, 0x00, 0x00, 0x04,
  0x00, 0x00, 0x00, 0xc4, 0x01, 0x00, 0x00, 0x05, 0x00, 0x00, 0x00, 0xdc, 0x01, 0x00, 0x00, 0x06, 0x00, 0x00, 0x00,
  0xfc, 0x01, 0x00, 0x00, 0x07, 0x00, 0x00, 0x00, 0x2c, 0x02, 0x00, 0x00, 0x06, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00,
  0x00, 0x38, 0x00, 0x00, 0x00, 0x4d, 0x53, 0x49, 0x50, 0x5f, 0x4c, 0x61, 0x62, 0x65, 0x6c, 0x5f, 0x30, 0x37, 0x34,
  0x65, 0x32, 0x35, 0x37, 0x63, 0x2d, 0x35, 0x38, 0x34, 0x38, 0x2d, 0x34, 0x35, 0x38, 0x32, 0x2d, 0x39, 0x61, 0x36,
  0x66, 0x2d, 0x33, 0x34, 0x61, 0x31, 0x38, 0x32, 0x30, 0x38, 0x30, 0x65, 0x37, 0x31, 0x5f, 0x45, 0x6e, 0x61, 0x62,
  0x6c, 0x65, 0x64, 0x00, 0x03, 0x00, 0x00, 0x00, 0x37, 0x00, 0x00, 0x00, 0x4d, 0x53, 0x49, 0x50, 0x5f, 0x4c, 0x61,
  0x62, 0x65, 0x6c, 0x5f, 0x30, 0x37, 0x34, 0x65, 0x32, 0x35, 0x37, 0x63, 0x2d, 0x35, 0x38, 0x34, 0x38, 0x2d, 0x34,
  0x35, 0x38, 0x32, 0x2d, 0x39, 0x61, 0x36, 0x66, 0x2d, 0x33, 0x34, 0x61, 0x31, 0x38, 0x32, 0x30, 0x38, 0x30, 0x65,
  0x37, 0x31, 0x5f, 0x4d, 0x65, 0x74, 0x68, 0x6f, 0x64, 0x00, 0x04, 0x00, 0x00, 0x00, 0x35, 0x00, 0x00, 0x00, 0x4d,
  0x53, 0x49, 0x50, 0x5f, 0x4c, 0x61, 0x62, 0x65, 0x6c, 0x5f, 0x30, 0x37, 0x34, 0x65, 0x32, 0x35, 0x37, 0x63, 0x2d,
  0x35, 0x38, 0x34, 0x38, 0x2d, 0x34, 0x35, 0x38, 0x32, 0x2d, 0x39, 0x61, 0x36, 0x66, 0x2d, 0x33, 0x34, 0x61, 0x31,
  0x38, 0x32, 0x30, 0x38, 0x30, 0x65, 0x37, 0x31, 0x5f, 0x4e, 0x61, 0x6d, 0x65, 0x00, 0x05, 0x00, 0x00, 0x00, 0x38,
  0x00, 0x00, 0x00, 0x4d, 0x53, 0x49, 0x50, 0x5f, 0x4c, 0x61, 0x62, 0x65, 0x6c, 0x5f, 0x30, 0x37, 0x34, 0x65, 0x32,
  0x35, 0x37, 0x63, 0x2d, 0x35, 0x38, 0x34, 0x38, 0x2d, 0x34, 0x35, 0x38, 0x32, 0x2d, 0x39, 0x61, 0x36, 0x66, 0x2d,
  0x33, 0x34, 0x61, 0x31, 0x38, 0x32, 0x30, 0x38, 0x30, 0x65, 0x37, 0x31, 0x5f, 0x53, 0x65, 0x74, 0x44, 0x61, 0x74,
  0x65, 0x00, 0x06, 0x00, 0x00, 0x00, 0x37, 0x00, 0x00, 0x00, 0x4d, 0x53, 0x49, 0x50, 0x5f, 0x4c, 0x61, 0x62, 0x65,
  0x6c, 0x5f, 0x30, 0x37, 0x34, 0x65, 0x32, 0x35, 0x37, 0x63, 0x2d, 0x35, 0x38, 0x34, 0x38, 0x2d, 0x34, 0x35, 0x38,
  0x32, 0x2d, 0x39, 0x61, 0x36, 0x66, 0x2d, 0x33, 0x34, 0x61, 0x31, 0x38, 0x32, 0x30, 0x38, 0x30, 0x65, 0x37, 0x31,
  0x5f, 0x53, 0x69, 0x74, 0x65, 0x49, 0x64, 0x00, 0x07, 0x00, 0x00, 0x00, 0x09, 0x00, 0x00, 0x00, 0x52, 0x65, 0x76,
  0x69, 0x65, 0x77, 0x65, 0x72, 0x00, 0x02, 0x00, 0x00, 0x00, 0xe9, 0xfd, 0x00, 0x00, 0x1e, 0x00, 0x00, 0x00, 0x05,
  0x00, 0x00, 0x00, 0x74, 0x72, 0x75, 0x65, 0x00, 0x00, 0x00, 0x00, 0x1e, 0x00, 0x00, 0x00, 0x09, 0x00, 0x00, 0x00,
  0x53, 0x74, 0x61, 0x6e, 0x64, 0x61, 0x72, 0x64, 0x00, 0x00, 0x00, 0x00, 0x1e, 0x00, 0x00, 0x00, 0x0d, 0x00, 0x00,
  0x00, 0x54, 0x72, 0xc3, 0xa8, 0x73, 0x20, 0x73, 0x65, 0x63, 0x72, 0x65, 0x74, 0x00, 0x00, 0x00, 0x00, 0x1e, 0x00,
  0x00, 0x00, 0x15, 0x00, 0x00, 0x00, 0x32, 0x30, 0x32, 0x34, 0x2d, 0x30, 0x32, 0x2d, 0x30, 0x33, 0x54, 0x30, 0x34,
  0x3a, 0x30, 0x35, 0x3a, 0x30, 0x36, 0x5a, 0x00, 0x00, 0x00, 0x00, 0x1e, 0x00, 0x00, 0x00, 0x25, 0x00, 0x00, 0x00,
  0x37, 0x32, 0x66, 0x39, 0x38, 0x38, 0x62, 0x66, 0x2d, 0x38, 0x36, 0x66, 0x31, 0x2d, 0x34, 0x31, 0x61, 0x66, 0x2d,
  0x39, 0x31, 0x61, 0x62, 0x2d, 0x32, 0x64, 0x37, 0x63, 0x64, 0x30, 0x31, 0x31, 0x64, 0x62, 0x34, 0x37, 0x00, 0x00,
  0x00, 0x00, 0x1e, 0x00, 0x00, 0x00, 0x08, 0x00, 0x00, 0x00, 0x4d, 0xc3, 0xbc, 0x6c, 0x6c, 0x65, 0x72, 0x00
};

static const char *
value_of (const GPtrArray *properties, const char *name)
{
  for (guint i = 0; i + 1 < properties->len; i += 2)
    if (strcmp (g_ptr_array_index (properties, i), name) == 0)
      return g_ptr_array_index (properties, i + 1);
  return NULL;
}

static void
test_what_an_office_wrote (void)
{
  g_autoptr (GPtrArray) all = tpd_property_set_custom (written, sizeof written, "");
  g_autoptr (GPtrArray) label = tpd_property_set_custom (written, sizeof written, "msip_label_");

  g_assert_cmpuint (all->len, ==, 12);
  g_assert_cmpstr (value_of (all, "Reviewer"), ==, "M\303\274ller");
  g_assert_cmpuint (label->len, ==, 10);
  g_assert_null (value_of (label, "Reviewer"));
  g_assert_cmpstr (value_of (label, NAME ("Enabled")), ==, "true");
  g_assert_cmpstr (value_of (label, NAME ("SetDate")), ==, "2024-02-03T04:05:06Z");
  g_assert_cmpstr (value_of (label, NAME ("Method")), ==, "Standard");
  g_assert_cmpstr (value_of (label, NAME ("Name")), ==, "Tr\303\250s secret");
  g_assert_cmpstr (value_of (label, NAME ("SiteId")), ==, SITE);
}

/* --- Streams made by hand, after [MS-OLEPS] ----------------------------- */

typedef struct {
  GByteArray *set; /* Size, count, table, values */
  guint used, room;
} Maker;

static void
add_u32 (GByteArray *to, guint32 value)
{
  guint8 bytes[4];

  put_u32 (bytes, value);
  g_byte_array_append (to, bytes, 4);
}

static void
pad (GByteArray *to)
{
  while (to->len % 4 != 0)
    g_byte_array_append (to, (const guint8 *) "", 1);
}

static Maker
maker_new (guint room)
{
  Maker maker = { g_byte_array_new (), 0, room };

  for (guint i = 0; i < 2 + 2 * room; i++)
    add_u32 (maker.set, 0);
  put_u32 (maker.set->data + 4, room);
  return maker;
}

/* The property `id` begins here. */
static void
begin (Maker *maker, guint32 id)
{
  g_assert_cmpuint (maker->used, <, maker->room);
  pad (maker->set);
  put_u32 (maker->set->data + 8 + 8 * maker->used, id);
  put_u32 (maker->set->data + 12 + 8 * maker->used, maker->set->len);
  maker->used++;
}

static void
add_value (Maker *maker, guint32 id, guint32 type, const void *data, guint bytes, guint32 n)
{
  begin (maker, id);
  add_u32 (maker->set, type);
  if (type == 0x1e || type == 0x1f)
    add_u32 (maker->set, n);
  g_byte_array_append (maker->set, data, bytes);
}

static void
add_code_page (Maker *maker, guint page)
{
  guint8 bytes[2];

  put_u16 (bytes, (guint16) page);
  add_value (maker, 1, 2, bytes, 2, 0);
}

/* Behind a set that is another one's. */
static GByteArray *
maker_end (Maker *maker)
{
  static const guint8 summary[16] = { 0x02, 0xd5, 0xcd, 0xd5, 0x9c, 0x2e, 0x1b, 0x10,
                                      0x93, 0x97, 0x08, 0x00, 0x2b, 0x2c, 0xf9, 0xae };
  GByteArray *stream = g_byte_array_new ();

  pad (maker->set);
  put_u32 (maker->set->data, maker->set->len);
  g_byte_array_append (stream, (const guint8 *) "\xfe\xff\0\0\x0a\0\x02", 7);
  while (stream->len < 24)
    g_byte_array_append (stream, (const guint8 *) "", 1);
  add_u32 (stream, 2);
  g_byte_array_append (stream, summary, 16);
  add_u32 (stream, 68);
  /* The identifier as it is in the stream of LibreOffice. */
  g_byte_array_append (stream, written + 48, 16);
  add_u32 (stream, 76);
  add_u32 (stream, 8);
  add_u32 (stream, 0);
  g_byte_array_append (stream, maker->set->data, maker->set->len);
  g_byte_array_unref (maker->set);
  return stream;
}

static void
add_name (Maker *maker, guint32 id, const char *name)
{
  add_u32 (maker->set, id);
  add_u32 (maker->set, (guint32) strlen (name) + 1);
  g_byte_array_append (maker->set, (const guint8 *) name, (guint) strlen (name) + 1);
}

static void
add_wide_name (Maker *maker, guint32 id, const char *name)
{
  glong n;
  g_autofree gunichar2 *wide = g_utf8_to_utf16 (name, -1, NULL, &n, NULL);

  add_u32 (maker->set, id);
  add_u32 (maker->set, (guint32) n + 1);
  g_byte_array_append (maker->set, (const guint8 *) wide, (guint) (n + 1) * 2);
  pad (maker->set);
}

static void
test_code_pages (void)
{
  static const struct {
    guint page;
    const char *bytes, *text;
  } pages[] = { { 1252, "Tr\xe8s \x80", "Tr\303\250s \342\202\254" },
                { 1251, "\xd2\xe0\xe9\xed\xe0", "\320\242\320\260\320\271\320\275\320\260" },
                { 932, "\x8b\x40\x96\xa7", "\346\251\237\345\257\206" },
                { 65001, "\303\250", "\303\250" } };

  for (gsize i = 0; i < G_N_ELEMENTS (pages); i++)
    {
      Maker maker = maker_new (3);
      const guint len = (guint) strlen (pages[i].bytes);
      g_autoptr (GByteArray) stream = NULL;
      g_autoptr (GPtrArray) found = NULL;

      begin (&maker, 0);
      add_u32 (maker.set, 1);
      add_name (&maker, 7, "Caption");
      add_code_page (&maker, pages[i].page);
      /* What is behind the end is padding. */
      add_value (&maker, 7, 0x1e, pages[i].bytes, len + 1, len + 1);
      stream = maker_end (&maker);
      found = tpd_property_set_custom (stream->data, stream->len, "Cap");
      g_assert_cmpuint (found->len, ==, 2);
      g_assert_cmpstr (found->pdata[1], ==, pages[i].text);
    }
}

static void
test_wide_names_and_other_types (void)
{
  Maker maker = maker_new (7);
  g_autoptr (GByteArray) stream = NULL;
  g_autoptr (GPtrArray) found = NULL;

  begin (&maker, 0);
  add_u32 (maker.set, 5);
  add_wide_name (&maker, 2, "even");
  add_wide_name (&maker, 3, "odd");
  add_wide_name (&maker, 4, "no");
  add_wide_name (&maker, 5, "number");
  add_wide_name (&maker, 6, "not there");
  add_code_page (&maker, 1200);
  add_value (&maker, 2, 0x1f, "\xe8\0x\0\0\0", 6, 3);
  add_value (&maker, 3, 0x1e, "y\0\0\0", 4, 4);
  add_value (&maker, 4, 0x0b, "\0\0", 2, 0);
  add_value (&maker, 5, 0x03, "\1\0\0\0", 4, 0);
  add_value (&maker, 9, 0x0b, "\xff\xff", 2, 0);
  stream = maker_end (&maker);
  found = tpd_property_set_custom (stream->data, stream->len, "");
  g_assert_cmpuint (found->len, ==, 6);
  g_assert_cmpstr (value_of (found, "even"), ==, "\303\250x");
  g_assert_cmpstr (value_of (found, "odd"), ==, "y");
  g_assert_cmpstr (value_of (found, "no"), ==, "false");
}

/* Whatever is cut off or changed: nothing but text comes out, and what was not
 * touched stays. */
static void
test_damage (void)
{
  for (gsize len = 0; len <= sizeof written; len++)
    {
      g_autofree guint8 *cut = g_memdup2 (written, len);
      g_autoptr (GPtrArray) found = tpd_property_set_custom (cut, len, "");

      /* The last byte is the NUL of the last value. */
      g_assert_cmpuint (found->len, <=, len < sizeof written ? 10 : 12);
    }
  for (gsize i = 0; i < sizeof written; i++)
    for (guint bit = 0; bit < 8; bit++)
      {
        g_autofree guint8 *bad = g_memdup2 (written, sizeof written);
        g_autoptr (GPtrArray) found = NULL;

        bad[i] ^= (guint8) (1u << bit);
        found = tpd_property_set_custom (bad, sizeof written, "");
        g_assert_cmpuint (found->len % 2, ==, 0);
        for (guint j = 0; j < found->len; j++)
          g_assert_true (g_utf8_validate (found->pdata[j], -1, NULL));
      }
}

/* Sizes that lie cost no memory and little time. */
static void
test_numbers_that_lie (void)
{
  static const gsize fields[] = { 24, 44, 64, 92, 96, 164, 172 }; /* counts, offsets and lengths of `written` */
  static const guint32 lies[] = { 0x7fffffff, 0xffffffff, 0xfffffffc, 5000 };

  for (gsize i = 0; i < G_N_ELEMENTS (fields); i++)
    for (gsize j = 0; j < G_N_ELEMENTS (lies); j++)
      {
        g_autofree guint8 *bad = g_memdup2 (written, sizeof written);
        g_autoptr (GPtrArray) found = NULL;

        put_u32 (bad + fields[i], lies[j]);
        found = tpd_property_set_custom (bad, sizeof written, "");
        g_assert_cmpuint (found->len, <=, 12);
      }
}

static void
test_many_properties_end (void)
{
  Maker maker = maker_new (4096);
  g_autoptr (GByteArray) stream = NULL;
  g_autoptr (GPtrArray) found = NULL;

  begin (&maker, 0);
  add_u32 (maker.set, 5000);
  for (guint i = 0; i < 5000; i++)
    add_name (&maker, i < 4000 ? i + 2 : 1, "a");
  add_code_page (&maker, 1252);
  for (guint i = 0; i < 4094; i++)
    add_value (&maker, i + 2, 0x1e, "b", 2, 2);
  stream = maker_end (&maker);
  found = tpd_property_set_custom (stream->data, stream->len, "a");
  g_assert_cmpuint (found->len, >, 0);
  g_assert_cmpuint (found->len, <=, 2 * 512);
}

/* --- In a compound file ------------------------------------------------- */

static TpdSource *
document_with (const guint8 *data, gsize len)
{
  g_autoptr (Image) image = image_new (3);
  g_autoptr (GBytes) file = NULL;

  image_add_entry (image, "Root Entry", 5, NO_ENTRY, NO_ENTRY, 1, END_OF_CHAIN, 0);
  image_add_stream (image, "WordDocument", NO_ENTRY, 2, (const guint8 *) "text", 4);
  image_add_stream (image, TPD_PROPERTY_SET_CUSTOM, NO_ENTRY, NO_ENTRY, data, len);
  file = image_finish (image);
  return tpd_source_new_bytes (file);
}

static void
test_label_of_a_document (void)
{
  g_autoptr (TpdSource) source = document_with (written, sizeof written);
  g_autoptr (TpdLabel) label = tpd_label_read (source);

  g_assert_nonnull (label);
  g_assert_cmpstr (label->id, ==, LABEL);
  g_assert_cmpstr (label->name, ==, "Tr\303\250s secret");
  g_assert_cmpstr (label->site, ==, SITE);
  g_assert_cmpstr (label->method, ==, "Standard");
  g_assert_cmpstr (label->set_date, ==, "2024-02-03T04:05:06Z");
}

/* Taken off by the user: the properties say so. */
static void
test_label_that_is_not_enabled (void)
{
  g_autofree guint8 *data = g_memdup2 (written, sizeof written);
  guint8 *at = memmem (data, sizeof written, "true", 4);
  g_autoptr (TpdSource) source = NULL;
  g_autoptr (TpdLabel) label = NULL;

  g_assert_nonnull (at);
  memcpy (at, "0\0\0\0", 4);
  source = document_with (data, sizeof written);
  label = tpd_label_read (source);
  g_assert_null (label);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/property-set/what-an-office-wrote", test_what_an_office_wrote);
  g_test_add_func ("/property-set/code-pages", test_code_pages);
  g_test_add_func ("/property-set/wide-names-and-other-types", test_wide_names_and_other_types);
  g_test_add_func ("/property-set/damage-is-left-out", test_damage);
  g_test_add_func ("/property-set/numbers-that-lie", test_numbers_that_lie);
  g_test_add_func ("/property-set/many-properties-end", test_many_properties_end);
  g_test_add_func ("/property-set/label-of-a-document", test_label_of_a_document);
  g_test_add_func ("/property-set/label-that-is-not-enabled", test_label_that_is_not_enabled);
  return g_test_run ();
}
