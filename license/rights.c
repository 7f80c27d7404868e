/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The encrypted rights data of a license, [MS-RMPR] 2.2.9.7.6 and 2.2.9.8: an
 * XrML document in UTF-16LE, encrypted with the content key. Genuine data is
 * AES-ECB with zero padding whatever the mode of the content; for keys of 256
 * bits no genuine data was seen, so CBC with a zero IV and segmented CBC are
 * tried as well. A reading counts when it is a whole rights document.
 */
#include "license/rights.h"

#include <string.h>

#include "base/error.h"
#include "crypto/cipher.h"
#include "license/text.h"
#include "license/xrml.h"

#define BLOCK 16

static void
rights_entry_free (gpointer data)
{
  TpdRightsEntry *entry = data;

  g_free (entry->principal);
  g_free (entry->principal_type);
  g_strfreev (entry->rights);
  g_free (entry->until);
  g_free (entry);
}

void
tpd_rights_free (TpdRights *rights)
{
  if (rights == NULL)
    return;
  g_clear_pointer (&rights->entries, g_ptr_array_unref);
  g_free (rights->owner);
  g_free (rights->expires);
  g_free (rights->template_guid);
  g_clear_pointer (&rights->names, g_ptr_array_unref);
  g_clear_pointer (&rights->app_data, g_ptr_array_unref);
  g_free (rights);
}

/* --- Entries ---------------------------------------------------------- */

/* A policy lists principals per right; people want rights per principal. */
typedef struct {
  GPtrArray *entries; /* of TpdRightsEntry, `rights` still NULL */
  GPtrArray *words;   /* of GPtrArray of char *, one for each entry */
  GHashTable *by_key; /* type, name, until -> index + 1 */
  GHashTable *seen;   /* index, right: each right once */
} Grouping;

static void
group_right (Grouping *grouping, const char *right, const char *type, const char *name, const char *until)
{
  g_autofree char *key = g_strdup_printf ("%s\n%s\n%s", type == NULL ? "" : type, name, until == NULL ? "" : until);
  g_autofree char *mark = NULL;
  guint index = GPOINTER_TO_UINT (g_hash_table_lookup (grouping->by_key, key));

  if (index == 0)
    {
      TpdRightsEntry *entry = g_new0 (TpdRightsEntry, 1);

      entry->principal = g_strdup (name);
      entry->principal_type = g_strdup (type);
      entry->until = g_strdup (until);
      g_ptr_array_add (grouping->entries, entry);
      g_ptr_array_add (grouping->words, g_ptr_array_new_with_free_func (g_free));
      index = grouping->entries->len;
      g_hash_table_insert (grouping->by_key, g_steal_pointer (&key), GUINT_TO_POINTER (index));
    }
  mark = g_strdup_printf ("%u %s", index, right);
  if (g_hash_table_add (grouping->seen, g_steal_pointer (&mark)))
    g_ptr_array_add (g_ptr_array_index (grouping->words, index - 1), g_strdup (right));
}

/* The principals of ACCESS below `conditions`, with the end of their time. */
static void
read_conditions (Grouping *grouping, const char *right, const TpdXmlNode *conditions)
{
  g_autofree char *until = tpd_xrml_until (conditions);

  for (const TpdXmlNode *access = tpd_xml_child (conditions, "ACCESS"); access != NULL;
       access = tpd_xml_next (access, "ACCESS"))
    for (const TpdXmlNode *principal = tpd_xml_child (access, "PRINCIPAL"); principal != NULL;
         principal = tpd_xml_next (principal, "PRINCIPAL"))
      {
        const TpdXmlNode *object = tpd_xml_child (principal, "OBJECT");
        const TpdXmlNode *id = tpd_xml_child (object, "ID");
        g_autofree char *type = tpd_xml_attribute (id, "type");
        g_autofree char *name = NULL;

        /* "Owner" and "ANYONE" are roles: a NAME beside them says nothing. */
        if (g_strcmp0 (type, "Internal") != 0)
          name = tpd_xml_path_text (object, "NAME");
        if (name == NULL)
          name = tpd_xml_text (id);
        if (name != NULL)
          group_right (grouping, right, type, name, until);
      }
}

static void
read_right (Grouping *grouping, const TpdXmlNode *node)
{
  g_autofree char *name = tpd_xml_name_is (node, "RIGHT") ? tpd_xml_attribute (node, "name") : tpd_xml_name (node);
  g_autofree char *right = NULL;

  if (name == NULL)
    return;
  right = g_ascii_strup (name, -1);
  for (const TpdXmlNode *conditions = tpd_xml_child (node, "CONDITIONLIST"); conditions != NULL;
       conditions = tpd_xml_next (conditions, "CONDITIONLIST"))
    read_conditions (grouping, right, conditions);
  /* Some writers leave CONDITIONLIST out. */
  read_conditions (grouping, right, node);
}

static GPtrArray *
read_entries (const TpdXmlNode *work)
{
  Grouping grouping = {
    .entries = g_ptr_array_new_with_free_func (rights_entry_free),
    .words = g_ptr_array_new_with_free_func ((GDestroyNotify) g_ptr_array_unref),
    .by_key = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL),
    .seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL),
  };

  for (const TpdXmlNode *group = tpd_xml_child (work, "RIGHTSGROUP"); group != NULL;
       group = tpd_xml_next (group, "RIGHTSGROUP"))
    for (const TpdXmlNode *list = tpd_xml_child (group, "RIGHTSLIST"); list != NULL;
         list = tpd_xml_next (list, "RIGHTSLIST"))
      for (const TpdXmlNode *right = tpd_xml_child (list, NULL); right != NULL; right = tpd_xml_next (right, NULL))
        read_right (&grouping, right);

  for (guint i = 0; i < grouping.entries->len; i++)
    {
      TpdRightsEntry *entry = g_ptr_array_index (grouping.entries, i);
      GPtrArray *words = g_ptr_array_index (grouping.words, i);

      g_ptr_array_add (words, NULL);
      entry->rights = (char **) g_ptr_array_steal (words, NULL);
    }
  g_ptr_array_unref (grouping.words);
  g_hash_table_unref (grouping.by_key);
  g_hash_table_unref (grouping.seen);
  return grouping.entries;
}

/* --- Expiry ----------------------------------------------------------- */

/* INTERVALTIME beside RANGETIME is how long a use license lasts until it must be
 * renewed (DRMSetIntervalTime); it does not end the content. */
static char *
read_expiry (const TpdXmlNode *body, const TpdLicense *license)
{
  char *earliest = g_strdup (license->valid_until);

  earliest = tpd_xrml_earlier (earliest, tpd_xml_path_text (body, "VALIDITYTIME/UNTIL"));
  for (const TpdXmlNode *list = tpd_xml_path (body, "WORK/PRECONDITIONLIST"); list != NULL;
       list = tpd_xml_next (list, "PRECONDITIONLIST"))
    earliest = tpd_xrml_earlier (earliest, tpd_xrml_until (list));
  return earliest;
}

/* --- Decoding --------------------------------------------------------- */

/* NULL if `plain` is no rights document. */
static TpdRights *
read_rights (const TpdLicense *license, const guint8 *plain, gsize len)
{
  g_autoptr (TpdLicenseText) text = tpd_license_text_decode (plain, len, NULL);
  g_autoptr (TpdRights) rights = NULL;
  g_autoptr (GArray) slices = NULL;
  g_autoptr (TpdXml) doc = NULL;
  const TpdXrmlSlice *slice;
  const TpdXmlNode *body, *work;
  gboolean official = FALSE;

  if (text == NULL || text->base64 || tpd_xml_has_doctype (text->text, text->len))
    return NULL;
  slices = tpd_license_split (text->text, text->len);
  if (slices->len == 0)
    return NULL;
  slice = &g_array_index (slices, TpdXrmlSlice, 0);
  doc = tpd_xml_parse (text->text + slice->start, slice->len, "rights data", NULL);
  if (doc == NULL)
    return NULL;
  body = tpd_xrml_body (doc, TPD_XRML_RIGHTS);
  if (body == NULL)
    {
      body = tpd_xrml_body (doc, TPD_XRML_TEMPLATE);
      official = TRUE;
    }
  if (body == NULL)
    return NULL;

  work = tpd_xml_child (body, "WORK");
  rights = g_new0 (TpdRights, 1);
  rights->official = official;
  rights->entries = read_entries (work);
  rights->owner = tpd_xml_path_text (work, "METADATA/OWNER/OBJECT/NAME");
  rights->expires = read_expiry (body, license);
  if (official)
    rights->template_guid = tpd_xrml_id (tpd_xml_path (body, "DESCRIPTOR/OBJECT/ID"));
  rights->names = tpd_xrml_names (body);
  rights->app_data = tpd_xrml_app_data (body);
  return g_steal_pointer (&rights);
}

static guint8 *
decrypt (const TpdLicense *license, const TpdContentKey *key, TpdCipherMode mode, GError **error)
{
  g_autoptr (TpdContentCipher) cipher =
      tpd_content_cipher_new (key->key->data, key->key->len, mode, TPD_IV_INDEX, error);
  g_autofree guint8 *plain = NULL;

  if (cipher == NULL)
    return NULL;
  plain = g_memdup2 (license->erd, license->erd_len);
  if (!tpd_content_cipher_decrypt (cipher, plain, license->erd_len, 0, error))
    return NULL;
  return g_steal_pointer (&plain);
}

/* Length without PKCS#7 padding, if it ends in any. */
static gsize
unpadded_length (const guint8 *plain, gsize len)
{
  return len - tpd_pkcs7_length (plain + len - BLOCK);
}

TpdRights *
tpd_rights_decode (const TpdLicense *license, const TpdContentKey *key, GError **error)
{
  g_autofree guint8 *plain = NULL;
  TpdRights *rights;

  if (license->erd == NULL || license->erd_len == 0)
    {
      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_NOT_PROTECTED, "the license holds no encrypted rights data");
      return NULL;
    }
  if (license->erd_len % BLOCK != 0)
    {
      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_DAMAGED, "the encrypted rights data have a wrong length");
      return NULL;
    }

  plain = decrypt (license, key, TPD_CIPHER_ECB, error);
  if (plain == NULL)
    return NULL;
  rights = read_rights (license, plain, license->erd_len);
  if (rights != NULL)
    {
      rights->cipher = "ecb";
      return rights;
    }

  /* CBC with a zero IV is ECB and the ciphertext one block before. */
  for (gsize i = BLOCK; i < license->erd_len; i++)
    plain[i] ^= license->erd[i - BLOCK];
  rights = read_rights (license, plain, unpadded_length (plain, license->erd_len));
  if (rights != NULL)
    {
      rights->cipher = "cbc";
      return rights;
    }

  g_free (plain);
  plain = decrypt (license, key, TPD_CIPHER_CBC4K, error);
  if (plain == NULL)
    return NULL;
  rights = read_rights (license, plain, unpadded_length (plain, license->erd_len));
  if (rights != NULL)
    {
      rights->cipher = "cbc4k";
      return rights;
    }
  g_set_error_literal (error, TPD_ERROR, TPD_ERROR_DAMAGED, "the encrypted rights data cannot be decoded");
  return NULL;
}

gboolean
tpd_time_passed (const char *stored, gint64 now)
{
  g_autoptr (GDateTime) time = NULL;

  if (stored == NULL)
    return FALSE;
  time = tpd_xrml_time (stored);
  return time == NULL || g_date_time_to_unix (time) < now;
}
