/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inode table: what the kernel knows of the mount, without a descriptor
 * per inode. Who owns a node and which lock guards what is told in inode.c.
 * Knows nothing of FUSE requests, so that it is tested without a mount.
 */
#pragma once

#include <glib.h>

#include "base/verdict.h"
#include "format/document.h"
#include "format/source.h"

/* Node ids. Those between belong to the status directory (fs/status.h). */
#define TPD_NODE_ROOT 1
#define TPD_NODE_FIRST 16

typedef struct _TpdInodes TpdInodes;
typedef struct _TpdNode TpdNode;
typedef struct _TpdOpenFile TpdOpenFile;

/* What looking at a file's content has told. Plain data. */
typedef struct {
  guint64 size;    /* to publish: exact plain size, or the source's */
  guint8 known;    /* FALSE: not looked at, or the look failed for a passing reason */
  guint8 kind;     /* TpdKind */
  guint8 verdict;  /* TpdVerdict */
  guint8 io_errno; /* of TPD_VERDICT_IO_ERROR */
  guint8 proof;    /* TpdProof; meaningful with `cipher` */
  guint8 cipher;   /* tpd_cipher_word_name(), 0: the document was never opened */
  guint8 hinted;   /* told by the index, and not looked at: see fs/known.h */
} TpdFacts;

/* A mount knows millions of these: nothing is here that is not needed. */
struct _TpdNode {
  /* Fixed while the node lives. */
  guint64 id;

  /* Under the locks of their table shards. */
  TpdNode *next_id, *next_file;

  /* Under the node lock. */
  TpdNode *parent;    /* counted reference; NULL for the root */
  char *name;         /* in the source; NULL for the root */
  TpdStamp stamp;     /* as last published to the kernel; dev and ino are fixed */
  TpdFacts facts;     /* of the content that `stamp` names */
  TpdOpenFile *opens; /* open handles, owned by the kernel's file handles */

  guint64 nlookup; /* atomic: the kernel's count */
  gint refs;       /* atomic */
  gint lock;       /* bit 0; tpd_node_lock() */
  guint8 type;     /* S_IFMT of the mode >> 12; fixed */
  guint8 cached;   /* under the node lock: the kernel's pages are those of `stamp` */
  guint8 detached; /* under the file shard's lock: no longer found by (dev, ino) */
  guint8 listed;   /* atomic; of a directory: what is in it has been looked at */
};

/* `root` is the stamp of the source's root directory. */
TpdInodes *tpd_inodes_new (const TpdStamp *root);
/* All nodes go, whatever the kernel still counted. */
void tpd_inodes_free (TpdInodes *inodes);
/* Calls `each` for every node; only once no other thread uses the table. */
void tpd_inodes_foreach (TpdInodes *inodes, void (*each) (TpdNode *node, gpointer data), gpointer data);
guint64 tpd_inodes_count (const TpdInodes *inodes);

/* The node of `id`, or NULL if it is not known. (transfer full) */
TpdNode *tpd_inodes_get (TpdInodes *inodes, guint64 id);

/* Whether the file (dev, ino) has a node; a hint. */
gboolean tpd_inodes_knows (TpdInodes *inodes, guint64 dev, guint64 ino);

/*
 * The node of the file (stamp->dev, stamp->ino), made when it is not known;
 * `parent` and `name` (in the source) become the way to reopen it. A new
 * node has no facts and the stamp as given. (transfer full)
 */
TpdNode *tpd_inodes_intern (TpdInodes *inodes, TpdNode *parent, const char *name, const TpdStamp *stamp);

/*
 * From now on the file of `node` gets another node where it is found anew; who
 * has this one open keeps it. For a file that has become something else, which
 * the kernel could not have open in two ways at once as one inode.
 */
void tpd_inodes_detach (TpdInodes *inodes, TpdNode *node);

TpdNode *tpd_node_ref (TpdNode *node);
void tpd_node_unref (TpdInodes *inodes, TpdNode *node);

/* The kernel was told of `node` once more; before the reply is sent. */
void tpd_inodes_remember (TpdNode *node);
/* The kernel gave back `n` of its counts. */
void tpd_inodes_forget (TpdInodes *inodes, guint64 id, guint64 n);

/* Guards the fields named above; hold it for a few instructions, never
 * across I/O, another lock or a reply. */
void tpd_node_lock (TpdNode *node);
void tpd_node_unlock (TpdNode *node);

/* The way to `node`: its parent (transfer full) and its name there (transfer
 * full). FALSE for the root. */
gboolean tpd_node_way (TpdNode *node, TpdNode **parent, char **name);

/* The id of its parent; 0 for the root. */
guint64 tpd_node_parent_id (TpdNode *node);

/* The path below the source's root as last seen, "." for the root; for
 * messages. (transfer full) */
char *tpd_node_path (TpdInodes *inodes, TpdNode *node);

void tpd_node_get_published (TpdNode *node, TpdStamp *stamp, TpdFacts *facts);
/* Records what is about to be sent to the kernel. Content that is new takes
 * the mark `cached` away. */
void tpd_node_publish (TpdNode *node, const TpdStamp *stamp, const TpdFacts *facts);
