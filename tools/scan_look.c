/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One file of a scan. While its validator is the same the row of the index is
 * believed; else the file is opened and looked into. Most files of a share are
 * plain, so that path is short: one probe, one narrow row. What a key could
 * still tell is asked for only when the key is held and nothing in clear tells
 * the size.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/error.h"
#include "format/names.h"
#include "tools/scan_private.h"

/* Below this, file systems may keep the content in the inode, with st_blocks 0. */
#define STUB_MIN_SIZE 4096
/* Of FUSE, which is not in linux/magic.h of every release. */
#define FUSE_MAGIC 0x65735546

static char *
path_of (const TpdScanWorker *worker, const char *name)
{
  return tpd_record_path (worker->shared->options->root, worker->dir->path, name);
}

/* --- Looking into files ------------------------------------------------ */

/* A file of a hierarchical store that lies elsewhere: reading would recall it. */
static gboolean
is_stub (TpdScanWorker *worker, const struct stat *st)
{
  struct statfs fs;

  if (st->st_blocks != 0 || st->st_size <= STUB_MIN_SIZE || worker->shared->options->tree.recall)
    return FALSE;
  if (worker->dev != st->st_dev)
    {
      /* sshfs and its like report no blocks at all. */
      worker->blocks_tell = fstatfs (worker->dir->fd, &fs) == 0 && (guint32) fs.f_type != FUSE_MAGIC;
      worker->dev = st->st_dev;
    }
  return worker->blocks_tell;
}

int
tpd_scan_open (const TpdScanWorker *worker, const char *name)
{
  const int flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW;
  int fd = openat (worker->dir->fd, name, flags | O_NOATIME);

  if (fd < 0 && errno == EPERM)
    fd = openat (worker->dir->fd, name, flags);
  return fd;
}

void
tpd_scan_put (TpdScanWorker *worker, const TpdIndexRow *row, const TpdIndexDocument *document, const TpdStamp *link)
{
  TpdScanShared *shared = worker->shared;
  guint64 number = link != NULL ? tpd_links_put (shared->links, link, row, document) : 0;

  tpd_index_batch_put (worker->batch, row, document, number);
  tpd_tally_add (&worker->tally, row, document, shared->session->keyring, shared->options->cutoff);
}

/* A row whose facts are worth keeping: all but plain files, and those of them
 * that have warnings. */
static void
put_facts (TpdScanWorker *worker, TpdIndexRow *row, TpdFileFacts *facts, const TpdStamp *link)
{
  g_auto (TpdJson) json = { 0 };
  TpdIndexDocument document;

  tpd_record_from_facts (facts, row, &document, &json, worker->shared->session->keyring);
  if (row->verdict == TPD_VERDICT_NOT_PROTECTED && facts->warnings->len == 0)
    tpd_scan_put (worker, row, NULL, link);
  else
    tpd_scan_put (worker, row, &document, link);
}

static void
put_error (TpdScanWorker *worker, TpdIndexRow *row, const GError *error, const TpdStamp *link)
{
  g_autofree char *path = path_of (worker, row->name);
  TpdFileFacts *facts = tpd_file_facts_of_error (path, error);

  tpd_progress_tell (worker->shared->progress, TPD_LOG_WARNING, "%s: %s: %s", path, tpd_verdict_word (facts->verdict),
                     facts->message);
  put_facts (worker, row, facts, link);
  tpd_file_facts_free (facts);
}

void
tpd_scan_put_errno (TpdScanWorker *worker, TpdIndexRow *row, int errnum, const TpdStamp *link)
{
  g_autoptr (GError) error = NULL;

  tpd_error_set_errno (&error, errnum, "cannot open the file");
  put_error (worker, row, error, link);
}

static void
put_offline (TpdScanWorker *worker, TpdIndexRow *row)
{
  const TpdIndexDocument document = {
    .message = "its content is not stored here but on another medium (offline): it was not looked into; --recall does",
  };

  row->verdict = TPD_VERDICT_OFFLINE;
  tpd_scan_put (worker, row, &document, NULL);
}

TpdFileFactsFlags
tpd_scan_facts_flags (const TpdScanOptions *options)
{
  /* Which keys are missing is told by the index: tpd_record_message(). */
  return TPD_FILE_FACTS_TERSE
         | (options->check  ? TPD_FILE_FACTS_CHECK
            : options->deep ? TPD_FILE_FACTS_DEFAULT
                            : TPD_FILE_FACTS_LAZY);
}

/* What a plain file may hide. FALSE with error when it cannot be read. */
static gboolean
look_at_plain (TpdScanWorker *worker, TpdIndexRow *row, TpdSource *source, TpdProbe *probe, GError **error)
{
  if (!tpd_opaque_look (source, probe, &row->opaque, error))
    return FALSE;
  tpd_opaque_warn (probe, row->opaque);
  return tpd_scan_container (worker, row, source, probe, error);
}

static void
look_into (TpdScanWorker *worker, TpdIndexRow *row, TpdSource *source, const TpdStamp *stamp, const TpdStamp *link)
{
  TpdScanShared *shared = worker->shared;
  const TpdOpenOptions options = { 0 };
  g_autoptr (GError) error = NULL;
  g_autofree char *path = NULL;
  TpdFileFacts *facts;
  TpdProbe *probe = tpd_probe (source, NULL);

  if (probe->kind == TPD_KIND_PLAIN && probe->verdict == TPD_VERDICT_NOT_PROTECTED
      && !look_at_plain (worker, row, source, probe, &error))
    {
      tpd_probe_free (probe);
      put_error (worker, row, error, link);
      return;
    }
  if (probe->kind == TPD_KIND_PLAIN && probe->verdict == TPD_VERDICT_NOT_PROTECTED && probe->warnings == NULL
      && !tpd_name_is_candidate (row->name, NULL))
    {
      tpd_scan_put (worker, row, NULL, link);
      tpd_probe_free (probe);
      return;
    }
  path = path_of (worker, row->name);
  facts = tpd_file_facts_gather_source (path, source, stamp, probe, shared->session, &options,
                                        tpd_scan_facts_flags (shared->options));
  if (facts->verdict == TPD_VERDICT_IO_ERROR)
    tpd_progress_tell (shared->progress, TPD_LOG_WARNING, "%s: io-error: %s", path, facts->message);
  put_facts (worker, row, facts, link);
  tpd_file_facts_free (facts);
}

/* Whether the first bytes of the open file show that it is plain and hides
 * nothing: without a probe and all it takes. */
static gboolean
shows_plain (const TpdScanWorker *worker, const char *name)
{
  guint8 head[TPD_PROBE_FIRST];
  gsize len;

  return tpd_probe_starts_plain_fd (worker->fd, (guint64) worker->st.st_size, head, &len)
         && !tpd_opaque_starts (head, len) && !tpd_name_is_candidate (name, NULL);
}

/* The validator stays that of lstat: should the file have changed since, the
 * next scan sees another one and looks again. */
static void
open_and_look (TpdScanWorker *worker, TpdIndexRow *row, const TpdStamp *stamp, const TpdStamp *link)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdSource) source = NULL;
  int fd = -1;

  worker->tally.opened++;
  if (worker->fd >= 0 && shows_plain (worker, row->name))
    {
      tpd_scan_put (worker, row, NULL, link);
      return;
    }
  if (worker->fd >= 0)
    {
      source = tpd_source_new_file (worker->fd, &worker->st);
      worker->fd = -1;
    }
  else
    {
      fd = tpd_scan_open (worker, row->name);
      source = fd >= 0 ? tpd_source_new_fd (fd, &error) : NULL;
    }
  if (source != NULL)
    look_into (worker, row, source, stamp, link);
  else if (error != NULL)
    put_error (worker, row, error, link);
  else if (errno != ENOENT)
    tpd_scan_put_errno (worker, row, errno, link);
  else if (link != NULL)
    /* Gone meanwhile: that is no failure. */
    tpd_links_put (worker->shared->links, link, NULL, NULL);
}

/* One of several names of a file: another may have been looked into. */
static void
look_at_link (TpdScanWorker *worker, TpdIndexRow *row, const TpdStamp *stamp)
{
  TpdScanShared *shared = worker->shared;
  g_autoptr (TpdLink) link = tpd_links_take (shared->links, stamp);
  TpdIndexRow same;

  if (link == NULL)
    {
      open_and_look (worker, row, stamp, stamp);
      return;
    }
  /* Each name of an archive has rows for its members. */
  if (link->row.members > 0)
    {
      open_and_look (worker, row, stamp, NULL);
      return;
    }
  same = link->row;
  same.name = row->name;
  tpd_index_batch_put (worker->batch, &same, link->document, link->number);
  tpd_tally_add (&worker->tally, &same, link->document, shared->session->keyring, shared->options->cutoff);
}

/* --- Believing the index ----------------------------------------------- */

static gboolean
find_document (TpdScanWorker *worker, const TpdIndexRow *row, const TpdIndexDocument **document)
{
  GError *error = NULL;

  *document = NULL;
  if (row->document == 0 || tpd_index_reader_document (worker->reader, row->document, document, &error))
    return TRUE;
  tpd_scan_stop (worker->shared, error);
  return FALSE;
}

gboolean
tpd_scan_is_worth_opening (const TpdScanWorker *worker, const TpdIndexRow *row, const TpdIndexDocument *document)
{
  const TpdScanShared *shared = worker->shared;

  if (document != NULL && document->asked_with != 0
      && document->asked_with != tpd_keyring_held_mark (shared->session->keyring))
    return tpd_record_key_is_held (document, shared->session->keyring);
  if (shared->options->check && row->opened && !row->checked && row->verdict == TPD_VERDICT_OK)
    return tpd_record_key_is_held (document, shared->session->keyring);
  if (row->opened || row->verdict != TPD_VERDICT_NO_KEY || !tpd_record_key_is_held (document, shared->session->keyring))
    return FALSE;
  return shared->options->deep || row->size_class != TPD_SIZE_EXACT;
}

/* Counts the members of an archive that is. */
static gboolean
is_believed (TpdScanWorker *worker, const TpdIndexRow *row, const TpdIndexDocument *document, const TpdStamp *stamp,
             const struct stat *st)
{
  if (row == NULL || !tpd_index_row_is_current (row, stamp) || row->verdict == TPD_VERDICT_IO_ERROR)
    return FALSE;
  if (row->verdict == TPD_VERDICT_OFFLINE)
    return !worker->shared->options->tree.recall && st->st_blocks == 0;
  if (tpd_record_is_protected (row) && document == NULL)
    return FALSE;
  return !tpd_scan_is_worth_opening (worker, row, document) && tpd_scan_container_known (worker, row);
}

/* --- A file ------------------------------------------------------------ */

void
tpd_scan_look (TpdScanWorker *worker, const char *name, const struct stat *st, const TpdIndexRow *known)
{
  TpdScanShared *shared = worker->shared;
  const TpdIndexDocument *document = NULL;
  TpdIndexRow row = { .name = name, .kind = TPD_KIND_PLAIN, .verdict = TPD_VERDICT_NOT_PROTECTED };
  TpdStamp stamp;

  tpd_stamp_from_stat (&stamp, st);
  if (st->st_nlink > 1)
    worker->tally.links++;
  if (known != NULL && !find_document (worker, known, &document))
    return;
  if (is_believed (worker, known, document, &stamp, st))
    {
      /* Those of its members were asked for meanwhile. */
      if (known->members > 0 && !find_document (worker, known, &document))
        return;
      worker->tally.known++;
      tpd_tally_add (&worker->tally, known, document, shared->session->keyring, shared->options->cutoff);
      return;
    }
  if (known != NULL && known->members > 0)
    tpd_index_batch_remove_members (worker->batch, name);
  tpd_index_row_set_stamp (&row, &stamp);
  if (is_stub (worker, st))
    put_offline (worker, &row);
  else if (st->st_size == 0 && !tpd_name_is_candidate (name, NULL))
    tpd_scan_put (worker, &row, NULL, NULL);
  else if (st->st_nlink > 1)
    look_at_link (worker, &row, &stamp);
  else
    open_and_look (worker, &row, &stamp, NULL);
}
