/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open files: see fs/open_file.h.
 *
 * A file handle of the kernel owns one `opener` of a TpdOpenFile; the node's
 * list of open files owns nothing, it only finds them. Both the list and the
 * number of openers are under the node lock; when the last opener goes, the
 * file leaves the list under that lock, so that nobody can join it any more.
 * References keep it in memory for whoever is using it at that moment.
 *
 * One content, and one way of reading it, at a time
 *
 * An inode has one size and one set of pages in the kernel, whoever reads it.
 * What is open as a plain file and has become a protected one, or another
 * version of it, must therefore not be opened as the same inode: the pages of
 * one would be read by the other. The node is detached instead, and ESTALE
 * makes the kernel look the path up anew, which gives a new inode; who has the
 * old one open keeps it.
 *
 * The kernel reads an inode either through its page cache, asking us, or from
 * a registered file (passthrough), and as long as anybody has it open in one
 * way it answers EIO to whoever would open it in the other or from another
 * registered file. So the first opener decides, for all who come while it is
 * open: the decision, with the registration, is made under the passthrough
 * lock of the inode. All openers of a registered file share one TpdOpenFile,
 * the last of them gives the registration up; the kernel has let go of it
 * before it sends that RELEASE.
 */
#include "fs/open_file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/io.h"
#include "fs/look.h"

struct _TpdOpenFile {
  gint refs;     /* atomic */
  guint openers; /* under the node lock */
  TpdOpenFile *next;
  TpdNode *node;         /* counted reference */
  TpdSource *source;     /* NULL: registered, and the descriptor was not kept */
  int fd;                /* the source's; -1 */
  TpdDocument *document; /* NULL: plain */
  TpdStamp stamp;        /* when it was opened */
  gint32 backing_id;     /* registered with the kernel; 0: not */
};

static void
file_free (TpdOpenFile *file)
{
  if (file->document != NULL)
    tpd_document_unref (file->document);
  if (file->source != NULL)
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
  if (file->backing_id > 0 && file->source != NULL)
    tpd_passthrough_give_fd (fs->passthrough);
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

/* Under the node lock: whether what is open is something else. A plain file may
 * be written to, and is the same; of a protected one each version is another. */
static gboolean
differs (const TpdNode *node, gboolean protected, const TpdStamp *stamp)
{
  const TpdOpenFile *file = node->opens;

  if (file == NULL)
    return FALSE;
  return (file->document != NULL) != protected || (protected && !tpd_stamp_same_content (&file->stamp, stamp));
}

gboolean
tpd_open_file_differs (TpdNode *node, gboolean protected, const TpdStamp *stamp)
{
  gboolean result;

  tpd_node_lock (node);
  result = differs (node, protected, stamp);
  tpd_node_unlock (node);
  return result;
}

/* Under the node lock: what others have open in this version; of a plain file
 * that is registered there is one, whatever was written to it since. */
static TpdOpenFile *
join (TpdNode *node, gboolean protected, const TpdStamp *stamp)
{
  for (TpdOpenFile *file = node->opens; file != NULL; file = file->next)
    if (protected ? file->document != NULL && tpd_stamp_same_content (&file->stamp, stamp)
                  : file->document == NULL && file->backing_id > 0)
      {
        file->openers++;
        g_atomic_int_inc (&file->refs);
        return file;
      }
  return NULL;
}

/* Under the node lock: whether the kernel's pages are those of this version;
 * from now on they are to be. */
static gboolean
keep_pages (TpdNode *node, const TpdStamp *stamp, gboolean cacheable)
{
  gboolean were = node->cached;

  cacheable = cacheable && tpd_stamp_same_content (&node->stamp, stamp);
  node->cached = cacheable;
  return cacheable && were;
}

static TpdOpenFile *
file_new (TpdFs *fs, TpdNode *node, TpdSource *source, int fd, TpdDocument *document, const TpdStamp *stamp,
          gint32 backing_id)
{
  TpdOpenFile *file = g_new0 (TpdOpenFile, 1);

  file->refs = 1;
  file->openers = 1;
  file->node = tpd_node_ref (node);
  file->document = document != NULL ? tpd_document_ref (document) : NULL;
  file->stamp = *stamp;
  file->backing_id = backing_id;
  file->fd = -1;
  if (backing_id == 0 || tpd_passthrough_take_fd (fs->passthrough))
    {
      file->source = tpd_source_ref (source);
      file->fd = fd;
    }
  return file;
}

/* Under the passthrough lock: see enter(). */
static TpdOpenFile *
enter_locked (TpdFs *fs, TpdNode *node, TpdSource *source, int fd, TpdDocument *document, const TpdStamp *stamp,
              gboolean cacheable, gboolean *keep_cache)
{
  TpdOpenFile *file = NULL;
  gboolean is_open, is_other;
  gint32 backing_id = 0;

  tpd_node_lock (node);
  is_open = node->opens != NULL;
  is_other = differs (node, document != NULL, stamp);
  if (!is_other)
    file = join (node, document != NULL, stamp);
  *keep_cache = file != NULL && file->backing_id == 0 && keep_pages (node, stamp, cacheable);
  tpd_node_unlock (node);
  if (file != NULL || is_other)
    return file;

  if (!is_open && document == NULL)
    backing_id = tpd_passthrough_register (fs->passthrough, fd, stamp->size);
  else if (!is_open && tpd_document_memory_fd (document) >= 0)
    backing_id = tpd_passthrough_register (fs->passthrough, tpd_document_memory_fd (document), document->plain_size);
  file = file_new (fs, node, source, fd, document, stamp, backing_id);
  tpd_node_lock (node);
  file->next = node->opens;
  node->opens = file;
  *keep_cache = backing_id == 0 && keep_pages (node, stamp, cacheable);
  tpd_node_unlock (node);
  return file;
}

/* Enters a new file, or joins one that is open. NULL: what is open is something
 * else, which cannot be the same inode any more. */
static TpdOpenFile *
enter (TpdFs *fs, TpdNode *node, TpdSource *source, int fd, TpdDocument *document, const TpdStamp *stamp,
       gboolean cacheable, gboolean *keep_cache)
{
  TpdOpenFile *file;

  tpd_passthrough_lock (fs->passthrough, node->id);
  file = enter_locked (fs, node, source, fd, document, stamp, cacheable, keep_cache);
  tpd_passthrough_unlock (fs->passthrough, node->id);
  if (file == NULL)
    tpd_inodes_detach (fs->inodes, node);
  return file;
}

static void
count_open (TpdFs *fs, const TpdOpenFile *file)
{
  tpd_fs_count (fs, file->document != NULL ? TPD_COUNT_OPENS_PROTECTED : TPD_COUNT_OPENS_PLAIN, 1);
  if (file->backing_id > 0)
    tpd_fs_count (fs, TPD_COUNT_OPENS_PASSTHROUGH, 1);
}

void
tpd_open_file_close (TpdFs *fs, TpdOpenFile *file)
{
  TpdNode *node = file->node;
  gboolean last;

  tpd_node_lock (node);
  last = --file->openers == 0;
  if (last)
    {
      TpdOpenFile **link = &node->opens;

      while (*link != file)
        link = &(*link)->next;
      *link = file->next;
    }
  tpd_node_unlock (node);
  if (last && file->backing_id > 0)
    tpd_passthrough_unregister (fs->passthrough, file->backing_id);
  file_unref (fs, file);
}

static int
stale (TpdFs *fs, TpdNode *node)
{
  tpd_fs_count (fs, TPD_COUNT_STALE, 1);
  tpd_fs_forget_attributes (fs, node->id);
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
        tpd_fs_forget_attributes (fs, node->id);
      if (tpd_facts_passes (fs, facts))
        return stale (fs, node);
      return refuse (fs, node, stamp, facts, decoded.error->message);
    }
  /* The kernel has been told another size: it must hear of this one first. */
  if (facts->size != published->size)
    return stale (fs, node);
  if (decoded.document == NULL)
    return refuse_crowded (fs, node, stamp, facts->kind);
  *out = enter (fs, node, source, fd, decoded.document, stamp, TRUE, keep_cache);
  if (*out == NULL)
    return stale (fs, node);
  count_open (fs, *out);
  return 0;
}

/*
 * A plain file has been written to since it was published, as log files are
 * all the time. Nothing is wrong with that as long as it is still plain, but
 * the kernel would cut it at the size it knows: it is told to ask again
 * before it reads.
 */
static gboolean
is_still_plain (TpdFs *fs, TpdNode *node, TpdSource *source, const struct stat *st)
{
  if (!tpd_look_is_plain (fs, source, st))
    return FALSE;
  tpd_fs_forget_attributes (fs, node->id);
  return TRUE;
}

static gboolean
is_same (const TpdFacts *a, const TpdFacts *b)
{
  return a->size == b->size && a->kind == b->kind
         && (tpd_facts_decrypts (a) ? tpd_facts_decrypts (b) : a->verdict == b->verdict);
}

/* Whether the kernel was told the truth when it was told what the index says.
 * What cannot be looked at now may be. */
static gboolean
hint_was_right (TpdFs *fs, TpdNode *node, const TpdFacts *hinted, const TpdFacts *facts)
{
  if (!facts->known)
    return TRUE;
  if (!is_same (hinted, facts))
    tpd_known_is_wrong (fs, node);
  return facts->size == hinted->size;
}

/*
 * Several requests may have looked at a file while it was written, and their
 * answers reach the kernel in any order: what we published last need not be what
 * it believes. Whoever opens such a file makes it ask again; the kernel drops
 * answers that were on their way.
 */
static gboolean
is_written_lately (const TpdStamp *stamp)
{
  gint64 age = g_get_real_time () - stamp->ctime_ns / 1000;

  return ABS (age) < 3 * G_USEC_PER_SEC;
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

  if (same && is_written_lately (&stamp))
    tpd_fs_forget_attributes (fs, node->id);

  if ((!facts.known || facts.hinted) && same)
    {
      /* Could not be looked at when it was looked up, or its size was left
       * open, or nobody but the index told what it is. The kernel is to have
       * the truth before anybody reads: it looks the path up anew. */
      const TpdFacts before = facts;

      if (tpd_look_at_source (fs, source, &st, &facts, wait) == TPD_WAIT)
        return TPD_WAIT;
      publish_facts (node, &stamp, &facts);
      if (before.hinted && !hint_was_right (fs, node, &before, &facts))
        return stale (fs, node);
      if (!before.hinted && facts.known && facts.size != stamp.size)
        return ESTALE;
    }
  if (tpd_facts_passes (fs, &facts) && facts.known)
    {
      if (!same
          && (stamp.mode != published.mode || stamp.uid != published.uid || stamp.gid != published.gid
              || facts.verdict != TPD_VERDICT_NOT_PROTECTED || !is_still_plain (fs, node, source, &st)))
        return stale (fs, node);
      *out = enter (fs, node, source, fd, NULL, &stamp, same, keep_cache);
      if (*out == NULL)
        return stale (fs, node);
      count_open (fs, *out);
      return 0;
    }
  if (!same)
    return stale (fs, node);

  tpd_node_lock (node);
  *out = join (node, TRUE, &stamp);
  if (*out != NULL && (*out)->backing_id == 0)
    *keep_cache = keep_pages (node, &stamp, TRUE);
  tpd_node_unlock (node);
  if (*out != NULL)
    {
      count_open (fs, *out);
      return 0;
    }
  return open_protected (fs, node, source, fd, &stamp, &facts, out, keep_cache, wait);
}

gint32
tpd_open_file_backing_id (const TpdOpenFile *file)
{
  return file->backing_id;
}

int
tpd_open_file_fd (const TpdOpenFile *file)
{
  return file->document == NULL ? file->fd : -1;
}

guint64
tpd_open_file_size (const TpdOpenFile *file)
{
  return file->stamp.size;
}

static void
put_stamp (struct stat *st, const TpdStamp *stamp)
{
  const gint64 second = G_GINT64_CONSTANT (1000000000);

  st->st_size = (off_t) stamp->size;
  st->st_mtim = (struct timespec){ stamp->mtime_ns / second, stamp->mtime_ns % second };
  st->st_ctim = (struct timespec){ stamp->ctime_ns / second, stamp->ctime_ns % second };
}

/* When there is no descriptor to ask. */
static void
stat_published (TpdNode *node, struct stat *st)
{
  TpdStamp stamp;
  TpdFacts facts;

  tpd_node_get_published (node, &stamp, &facts);
  *st = (struct stat){
    .st_dev = stamp.dev,
    .st_ino = stamp.ino,
    .st_mode = stamp.mode,
    .st_uid = stamp.uid,
    .st_gid = stamp.gid,
    .st_blksize = 4096,
    .st_blocks = (blkcnt_t) (stamp.size / 512 + (stamp.size % 512 != 0)),
  };
  put_stamp (st, &stamp);
  st->st_atim = st->st_mtim;
}

gboolean
tpd_open_file_stat_any (TpdNode *node, struct stat *st)
{
  gboolean is_open, protected;
  TpdStamp stamp = { 0 };
  int fd = -1;

  tpd_node_lock (node);
  is_open = node->opens != NULL;
  protected = is_open && node->opens->document != NULL;
  if (protected)
    stamp = node->opens->stamp;
  /* A second descriptor, since the first may be closed at any moment. */
  for (TpdOpenFile *file = node->opens; file != NULL && fd < 0; file = file->next)
    if (file->fd >= 0)
      fd = fcntl (file->fd, F_DUPFD_CLOEXEC, 3);
  tpd_node_unlock (node);
  if (!is_open)
    return FALSE;
  if (fd < 0 || fstat (fd, st) != 0)
    stat_published (node, st);
  if (fd >= 0)
    close (fd);
  if (protected)
    put_stamp (st, &stamp);
  return TRUE;
}

/* Never less than was asked for: the kernel would take it for the end. */
static gssize
read_plain (int fd, void *buf, gsize len, guint64 off)
{
  gssize n = tpd_pread_upto (fd, buf, len, off, G_MAXUINT64);

  return n < 0 ? -errno : n;
}

gssize
tpd_open_file_read (TpdFs *fs, TpdOpenFile *file, void *buf, gsize len, guint64 off)
{
  g_autoptr (GError) error = NULL;
  gboolean changed;
  TpdStamp now;
  gssize n;

  if (file->document == NULL)
    return file->fd >= 0 ? read_plain (file->fd, buf, len, off) : -EIO; /* the kernel reads it itself */
  n = tpd_document_pread (file->document, buf, len, off, &error);
  changed = file->source == NULL || !tpd_source_stamp (file->source, &now, NULL)
            || !tpd_stamp_same_content (&now, &file->stamp);
  if (n >= 0 && !changed)
    return n;

  /* Either the bytes or what they were made from cannot be trusted. */
  tpd_fs_count (fs, TPD_COUNT_READ_ERRORS, 1);
  if (changed)
    {
      tpd_fs_forget_attributes (fs, file->node->id);
      return -EIO;
    }
  TpdFacts facts = { .kind = (guint8) file->document->kind };
  tpd_facts_fail (&facts, &file->stamp, error);
  return -refuse (fs, file->node, &file->stamp, &facts, error->message);
}
