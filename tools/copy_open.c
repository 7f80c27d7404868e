/* SPDX-License-Identifier: Apache-2.0 */
/* Source and target of a copy: opened, and held against each other. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/error.h"
#include "tools/copy_private.h"

#define MAX_FILES 65536
#define MIN_BATCH 8
#define MAX_BATCH 1024
#define MAX_TASKS 256
#define MAX_HOLD_BYTES (256 * 1024 * 1024)

static gboolean
usage (GError **error, const char *message, const char *path)
{
  g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE, "%s: %s", path, message);
  return FALSE;
}

static gboolean
is_beneath (const char *path, const char *dir)
{
  gsize len = strlen (dir);

  if (strcmp (dir, "/") == 0)
    return TRUE;
  return strncmp (path, dir, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

static char *
real_path (const char *path, GError **error)
{
  char *real = realpath (path, NULL);
  char *result = g_strdup (real);

  if (real == NULL)
    tpd_error_set_errno (error, errno, "cannot open %s", path);
  free (real);
  return result;
}

static int
open_dir (const char *path, GError **error)
{
  int fd = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  if (fd < 0)
    tpd_error_set_errno (error, errno, "cannot open %s", path);
  return fd;
}

/* Makes `path` if it is missing: for nobody else's eyes, for it will hold
 * plaintext. */
static gboolean
make_dir (const char *path, GError **error)
{
  if (mkdir (path, 0700) == 0 || errno == EEXIST)
    return TRUE;
  tpd_error_set_errno (error, errno, "cannot make the directory %s", path);
  return FALSE;
}

static gboolean
check_apart (const TpdCopy *copy, const char *given, GError **error)
{
  if (is_beneath (copy->target_path, copy->source_path))
    return usage (error, "it lies in the source", given);
  if (is_beneath (copy->source_path, copy->target_path))
    return usage (error, "the source lies in it", given);
  return TRUE;
}

/* Makes and opens the directory that copies, or originals, go to. */
static gboolean
open_given (TpdCopy *copy, const char *given, int *fd, GError **error)
{
  if (!make_dir (given, error))
    return FALSE;
  copy->target_path = real_path (given, error);
  if (copy->target_path == NULL || !check_apart (copy, given, error))
    return FALSE;
  *fd = open_dir (copy->target_path, error);
  return *fd >= 0;
}

static gboolean
open_state (TpdCopy *copy, int fd, GError **error)
{
  copy->state_fd = tpd_manifest_open_state (fd, TRUE, error);
  if (copy->state_fd < 0)
    g_prefix_error (error, "%s: ", copy->target_path);
  return copy->state_fd >= 0;
}

static gboolean
open_target (TpdCopy *copy, GError **error)
{
  if (copy->options->dry_run)
    return TRUE;
  return open_given (copy, copy->options->target, &copy->target_fd, error) && open_state (copy, copy->target_fd, error);
}

static gboolean
open_originals (TpdCopy *copy, GError **error)
{
  const char *given = copy->options->originals;
  struct stat st;

  if (copy->options->dry_run)
    return TRUE;
  if (!open_given (copy, given, &copy->originals_fd, error) || fstat (copy->originals_fd, &st) != 0)
    return FALSE;
  if (st.st_dev != copy->source_dev)
    return usage (error, "originals are kept by links: it must lie on the file system of the source", given);
  if (st.st_uid != geteuid () || (st.st_mode & 077) != 0)
    return usage (error, "it must be this user's own and closed to others: chmod 700", given);
  return open_state (copy, copy->originals_fd, error);
}

/* Every directory at work takes two descriptors, and each task or item may have
 * one of its own; files that wait for their keys take one. Returns how many items there may be in a batch. */
static guint
raise_limit (void)
{
  struct rlimit limit;

  if (getrlimit (RLIMIT_NOFILE, &limit) != 0)
    return MIN_BATCH;
  if (limit.rlim_cur < MAX_FILES)
    {
      rlim_t before = limit.rlim_cur;

      limit.rlim_cur = MIN (limit.rlim_max, MAX_FILES);
      if (setrlimit (RLIMIT_NOFILE, &limit) != 0)
        limit.rlim_cur = before;
    }
  return (guint) CLAMP (limit.rlim_cur / 12, MIN_BATCH, MAX_BATCH);
}

static void
declare (const TpdCopy *copy, TpdConfinement *reach)
{
  if (copy->options->dry_run)
    return;
  tpd_confinement_add_flags (reach, TPD_CONFINE_WRITES | TPD_CONFINE_OWNERS);
  tpd_confinement_write (reach, copy->target_path);
  /* A link takes a right on both of its ends. */
  if (copy->in_place || copy->options->link_plain)
    tpd_confinement_write (reach, copy->source_path);
}

TpdCopy *
tpd_copy_open (const TpdCopyOptions *options, TpdConfinement *reach, GError **error)
{
  g_autoptr (TpdCopy) copy = g_new0 (TpdCopy, 1);
  struct stat st;

  copy->options = options;
  copy->in_place = options->target == NULL;
  copy->source_fd = copy->target_fd = copy->originals_fd = copy->state_fd = copy->missing_fd = -1;
  g_mutex_init (&copy->lock);
  g_mutex_init (&copy->out_lock);
  g_cond_init (&copy->work);
  g_cond_init (&copy->room);
  g_cond_init (&copy->space);
  g_cond_init (&copy->batch);
  g_queue_init (&copy->tasks);
  copy->source_path = real_path (options->source, error);
  if (copy->source_path == NULL)
    return NULL;
  copy->source_fd = open_dir (copy->source_path, error);
  if (copy->source_fd < 0 || fstat (copy->source_fd, &st) != 0)
    return NULL;
  copy->source_dev = st.st_dev;
  if (!(copy->in_place ? open_originals (copy, error) : open_target (copy, error)))
    return NULL;
  copy->batch_files = raise_limit ();
  copy->scratch =
      copy->state_fd >= 0 ? tpd_scratch_pool_new_in (copy->state_fd) : tpd_scratch_pool_new (2 * options->jobs);
  copy->max_tasks = MIN (copy->batch_files, MAX_TASKS);
  copy->together = CLAMP (copy->batch_files / options->jobs, 1, TPD_UNWRAP_MANY);
  declare (copy, reach);
  return g_steal_pointer (&copy);
}

static void
close_fd (int fd)
{
  if (fd >= 0)
    close (fd);
}

void
tpd_copy_free (TpdCopy *copy)
{
  if (copy == NULL)
    return;
  g_queue_clear_full (&copy->tasks, (GDestroyNotify) tpd_copy_task_free);
  g_clear_pointer (&copy->items, g_ptr_array_unref);
  tpd_copy_links_free (copy->links);
  g_clear_pointer (&copy->dirs, tpd_spill_free);
  tpd_journal_free (copy->journal);
  tpd_scratch_pool_free (copy->scratch);
  g_clear_error (&copy->error);
  close_fd (copy->missing_fd);
  close_fd (copy->state_fd);
  close_fd (copy->originals_fd);
  close_fd (copy->target_fd);
  close_fd (copy->source_fd);
  g_free (copy->source_path);
  g_free (copy->target_path);
  g_mutex_clear (&copy->lock);
  g_mutex_clear (&copy->out_lock);
  g_cond_clear (&copy->work);
  g_cond_clear (&copy->room);
  g_cond_clear (&copy->space);
  g_cond_clear (&copy->batch);
  g_free (copy);
}

GHashTable *
tpd_copy_read_hold (const char *file, const char *source, GError **error)
{
  g_autoptr (GHashTable) hold = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autofree char *text = NULL, *real = real_path (source, error);
  g_auto (GStrv) lines = NULL;
  gsize len;

  if (real == NULL)
    return NULL;
  if (!g_file_get_contents (file, &text, &len, NULL) || len > MAX_HOLD_BYTES)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE, "cannot read the list %s", file);
      return NULL;
    }
  lines = g_strsplit (text, "\n", -1);
  for (char **line = lines; *line != NULL; line++)
    {
      const char *path = *line;
      gsize end = strlen (path);

      if (end > 0 && path[end - 1] == '\r')
        (*line)[--end] = '\0';
      while (end > 1 && path[end - 1] == '/')
        (*line)[--end] = '\0';
      if (path[0] == '\0')
        continue;
      if (path[0] == '/' && is_beneath (path, real))
        path += strcmp (real, "/") == 0 ? 1 : strlen (real) + 1;
      else if (path[0] == '/')
        {
          g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE, "the list %s names %s, which does not lie in %s", file, path,
                       source);
          return NULL;
        }
      while (path[0] == '.' && path[1] == '/')
        path += 2;
      g_hash_table_add (hold, g_strdup (path));
    }
  return g_steal_pointer (&hold);
}
