/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open files: see fs/open_file.h.
 *
 * A file handle of the kernel owns one `opener` of a TpdOpenFile; the node's
 * list of open files owns nothing, it only finds them. Both the list and the
 * number of openers are under the node lock; when the last opener goes, the
 * file leaves the list under that lock, so that nobody can join it any more.
 * References keep it in memory for whoever is using it at that moment.
 */
#include "fs/open_file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/error.h"
#include "fs/look.h"

struct _TpdOpenFile {
  gint refs;     /* atomic */
  guint openers; /* under the node lock */
  TpdOpenFile *next;
  TpdNode *node; /* counted reference */
  TpdSource *source;
  int fd;                /* the source's */
  TpdDocument *document; /* NULL: plain */
  TpdStamp stamp;        /* when it was opened */
};

static void
file_free (TpdOpenFile *file)
{
  if (file->document != NULL)
    tpd_document_unref (file->document);
  tpd_source_unref (file->source);
  g_free (file);
}

static void
file_unref (TpdFs *fs, TpdOpenFile *file)
{
  TpdNode *node = file->node;
  gboolean protected = file->document != NULL;

  if (!g_atomic_int_dec_and_test (&file->refs))
    return;
  file_free (file);
  if (protected)
    tpd_decoder_released (fs->decoder);
  tpd_node_unref (fs->inodes, node);
}

void
tpd_open_file_close_all (TpdNode *node, gpointer data)
{
  for (TpdOpenFile *file = g_steal_pointer (&node->opens), *next; file != NULL; file = next)
    {
      next = file->next;
      file_free (file);
    }
}

/* Under the node lock: the document that others have open in this version. */
static TpdOpenFile *
join (TpdNode *node, const TpdStamp *stamp)
{
  for (TpdOpenFile *file = node->opens; file != NULL; file = file->next)
    if (file->document != NULL && tpd_stamp_same_content (&file->stamp, stamp))
      {
        file->openers++;
        g_atomic_int_inc (&file->refs);
        return file;
      }
  return NULL;
}

/* Enters a new file, or joins one that another thread entered meanwhile. */
static TpdOpenFile *
enter (TpdFs *fs, TpdNode *node, TpdSource *source, int fd, TpdDocument *document, const TpdStamp *stamp,
       gboolean cacheable, gboolean *keep_cache)
{
  TpdOpenFile *file = g_new0 (TpdOpenFile, 1), *joined = NULL;

  file->refs = 1;
  file->openers = 1;
  file->node = tpd_node_ref (node);
  file->source = tpd_source_ref (source);
  file->fd = fd;
  file->document = document != NULL ? tpd_document_ref (document) : NULL;
  file->stamp = *stamp;
  tpd_node_lock (node);
  if (document != NULL)
    joined = join (node, stamp);
  if (joined == NULL)
    {
      file->next = node->opens;
      node->opens = file;
    }
  cacheable = cacheable && tpd_stamp_same_content (&node->stamp, stamp);
  *keep_cache = cacheable && node->cached;
  node->cached = cacheable;
  tpd_node_unlock (node);
  if (joined == NULL)
    return file;
  file_unref (fs, file);
  return joined;
}

void
tpd_open_file_close (TpdFs *fs, TpdOpenFile *file)
{
  TpdNode *node = file->node;

  tpd_node_lock (node);
  if (--file->openers == 0)
    {
      TpdOpenFile **link = &node->opens;

      while (*link != file)
        link = &(*link)->next;
      *link = file->next;
    }
  tpd_node_unlock (node);
  file_unref (fs, file);
}

static int
stale (TpdFs *fs, TpdNode *node)
{
  tpd_fs_count (fs, TPD_COUNT_STALE, 1);
  tpd_notifier_attributes (fs->notifier, node->id);
  return ESTALE;
}

static int
refuse (TpdFs *fs, TpdNode *node, const TpdStamp *stamp, const TpdFacts *facts, const char *message)
{
  TpdVerdict verdict = (TpdVerdict) facts->verdict;

  tpd_fs_count (fs, TPD_COUNT_OPENS_REFUSED, 1);
  if (tpd_report_is_new (fs->report, stamp, verdict))
    {
      g_autofree char *path = tpd_node_path (fs->inodes, node);

      tpd_report_unreadable (fs->report, path, tpd_kind_word ((TpdKind) facts->kind), verdict, message);
    }
  if (fs->options->errors == TPD_ERRORS_EACCES && verdict != TPD_VERDICT_IO_ERROR)
    return EACCES;
  return tpd_verdict_errno (verdict, facts->io_errno);
}

/* Records facts learnt at open when they still are about what is published. */
static void
publish_facts (TpdNode *node, const TpdStamp *stamp, const TpdFacts *facts)
{
  TpdStamp published;
  TpdFacts before;

  tpd_node_get_published (node, &published, &before);
  if (tpd_stamp_same_content (&published, stamp))
    tpd_node_publish (node, &published, facts);
}

/* The document, or why there is none. 0 or TPD_WAIT. */
static int
get_document (TpdFs *fs, TpdSource *source, const TpdStamp *stamp, const TpdFacts *published, TpdDecoded *decoded,
              TpdWait *wait)
{
  if (!tpd_facts_decodes (fs, published))
    tpd_look_open (fs, source, stamp, TPD_DECODE_DOCUMENT, NULL, decoded);
  else if (!tpd_decoder_find (fs->decoder, stamp, TPD_DECODE_DOCUMENT, decoded))
    return tpd_wait_for (wait, source, stamp, TPD_DECODE_DOCUMENT);
  return 0;
}

/* Decoded documents that are in use leave no room for another. */
static int
refuse_crowded (TpdFs *fs, TpdNode *node, const TpdStamp *stamp, guint8 kind)
{
  const TpdFacts facts = { .kind = kind, .verdict = TPD_VERDICT_IO_ERROR, .io_errno = ENOMEM };

  return refuse (fs, node, stamp, &facts,
                 "too many decoded documents are open; close some, or mount with a larger decode_budget");
}

static int
open_protected (TpdFs *fs, TpdNode *node, TpdSource *source, int fd, const TpdStamp *stamp, const TpdFacts *published,
                TpdOpenFile **out, gboolean *keep_cache, TpdWait *wait)
{
  g_auto (TpdDecoded) decoded = { 0 };
  TpdFacts *facts = &decoded.facts;
  TpdStamp after;

  if (get_document (fs, source, stamp, published, &decoded, wait) == TPD_WAIT)
    return TPD_WAIT;
  if (!tpd_source_stamp (source, &after, NULL) || !tpd_stamp_same_content (&after, stamp)
      || facts->verdict == TPD_VERDICT_NOT_PROTECTED || g_error_matches (decoded.error, TPD_ERROR, TPD_ERROR_STALE))
    return stale (fs, node);

  publish_facts (node, stamp, facts);
  if (decoded.error != NULL)
    {
      if (facts->size != published->size)
        tpd_notifier_attributes (fs->notifier, node->id);
      if (tpd_facts_passes (fs, facts))
        return stale (fs, node);
      return refuse (fs, node, stamp, facts, decoded.error->message);
    }
  /* The kernel has been told another size: it must hear of this one first. */
  if (facts->size != published->size)
    return stale (fs, node);
  if (decoded.document == NULL)
    return refuse_crowded (fs, node, stamp, facts->kind);
  tpd_fs_count (fs, TPD_COUNT_OPENS_PROTECTED, 1);
  *out = enter (fs, node, source, fd, decoded.document, stamp, TRUE, keep_cache);
  return 0;
}

/*
 * A plain file has been written to since it was published, as log files are
 * all the time. Nothing is wrong with that as long as it is still plain, but
 * the kernel would cut it at the size it knows: it is told to ask again
 * before it reads. Calling it from here cannot hang: no pages are
 * invalidated, and the caller's open() holds the inode.
 */
static gboolean
is_still_plain (TpdFs *fs, TpdNode *node, TpdSource *source, const struct stat *st)
{
  if (!tpd_look_is_plain (fs, source, st))
    return FALSE;
  fuse_lowlevel_notify_inval_inode (fs->session, node->id, -1, 0);
  return TRUE;
}

int
tpd_open_file (TpdFs *fs, TpdNode *node, TpdOpenFile **out, gboolean *keep_cache, TpdWait *wait)
{
  g_autoptr (TpdSource) source = NULL;
  TpdStamp stamp, published;
  TpdFacts facts;
  struct stat st;
  int fd, errnum;
  gboolean same;

  errnum = tpd_dirs_open (fs->dirs, node, O_RDONLY, &fd, &st);
  if (errnum != 0)
    return errnum == ESTALE ? stale (fs, node) : errnum;
  source = tpd_source_new_fd (fd, NULL);
  if (source == NULL)
    return EIO;
  tpd_stamp_from_stat (&stamp, &st);
  tpd_node_get_published (node, &published, &facts);
  same = tpd_stamp_equal (&stamp, &published);

  if (!facts.known && same)
    {
      /* Could not be looked at when it was looked up, or its size was left
       * open. The kernel is to have that before anybody reads: it looks the
       * path up anew. */
      if (tpd_look_at_source (fs, source, &st, &facts, wait) == TPD_WAIT)
        return TPD_WAIT;
      publish_facts (node, &stamp, &facts);
      if (facts.known && facts.size != stamp.size)
        return ESTALE;
    }
  if (tpd_facts_passes (fs, &facts) && facts.known)
    {
      if (!same
          && (stamp.mode != published.mode || stamp.uid != published.uid || stamp.gid != published.gid
              || facts.verdict != TPD_VERDICT_NOT_PROTECTED || !is_still_plain (fs, node, source, &st)))
        return stale (fs, node);
      tpd_fs_count (fs, TPD_COUNT_OPENS_PLAIN, 1);
      *out = enter (fs, node, source, fd, NULL, &stamp, same, keep_cache);
      return 0;
    }
  if (!same)
    return stale (fs, node);

  tpd_node_lock (node);
  *out = join (node, &stamp);
  if (*out != NULL)
    {
      *keep_cache = node->cached;
      node->cached = tpd_stamp_same_content (&node->stamp, &stamp);
    }
  tpd_node_unlock (node);
  if (*out != NULL)
    {
      tpd_fs_count (fs, TPD_COUNT_OPENS_PROTECTED, 1);
      return 0;
    }
  return open_protected (fs, node, source, fd, &stamp, &facts, out, keep_cache, wait);
}

int
tpd_open_file_fd (const TpdOpenFile *file)
{
  return file->document == NULL ? file->fd : -1;
}

gboolean
tpd_open_file_stat_any (TpdNode *node, struct stat *st)
{
  int fd = -1;
  gboolean fine;

  /* A second descriptor, since the first may be closed at any moment. */
  tpd_node_lock (node);
  if (node->opens != NULL)
    fd = fcntl (node->opens->fd, F_DUPFD_CLOEXEC, 3);
  tpd_node_unlock (node);
  if (fd < 0)
    return FALSE;
  fine = fstat (fd, st) == 0;
  close (fd);
  return fine;
}

static gssize
read_plain (int fd, char *buf, gsize len, guint64 off)
{
  gsize done = 0;

  while (done < len)
    {
      gssize n = pread (fd, buf + done, len - done, (off_t) (off + done));

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return done > 0 ? (gssize) done : -errno;
      if (n == 0)
        break;
      done += (gsize) n;
    }
  return (gssize) done;
}

gssize
tpd_open_file_read (TpdFs *fs, TpdOpenFile *file, void *buf, gsize len, guint64 off)
{
  g_autoptr (GError) error = NULL;
  gboolean changed;
  TpdStamp now;
  gssize n;

  if (file->document == NULL)
    return read_plain (file->fd, buf, len, off);
  n = tpd_document_pread (file->document, buf, len, off, &error);
  changed = !tpd_source_stamp (file->source, &now, NULL) || !tpd_stamp_same_content (&now, &file->stamp);
  if (n >= 0 && !changed)
    return n;

  /* Either the bytes or what they were made from cannot be trusted. */
  tpd_fs_count (fs, TPD_COUNT_READ_ERRORS, 1);
  if (changed)
    {
      tpd_notifier_attributes (fs->notifier, file->node->id);
      return -EIO;
    }
  TpdFacts facts = { .kind = (guint8) file->document->kind };
  tpd_facts_fail (&facts, &file->stamp, error);
  return -refuse (fs, file->node, &file->stamp, &facts, error->message);
}
