/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a copy. */
#pragma once

#include "format/scratch.h"
#include "tools/copy.h"
#include "tools/copy_data.h"
#include "tools/copy_links.h"
#include "tools/facts.h"
#include "tools/journal.h"
#include "tools/spill.h"
#include "tools/target.h"
#include "tools/walk.h"

/* A directory that files come from and go to. Counted. */
typedef struct {
  gint ref_count; /* atomic */
  int source_fd;
  int target_fd;            /* the same as source_fd in place */
  gboolean has_default_acl; /* new files in the target may get one */
  gboolean lacks_syncfs;    /* of the target */
  char *path;               /* relative to both roots */
} TpdCopyDir;

TpdCopyDir *tpd_copy_dir_ref (TpdCopyDir *dir);
void tpd_copy_dir_unref (TpdCopyDir *dir);

/* A directory entry to be copied. */
typedef struct {
  TpdCopyDir *dir;
  char *name;      /* in the source */
  char *shown;     /* in the copy */
  char *path;      /* of the source, relative */
  char *copy;      /* of the copy, relative */
  guint8 type;     /* DT_REG or DT_LNK */
  gboolean missed; /* a line in MISSING tells of it */
} TpdCopyTask;

void tpd_copy_task_free (TpdCopyTask *task);
/* The copy gets the name of the source. */
void tpd_copy_task_keep_name (TpdCopyTask *task);

typedef enum {
  TPD_COPY_DECRYPTED,
  TPD_COPY_PLAIN,
  TPD_COPY_RAW,
  TPD_COPY_SYMLINK,
  TPD_COPY_LINK,
  TPD_COPY_ARCHIVE,
} TpdCopyWhat;

/* A finished temporary file that waits for its name. */
typedef struct {
  TpdCopyTask *task;
  TpdCopyWhat what;
  char *temp; /* in the directory of the copy */
  char *tail; /* of the record */
  TpdStamp source;
  TpdJournalMark mark;
  guint8 sha256[TPD_SHA256_SIZE]; /* of a file that is to be checked */
  gboolean check;
  gboolean proven;
  guint64 members;   /* decrypted in an archive */
  gboolean is_first; /* of several names of a file */
  GError *error;     /* of this one, while a batch is committed */
} TpdCopyItem;

void tpd_copy_item_free (TpdCopyItem *item);

struct _TpdCopy {
  const TpdCopyOptions *options;
  const TpdSession *session;
  TpdProgress *progress;
  gboolean in_place;
  char *source_path, *target_path; /* real; the target of originals in place */
  int source_fd, target_fd, originals_fd, state_fd;
  guint64 source_dev;
  guint64 options_hash;
  TpdScratchPool *scratch;
  TpdJournal *journal; /* NULL in a dry run */
  TpdCopyLinks *links;
  TpdWalk *walk;
  gint stop;      /* atomic: nothing new is begun */
  guint temps;    /* atomic: temporary files made */
  gint64 started; /* Unix seconds */

  GMutex lock;
  GCond work;        /* workers: there is a task, or there will be none */
  GCond room;        /* the walk: there is room for tasks */
  GCond space;       /* workers: there is room for items */
  GCond batch;       /* the commit thread: there may be a batch */
  guint batch_files; /* items in a batch at most */
  guint max_tasks;   /* in the queue */
  guint together;    /* tasks that a worker takes at once, at most */
  GQueue tasks;      /* of TpdCopyTask, under lock, as all below */
  guint idle;        /* workers that wait for one */
  gboolean fed;      /* there will be no more tasks */
  GPtrArray *items;  /* of TpdCopyItem: to be committed */
  guint64 item_bytes;
  guint committing; /* items at work */
  gint64 oldest;    /* of `items`, monotonic */
  gboolean workers_done;
  TpdSpill *dirs; /* whose attributes are set at the end */
  GError *error;  /* the first that ends it all */
  TpdCopyCounts counts;

  GMutex out_lock;   /* of standard output and MISSING */
  int missing_fd;    /* under out_lock */
  guint64 n_missing; /* under out_lock */
  guint n_told;      /* under out_lock */
  guint n_no_room;   /* under out_lock: files that the disk had no room for */
};

/* What the paths of copies are relative to. */
static inline int
tpd_copy_root_of_copies (const TpdCopy *copy)
{
  return copy->in_place ? copy->source_fd : copy->target_fd;
}

/* One thread that copies. It takes several tasks at once, and asks for the keys
 * of small files together. */
typedef struct {
  TpdCopy *copy;
  guint8 *block;                /* TPD_COPY_BLOCK */
  guint8 *small;                /* copy->together times TPD_TEE_SMALL */
  struct _TpdCopyFile *waiting; /* copy->together: files that wait for their keys */
  guint n_waiting;
} TpdCopyWorker;

/* Ends the copy with `error`, which is taken over; the first counts. */
void tpd_copy_stop (TpdCopy *copy, GError *error);
gboolean tpd_copy_is_stopped (TpdCopy *copy);
/* Adds to a member of copy->counts. */
#define tpd_copy_count(copy, member, n) \
  do                                    \
    {                                   \
      g_mutex_lock (&(copy)->lock);     \
      (copy)->counts.member += (n);     \
      g_mutex_unlock (&(copy)->lock);   \
  } while (0)

/* --- copy_entry.c ----------------------------------------------------- */

/* Makes the copy of `task`, which is taken over, or tells why not; or it waits for
 * its key. As many as may wait are run before tpd_copy_end_waiting(). */
void tpd_copy_task_run (TpdCopyWorker *worker, TpdCopyTask *task);

/* --- copy_file.c ------------------------------------------------------ */

/* Gets the keys of the files that wait, and copies them. */
void tpd_copy_end_waiting (TpdCopyWorker *worker);

/* --- copy_done.c ------------------------------------------------------ */

/* Set in the validator of a copy that no run is to find finished, and of links to
 * it: something was left out. It is in no other. */
#define TPD_COPY_AGAIN G_GUINT64_CONSTANT (1)
/* What tells whether the copy `name` is that of the file as it is. */
guint64 tpd_copy_validator (const TpdCopy *copy, const TpdStamp *stamp, const char *name);
/* Whether an earlier run finished `task`, or it was told why it cannot be. */
gboolean tpd_copy_skip_finished (TpdCopy *copy, const TpdCopyTask *task, const TpdStamp *stamp);
/* lstat of a path beneath `root_fd`. */
gboolean tpd_copy_stat_beneath (int root_fd, const char *path, struct stat *st);
/* Whether an earlier run finished another name of the file `stamp`, which has
 * several: `*found` is that. */
gboolean tpd_copy_find_other (TpdCopyWorker *worker, const TpdCopyTask *task, const TpdStamp *stamp,
                              TpdJournalEntry *found);

/* --- copy_commit.c ---------------------------------------------------- */

/* A new name for a temporary file. (transfer full) */
char *tpd_copy_temp_name (TpdCopy *copy);
/* Hands over a finished file; waits while too many wait already. */
void tpd_copy_submit (TpdCopy *copy, TpdCopyItem *item);
/* The thread that commits; ends when the workers are done. */
gpointer tpd_copy_commit_thread (gpointer copy);

/* --- copy_original.c: in place ---------------------------------------- */

/* Links the original into its directory. Errors are those of the item. */
void tpd_copy_save_original (TpdCopy *copy, TpdCopyItem *item);
/* The copy takes the place of the original, which must be what was read. */
gboolean tpd_copy_take_place (TpdCopyItem *item, GError **error);
/* The protected file beside its plaintext goes. Errors are those of the item. */
void tpd_copy_remove_source (TpdCopyItem *item);
/* So does the other name of the original. Its proven plaintext is on disk, and
 * was read from there. */
void tpd_copy_remove_original (TpdCopy *copy, const TpdCopyItem *item);
/* Ends what a crash left half done with the original of `task`, whose copy is
 * in its place. */
gboolean tpd_copy_finish_original (TpdCopy *copy, const TpdCopyTask *task, const TpdJournalEntry *entry,
                                   GError **error);
/* Looks at what a crash left under the name of one that changed places. */
void tpd_copy_end_swap (TpdCopy *copy, const TpdCopyDir *dir, const char *name);

/* --- copy_record.c ---------------------------------------------------- */

/* The members behind path and copy, without the closing brace, for what was
 * protected and for what was not. (transfer full) */
char *tpd_copy_tail_facts (const TpdFileFacts *facts, const GPtrArray *lost);
char *tpd_copy_tail_plain (guint64 size, const char *sha256, const char *note, const GPtrArray *lost);
/* Of an archive that was written anew. */
typedef struct {
  const char *message, *proof, *source_sha256, *plain_sha256;
  guint64 plain_size, source_size;
  gboolean keep;       /* members that do not open are in it */
  char *const *pext;   /* TpdNameRules.words */
  const char *members; /* objects with commas between */
} TpdCopyArchive;

char *tpd_copy_tail_archive (const TpdCopyArchive *archive, const GPtrArray *lost);
char *tpd_copy_tail_symlink (const char *target, const GPtrArray *lost);
/* The object. (transfer full) */
char *tpd_copy_record (const char *path, const char *copy, const char *tail);

/* Tells that there is no copy of `path`: a warning, a line in MISSING. */
void tpd_copy_miss_facts (TpdCopy *copy, const char *path, const TpdFileFacts *facts);
/* The same of `task`, another name of the file of `record`, if that was copied
 * as it is because it does not open. `tail`: what the record says of the file. */
void tpd_copy_miss_other (TpdCopy *copy, TpdCopyTask *task, const TpdManifestRecord *record, const char *tail);
void tpd_copy_miss_error (TpdCopy *copy, const char *path, const GError *error);
/* Of files that there is no room for only the first is told; this tells at the end how
 * many more there were. `listed`: MISSING is written. */
void tpd_copy_tell_no_room (TpdCopy *copy, gboolean listed);
/* The same of `task`; when a line tells of it already, only the warning. */
void tpd_copy_miss_task (TpdCopy *copy, TpdCopyTask *task, const GError *error);
/* Left out on purpose: `reason` is a word. Not a failure. */
void tpd_copy_miss_reason (TpdCopy *copy, const char *path, const char *reason, const char *message);
/* A line on standard output if these are wanted. */
void tpd_copy_print (TpdCopy *copy, const char *record);
