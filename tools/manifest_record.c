/* SPDX-License-Identifier: Apache-2.0 */
/* One line of a manifest, parsed: see manifest.h. */
#include <json-glib/json-glib.h>
#include <string.h>

#include "base/error.h"
#include "tools/manifest.h"

static const char *
member_string (JsonObject *object, const char *name)
{
  JsonNode *node = json_object_get_member (object, name);

  return node != NULL && JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == G_TYPE_STRING
             ? json_node_get_string (node)
             : NULL;
}

static guint64
member_uint (JsonObject *object, const char *name)
{
  JsonNode *node = json_object_get_member (object, name);
  gint64 value = node != NULL && JSON_NODE_HOLDS_VALUE (node) ? json_node_get_int (node) : 0;

  return value > 0 ? (guint64) value : 0;
}

static gboolean
member_boolean (JsonObject *object, const char *name)
{
  JsonNode *node = json_object_get_member (object, name);

  return node != NULL && JSON_NODE_HOLDS_VALUE (node) && json_node_get_boolean (node);
}

/* A path: its bytes where they are given, else the text. It must stay beneath
 * the directory that it is relative to. */
static char *
member_path (JsonObject *object, const char *name)
{
  g_autofree char *name_b64 = g_strconcat (name, "_b64", NULL);
  const char *base64 = member_string (object, name_b64);
  g_autofree char *path = NULL;
  g_auto (GStrv) names = NULL;

  if (base64 != NULL)
    {
      gsize len = 0;
      g_autofree guchar *bytes = g_base64_decode (base64, &len);

      path = g_strndup ((const char *) bytes, len);
    }
  else
    path = g_strdup (member_string (object, name));
  if (path == NULL || path[0] == '\0' || path[0] == '/')
    return NULL;
  names = g_strsplit (path, "/", -1);
  for (char **part = names; *part != NULL; part++)
    if (**part == '\0' || strcmp (*part, ".") == 0 || strcmp (*part, "..") == 0)
      return NULL;
  return g_steal_pointer (&path);
}

static char *
key_fingerprint (JsonObject *object)
{
  JsonNode *node = json_object_get_member (object, "key");

  return node != NULL && JSON_NODE_HOLDS_OBJECT (node)
             ? g_strdup (member_string (json_node_get_object (node), "fingerprint"))
             : NULL;
}

TpdManifestRecord *
tpd_manifest_record_parse (const char *line, gsize len, GError **error)
{
  g_autoptr (JsonParser) parser = json_parser_new_immutable ();
  g_autoptr (TpdManifestRecord) record = g_new0 (TpdManifestRecord, 1);
  JsonNode *root = NULL;
  JsonObject *object;

  if (json_parser_load_from_data (parser, line, (gssize) len, NULL))
    root = json_parser_get_root (parser);
  if (root == NULL || !JSON_NODE_HOLDS_OBJECT (root))
    {
      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_DAMAGED, "a line of the manifest is no JSON object");
      return NULL;
    }
  object = json_node_get_object (root);
  record->path = member_path (object, "path");
  record->copy = member_path (object, "copy");
  record->kind = g_strdup (member_string (object, "kind"));
  record->target = g_strdup (member_string (object, "target"));
  if (record->target != NULL && member_string (object, "target_b64") != NULL)
    {
      gsize target_len = 0;
      g_autofree guchar *bytes = g_base64_decode (member_string (object, "target_b64"), &target_len);

      g_free (record->target);
      record->target = g_strndup ((const char *) bytes, target_len);
    }
  record->is_protected = member_boolean (object, "protected");
  record->verdict = g_strdup (member_string (object, "verdict"));
  record->message = g_strdup (member_string (object, "message"));
  record->proof = g_strdup (member_string (object, "proof"));
  record->content_id = g_strdup (member_string (object, "content_id"));
  record->rms_owner = g_strdup (member_string (object, "rms_owner"));
  record->issued = g_strdup (member_string (object, "issued"));
  record->key_fingerprint = key_fingerprint (object);
  record->plain_sha256 = g_strdup (member_string (object, "plain_sha256"));
  record->source_sha256 = g_strdup (member_string (object, "source_sha256"));
  record->plain_size = member_uint (object, "plain_size");
  record->source_size = member_uint (object, "source_size");
  record->decrypted = record->is_protected && g_strcmp0 (record->verdict, "ok") == 0;
  if (record->path == NULL || record->kind == NULL)
    {
      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_DAMAGED, "a line of the manifest has no path or kind");
      return NULL;
    }
  return g_steal_pointer (&record);
}

void
tpd_manifest_record_free (TpdManifestRecord *record)
{
  if (record == NULL)
    return;
  g_free (record->path);
  g_free (record->copy);
  g_free (record->kind);
  g_free (record->target);
  g_free (record->verdict);
  g_free (record->message);
  g_free (record->proof);
  g_free (record->content_id);
  g_free (record->rms_owner);
  g_free (record->issued);
  g_free (record->key_fingerprint);
  g_free (record->plain_sha256);
  g_free (record->source_sha256);
  g_free (record);
}
