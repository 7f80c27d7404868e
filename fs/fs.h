/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one mount consists of. Made by main() before any thread runs and fixed
 * from then on; each part looks after its own locking.
 */
#pragma once

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>
#include <glib.h>

#include "crypto/keys.h"
#include "crypto/unwrapper.h"
#include "fs/ahead.h"
#include "fs/decode.h"
#include "fs/devices.h"
#include "fs/dirfd.h"
#include "fs/doc_xattr.h"
#include "fs/inode.h"
#include "fs/keeper.h"
#include "fs/known.h"
#include "fs/loop.h"
#include "fs/options.h"
#include "fs/passthrough.h"
#include "fs/report.h"
#include "fs/view.h"
#include "fs/walkers.h"

typedef enum {
  TPD_COUNT_LOOKUPS,
  TPD_COUNT_STATS,
  TPD_COUNT_PROBES,
  TPD_COUNT_INDEX_HITS, /* looks that the index saved */
  TPD_COUNT_INDEX_WRONG,
  TPD_COUNT_DECODES,
  TPD_COUNT_LISTINGS,
  TPD_COUNT_OPENS_PLAIN,
  TPD_COUNT_OPENS_PROTECTED,
  TPD_COUNT_OPENS_PASSTHROUGH, /* of both */
  TPD_COUNT_OPENS_REFUSED,
  TPD_COUNT_READS,
  TPD_COUNT_BYTES_PLAIN,
  TPD_COUNT_BYTES_DECRYPTED,
  TPD_COUNT_STALE,
  TPD_COUNT_READ_ERRORS,
  TPD_N_COUNTS
} TpdCount;

/* Each thread counts in a place of its own, more or less: a line of the cache that
 * two processors write to goes to and fro between them. */
#define TPD_COUNT_PLACES 16

typedef struct {
  guint64 n[TPD_N_COUNTS]; /* atomic */
  guint64 apart[8];        /* unused: a line of the cache */
} TpdCounts;

/* This thread's, 1 to TPD_COUNT_PLACES; 0: none yet. */
extern __thread guint tpd_count_place;
/* A place for a thread that has none. */
guint tpd_count_new_place (void);

typedef struct _TpdFs {
  const TpdFsOptions *options;
  char *source, *mountpoint; /* real paths */
  int root_fd;               /* O_PATH */
  dev_t root_dev;
  uid_t mounter;
  gint64 started; /* seconds since 1970 */
  double timeout; /* of attributes and entries in the kernel, seconds */
  gboolean enforce_acls;

  struct fuse_session *session;
  TpdLoop *loop; /* that serves it */
  gboolean ready;    /* the mount has answered; set once by INIT */
  gboolean splices;  /* the kernel takes answers from a pipe; set once by INIT */
  int read_ahead_fd; /* atomic: fs/readahead.h */
  int ready_fd;      /* the launcher waits on it; -1 once told, or in the foreground */

  TpdInodes *inodes;
  TpdDirs *dirs;
  TpdViews *views; /* NULL with names=source */
  TpdDevices *devices;
  TpdWalkers *walkers;
  TpdAhead *ahead;      /* of directories to be opened; NULL until tpd_fs_start() */
  GThreadPool *listers; /* help to fill large READDIRPLUS replies */
  TpdReport *report;
  TpdKnown *known; /* NULL until the mount is made */
  TpdDocXattrs *xattrs;
  TpdDecoder *decoder; /* NULL until tpd_fs_start() */
  TpdKeeper *keeper;
  TpdPassthrough *passthrough; /* NULL: none */

  TpdKeyring *keyring;     /* NULL: no keys */
  TpdUnwrapper *unwrapper; /* remembers what it unwrapped */
  int agent_pid;

  guint64 peak_inodes;                /* atomic: since memory was last given back */
  TpdCounts counts[TPD_COUNT_PLACES]; /* tpd_fs_count() */
} TpdFs;

/* Takes ownership of `root_fd`, `source`, `mountpoint`, `keyring`, `unwrapper`;
 * tpd_fs_free() also frees a `passthrough` that was set. */
TpdFs *tpd_fs_new (const TpdFsOptions *options, int root_fd, char *source, char *mountpoint, TpdKeyring *keyring,
                   TpdUnwrapper *unwrapper, GError **error);
/* Starts the threads of the parts: once the mount is confined. */
void tpd_fs_start (TpdFs *fs);
void tpd_fs_free (TpdFs *fs);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdFs, tpd_fs_free)

static inline void
tpd_fs_count (TpdFs *fs, TpdCount count, guint64 n)
{
  if (G_UNLIKELY (tpd_count_place == 0))
    tpd_count_place = tpd_count_new_place ();
  __atomic_add_fetch (&fs->counts[tpd_count_place - 1].n[count], n, __ATOMIC_RELAXED);
}

static inline TpdFs *
tpd_fs_of (fuse_req_t req)
{
  return fuse_req_userdata (req);
}

/*
 * The attributes that the kernel holds of node `id` no longer hold: when this
 * returns, it will ask for them before it believes or reads anything of the
 * node, and drop its pages if they have changed (FUSE_CAP_AUTO_INVAL_DATA).
 * For request handlers, while the kernel has the node open: it waits for
 * nothing then, neither pages that are being read nor a node that goes.
 */
void tpd_fs_forget_attributes (TpdFs *fs, guint64 id);

/* How documents are opened. */
TpdOpenOptions tpd_fs_open_options (const TpdFs *fs);

/* "lookups", ...: the word in status and log. */
const char *tpd_count_word (TpdCount count);
/* What has been counted so far. */
guint64 tpd_fs_counted (const TpdFs *fs, TpdCount count);
/* All counters as one line. (transfer full) */
char *tpd_fs_counters (TpdFs *fs);

/* The request handlers, for fuse_session_new(). */
extern const struct fuse_lowlevel_ops tpd_fs_ops;
