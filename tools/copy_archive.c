/* SPDX-License-Identifier: Apache-2.0 */
/* Archives in a copy: written anew into a file, and what is told of it. */
#include "tools/copy_archive.h"

typedef struct {
  int fd;
  guint64 at;
  TpdDigest *sum;
} File;

static gboolean
put (gpointer data, const void *bytes, gsize len, GError **error)
{
  File *file = data;

  tpd_digest_update (file->sum, bytes, len);
  if (!tpd_copy_write (file->fd, bytes, len, file->at, error))
    return FALSE;
  file->at += len;
  return TRUE;
}

static void
miss (gpointer data, const char *path, const TpdFileFacts *facts)
{
  tpd_copy_miss_facts (data, path, facts);
}

gboolean
tpd_copy_archive (TpdCopyWorker *worker, const TpdCopyTask *task, TpdSource *source, int fd,
                  guint8 sha256[TPD_SHA256_SIZE], TpdZipCopyResult *result, GError **error)
{
  TpdCopy *copy = worker->copy;
  const TpdZipCopyOptions options = {
    .session = copy->session,
    .open = &copy->options->open,
    .names = &copy->options->names,
    .scratch = copy->scratch,
    .keep = copy->options->copy_unreadable,
    .path = task->path,
    .block = worker->block,
    .miss = miss,
    .miss_data = copy,
  };
  File file = { fd, 0, tpd_digest_new (TPD_SHA256_SIZE) };
  gboolean good = tpd_zip_copy (source, &options, put, &file, result, error);

  tpd_digest_finish (file.sum, sha256);
  return good;
}

typedef struct {
  TpdCopy *copy;
  const TpdCopyTask *task;
  TpdCopyDryArchive *dry;
} Trying;

static gboolean
try_member (gpointer data, const char *name, TpdSource *source, const TpdProbe *probe, GError **error)
{
  const Trying *trying = data;
  TpdCopy *copy = trying->copy;
  const TpdStamp stamp = { 0 };
  g_autofree char *path = g_strconcat (trying->task->path, name, NULL);
  TpdFileFacts *facts;

  if (copy->options->open.mail == TPD_MAIL_SOURCE && tpd_kind_is_mail (probe->kind))
    return TRUE;
  facts = tpd_file_facts_gather_source (path, source, &stamp, tpd_probe (source, NULL), copy->session,
                                        &copy->options->open, TPD_FILE_FACTS_LAZY);
  if (facts->verdict == TPD_VERDICT_KEY_HELD || facts->document != NULL)
    trying->dry->opening++;
  else
    {
      trying->dry->shut++;
      tpd_copy_miss_facts (copy, path, facts);
    }
  tpd_file_facts_free (facts);
  return TRUE;
}

gboolean
tpd_copy_archive_look (TpdCopy *copy, const TpdCopyTask *task, TpdSource *source, const TpdProbe *probe,
                       TpdContainerLook *look, TpdCopyDryArchive *dry, GError **error)
{
  Trying trying = { copy, task, dry };

  return tpd_zip_copy_look (source, probe, copy->scratch,
                            copy->options->containers && copy->options->dry_run ? try_member : NULL, &trying, look,
                            error);
}

/* Of what was left out, nobody knows whether it is protected. */
#define PARTLY "not all of the archive could be looked into: protected members may be left in it"

char *
tpd_copy_archive_note (const TpdContainerLook *look)
{
  if (look->protected == 0)
    return look->complete ? NULL : g_strdup (PARTLY);
  return g_strdup_printf ("an archive with %" G_GUINT64_FORMAT " protected members, which --containers decrypts%s",
                          look->protected, look->complete ? "" : "; " PARTLY);
}

static char *
message_of (const TpdZipCopyResult *result, const TpdContainerLook *look)
{
  if (result->shut == 0)
    return look->complete ? NULL : g_strdup (PARTLY);
  return g_strdup_printf ("%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " protected members do not open%s",
                          result->shut, result->shut + result->decrypted, look->complete ? "" : "; " PARTLY);
}

char *
tpd_copy_archive_tail (const TpdCopy *copy, const TpdZipCopyResult *result, const TpdContainerLook *look,
                       guint64 source_size, const guint8 source[TPD_SHA256_SIZE], const guint8 plain[TPD_SHA256_SIZE],
                       const GPtrArray *lost)
{
  g_autofree char *source_hex = tpd_hex (source, TPD_SHA256_SIZE), *plain_hex = tpd_hex (plain, TPD_SHA256_SIZE);
  g_autofree char *message = message_of (result, look);
  const TpdCopyArchive archive = {
    .message = message,
    .plain_size = result->size,
    .source_size = source_size,
    .source_sha256 = source_hex,
    .plain_sha256 = plain_hex,
    .proof = tpd_proof_word (result->proven ? TPD_PROOF_PROVEN : TPD_PROOF_PLAUSIBLE),
    .keep = copy->options->copy_unreadable,
    .pext = copy->options->names.words,
    .members = result->members->str,
  };

  return tpd_copy_tail_archive (&archive, lost);
}
