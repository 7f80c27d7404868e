/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Archives written anew: see copy_zip.h. Each level of nesting is gone through
 * twice: first to learn what its members are, on which the names depend, then
 * to write. The header of a member has its size and checksum in front of the
 * content: so a document is decrypted twice, and must come out the same.
 */
#include "tools/copy_zip.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "tools/copy_data.h"
#include "tools/copy_private.h"

/* A member is unpacked to be looked at and to be copied. */
#define PASSES 4

typedef struct {
  const TpdZipCopyOptions *options;
  TpdZipCopyResult *result;
  TpdContainerWork work;
  guint64 outer_size;
} Job;

/* An archive at hand. */
typedef struct {
  Job *job;
  TpdContainer *container;
  TpdZipWriter *writer;
  TpdZipCopyPlan *plans;
  const char *path, *copy; /* of the archive, in source and copy */
  guint depth;
} Level;

void
tpd_zip_copy_result_clear (TpdZipCopyResult *result)
{
  if (result->members != NULL)
    g_string_free (result->members, TRUE);
  result->members = NULL;
}

static gboolean
is_io_error (const GError *error)
{
  return tpd_verdict_from_error (error) == TPD_VERDICT_IO_ERROR;
}

/* --- What there is ------------------------------------------------------- */

static gboolean
may_have_members (const TpdProbe *probe)
{
  return tpd_zip_magic (probe->head, sizeof probe->head) && !probe->package;
}

static gboolean
look_into (TpdSource *source, const TpdProbe *probe, TpdScratchPool *scratch, guint64 outer_size, TpdContainerEach each,
           gpointer data, TpdContainerLook *look, GError **error)
{
  TpdContainerWork work;
  TpdOpaque opaque;

  *look = (TpdContainerLook){ .complete = TRUE };
  if (!may_have_members (probe))
    return TRUE;
  if (!tpd_opaque_look (source, probe, &opaque, error))
    return FALSE;
  if (opaque == TPD_OPAQUE_NONE)
    return TRUE;
  tpd_container_work_init (&work, scratch, outer_size);
  return tpd_container_look (source, &work, each, data, look, error);
}

gboolean
tpd_zip_copy_look (TpdSource *source, const TpdProbe *probe, TpdScratchPool *scratch, TpdContainerEach each,
                   gpointer data, TpdContainerLook *look, GError **error)
{
  return look_into (source, probe, scratch, source->size, each, data, look, error);
}

/* What is plain, or cannot be told, is copied as it is. FALSE only when the
 * archive cannot be read. */
static gboolean
plan_plain (Level *level, TpdSource *source, const TpdProbe *probe, TpdZipCopyPlan *plan, GError **error)
{
  g_autoptr (GError) problem = NULL;
  TpdContainerLook look = { 0 };

  if (probe->verdict == TPD_VERDICT_IO_ERROR)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_ERRNO + (probe->io_errno != 0 ? probe->io_errno : EIO), "%s",
                   probe->message);
      return FALSE;
    }
  if (probe->verdict != TPD_VERDICT_NOT_PROTECTED || level->depth >= TPD_CONTAINER_DEPTH)
    return TRUE;
  if (!look_into (source, probe, level->job->options->scratch, level->job->outer_size, NULL, NULL, &look, &problem)
      && is_io_error (problem))
    {
      g_propagate_error (error, g_steal_pointer (&problem));
      return FALSE;
    }
  if (look.protected > 0)
    plan->action = TPD_ZIP_COPY_NESTED;
  return TRUE;
}

static gboolean
plan_member (Level *level, guint i, GError **error)
{
  TpdZipCopyPlan *plan = &level->plans[i];
  g_autoptr (GError) problem = NULL;
  g_autoptr (TpdSource) source = NULL;
  g_autoptr (TpdProbe) probe = NULL;

  if (level->container->members[i].kind != TPD_MEMBER_FILE || tpd_container_zip_member (level->container, i)->size == 0)
    return TRUE;
  source = tpd_container_member_source (level->container, i, &problem);
  if (source == NULL)
    {
      if (!is_io_error (problem))
        return TRUE;
      g_propagate_error (error, g_steal_pointer (&problem));
      return FALSE;
    }
  probe = tpd_probe (source, NULL);
  if (probe->kind == TPD_KIND_PLAIN)
    return plan_plain (level, source, probe, plan, error);
  /* Mail that is to be left protected. */
  if (probe->verdict == TPD_VERDICT_NOT_PROTECTED
      || (level->job->options->open->mail == TPD_MAIL_SOURCE && tpd_kind_is_mail (probe->kind)))
    return TRUE;
  plan->action = TPD_ZIP_COPY_PROTECTED;
  plan->kind = probe->kind;
  plan->extension = g_strdup (probe->extension);
  return TRUE;
}

/* --- Protected members ---------------------------------------------------- */

static void
add_record (Level *level, const char *path, const char *copy, const TpdFileFacts *facts)
{
  g_autoptr (GPtrArray) lost = g_ptr_array_new ();
  g_autofree char *tail = tpd_copy_tail_facts (facts, lost);
  g_autofree char *record = tpd_copy_record (path, copy, tail);
  GString *members = level->job->result->members;

  if (members->len > 0)
    g_string_append_c (members, ',');
  g_string_append (members, record);
}

static void
set_failed (TpdFileFacts *facts, const GError *error)
{
  facts->verdict = tpd_verdict_from_error (error);
  g_free (facts->message);
  facts->message = g_strdup (error->message);
}

/* The member as it is, all of it: it must hold its checksum, or nobody can say
 * what was protected. */
static gboolean
hash_source (Level *level, guint i, TpdSource *source, char **hex, GError **error)
{
  const TpdZipMember *member = tpd_container_zip_member (level->container, i);
  TpdDigest *sum = tpd_digest_new (TPD_SHA256_SIZE);
  guint8 digest[TPD_SHA256_SIZE], *block = level->job->options->block;
  guint32 crc = 0;
  guint64 off = 0;
  gssize n = 0;

  while (off < source->size && (n = tpd_source_pread (source, block, TPD_COPY_BLOCK, off, error)) > 0)
    {
      tpd_digest_update (sum, block, (gsize) n);
      crc = tpd_zip_crc (crc, block, (gsize) n);
      off += (guint64) n;
    }
  tpd_digest_finish (sum, digest);
  if (n < 0)
    return FALSE;
  if (off != member->size || crc != member->crc)
    {
      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_DAMAGED,
                           "the archive is damaged here: the member does not hold its checksum");
      return FALSE;
    }
  *hex = tpd_hex (digest, sizeof digest);
  return TRUE;
}

/* Runs through the plaintext; gives it to the writer if there is one. */
static gboolean
run_document (Level *level, TpdDocument *document, TpdZipWriter *writer, guint32 *crc, char **hex, GError **error)
{
  TpdDigest *sum = tpd_digest_new (TPD_SHA256_SIZE);
  guint8 digest[TPD_SHA256_SIZE], *block = level->job->options->block;
  guint64 off = 0;
  gboolean good = TRUE;
  gssize n = 0;

  *crc = 0;
  while (good && (n = tpd_document_pread (document, block, TPD_COPY_BLOCK, off, error)) > 0)
    {
      tpd_digest_update (sum, block, (gsize) n);
      *crc = tpd_zip_crc (*crc, block, (gsize) n);
      off += (guint64) n;
      if (writer != NULL)
        good = off <= document->plain_size && tpd_zip_writer_data (writer, block, (gsize) n, error);
    }
  tpd_digest_finish (sum, digest);
  *hex = tpd_hex (digest, sizeof digest);
  if (n < 0 || (!good && *error != NULL))
    return FALSE;
  if (good && off == document->plain_size)
    return TRUE;
  g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED,
               "the content ends at byte %" G_GUINT64_FORMAT ", not at byte %" G_GUINT64_FORMAT, off,
               document->plain_size);
  return FALSE;
}

static gboolean
leave_shut (Level *level, guint i, const char *path, const TpdFileFacts *facts, GError **error)
{
  const TpdZipCopyOptions *options = level->job->options;
  g_autofree char *name = NULL, *copy = NULL;

  level->job->result->shut++;
  level->job->result->proven = FALSE;
  if (options->miss != NULL)
    options->miss (options->miss_data, path, facts);
  if (!options->keep)
    {
      add_record (level, path, NULL, facts);
      return TRUE;
    }
  /* Under its own name, which no other may have. */
  name = tpd_container_member_path (level->container, i);
  copy = g_strconcat (level->copy, name, NULL);
  add_record (level, path, copy, facts);
  return tpd_zip_writer_copy (level->writer, i, error);
}

static char *
copy_path (const Level *level, guint i)
{
  const char *name = level->plans[i].name;
  g_autofree char *same = name == NULL ? tpd_container_member_path (level->container, i) : NULL;

  return name != NULL ? g_strconcat (level->copy, "!/", name, NULL) : g_strconcat (level->copy, same, NULL);
}

static gboolean
write_plaintext (Level *level, guint i, const char *path, TpdFileFacts *facts, guint32 crc, GError **error)
{
  TpdZipCopyResult *result = level->job->result;
  TpdDocument *document = facts->document;
  g_autofree char *copy = copy_path (level, i), *again = NULL;
  guint32 crc_again;

  if (!tpd_zip_writer_begin (level->writer, i, level->plans[i].name, document->plain_size, crc, error)
      || !run_document (level, document, level->writer, &crc_again, &again, error))
    return FALSE;
  if (crc_again != crc || strcmp (again, facts->plain_sha256) != 0)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_STALE, "%s gave other bytes when it was decrypted again", path);
      return FALSE;
    }
  facts->verdict = TPD_VERDICT_OK;
  result->decrypted++;
  result->proven = result->proven && document->proof == TPD_PROOF_PROVEN;
  add_record (level, path, copy, facts);
  return TRUE;
}

/* Opens the member, and reads all of it, and of its plaintext. */
static TpdFileFacts *
open_member (Level *level, guint i, const char *path, guint32 *crc)
{
  const TpdZipCopyOptions *options = level->job->options;
  const TpdStamp stamp = { 0 };
  g_autoptr (GError) problem = NULL;
  g_autoptr (TpdSource) source = tpd_container_member_source (level->container, i, &problem);
  g_autofree char *hex = NULL;
  TpdFileFacts *facts;

  if (source == NULL || !hash_source (level, i, source, &hex, &problem))
    return tpd_file_facts_of_error (path, problem);
  facts = tpd_file_facts_gather_source (path, source, &stamp, tpd_probe (source, NULL), options->session, options->open,
                                        TPD_FILE_FACTS_DEFAULT);
  facts->source_sha256 = g_steal_pointer (&hex);
  if (facts->document != NULL && !run_document (level, facts->document, NULL, crc, &facts->plain_sha256, &problem))
    {
      set_failed (facts, problem);
      g_clear_pointer (&facts->plain_sha256, g_free);
      g_clear_pointer (&facts->document, tpd_document_unref);
    }
  return facts;
}

static gboolean
copy_protected (Level *level, guint i, GError **error)
{
  TpdZipCopyResult *result = level->job->result;
  g_autofree char *name = tpd_container_member_path (level->container, i);
  g_autofree char *path = g_strconcat (level->path, name, NULL);
  g_autoptr (TpdFileFacts) facts = NULL;
  guint32 crc = 0;

  if (result->decrypted + result->shut >= TPD_ZIP_COPY_MAX)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_TOO_LARGE,
                   "the archive has more than %d protected members: unpack it, and copy what was in it",
                   TPD_ZIP_COPY_MAX);
      return FALSE;
    }
  facts = open_member (level, i, path, &crc);
  if (facts->document != NULL)
    return write_plaintext (level, i, path, facts, crc, error);
  if (facts->verdict != TPD_VERDICT_IO_ERROR)
    return leave_shut (level, i, path, facts, error);
  g_set_error (error, TPD_ERROR, TPD_ERROR_ERRNO + EIO, "%s: %s", path, facts->message);
  return FALSE;
}

/* --- Archives inside ------------------------------------------------------ */

typedef struct {
  TpdScratch *scratch;
  guint32 crc;
} Inner;

static gboolean
put_inner (gpointer data, const void *bytes, gsize len, GError **error)
{
  Inner *inner = data;

  inner->crc = tpd_zip_crc (inner->crc, bytes, len);
  return tpd_scratch_append (inner->scratch, bytes, len, error);
}

static gboolean
write_inner (Level *level, guint i, const Inner *inner, GError **error)
{
  guint64 size = tpd_scratch_size (inner->scratch);
  guint8 *block = level->job->options->block;

  if (!tpd_zip_writer_begin (level->writer, i, NULL, size, inner->crc, error))
    return FALSE;
  for (guint64 off = 0; off < size;)
    {
      gsize len = (gsize) MIN (size - off, (guint64) TPD_COPY_BLOCK);

      if (!tpd_scratch_pread (inner->scratch, block, len, off, error)
          || !tpd_zip_writer_data (level->writer, block, len, error))
        return FALSE;
      off += len;
    }
  return TRUE;
}

static gboolean write_archive (Job *job, TpdSource *source, const char *path, const char *copy, guint depth,
                               TpdZipSink sink, gpointer data, guint64 *size, GError **error);

static gboolean
copy_nested (Level *level, guint i, GError **error)
{
  g_autofree char *name = tpd_container_member_path (level->container, i);
  g_autofree char *path = g_strconcat (level->path, name, NULL), *copy = copy_path (level, i);
  g_autoptr (TpdSource) source = tpd_container_member_source (level->container, i, error);
  g_autoptr (TpdScratch) scratch = tpd_scratch_new (level->job->options->scratch);
  Inner inner = { scratch, 0 };
  guint64 size;

  return source != NULL
         && write_archive (level->job, source, path, copy, level->depth + 1, put_inner, &inner, &size, error)
         && write_inner (level, i, &inner, error);
}

/* --- An archive ----------------------------------------------------------- */

static gboolean
copy_members (Level *level, GError **error)
{
  for (guint at = 0; at < level->container->n; at++)
    {
      guint i = level->container->in_order[at];
      gboolean good;

      switch (level->plans[i].action)
        {
        case TPD_ZIP_COPY_PROTECTED:
          good = copy_protected (level, i, error);
          break;
        case TPD_ZIP_COPY_NESTED:
          good = copy_nested (level, i, error);
          break;
        default:
          good = tpd_zip_writer_copy (level->writer, i, error);
          break;
        }
      if (!good)
        return FALSE;
    }
  return TRUE;
}

static void
free_plans (TpdZipCopyPlan *plans, guint n)
{
  for (guint i = 0; i < n; i++)
    {
      g_free (plans[i].extension);
      g_free (plans[i].name);
    }
  g_free (plans);
}

static gboolean
plan_and_copy (Level *level, GError **error)
{
  for (guint at = 0; at < level->container->n; at++)
    if (!plan_member (level, level->container->in_order[at], error))
      return FALSE;
  tpd_zip_copy_names (level->container, level->plans, level->job->options->names);
  return copy_members (level, error);
}

/* No deeper than TPD_CONTAINER_DEPTH. */
static gboolean
write_archive (Job *job, TpdSource *source, const char *path, const char *copy, guint depth, TpdZipSink sink,
               gpointer data, guint64 *size, GError **error)
{
  g_autoptr (TpdContainer) container = tpd_container_open (source, &job->work, error);
  g_autoptr (TpdZipWriter) writer = NULL;
  Level level = { .job = job, .container = container, .path = path, .copy = copy, .depth = depth };
  gboolean good;

  if (container == NULL)
    return FALSE;
  writer = level.writer = tpd_zip_writer_new (container, sink, data, job->options->block, TPD_COPY_BLOCK);
  level.plans = g_new0 (TpdZipCopyPlan, MAX (container->n, 1));
  good = plan_and_copy (&level, error) && tpd_zip_writer_finish (writer, size, error);
  free_plans (level.plans, container->n);
  return good;
}

gboolean
tpd_zip_copy (TpdSource *source, const TpdZipCopyOptions *options, TpdZipSink sink, gpointer data,
              TpdZipCopyResult *result, GError **error)
{
  Job job = { .options = options, .result = result, .outer_size = source->size };

  *result = (TpdZipCopyResult){ .proven = TRUE, .members = g_string_new (NULL) };
  tpd_container_work_init (&job.work, options->scratch, source->size);
  job.work.budget.max_bytes *= job.work.budget.max_bytes < G_MAXUINT64 / PASSES ? PASSES : 1;
  return write_archive (&job, source, options->path, options->path, 1, sink, data, &result->size, error);
}
