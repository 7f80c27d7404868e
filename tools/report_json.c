/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON object of one file: see report.h. */
#include "base/text.h"
#include "tools/json.h"
#include "tools/report.h"

void
tpd_report_json_head (TpdJson *json, const TpdReportHead *head)
{
  tpd_json_uint (json, "schema", TPD_REPORT_SCHEMA);
  tpd_json_string (json, "tool_version", TPDFS_VERSION);
  tpd_json_uint (json, "decoder_version", TPD_DECODER_VERSION);
  tpd_json_path (json, head->path);
  tpd_json_string (json, "kind", head->kind);
  if (head->kind != NULL)
    tpd_json_boolean (json, "protected", head->is_protected);
  else
    tpd_json_null (json, "protected");
  tpd_json_string (json, "verdict", tpd_verdict_word (head->verdict));
  tpd_json_string (json, "message", head->message);
  tpd_json_string (json, "plain_name", head->plain_name);
  if (head->plain_size_known)
    tpd_json_uint (json, "plain_size", head->plain_size);
  else
    tpd_json_null (json, "plain_size");
  tpd_json_boolean (json, "size_exact", head->plain_size_known);
  if (head->kind != NULL)
    tpd_json_uint (json, "source_size", head->source_size);
  else
    tpd_json_null (json, "source_size");
}

static void
add_content (TpdJson *json, const TpdFileFacts *facts)
{
  tpd_json_string (json, "proof", facts->proof);
  tpd_json_string (json, "cipher", facts->cipher);
  tpd_json_uint_or_null (json, "crypto_mode", facts->crypto_mode);
  if (facts->document != NULL && facts->fallbacks == NULL)
    tpd_json_strings (json, "fallbacks", (char *const[]){ NULL });
  else
    tpd_json_strings (json, "fallbacks", facts->fallbacks);
}

static void
add_identity (TpdJson *json, const TpdFileFacts *facts)
{
  tpd_json_string (json, "content_id", facts->content_id);
  tpd_json_string (json, "policy_id", facts->policy_id);
  tpd_json_string (json, "rms_owner", facts->rms_owner);
  tpd_json_string (json, "author", facts->author);
  tpd_json_string (json, "issued", facts->issued);
  tpd_json_string (json, "issuer", facts->issuer);
  tpd_json_string (json, "tenant", facts->tenant);
}

static void
add_key (TpdJson *json, const TpdFileFacts *facts)
{
  if (facts->key_guid == NULL && facts->key_fingerprint == NULL)
    {
      tpd_json_null (json, "key");
      return;
    }
  tpd_json_begin_object (json, "key");
  tpd_json_string (json, "guid", facts->key_guid);
  tpd_json_uint_or_null (json, "bits", facts->key_bits);
  tpd_json_string (json, "fingerprint", facts->key_fingerprint);
  if (facts->through_mount)
    tpd_json_null (json, "held");
  else
    tpd_json_boolean (json, "held", facts->key_held);
  tpd_json_end_object (json);
}

static gboolean
has_names (const TpdFileFacts *facts)
{
  return facts->names != NULL && facts->names->len > 0;
}

/* A mount tells one name and not its language: member "0". */
static void
add_mounted_name (TpdJson *json, const TpdFileFacts *facts)
{
  tpd_json_begin_object (json, "names");
  tpd_json_string (json, "0", facts->template_name);
  tpd_json_end_object (json);
}

static void
add_template (TpdJson *json, const TpdFileFacts *facts)
{
  if (facts->template_guid == NULL && !has_names (facts) && facts->template_name == NULL)
    {
      tpd_json_null (json, "template");
      return;
    }
  tpd_json_begin_object (json, "template");
  tpd_json_string (json, "id", facts->template_guid);
  if (facts->template_name != NULL)
    add_mounted_name (json, facts);
  else
    tpd_json_names (json, "names", facts->names);
  tpd_json_end_object (json);
}

static void
add_rights (TpdJson *json, const TpdRights *rights)
{
  if (rights == NULL)
    {
      tpd_json_null (json, "rights");
      return;
    }
  tpd_json_begin_array (json, "rights");
  for (guint i = 0; i < rights->entries->len; i++)
    {
      const TpdRightsEntry *entry = g_ptr_array_index (rights->entries, i);
      tpd_json_begin_object (json, NULL);
      tpd_json_string (json, "principal", entry->principal);
      tpd_json_strings (json, "rights", entry->rights);
      tpd_json_string (json, "until", entry->until);
      tpd_json_end_object (json);
    }
  tpd_json_end_array (json);
}

/* A mount tells the name, or the id where there is none. */
static void
add_mounted_label (TpdJson *json, const char *word)
{
  char guid[TPD_GUID_SIZE];
  gboolean is_id = tpd_guid_parse (word, guid);

  tpd_json_begin_object (json, "label");
  tpd_json_string (json, "id", is_id ? guid : NULL);
  tpd_json_string (json, "name", is_id ? NULL : word);
  tpd_json_null (json, "site");
  tpd_json_null (json, "method");
  tpd_json_null (json, "set_date");
  tpd_json_end_object (json);
}

static void
add_label (TpdJson *json, const TpdFileFacts *facts)
{
  const TpdLabel *label = facts->label;

  if (label == NULL && facts->label_name != NULL)
    {
      add_mounted_label (json, facts->label_name);
      return;
    }
  if (label == NULL)
    {
      tpd_json_null (json, "label");
      return;
    }
  tpd_json_begin_object (json, "label");
  tpd_json_string (json, "id", label->id);
  tpd_json_string (json, "name", label->name);
  tpd_json_string (json, "site", label->site);
  tpd_json_string (json, "method", label->method);
  tpd_json_string (json, "set_date", label->set_date);
  tpd_json_end_object (json);
}

static void
add_container (TpdJson *json, const TpdFileFacts *facts)
{
  if (facts->version == NULL)
    {
      tpd_json_null (json, "container");
      return;
    }
  tpd_json_begin_object (json, "container");
  tpd_json_string (json, "version", facts->version);
  tpd_json_end_object (json);
}

void
tpd_report_json_tail (TpdJson *json, const TpdFileFacts *facts)
{
  add_content (json, facts);
  add_identity (json, facts);
  add_key (json, facts);
  tpd_json_strings (json, "urls", facts->urls);
  add_template (json, facts);
  add_rights (json, facts->rights);
  tpd_json_string (json, "expires", facts->expires);
  add_label (json, facts);
  tpd_json_string (json, "original_name", facts->original_name);
  tpd_json_string (json, "pl_sha256", facts->pl_sha256);
  tpd_json_string (json, "source_sha256", facts->source_sha256);
  tpd_json_string (json, "plain_sha256", facts->plain_sha256);
  tpd_json_string (json, "signature", facts->signature);
  add_container (json, facts);
  /* Inner layers are not looked into: not known. */
  tpd_json_null (json, "nested");
  tpd_json_string_array (json, "warnings", facts->warnings);
}

void
tpd_report_print_json (const TpdFileFacts *facts)
{
  g_auto (TpdJson) json = { 0 };
  const TpdReportHead head = {
    .path = facts->path,
    .kind = facts->kind,
    .is_protected = facts->is_protected,
    .verdict = facts->verdict,
    .message = facts->message,
    .plain_name = facts->plain_name,
    .plain_size_known = facts->plain_size_known,
    .plain_size = facts->plain_size,
    .source_size = facts->source_size,
  };

  tpd_json_init (&json);
  tpd_json_begin_object (&json, NULL);
  tpd_report_json_head (&json, &head);
  tpd_report_json_tail (&json, facts);
  tpd_json_end_object (&json);
  tpd_json_print (&json);
}
