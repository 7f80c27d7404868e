/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ZIP archives as containers of files, hostile ones too: what their members
 * are, each as a source, and which of them are protected documents, also in
 * archives inside.
 *
 * Nothing is ever made of a name: an archive is looked into, not extracted.
 */
#pragma once

#include "format/opaque.h"
#include "format/scratch.h"
#include "format/zip.h"

/* Archives inside archives are looked into to this depth: 1 is the file. */
#define TPD_CONTAINER_DEPTH 4
/* Members of one file, over all depths. */
#define TPD_CONTAINER_MEMBERS 200000

/* What looking into one file may cost, over all depths. */
typedef struct {
  TpdScratchPool *pool; /* borrowed, may be NULL */
  TpdBudget budget;     /* what is unpacked: 64 times the file and 64 MiB */
  guint members_left;
} TpdContainerWork;

void tpd_container_work_init (TpdContainerWork *work, TpdScratchPool *pool, guint64 source_size);

typedef enum {
  TPD_MEMBER_FILE,
  TPD_MEMBER_DIRECTORY,
  TPD_MEMBER_LINK,   /* symbolic link or special file */
  TPD_MEMBER_CLOSED, /* encrypted with a password */
  TPD_MEMBER_METHOD, /* compressed in a way that is not read */
} TpdMemberKind;

typedef struct {
  TpdMemberKind kind;
  guint64 region_end; /* where the next member begins, or the directory */
  guint ordinal;      /* of those that have its name, in the directory's order: 1, 2, ... */
  guint namesakes;    /* how many have it */
} TpdContainerMember;

typedef struct {
  TpdZip zip; /* members in the order of the directory */
  TpdSource *source;
  TpdContainerWork *work;
  TpdContainerMember *members; /* of the same order */
  guint *in_order;             /* indices, by where members begin */
  guint n;
} TpdContainer;

/*
 * Opens the archive `source`. `work` must outlive it. Errors: TPD_ERROR_DAMAGED
 * (no sound directory, or members that overlap, as no archiver makes them),
 * TPD_ERROR_TOO_LARGE, those of the source. (transfer full)
 */
TpdContainer *tpd_container_open (TpdSource *source, TpdContainerWork *work, GError **error);
void tpd_container_free (TpdContainer *container);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdContainer, tpd_container_free)

static inline const TpdZipMember *
tpd_container_zip_member (const TpdContainer *container, guint i)
{
  return &g_array_index (container->zip.members, TpdZipMember, i);
}

/* Where the data of member `i` start; TPD_ERROR_DAMAGED if not in its region. */
gboolean tpd_container_find_data (TpdContainer *container, guint i, guint64 *data, GError **error);
/* The content of member `i`, a TPD_MEMBER_FILE. Must not outlive `container`'s
 * work. (transfer full) */
TpdSource *tpd_container_member_source (TpdContainer *container, guint i, GError **error);
/*
 * How member `i` is called behind the path of the archive: "!/name"; the second
 * of a name "!2/name". Any bytes but NUL, which becomes "\0" in letters.
 * (transfer full)
 */
char *tpd_container_member_path (const TpdContainer *container, guint i);

/* --- Looking for protected members ---------------------------------------- */

typedef struct {
  guint64 protected; /* members, over all depths */
  gboolean complete; /* no member, nor archive inside, was left out */
  TpdOpaque opaque;  /* what was left out, or is opaque inside; not NONE unless complete */
} TpdContainerLook;

/* A protected member, `path` behind that of the archive. `source` and `probe`
 * are lent. Return FALSE to stop, with error or without. */
typedef gboolean (*TpdContainerEach) (gpointer data, const char *path, TpdSource *source, const TpdProbe *probe,
                                      GError **error);

/*
 * Calls `each` (may be NULL) for every protected member of the archive
 * `source`, which is no package (format/package.h). What cannot be looked into
 * makes it incomplete. FALSE with error when the source cannot be read, or
 * `each` stopped it.
 */
gboolean tpd_container_look (TpdSource *source, TpdContainerWork *work, TpdContainerEach each, gpointer data,
                             TpdContainerLook *look, GError **error);
