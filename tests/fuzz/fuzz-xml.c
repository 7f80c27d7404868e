/* SPDX-License-Identifier: Apache-2.0 */
/* The two makers of the tree that license/ reads XML by: whatever the one for
 * plain documents takes, the one of libxml2 takes too, and reads the same. */
#include <string.h>

#include "fuzz.h"
#include "license/xml_tree.h"

static gboolean
is_same_name (const TpdXmlNode *a, const TpdXmlNode *b)
{
  return a->name_len == b->name_len && memcmp (a->name, b->name, a->name_len) == 0;
}

static void
check_attributes (const TpdXmlNode *a, const TpdXmlNode *b)
{
  char *name, *value, *other_name, *other_value;

  for (guint i = 0; tpd_xml_attribute_at (a, i, &name, &value); i++)
    {
      g_assert (tpd_xml_attribute_at (b, i, &other_name, &other_value));
      g_assert_cmpstr (name, ==, other_name);
      g_assert_cmpstr (value, ==, other_value);
      g_free (value);
      g_free (other_value);
      value = tpd_xml_attribute (a, name);
      other_value = tpd_xml_attribute (b, name);
      g_assert_cmpstr (value, ==, other_value);
      g_assert (tpd_xml_attribute_is (a, name, value) && tpd_xml_attribute_is (b, name, value));
      g_free (name);
      g_free (value);
      g_free (other_name);
      g_free (other_value);
    }
  g_assert (!tpd_xml_attribute_at (b, a->n_attributes, &name, &value));
}

static void
check_same (const TpdXml *a, const TpdXml *b)
{
  g_assert (a->n == b->n);
  for (guint i = 0; i < a->n; i += 1 + a->nodes[i].n_attributes)
    {
      const TpdXmlNode *one = &a->nodes[i], *other = &b->nodes[i];
      g_autofree char *text = tpd_xml_text (one);
      g_autofree char *other_text = tpd_xml_text (other);

      g_assert (is_same_name (one, other) && one->n_attributes == other->n_attributes);
      g_assert (one->next == other->next && one->parent == other->parent && one->has_child == other->has_child);
      g_assert_cmpstr (text, ==, other_text);
      check_attributes (one, other);
    }
}

/* Every element is reached by the ways that readers take, once. */
static void
check_walk (const TpdXml *xml)
{
  const TpdXmlNode *node = tpd_xml_root (xml);
  guint n = 0;

  while (node != NULL)
    {
      const TpdXmlNode *next = tpd_xml_child (node, NULL);

      n += 1 + node->n_attributes;
      while (next == NULL && node != NULL)
        {
          next = tpd_xml_next (node, NULL);
          node = tpd_xml_parent (node);
        }
      node = next;
    }
  g_assert (n == xml->n);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  /* Without anything behind it, so that a sanitizer sees a read beyond. */
  g_autofree char *text = g_memdup2 (data, size);
  g_autoptr (TpdXml) plain = NULL, first = NULL, any = NULL;
  g_autoptr (GError) error = NULL;
  gsize used = 0;

  if (size == 0 || !g_utf8_validate_len (text, size, NULL))
    return 0;
  plain = tpd_xml_read_plain (text, size, NULL);
  any = tpd_xml_read_any (text, size, "document", &error);
  g_assert ((any == NULL) == (error != NULL));
  if (any != NULL)
    check_walk (any);
  if (plain != NULL)
    {
      g_assert (any != NULL);
      check_walk (plain);
      check_same (plain, any);
    }

  first = tpd_xml_read_plain (text, size, &used);
  g_assert (plain == NULL || (first != NULL && used <= size));
  if (first != NULL)
    {
      g_autoptr (TpdXml) alone = tpd_xml_read_any (text, used, "document", NULL);

      g_assert (alone != NULL);
      check_same (first, alone);
    }
  return 0;
}
