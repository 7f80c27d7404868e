/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON object of one file: see report.h. */
#include <string.h>

#include "tools/json.h"
#include "tools/report.h"

static void
add_path (JsonBuilder *json, const char *path)
{
  tpd_json_string (json, "path", path);
  if (!g_utf8_validate (path, -1, NULL))
    {
      g_autofree char *base64 = g_base64_encode ((const guchar *) path, strlen (path));
      tpd_json_string (json, "path_b64", base64);
    }
}

static void
add_content (JsonBuilder *json, const TpdFileFacts *facts)
{
  tpd_json_string (json, "plain_name", facts->plain_name);
  if (facts->plain_size_known)
    tpd_json_uint (json, "plain_size", facts->plain_size);
  else
    tpd_json_null (json, "plain_size");
  tpd_json_boolean (json, "size_exact", facts->plain_size_known);
  if (facts->kind != NULL)
    tpd_json_uint (json, "source_size", facts->source_size);
  else
    tpd_json_null (json, "source_size");
  tpd_json_string (json, "proof", facts->proof);
  tpd_json_string (json, "cipher", facts->cipher);
  tpd_json_uint_or_null (json, "crypto_mode", facts->crypto_mode);
  if (facts->document != NULL && facts->fallbacks == NULL)
    tpd_json_strings (json, "fallbacks", (char *const[]){ NULL });
  else
    tpd_json_strings (json, "fallbacks", facts->fallbacks);
}

static void
add_identity (JsonBuilder *json, const TpdFileFacts *facts)
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
add_key (JsonBuilder *json, const TpdFileFacts *facts)
{
  if (facts->key_guid == NULL && facts->key_fingerprint == NULL)
    {
      tpd_json_null (json, "key");
      return;
    }
  json_builder_set_member_name (json, "key");
  json_builder_begin_object (json);
  tpd_json_string (json, "guid", facts->key_guid);
  tpd_json_uint_or_null (json, "bits", facts->key_bits);
  tpd_json_string (json, "fingerprint", facts->key_fingerprint);
  if (facts->through_mount)
    tpd_json_null (json, "held");
  else
    tpd_json_boolean (json, "held", facts->key_held);
  json_builder_end_object (json);
}

static gboolean
has_names (const TpdFileFacts *facts)
{
  return facts->names != NULL && facts->names->len > 0;
}

/* A mount tells one name and not its language: member "0". */
static void
add_mounted_name (JsonBuilder *json, const TpdFileFacts *facts)
{
  json_builder_set_member_name (json, "names");
  json_builder_begin_object (json);
  tpd_json_string (json, "0", facts->template_name);
  json_builder_end_object (json);
}

static void
add_template (JsonBuilder *json, const TpdFileFacts *facts)
{
  if (facts->template_guid == NULL && !has_names (facts) && facts->template_name == NULL)
    {
      tpd_json_null (json, "template");
      return;
    }
  json_builder_set_member_name (json, "template");
  json_builder_begin_object (json);
  tpd_json_string (json, "id", facts->template_guid);
  if (facts->template_name != NULL)
    add_mounted_name (json, facts);
  else
    tpd_json_names (json, "names", facts->names);
  json_builder_end_object (json);
}

static void
add_rights (JsonBuilder *json, const TpdRights *rights)
{
  if (rights == NULL)
    {
      tpd_json_null (json, "rights");
      return;
    }
  json_builder_set_member_name (json, "rights");
  json_builder_begin_array (json);
  for (guint i = 0; i < rights->entries->len; i++)
    {
      const TpdRightsEntry *entry = g_ptr_array_index (rights->entries, i);
      json_builder_begin_object (json);
      tpd_json_string (json, "principal", entry->principal);
      tpd_json_strings (json, "rights", entry->rights);
      tpd_json_string (json, "until", entry->until);
      json_builder_end_object (json);
    }
  json_builder_end_array (json);
}

static void
add_container (JsonBuilder *json, const TpdFileFacts *facts)
{
  if (facts->version == NULL)
    {
      tpd_json_null (json, "container");
      return;
    }
  json_builder_set_member_name (json, "container");
  json_builder_begin_object (json);
  tpd_json_string (json, "version", facts->version);
  json_builder_end_object (json);
}

void
tpd_report_print_json (const TpdFileFacts *facts)
{
  g_autoptr (JsonBuilder) json = json_builder_new ();

  json_builder_begin_object (json);
  tpd_json_uint (json, "schema", TPD_REPORT_SCHEMA);
  tpd_json_string (json, "tool_version", TPDFS_VERSION);
  tpd_json_uint (json, "decoder_version", TPD_DECODER_VERSION);
  add_path (json, facts->path);
  tpd_json_string (json, "kind", facts->kind);
  if (facts->kind != NULL)
    tpd_json_boolean (json, "protected", facts->is_protected);
  else
    tpd_json_null (json, "protected");
  tpd_json_string (json, "verdict", tpd_verdict_word (facts->verdict));
  tpd_json_string (json, "message", facts->message);
  add_content (json, facts);
  add_identity (json, facts);
  add_key (json, facts);
  tpd_json_strings (json, "urls", facts->urls);
  add_template (json, facts);
  add_rights (json, facts->rights);
  tpd_json_string (json, "expires", facts->expires);
  /* Labels and inner layers are not looked into yet: not known. */
  tpd_json_null (json, "label");
  tpd_json_string (json, "original_name", facts->original_name);
  tpd_json_string (json, "pl_sha256", facts->pl_sha256);
  tpd_json_string (json, "source_sha256", facts->source_sha256);
  tpd_json_string (json, "plain_sha256", facts->plain_sha256);
  tpd_json_string (json, "signature", facts->signature);
  add_container (json, facts);
  tpd_json_null (json, "nested");
  tpd_json_string_array (json, "warnings", facts->warnings);
  json_builder_end_object (json);
  tpd_json_print (json);
}
