/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Archives in a scan: every protected member gets a row of its own, as if it
 * were a file. Members are looked into by their first bytes; only what may be
 * a protected document is unpacked further.
 */
#include <string.h>

#include "format/container.h"
#include "tools/scan_private.h"

typedef struct {
  TpdScanWorker *worker;
  const TpdIndexRow *archive;
} Looking;

/* What is told of one member. `probe` is lent, facts want their own. */
static gboolean
put_member (gpointer data, const char *path, TpdSource *source, const TpdProbe *probe, GError **error)
{
  const Looking *looking = data;
  TpdScanWorker *worker = looking->worker;
  const TpdScanShared *shared = worker->shared;
  const TpdOpenOptions options = { 0 };
  const TpdStamp stamp = { 0 };
  g_autofree char *name = g_strconcat (looking->archive->name, path, NULL);
  g_autofree char *shown = tpd_record_path (shared->options->root, worker->dir->path, name);
  g_auto (TpdJson) json = { 0 };
  TpdIndexRow row = *looking->archive;
  TpdIndexDocument document;
  TpdFileFacts *facts = tpd_file_facts_gather_source (shown, source, &stamp, tpd_probe (source, NULL), shared->session,
                                                      &options, tpd_scan_facts_flags (shared->options));

  row.name = name;
  row.archive = looking->archive->name;
  row.size = source->size;
  row.opaque = TPD_OPAQUE_NONE;
  tpd_record_from_facts (facts, &row, &document, &json, shared->session->keyring);
  tpd_scan_put (worker, &row, &document, NULL);
  tpd_file_facts_free (facts);
  return TRUE;
}

/* What is opaque for some other reason than that nobody looked. */
static gboolean
may_be_looked_into (const TpdProbe *probe, TpdOpaque opaque)
{
  return tpd_zip_magic (probe->head, sizeof probe->head) && (opaque == TPD_OPAQUE_ARCHIVE || opaque == TPD_OPAQUE_ZIP);
}

gboolean
tpd_scan_container (TpdScanWorker *worker, TpdIndexRow *row, TpdSource *source, const TpdProbe *probe, GError **error)
{
  const TpdScanOptions *options = worker->shared->options;
  const TpdIndexRow archive = *row;
  Looking looking = { worker, &archive };
  TpdContainerWork work;
  TpdContainerLook look;

  if (!may_be_looked_into (probe, row->opaque))
    return TRUE;
  if (options->no_containers)
    {
      row->container = TPD_INDEX_CONTAINER_CLOSED;
      return TRUE;
    }
  tpd_container_work_init (&work, options->scratch, source->size);
  if (!tpd_container_look (source, &work, put_member, &looking, &look, error))
    {
      /* What was found before the error: the next scan finds it all. */
      tpd_index_batch_remove_members (worker->batch, row->name);
      return FALSE;
    }
  row->container = look.complete ? TPD_INDEX_CONTAINER_LOOKED : TPD_INDEX_CONTAINER_PARTLY;
  row->opaque = look.opaque;
  row->members = look.protected;
  if (look.protected > 0)
    row->kind = TPD_KIND_ZIP;
  return TRUE;
}

/* --- Believing the index ----------------------------------------------- */

typedef struct {
  TpdScanWorker *worker;
  gboolean again;
} Members;

static void
ask_member (gpointer data, const TpdIndexRow *row, const TpdIndexDocument *document)
{
  Members *members = data;

  members->again = members->again || row->decoder != TPD_DECODER_VERSION || row->verdict == TPD_VERDICT_IO_ERROR
                   || document == NULL || tpd_scan_is_worth_opening (members->worker, row, document);
}

static void
count_member (gpointer data, const TpdIndexRow *row, const TpdIndexDocument *document)
{
  Members *members = data;
  const TpdScanShared *shared = members->worker->shared;

  tpd_tally_add (&members->worker->tally, row, document, shared->session->keyring, shared->options->cutoff);
}

static gboolean
each_member (TpdScanWorker *worker, const TpdIndexRow *known, TpdIndexEachMember each, Members *members)
{
  GError *error = NULL;

  if (tpd_index_reader_each_member (worker->reader, known->name, each, members, &error))
    return TRUE;
  tpd_scan_stop (worker->shared, error);
  return FALSE;
}

gboolean
tpd_scan_container_known (TpdScanWorker *worker, const TpdIndexRow *known)
{
  Members members = { worker, FALSE };

  if (known->container == TPD_INDEX_CONTAINER_CLOSED && !worker->shared->options->no_containers)
    return FALSE;
  if (known->members == 0)
    return TRUE;
  if (!each_member (worker, known, ask_member, &members))
    return TRUE;
  if (members.again)
    return FALSE;
  each_member (worker, known, count_member, &members);
  return TRUE;
}
