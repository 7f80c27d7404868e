/* SPDX-License-Identifier: Apache-2.0 */
/* One line of a manifest, parsed: see manifest.h. */
#include <string.h>

#include "base/error.h"
#include "tools/json_read.h"
#include "tools/manifest.h"

/* A path: its bytes where they are given, else the text. It must stay beneath
 * the directory that it is relative to. */
static char *
member_path (JsonObject *object, const char *name)
{
  g_autofree char *name_b64 = g_strconcat (name, "_b64", NULL);
  const char *base64 = tpd_json_get_string (object, name_b64);
  g_autofree char *path = NULL;
  g_auto (GStrv) names = NULL;

  if (base64 != NULL)
    {
      gsize len = 0;
      g_autofree guchar *bytes = g_base64_decode (base64, &len);

      path = g_strndup ((const char *) bytes, len);
    }
  else
    path = g_strdup (tpd_json_get_string (object, name));
  if (path == NULL || path[0] == '\0' || path[0] == '/')
    return NULL;
  names = g_strsplit (path, "/", -1);
  for (char **part = names; *part != NULL; part++)
    if (**part == '\0' || strcmp (*part, ".") == 0 || strcmp (*part, "..") == 0)
      return NULL;
  return g_steal_pointer (&path);
}

TpdManifestRecord *
tpd_manifest_record_parse (const char *line, gsize len, GError **error)
{
  g_autoptr (TpdManifestRecord) record = g_new0 (TpdManifestRecord, 1);
  g_autoptr (JsonObject) object = tpd_json_read_object (line, len);
  JsonObject *key;

  if (object == NULL)
    {
      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_DAMAGED, "a line of the manifest is no JSON object");
      return NULL;
    }
  record->path = member_path (object, "path");
  record->copy = member_path (object, "copy");
  record->kind = g_strdup (tpd_json_get_string (object, "kind"));
  record->target = g_strdup (tpd_json_get_string (object, "target"));
  if (record->target != NULL && tpd_json_get_string (object, "target_b64") != NULL)
    {
      gsize target_len = 0;
      g_autofree guchar *bytes = g_base64_decode (tpd_json_get_string (object, "target_b64"), &target_len);

      g_free (record->target);
      record->target = g_strndup ((const char *) bytes, target_len);
    }
  record->is_protected = tpd_json_get_boolean (object, "protected");
  record->verdict = g_strdup (tpd_json_get_string (object, "verdict"));
  record->message = g_strdup (tpd_json_get_string (object, "message"));
  record->proof = g_strdup (tpd_json_get_string (object, "proof"));
  record->content_id = g_strdup (tpd_json_get_string (object, "content_id"));
  record->rms_owner = g_strdup (tpd_json_get_string (object, "rms_owner"));
  record->issued = g_strdup (tpd_json_get_string (object, "issued"));
  key = tpd_json_get_object (object, "key");
  record->key_fingerprint = key != NULL ? g_strdup (tpd_json_get_string (key, "fingerprint")) : NULL;
  record->plain_sha256 = g_strdup (tpd_json_get_string (object, "plain_sha256"));
  record->source_sha256 = g_strdup (tpd_json_get_string (object, "source_sha256"));
  record->plain_size = tpd_json_get_uint (object, "plain_size");
  record->source_size = tpd_json_get_uint (object, "source_size");
  record->decrypted = record->is_protected && g_strcmp0 (record->verdict, "ok") == 0;
  record->archive = record->decrypted && g_strcmp0 (record->kind, "zip") == 0;
  record->keep = g_strcmp0 (tpd_json_get_string (object, "unreadable"), "copy") == 0;
  if (tpd_json_get_string (object, "pext") != NULL)
    record->pext = g_strsplit (tpd_json_get_string (object, "pext"), ",", -1);
  if (record->path == NULL || record->kind == NULL)
    {
      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_DAMAGED, "a line of the manifest has no path or kind");
      return NULL;
    }
  return g_steal_pointer (&record);
}

/* Behind the object at `at`; NULL: it does not end. */
static const char *
object_end (const char *at, const char *end)
{
  gboolean in_string = FALSE;
  guint depth = 0;

  for (; at < end; at++)
    {
      if (in_string && *at == '\\')
        at++;
      else if (*at == '"')
        in_string = !in_string;
      else if (!in_string && (*at == '{' || *at == '['))
        depth++;
      else if (!in_string && (*at == '}' || *at == ']') && --depth == 0)
        return at + 1;
    }
  return NULL;
}

/* A quote inside a string is written \", so that the member's name cannot be
 * met inside one. */
gboolean
tpd_manifest_each_member (const char *line, gsize len, TpdManifestEachMember each, gpointer data, GError **error)
{
  static const char name[] = "\"members\":[";
  const char *end = line + len, *at = memmem (line, len, name, sizeof name - 1), *next;

  for (at = at != NULL ? at + sizeof name - 1 : end; at < end && *at == '{'; at = next)
    {
      next = object_end (at, end);
      if (next == NULL)
        break;
      if (!each (data, at, (gsize) (next - at), error))
        return FALSE;
      if (next < end && *next == ',')
        next++;
    }
  return TRUE;
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
  g_strfreev (record->pext);
  g_free (record);
}
