/* SPDX-License-Identifier: Apache-2.0 */
/* The decision paper for programs: a line of JSON or CSV a file, and what it
 * comes to as one JSON object. */
#include "base/text.h"
#include "tools/csv.h"
#include "tools/preflight.h"
#include "tools/record.h"
#include "tools/report.h"

static const char *
verdict_of (const TpdIndexEntry *entry, const TpdKeyring *keyring)
{
  if (entry->row == NULL)
    return tpd_verdict_word (TPD_VERDICT_IO_ERROR);
  return tpd_verdict_word (tpd_record_verdict (entry->row, entry->document, keyring));
}

/* --- Files -------------------------------------------------------------- */

gboolean
tpd_preflight_print_json (gpointer data, TpdTable table, const char *path, const TpdIndexEntry *entry, const char *why)
{
  const TpdPreflight *preflight = data;
  const TpdIndexDocument *document = entry->document;
  g_auto (TpdJson) json = { 0 };

  tpd_json_init (&json);
  tpd_json_begin_object (&json, NULL);
  tpd_json_uint (&json, "schema", TPD_REPORT_SCHEMA);
  tpd_json_string (&json, "table", tpd_table_word (table));
  tpd_json_path (&json, path);
  tpd_json_string (&json, "kind", entry->row != NULL ? tpd_kind_word (entry->row->kind) : NULL);
  tpd_json_string (&json, "verdict", verdict_of (entry, preflight->report->keyring));
  if (entry->row != NULL)
    tpd_json_uint (&json, "source_size", entry->row->size);
  else
    tpd_json_null (&json, "source_size");
  tpd_json_string (&json, "opaque",
                   entry->row != NULL && entry->row->opaque != TPD_OPAQUE_NONE ? tpd_opaque_word (entry->row->opaque)
                                                                               : NULL);
  tpd_json_string (&json, "why", why);
  tpd_json_string (&json, "key_guid", document != NULL && document->has_key ? document->key.guid : NULL);
  tpd_json_string (&json, "rms_owner", document != NULL ? document->rms_owner : NULL);
  tpd_json_string (&json, "issued", document != NULL ? document->issued : NULL);
  tpd_json_string (&json, "proof", document != NULL ? document->proof : NULL);
  tpd_json_end_object (&json);
  g_string_append_c (json.text, '\n');
  return tpd_output_write (json.text->str, json.text->len);
}

gboolean
tpd_preflight_print_csv_head (void)
{
  static const char head[] = "table,path,kind,verdict,source_size,opaque,why,key_guid,rms_owner,issued,proof\r\n";

  return tpd_output_write (head, sizeof head - 1);
}

gboolean
tpd_preflight_print_csv (gpointer data, TpdTable table, const char *path, const TpdIndexEntry *entry, const char *why)
{
  const TpdPreflight *preflight = data;
  const TpdIndexDocument *document = entry->document;
  g_autoptr (GString) line = g_string_new (NULL);
  g_autofree char *size = entry->row != NULL ? g_strdup_printf ("%" G_GUINT64_FORMAT, entry->row->size) : NULL;

  tpd_csv_cell (line, tpd_table_word (table));
  tpd_csv_cell (line, path);
  tpd_csv_cell (line, entry->row != NULL ? tpd_kind_word (entry->row->kind) : NULL);
  tpd_csv_cell (line, verdict_of (entry, preflight->report->keyring));
  tpd_csv_cell (line, size);
  tpd_csv_cell (line, entry->row != NULL && entry->row->opaque != TPD_OPAQUE_NONE ? tpd_opaque_word (entry->row->opaque)
                                                                                  : NULL);
  tpd_csv_cell (line, why);
  tpd_csv_cell (line, document != NULL && document->has_key ? document->key.guid : NULL);
  tpd_csv_cell (line, document != NULL ? document->rms_owner : NULL);
  tpd_csv_cell (line, document != NULL ? document->issued : NULL);
  tpd_csv_cell (line, document != NULL ? document->proof : NULL);
  g_string_append (line, "\r\n");
  return tpd_output_write (line->str, line->len);
}

/* --- Summary ------------------------------------------------------------ */

static void
add_keys (TpdJson *json, const TpdPreflight *preflight)
{
  tpd_json_begin_array (json, "keys");
  for (guint i = 0; i < preflight->keys->len; i++)
    {
      const TpdPreflightKey *key = g_ptr_array_index (preflight->keys, i);
      g_autofree char *fingerprint = key->needed ? tpd_hex (key->key.fingerprint.bytes, TPD_SHA256_SIZE) : NULL;

      tpd_json_begin_object (json, NULL);
      tpd_json_string (json, "guid", key->key.guid);
      tpd_json_uint_or_null (json, "bits", key->key.bits);
      tpd_json_string (json, "fingerprint", fingerprint);
      tpd_json_string (json, "tenant", key->key.tenant);
      tpd_json_string (json, "url", key->key.url);
      tpd_json_boolean (json, "held", key->held);
      tpd_json_boolean (json, "own", key->own != TPD_OWN_FOREIGN);
      tpd_json_string (json, "own_by", tpd_own_word (key->own));
      tpd_json_uint (json, "files", key->count.files);
      tpd_json_uint (json, "bytes", key->count.bytes);
      if (preflight->listed == NULL)
        tpd_json_null (json, "listed");
      else
        tpd_json_boolean (json, "listed", key->listed != NULL);
      tpd_json_string (json, "key_type", key->listed != NULL ? key->listed->type : NULL);
      tpd_json_string (json, "key_status", key->listed != NULL ? key->listed->status : NULL);
      tpd_json_string (json, "key_created", key->listed != NULL ? key->listed->created : NULL);
      tpd_json_end_object (json);
    }
  tpd_json_end_array (json);
}

static void
add_tables (TpdJson *json, const TpdPreflight *preflight)
{
  tpd_json_begin_object (json, "tables");
  for (guint i = 0; i < TPD_N_TABLES; i++)
    tpd_count_to_json (json, tpd_table_word ((TpdTable) i), preflight->tables[i]);
  tpd_json_end_object (json);
  tpd_json_begin_object (json, "opaque");
  for (guint i = 1; i < TPD_N_OPAQUE; i++)
    tpd_count_to_json (json, tpd_opaque_word ((TpdOpaque) i), preflight->opaque[i]);
  tpd_json_end_object (json);
  tpd_json_begin_object (json, "refused");
  for (guint i = 0; i < TPD_REFUSED_N; i++)
    tpd_count_to_json (json, tpd_refused_word ((TpdRefused) i), preflight->refused[i]);
  tpd_json_end_object (json);
}

static void
add_unused (TpdJson *json, const TpdPreflight *preflight)
{
  g_autoptr (GPtrArray) unused = tpd_accept_unused (preflight->accept);

  tpd_json_string_array (json, "accept_unused", unused);
}

static void
add_steps (TpdJson *json)
{
  tpd_json_strings (json, "unseen", (char *const *) tpd_preflight_unseen);
  tpd_json_strings (json, "before", (char *const *) tpd_preflight_before);
  tpd_json_begin_array (json, "steps");
  for (gsize i = 0; i < tpd_preflight_n_steps; i++)
    {
      tpd_json_begin_object (json, NULL);
      tpd_json_string (json, "command", tpd_preflight_steps[i].command);
      tpd_json_string (json, "what", tpd_preflight_steps[i].what);
      tpd_json_string (json, "expect", tpd_preflight_steps[i].expect);
      tpd_json_end_object (json);
    }
  tpd_json_end_array (json);
  tpd_json_strings (json, "after", (char *const *) tpd_preflight_after);
}

void
tpd_preflight_print_summary (const TpdPreflight *preflight)
{
  const TpdScan *scan = preflight->report->scan;
  g_auto (TpdJson) json = { 0 };
  g_autofree char *answer = tpd_preflight_answer (preflight);

  tpd_json_init (&json);
  tpd_json_begin_object (&json, NULL);
  tpd_json_uint (&json, "schema", TPD_REPORT_SCHEMA);
  tpd_json_string (&json, "table", "summary");
  tpd_json_string (&json, "tool_version", TPDFS_VERSION);
  tpd_json_uint (&json, "decoder_version", TPD_DECODER_VERSION);
  tpd_json_path (&json, preflight->report->options->root);
  tpd_json_boolean (&json, "go", preflight->go);
  tpd_json_string (&json, "answer", answer);
  tpd_json_boolean (&json, "deep", preflight->deep);
  tpd_count_to_json (&json, "all", scan->tally.all);
  tpd_count_to_json (&json, "protected", scan->tally.protected);
  tpd_count_to_json (&json, "members", scan->tally.members);
  tpd_count_to_json (&json, "members_shut", preflight->shut);
  tpd_count_to_json (&json, "opens", preflight->opens);
  tpd_count_to_json (&json, "unopened", preflight->unopened);
  tpd_count_to_json (&json, "proven", preflight->proven);
  tpd_scan_left_out_to_json (scan, &json);
  tpd_json_uint (&json, "keys_lacking", preflight->lacking);
  add_keys (&json, preflight);
  add_tables (&json, preflight);
  add_unused (&json, preflight);
  add_steps (&json);
  tpd_json_end_object (&json);
  tpd_json_print (&json);
}
