/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stack with its depth on disk: see spill.h. Texts lie end to end in memory,
 * each behind a NUL. When there are too many the older half is appended to the
 * file as one piece; the pieces come back in the opposite order.
 */
#include "tools/spill.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/io.h"

/* As many as a process has spills at a time that grow. */
#define N_PREPARED 4

static int prepared[N_PREPARED] = { -1, -1, -1, -1 };
static gint taken[N_PREPARED]; /* atomic: a spill has it */

struct _TpdSpill {
  gsize max;
  GByteArray *memory; /* NUL, text, NUL, text, ... NUL */
  int fd;             /* -1: not made yet */
  int took;           /* number of the prepared file that is `fd`, or -1 */
  gboolean unusable;  /* it could not be written */
  guint64 file_size;
  GArray *pieces; /* of gsize */
};

static int
open_file (void)
{
  return open (g_get_tmp_dir (), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

void
tpd_spill_prepare (void)
{
  for (guint i = 0; i < N_PREPARED; i++)
    if (prepared[i] < 0)
      prepared[i] = open_file ();
}

TpdSpill *
tpd_spill_new (gsize max)
{
  TpdSpill *spill = g_new0 (TpdSpill, 1);

  spill->max = max;
  spill->memory = g_byte_array_new ();
  spill->pieces = g_array_new (FALSE, FALSE, sizeof (gsize));
  spill->fd = spill->took = -1;
  return spill;
}

void
tpd_spill_free (TpdSpill *spill)
{
  if (spill == NULL)
    return;
  if (spill->took >= 0)
    {
      if (ftruncate (spill->fd, 0) == 0)
        g_atomic_int_set (&taken[spill->took], 0);
    }
  else if (spill->fd >= 0)
    close (spill->fd);
  g_byte_array_unref (spill->memory);
  g_array_unref (spill->pieces);
  g_free (spill);
}

static gboolean
write_piece (TpdSpill *spill, const guint8 *data, gsize len)
{
  guint64 off = spill->file_size;

  for (int i = 0; i < N_PREPARED && spill->fd < 0; i++)
    if (prepared[i] >= 0 && g_atomic_int_compare_and_exchange (&taken[i], 0, 1))
      {
        spill->fd = prepared[i];
        spill->took = i;
      }
  if (spill->fd < 0)
    spill->fd = open_file ();
  if (spill->fd < 0)
    return FALSE;
  if (!tpd_pwrite_all (spill->fd, data, len, off))
    return FALSE;
  spill->file_size = off + len;
  return TRUE;
}

static void
write_older_half (TpdSpill *spill)
{
  const guint8 *data = spill->memory->data, *end;
  gsize half = spill->memory->len / 2, piece;

  end = memchr (data + half, '\0', spill->memory->len - half);
  piece = end != NULL ? (gsize) (end - data) : 0;
  if (piece == 0)
    return;
  if (!write_piece (spill, data, piece))
    {
      spill->unusable = TRUE;
      return;
    }
  g_array_append_val (spill->pieces, piece);
  g_byte_array_remove_range (spill->memory, 0, (guint) piece);
}

void
tpd_spill_push (TpdSpill *spill, const char *text)
{
  /* A NUL in front of each tells where it begins, seen from the end. */
  g_byte_array_append (spill->memory, (const guint8 *) "", 1);
  g_byte_array_append (spill->memory, (const guint8 *) text, (guint) strlen (text));
  if (spill->memory->len > spill->max && !spill->unusable)
    write_older_half (spill);
}

static gboolean
read_piece (TpdSpill *spill, GError **error)
{
  gsize piece = g_array_index (spill->pieces, gsize, spill->pieces->len - 1);
  guint64 off = spill->file_size - piece;

  g_byte_array_set_size (spill->memory, (guint) piece);
  if (!tpd_pread_all (spill->fd, spill->memory->data, piece, off))
    {
      tpd_error_set_errno (error, errno, "cannot read a temporary file in %s", g_get_tmp_dir ());
      g_byte_array_set_size (spill->memory, 0);
      return FALSE;
    }
  spill->file_size = off;
  g_array_set_size (spill->pieces, spill->pieces->len - 1);
  return TRUE;
}

char *
tpd_spill_pop (TpdSpill *spill, GError **error)
{
  const guint8 *start;
  gsize at;
  char *text;

  if (spill->memory->len == 0 && (spill->pieces->len == 0 || !read_piece (spill, error)))
    return NULL;
  start = memrchr (spill->memory->data, '\0', spill->memory->len);
  at = (gsize) (start - spill->memory->data);
  text = g_strndup ((const char *) start + 1, spill->memory->len - at - 1);
  g_byte_array_set_size (spill->memory, (guint) at);
  return text;
}
