/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TpdSource: bytes that a document is read from: a file descriptor, a piece of
 * memory, a part of another source, or another document (nesting). Immutable
 * but for the file behind it; pread is thread-safe.
 */
#pragma once

#include <glib.h>
#include <sys/stat.h>

typedef struct _TpdSource TpdSource;

/* What identifies a file and shows that it has changed. Zero for memory. */
typedef struct {
  guint64 dev, ino, size;
  gint64 mtime_ns, ctime_ns;
  guint32 mode, uid, gid;
} TpdStamp;

void tpd_stamp_from_stat (TpdStamp *stamp, const struct stat *st);
/* Same bytes: dev, ino, size, mtime, ctime. */
gboolean tpd_stamp_same_content (const TpdStamp *a, const TpdStamp *b);
/* Same in every field. */
gboolean tpd_stamp_equal (const TpdStamp *a, const TpdStamp *b);

typedef struct {
  /* Up to `len` bytes at `off`; fewer only at the end; -1 with error. */
  gssize (*pread) (TpdSource *self, void *buf, gsize len, guint64 off, GError **error);
  /* The stamp now; NULL for sources that cannot change. */
  gboolean (*stamp) (TpdSource *self, TpdStamp *stamp, GError **error);
  void (*free) (TpdSource *self);
  /* Where all its bytes lie; NULL for sources that are not in memory. */
  const guint8 *(*memory) (TpdSource *self);
} TpdSourceClass;

struct _TpdSource {
  const TpdSourceClass *klass;
  guint64 size;  /* when it was made */
  int ref_count; /* atomic */
};

/* From a regular file; takes ownership of `fd`. NULL with error (fstat). */
TpdSource *tpd_source_new_fd (int fd, GError **error);
/* The same with the fstat already at hand, of a regular file. */
TpdSource *tpd_source_new_file (int fd, const struct stat *st);
TpdSource *tpd_source_new_bytes (GBytes *bytes);
/* `len` bytes at `off` of `parent` (takes a reference); range must be inside. */
TpdSource *tpd_source_new_range (TpdSource *parent, guint64 off, guint64 len);
TpdSource *tpd_source_ref (TpdSource *source);
void tpd_source_unref (TpdSource *source);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdSource, tpd_source_unref)

static inline gssize
tpd_source_pread (TpdSource *source, void *buf, gsize len, guint64 off, GError **error)
{
  return source->klass->pread (source, buf, len, off, error);
}

/* All bytes of a source that lies in memory, which live as long as it does; NULL
 * if it does not, or is empty. */
static inline const guint8 *
tpd_source_memory (TpdSource *source)
{
  return source->klass->memory != NULL ? source->klass->memory (source) : NULL;
}

/* All `len` bytes or TPD_ERROR_DAMAGED ("ends before ..."). */
gboolean tpd_source_read_exact (TpdSource *source, void *buf, gsize len, guint64 off, GError **error);
/* The same as fresh bytes; `len` must be bounded by the caller. */
GBytes *tpd_source_read_bytes (TpdSource *source, guint64 off, gsize len, GError **error);

gboolean tpd_source_stamp (TpdSource *source, TpdStamp *stamp, GError **error);

/* --- Budget ----------------------------------------------------------- */

/*
 * What one probe or open may spend; passed down through nesting. Counters are
 * atomic; one budget may serve several threads.
 */
typedef struct {
  guint64 max_bytes; /* decoded bytes in all, 0: no limit */
  guint max_reads;   /* source reads, 0: no limit */
  guint64 used_bytes;
  guint used_reads;
  int cancelled; /* set to 1 from any thread */
} TpdBudget;

#define TPD_PROBE_MAX_READS 64
#define TPD_PROBE_MAX_BYTES (1024 * 1024)

void tpd_budget_init_probe (TpdBudget *budget);
/* What decoding a file of `source_size` bytes may cost over all nesting:
 * 64 times its size and 64 MiB. */
void tpd_budget_init_decode (TpdBudget *budget, guint64 source_size);
/* The source seen through `budget`: its reads count, and fail with
 * TPD_ERROR_DAMAGED (reads of a probe) or TPD_ERROR_CANCELLED. `budget` may be
 * NULL and must outlive the result. (transfer full) */
TpdSource *tpd_source_new_budgeted (TpdSource *source, TpdBudget *budget);
