/* SPDX-License-Identifier: Apache-2.0 */
/* The forms of sensitivity labels: see label.h. All of them end in one list
 * of candidates, from which one is chosen. */
#include "license/label.h"

#include <string.h>

#include "base/text.h"
#include "license/xml.h"

#define MAX_CANDIDATES 64
#define MAX_ELEMENTS 20000
#define MAX_VALUE 1024

#define GUID_LEN (TPD_GUID_SIZE - 1)

typedef enum {
  WORD_NONE,
  WORD_ID,
  WORD_NAME,
  WORD_SITE,
  WORD_METHOD,
  WORD_SET_DATE,
  WORD_PARENT,
  WORD_ENABLED,
  WORD_REMOVED,
} Word;

typedef struct {
  TpdLabel label;
  char *parent;
  gboolean unset; /* not enabled, or removed */
} Candidate;

/* --- The labels met ----------------------------------------------------- */

static void
label_clear (TpdLabel *label)
{
  g_free (label->id);
  g_free (label->name);
  g_free (label->site);
  g_free (label->method);
  g_free (label->set_date);
}

void
tpd_label_free (TpdLabel *label)
{
  if (label == NULL)
    return;
  label_clear (label);
  g_free (label);
}

static void
candidate_clear (gpointer data)
{
  Candidate *candidate = data;

  label_clear (&candidate->label);
  g_free (candidate->parent);
}

static GArray *
candidates_new (void)
{
  GArray *all = g_array_new (FALSE, TRUE, sizeof (Candidate));

  g_array_set_clear_func (all, candidate_clear);
  return all;
}

/* NULL when there are too many. */
static Candidate *
add_candidate (GArray *all)
{
  if (all->len >= MAX_CANDIDATES)
    return NULL;
  g_array_set_size (all, all->len + 1);
  return &g_array_index (all, Candidate, all->len - 1);
}

/* The one of this id, a new one if there is none. */
static Candidate *
get_candidate (GArray *all, const char id[TPD_GUID_SIZE])
{
  Candidate *candidate;

  for (guint i = 0; i < all->len; i++)
    {
      candidate = &g_array_index (all, Candidate, i);
      if (g_strcmp0 (candidate->label.id, id) == 0)
        return candidate;
    }
  candidate = add_candidate (all);
  if (candidate != NULL)
    candidate->label.id = g_strdup (id);
  return candidate;
}

/* The first value counts. */
static void
put_text (char **place, const char *value)
{
  gsize len = strlen (value);

  if (*place == NULL && len > 0 && len <= MAX_VALUE)
    *place = g_strdup (value);
}

static void
put_guid (char **place, const char *value)
{
  char guid[TPD_GUID_SIZE];

  if (*place == NULL && tpd_guid_parse (value, guid))
    *place = g_strdup (guid);
}

static gboolean
is_word (const char *value, const char *word, const char *number)
{
  return g_ascii_strcasecmp (value, word) == 0 || strcmp (value, number) == 0;
}

/* "Extended_MSFT_Method" and "Method" are the same. */
static Word
word_of (const char *name)
{
  static const struct {
    const char *name;
    Word word;
  } words[] = {
    { "Id", WORD_ID },         { "LabelId", WORD_ID },      { "Name", WORD_NAME },       { "LabelName", WORD_NAME },
    { "SiteId", WORD_SITE },   { "TenantId", WORD_SITE },   { "Method", WORD_METHOD },   { "SetDate", WORD_SET_DATE },
    { "Parent", WORD_PARENT }, { "ParentId", WORD_PARENT }, { "Enabled", WORD_ENABLED }, { "Removed", WORD_REMOVED },
  };
  static const char extended[] = "Extended_MSFT_";

  if (g_ascii_strncasecmp (name, extended, strlen (extended)) == 0)
    name += strlen (extended);
  for (gsize i = 0; i < G_N_ELEMENTS (words); i++)
    if (g_ascii_strcasecmp (name, words[i].name) == 0)
      return words[i].word;
  return WORD_NONE;
}

static void
put_word (Candidate *candidate, Word word, const char *value)
{
  switch (word)
    {
    case WORD_ID:
      put_guid (&candidate->label.id, value);
      break;
    case WORD_NAME:
      put_text (&candidate->label.name, value);
      break;
    case WORD_SITE:
      put_guid (&candidate->label.site, value);
      break;
    case WORD_METHOD:
      put_text (&candidate->label.method, value);
      break;
    case WORD_SET_DATE:
      put_text (&candidate->label.set_date, value);
      break;
    case WORD_PARENT:
      put_guid (&candidate->parent, value);
      break;
    case WORD_ENABLED:
      if (is_word (value, "false", "0"))
        candidate->unset = TRUE;
      break;
    case WORD_REMOVED:
      if (is_word (value, "true", "1"))
        candidate->unset = TRUE;
      break;
    case WORD_NONE:
      break;
    }
}

/* "MSIP_Label_GUID_Word": FALSE if it is no such name. */
static gboolean
put_property (GArray *all, const char *name, const char *value)
{
  const gsize prefix = strlen (TPD_LABEL_PREFIX);
  g_autofree char *text = NULL;
  char guid[TPD_GUID_SIZE];
  Candidate *candidate;

  if (g_ascii_strncasecmp (name, TPD_LABEL_PREFIX, prefix) != 0 || strlen (name) <= prefix + GUID_LEN + 1
      || name[prefix + GUID_LEN] != '_')
    return FALSE;
  text = g_strndup (name + prefix, GUID_LEN);
  candidate = tpd_guid_parse (text, guid) ? get_candidate (all, guid) : NULL;
  if (candidate == NULL)
    return FALSE;
  put_word (candidate, word_of (name + prefix + GUID_LEN + 1), value);
  return TRUE;
}

static gboolean
is_parent (const GArray *all, const char *id)
{
  for (guint i = 0; i < all->len; i++)
    {
      const Candidate *candidate = &g_array_index (all, Candidate, i);
      if (!candidate->unset && g_strcmp0 (candidate->parent, id) == 0 && g_strcmp0 (candidate->label.id, id) != 0)
        return TRUE;
    }
  return FALSE;
}

static TpdLabel *
choose (GArray *all)
{
  for (guint i = 0; i < all->len; i++)
    {
      Candidate *candidate = &g_array_index (all, Candidate, i);
      TpdLabel *label;

      if (candidate->unset || candidate->label.id == NULL || is_parent (all, candidate->label.id))
        continue;
      label = g_new (TpdLabel, 1);
      *label = candidate->label;
      candidate->label = (TpdLabel){ 0 };
      return label;
    }
  return NULL;
}

/* --- Walking without recursion ------------------------------------------ */

/* The element behind `node` in the order of the document, below `root`. */
static const TpdXmlNode *
next_element (const TpdXmlNode *node, const TpdXmlNode *root)
{
  const TpdXmlNode *child = tpd_xml_child (node, NULL);

  if (child != NULL)
    return child;
  while (node != root)
    {
      const TpdXmlNode *sibling = tpd_xml_next (node, NULL);
      if (sibling != NULL)
        return sibling;
      node = tpd_xml_parent (node);
    }
  return NULL;
}

/* --- LabelInfo ---------------------------------------------------------- */

static void
read_label_list (GArray *all, const TpdXmlNode *root)
{
  static const struct {
    const char *attribute;
    Word word;
  } attributes[] = {
    { "id", WORD_ID },           { "name", WORD_NAME },        { "siteId", WORD_SITE },
    { "method", WORD_METHOD },   { "setDate", WORD_SET_DATE }, { "enabled", WORD_ENABLED },
    { "removed", WORD_REMOVED },
  };

  for (const TpdXmlNode *node = tpd_xml_child (root, "label"); node != NULL; node = tpd_xml_next (node, "label"))
    {
      Candidate *candidate = add_candidate (all);

      for (gsize i = 0; candidate != NULL && i < G_N_ELEMENTS (attributes); i++)
        {
          g_autofree char *value = tpd_xml_attribute (node, attributes[i].attribute);
          if (value != NULL)
            put_word (candidate, attributes[i].word, value);
        }
    }
}

/* --- docProps/custom.xml ------------------------------------------------ */

static void
read_properties (GArray *all, const TpdXmlNode *root)
{
  for (const TpdXmlNode *node = tpd_xml_child (root, "property"); node != NULL; node = tpd_xml_next (node, "property"))
    {
      g_autofree char *name = tpd_xml_attribute (node, "name");
      g_autofree char *value = name != NULL ? tpd_xml_text (tpd_xml_child (node, NULL)) : NULL;

      if (value != NULL)
        put_property (all, name, value);
    }
}

/* --- XMP ---------------------------------------------------------------- */

/* msip-label-extended:Key and :Value stand beside each other. */
static void
put_extended (Candidate *candidate, const TpdXmlNode *key)
{
  g_autofree char *name = tpd_xml_text (key);
  g_autofree char *value = tpd_xml_path_text (tpd_xml_parent (key), "Value");

  if (name != NULL && value != NULL && word_of (name) == WORD_METHOD)
    put_word (candidate, WORD_METHOD, value);
}

/* One rdf:li of msip:labels; what lies deeper are its extended properties. */
static void
read_xmp_label (GArray *all, const TpdXmlNode *item, guint *left)
{
  Candidate *candidate = add_candidate (all);

  if (candidate == NULL)
    return;
  for (const TpdXmlNode *node = tpd_xml_child (item, NULL); node != NULL && *left > 0; node = next_element (node, item))
    {
      (*left)--;
      if (tpd_xml_name_is (node, "Key"))
        put_extended (candidate, node);
      else if (tpd_xml_parent (node) == item)
        {
          g_autofree char *name = tpd_xml_name (node);
          g_autofree char *value = tpd_xml_text (node);
          if (value != NULL)
            put_word (candidate, word_of (name), value);
        }
    }
}

static void
read_xmp_attributes (GArray *all, const TpdXmlNode *node)
{
  char *name, *value;

  for (guint i = 0; tpd_xml_attribute_at (node, i, &name, &value); i++)
    {
      /* An empty one says nothing, as everywhere: not even that there is a label. */
      if (*value != '\0')
        put_property (all, name, value);
      g_free (name);
      g_free (value);
    }
}

static void
read_xmp (GArray *all, const TpdXmlNode *root)
{
  guint left = MAX_ELEMENTS;

  for (const TpdXmlNode *node = root; node != NULL && left > 0; node = next_element (node, root))
    {
      g_autofree char *name = tpd_xml_name (node);

      left--;
      if (strcmp (name, "labels") == 0)
        for (const TpdXmlNode *item = tpd_xml_path (node, "Bag/li"); item != NULL; item = tpd_xml_next (item, "li"))
          read_xmp_label (all, item, &left);
      else if (g_str_has_prefix (name, TPD_LABEL_PREFIX))
        {
          g_autofree char *value = tpd_xml_text (node);
          if (value != NULL)
            put_property (all, name, value);
        }
      read_xmp_attributes (all, node);
    }
}

/* --- The license -------------------------------------------------------- */

/* What stands in these is not public: names and values are taken that fit the
 * other forms, and a lone GUID is the id. */
TpdLabel *
tpd_label_of_license (const TpdLicense *license)
{
  g_autoptr (GArray) all = candidates_new ();
  Candidate *candidate = NULL;

  for (guint i = 0; license->app_data != NULL && i < license->app_data->len; i++)
    {
      const TpdAppData *item = g_ptr_array_index (license->app_data, i);
      Word word = item->name != NULL ? word_of (item->name) : WORD_NONE;
      char guid[TPD_GUID_SIZE];

      if (g_strcmp0 (item->id, "LABEL") != 0 || item->value == NULL
          || (item->name != NULL && put_property (all, item->name, item->value)))
        continue;
      if (word == WORD_NONE && tpd_guid_parse (item->value, guid))
        word = WORD_ID;
      if (candidate == NULL && word != WORD_NONE)
        candidate = add_candidate (all);
      if (candidate != NULL)
        put_word (candidate, word, item->value);
    }
  return choose (all);
}

/* --- The whole ---------------------------------------------------------- */

TpdLabel *
tpd_label_parse (const char *text, gsize len)
{
  g_autoptr (GArray) all = NULL;
  g_autoptr (TpdXml) doc = NULL;
  const TpdXmlNode *root;

  if (len >= 3 && memcmp (text, "\357\273\277", 3) == 0)
    {
      text += 3;
      len -= 3;
    }
  while (len > 0 && (text[len - 1] == '\0' || g_ascii_isspace (text[len - 1])))
    len--;
  if (len == 0 || len > TPD_LABEL_TEXT_MAX || !g_utf8_validate_len (text, len, NULL))
    return NULL;
  doc = tpd_xml_parse (text, len, "label", NULL);
  if (doc == NULL)
    return NULL;
  all = candidates_new ();
  root = tpd_xml_root (doc);
  if (tpd_xml_name_is (root, "labelList"))
    read_label_list (all, root);
  else if (tpd_xml_name_is (root, "Properties"))
    read_properties (all, root);
  else
    read_xmp (all, root);
  return choose (all);
}

TpdLabel *
tpd_label_of_properties (const GPtrArray *properties)
{
  g_autoptr (GArray) all = candidates_new ();

  for (guint i = 0; i + 1 < properties->len; i += 2)
    put_property (all, g_ptr_array_index (properties, i), g_ptr_array_index (properties, i + 1));
  return choose (all);
}

void
tpd_label_merge (TpdLabel **label, TpdLabel *other)
{
  g_autoptr (TpdLabel) rest = other;

  if (other == NULL)
    return;
  if (*label == NULL)
    {
      *label = g_steal_pointer (&rest);
      return;
    }
  if (strcmp ((*label)->id, rest->id) != 0)
    return;
  if ((*label)->name == NULL)
    (*label)->name = g_steal_pointer (&rest->name);
  if ((*label)->site == NULL)
    (*label)->site = g_steal_pointer (&rest->site);
  if ((*label)->method == NULL)
    (*label)->method = g_steal_pointer (&rest->method);
  if ((*label)->set_date == NULL)
    (*label)->set_date = g_steal_pointer (&rest->set_date);
}
