/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of the index and keys of today: see record.h. */
#include "tools/record.h"

#include <string.h>

#include "base/error.h"
#include "format/names.h"
#include "tools/report.h"

/* --- From facts to rows ------------------------------------------------ */

static const char *
english_name (const GPtrArray *names)
{
  const TpdDescriptorName *best = NULL;

  for (guint i = 0; names != NULL && i < names->len; i++)
    {
      const TpdDescriptorName *name = g_ptr_array_index (names, i);

      if (best == NULL || (name->lcid == 1033 && best->lcid != 1033))
        best = name;
    }
  return best != NULL ? best->name : NULL;
}

/* The tail of the JSON object. That the key is held is not kept: see
 * tpd_record_json(). */
static const char *
stored_json (TpdFileFacts *facts, TpdJson *json)
{
  gboolean held = facts->key_held;

  facts->key_held = FALSE;
  tpd_json_init (json);
  tpd_json_begin_object (json, NULL);
  tpd_report_json_tail (json, facts);
  tpd_json_end_object (json);
  facts->key_held = held;
  return json->text->str;
}

/* As far as it is known: the unwrapping tells more than the license does. */
static gboolean
takes_second_key (const TpdFileFacts *facts)
{
  return facts->verdict == TPD_VERDICT_DOUBLE_KEY || (facts->license != NULL && facts->license->double_key)
         || (facts->content_key != NULL && facts->content_key->second_seal);
}

void
tpd_record_from_facts (TpdFileFacts *facts, TpdIndexRow *row, TpdIndexDocument *document, TpdJson *json,
                       const TpdKeyring *keyring)
{
  const TpdOpenOptions native = { 0 };
  gboolean sealed = facts->verdict == TPD_VERDICT_NO_KEY || facts->verdict == TPD_VERDICT_KEY_HELD;

  /* An archive with protected members is one, and plain to a probe. */
  if (row->members == 0)
    row->kind = facts->probe != NULL ? facts->probe->kind : TPD_KIND_PLAIN;
  row->verdict = sealed ? TPD_VERDICT_NO_KEY : facts->verdict;
  row->size_class = facts->probe != NULL ? tpd_probe_size_class (facts->probe, &native) : TPD_SIZE_EXACT;
  row->opened = facts->content_key != NULL || (!sealed && facts->license != NULL);
  row->checked = facts->checked;
  row->exact = facts->is_protected && facts->plain_size_known;
  row->plain_size = facts->plain_size;
  row->extension = facts->probe != NULL ? facts->probe->extension : NULL;

  *document = (TpdIndexDocument){
    .has_key = facts->license != NULL,
    .message = sealed ? NULL : facts->message,
    .content_id = facts->content_id,
    .policy_id = facts->policy_id,
    .rms_owner = facts->rms_owner,
    .author = facts->author,
    .issued = facts->issued,
    .template_id = facts->template_guid,
    .template_name = english_name (facts->names),
    .cipher = facts->cipher,
    .proof = facts->proof,
    .double_key = takes_second_key (facts),
  };
  if (facts->license != NULL)
    {
      document->signature = facts->signature;
      document->linked = facts->license->chain_linked;
      document->expires = facts->expires;
      if (facts->rights != NULL)
        document->rights = TPD_INDEX_RIGHTS_READ;
      else if (facts->content_key != NULL)
        document->rights = TPD_INDEX_RIGHTS_UNREADABLE;
      document->key.fingerprint = facts->license->server_key.fingerprint;
      document->key.bits = facts->license->server_key.bits;
      document->key.guid = facts->license->server_guid;
      document->key.tenant = facts->license->tenant_id;
      document->key.url = facts->license->urls[0] != NULL ? facts->license->urls[0] : facts->license->server_url;
    }
  if (document->double_key || (facts->document != NULL && facts->document->other_keys))
    document->asked_with = tpd_keyring_held_mark (keyring);
  document->json = stored_json (facts, json);
}

/* --- Keys of today ----------------------------------------------------- */

/* tpd_license_match_key() looks at the server key and what names it: all of
 * that is in the index. */
static const TpdKeyInfo *
match_key (const TpdIndexDocument *document, const TpdKeyring *keyring, GError **error)
{
  char *urls[] = { (char *) document->key.url, NULL };
  TpdLicense license = {
    .server_guid = (char *) document->key.guid,
    .tenant_id = (char *) document->key.tenant,
    .urls = urls,
  };

  license.server_key.bits = document->key.bits;
  license.server_key.fingerprint = document->key.fingerprint;
  return tpd_license_match_key (&license, keyring, error);
}

gboolean
tpd_record_key_is_held (const TpdIndexDocument *document, const TpdKeyring *keyring)
{
  if (document == NULL || !document->has_key)
    return FALSE;
  for (guint i = 0; i < keyring->keys->len; i++)
    {
      const TpdKeyInfo *key = g_ptr_array_index (keyring->keys, i);

      if (key->state == TPD_KEY_HELD
          && tpd_fingerprint_equal (&key->public_key.fingerprint, &document->key.fingerprint))
        return TRUE;
    }
  return FALSE;
}

TpdVerdict
tpd_record_verdict (const TpdIndexRow *row, const TpdIndexDocument *document, const TpdKeyring *keyring)
{
  if (row->verdict == TPD_VERDICT_NO_KEY)
    return tpd_record_key_is_held (document, keyring) ? TPD_VERDICT_KEY_HELD : TPD_VERDICT_NO_KEY;
  if ((row->verdict == TPD_VERDICT_OK || row->verdict == TPD_VERDICT_DOUBLE_KEY)
      && !tpd_record_key_is_held (document, keyring))
    return TPD_VERDICT_NO_KEY;
  return row->verdict;
}

gboolean
tpd_record_is_protected (const TpdIndexRow *row)
{
  return row->kind != TPD_KIND_PLAIN && row->verdict != TPD_VERDICT_NOT_PROTECTED;
}

char *
tpd_record_message (const TpdIndexRow *row, const TpdIndexDocument *document, const TpdKeyring *keyring)
{
  g_autoptr (GError) error = NULL;

  if (document == NULL)
    return NULL;
  if (tpd_record_verdict (row, document, keyring) != TPD_VERDICT_NO_KEY)
    return g_strdup (document->message);
  match_key (document, keyring, &error);
  return g_strdup (error != NULL ? error->message : NULL);
}

gboolean
tpd_record_is_problem (TpdVerdict verdict, gboolean has_document, const TpdKeyring *keyring)
{
  switch (verdict)
    {
    case TPD_VERDICT_OK:
    case TPD_VERDICT_KEY_HELD:
      return FALSE;
    case TPD_VERDICT_NOT_PROTECTED:
      return has_document;
    case TPD_VERDICT_NO_KEY:
      return keyring->keys->len > 0;
    default:
      return TRUE;
    }
}

gboolean
tpd_record_is_failure (TpdVerdict verdict, const TpdKeyring *keyring)
{
  return verdict != TPD_VERDICT_OFFLINE && tpd_record_is_problem (verdict, FALSE, keyring);
}

char *
tpd_record_plain_name (const TpdIndexRow *row)
{
  const TpdNameRules rules = { 0 };
  const char *slash = strrchr (row->name, '/'); /* of a member */
  const char *name = slash != NULL ? slash + 1 : row->name;

  if (tpd_record_is_protected (row) && tpd_name_fits (name, row->kind, &rules))
    return tpd_name_plain (name, row->extension, &rules);
  return g_strdup (name);
}

gboolean
tpd_record_issued_is_time (const char *issued)
{
  static const char pattern[] = "dddd-dd-ddTdd:dd";

  if (issued == NULL)
    return FALSE;
  for (gsize i = 0; i < sizeof pattern - 1; i++)
    {
      if (pattern[i] == 'd' ? !g_ascii_isdigit (issued[i]) : issued[i] != pattern[i])
        return FALSE;
    }
  return TRUE;
}

/* --- JSON -------------------------------------------------------------- */

/* Appends the stored members with `held` as it is now. A quote inside a string
 * is written \", so that the member's name cannot be met inside one. */
static void
append_stored (TpdJson *json, const char *stored, gboolean held)
{
  static const char not_held[] = "\"held\":false";
  gsize len = strlen (stored);
  const char *at = strstr (stored, not_held);

  if (len < 3 || stored[0] != '{' || stored[len - 1] != '}')
    return;
  g_string_append_c (json->text, ',');
  if (at == NULL || !held)
    {
      g_string_append_len (json->text, stored + 1, (gssize) len - 2);
      return;
    }
  g_string_append_len (json->text, stored + 1, at - stored - 1);
  g_string_append (json->text, "\"held\":true");
  at += strlen (not_held);
  g_string_append_len (json->text, at, stored + len - 1 - at);
}

/* For a file of which there is nothing to tell. */
static void
append_nothing (TpdJson *json)
{
  TpdFileFacts nothing = { 0 };

  nothing.warnings = g_ptr_array_new ();
  tpd_report_json_tail (json, &nothing);
  g_ptr_array_unref (nothing.warnings);
}

static void
json_of_dir (TpdJson *json, const char *path, const char *message)
{
  const TpdReportHead head = { .path = path, .verdict = TPD_VERDICT_IO_ERROR, .message = message };

  tpd_json_begin_object (json, NULL);
  tpd_report_json_head (json, &head);
  append_nothing (json);
  tpd_json_end_object (json);
}

void
tpd_record_json (TpdJson *json, const char *path, const TpdIndexEntry *entry, const TpdKeyring *keyring)
{
  const TpdIndexRow *row = entry->row;
  const TpdIndexDocument *document = entry->document;
  g_autofree char *message = NULL, *plain_name = NULL;
  TpdReportHead head = { .path = path };

  if (row == NULL)
    {
      json_of_dir (json, path, entry->dir_error);
      return;
    }
  message = tpd_record_message (row, document, keyring);
  head.verdict = tpd_record_verdict (row, document, keyring);
  head.message = message;
  if (head.verdict != TPD_VERDICT_IO_ERROR)
    {
      plain_name = tpd_record_plain_name (row);
      head.kind = tpd_kind_word (row->kind);
      head.is_protected = tpd_record_is_protected (row);
      head.plain_name = plain_name;
      head.plain_size_known = row->exact || head.verdict == TPD_VERDICT_NOT_PROTECTED;
      head.plain_size = row->exact ? row->plain_size : row->size;
      head.source_size = row->size;
    }
  tpd_json_begin_object (json, NULL);
  tpd_report_json_head (json, &head);
  if (document != NULL && document->json != NULL)
    append_stored (json, document->json, tpd_record_key_is_held (document, keyring));
  else
    append_nothing (json);
  tpd_json_end_object (json);
}

static void
add_part (GString *path, const char *part)
{
  if (path->len > 0 && path->str[path->len - 1] != '/')
    g_string_append_c (path, '/');
  g_string_append (path, part);
}

char *
tpd_record_path (const char *root, const char *dir, const char *name)
{
  GString *path = g_string_new (root);

  while (path->len > 1 && path->str[path->len - 1] == '/')
    g_string_truncate (path, path->len - 1);
  if (dir[0] != '\0')
    add_part (path, dir);
  if (name != NULL)
    add_part (path, name);
  return g_string_free (path, FALSE);
}
