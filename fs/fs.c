/* SPDX-License-Identifier: Apache-2.0 */
/* Putting a mount together: see fs/fs.h. */
#include "fs/fs.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "fs/listers.h"
#include "fs/look.h"
#include "fs/open_file.h"
#include "fs/ops.h"

#define MAX_DIRECTORY_FDS 256
#define TIMEOUT_AUTO 1.0
#define TIMEOUT_ALWAYS 86400.0

static const char *const count_words[TPD_N_COUNTS] = {
  [TPD_COUNT_LOOKUPS] = "lookups",
  [TPD_COUNT_STATS] = "stats",
  [TPD_COUNT_PROBES] = "probes",
  [TPD_COUNT_INDEX_HITS] = "index_hits",
  [TPD_COUNT_INDEX_WRONG] = "index_wrong",
  [TPD_COUNT_DECODES] = "decodes",
  [TPD_COUNT_LISTINGS] = "listings",
  [TPD_COUNT_OPENS_PLAIN] = "opens_plain",
  [TPD_COUNT_OPENS_PROTECTED] = "opens_protected",
  [TPD_COUNT_OPENS_PASSTHROUGH] = "opens_passthrough",
  [TPD_COUNT_OPENS_REFUSED] = "opens_refused",
  [TPD_COUNT_READS] = "reads",
  [TPD_COUNT_BYTES_PLAIN] = "bytes_plain",
  [TPD_COUNT_BYTES_DECRYPTED] = "bytes_decrypted",
  [TPD_COUNT_STALE] = "stale",
  [TPD_COUNT_READ_ERRORS] = "read_errors",
};

const char *
tpd_count_word (TpdCount count)
{
  return count_words[count];
}

__thread guint tpd_count_place;

guint
tpd_count_new_place (void)
{
  static guint n; /* atomic */

  return __atomic_fetch_add (&n, 1, __ATOMIC_RELAXED) % TPD_COUNT_PLACES + 1;
}

guint64
tpd_fs_counted (const TpdFs *fs, TpdCount count)
{
  guint64 sum = 0;

  for (guint i = 0; i < TPD_COUNT_PLACES; i++)
    sum += __atomic_load_n (&fs->counts[i].n[count], __ATOMIC_RELAXED);
  return sum;
}

char *
tpd_fs_counters (TpdFs *fs)
{
  GString *line = g_string_new (NULL);

  g_string_printf (line, "inodes=%" G_GUINT64_FORMAT, tpd_inodes_count (fs->inodes));
  for (guint i = 0; i < TPD_N_COUNTS; i++)
    g_string_append_printf (line, " %s=%" G_GUINT64_FORMAT, count_words[i], tpd_fs_counted (fs, (TpdCount) i));
  return g_string_free (line, FALSE);
}

void
tpd_fs_forget_attributes (TpdFs *fs, guint64 id)
{
  /* A negative offset: no pages, for which the kernel would wait. */
  fuse_lowlevel_notify_inval_inode (fs->session, id, -1, 0);
}

TpdOpenOptions
tpd_fs_open_options (const TpdFs *fs)
{
  return (TpdOpenOptions){
    .iv = (TpdIvChoice) fs->options->iv,
    .mail = (TpdMailForm) fs->options->mail,
    .nested = fs->options->nested,
  };
}

/* An eighth of what is allowed at most: open files need descriptors too. */
static guint
max_directory_fds (void)
{
  struct rlimit limit;

  if (getrlimit (RLIMIT_NOFILE, &limit) != 0)
    return 16;
  return (guint) CLAMP (limit.rlim_cur / 8, 16, MAX_DIRECTORY_FDS);
}

static double
timeout_of (int cache)
{
  return cache == TPD_CACHE_AUTO ? TIMEOUT_AUTO : cache == TPD_CACHE_ALWAYS ? TIMEOUT_ALWAYS : 0;
}

/*
 * Whether the source's POSIX ACLs are to be enforced. Where other access lists
 * rule, mode bits alone would let in people whom the server keeps out: then
 * access has to be said on the command line.
 */
static gboolean
decide_acls (TpdFs *fs, GError **error)
{
  const TpdFsOptions *options = fs->options;
  gboolean masks = options->fmask != TPD_NO_MASK && options->dmask != TPD_NO_MASK;
  TpdDevice device;

  tpd_devices_get (fs->devices, fs->root_dev, fs->root_fd, ".", &device);
  if (options->allow_other && !options->acl_ignore && !device.mode_bits_tell && !(masks && options->has_gid))
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE,
                   "%s has access lists of its own that tpdfs cannot enforce for other users: say who may read with "
                   "gid=, fmask= and dmask=, or give acl=ignore to go by mode bits",
                   fs->source);
      return FALSE;
    }
  fs->enforce_acls = device.posix_acls && !options->acl_ignore && options->fmask == TPD_NO_MASK
                     && options->dmask == TPD_NO_MASK && !options->has_uid && !options->has_gid;
  return TRUE;
}

TpdFs *
tpd_fs_new (const TpdFsOptions *options, int root_fd, char *source, char *mountpoint, TpdKeyring *keyring,
            TpdUnwrapper *unwrapper, GError **error)
{
  g_autoptr (TpdFs) fs = g_new0 (TpdFs, 1);
  struct stat st;
  TpdStamp stamp;

  fs->options = options;
  fs->root_fd = root_fd;
  fs->source = source;
  fs->mountpoint = mountpoint;
  fs->keyring = keyring;
  fs->unwrapper = unwrapper;
  fs->mounter = getuid ();
  fs->started = g_get_real_time () / G_USEC_PER_SEC;
  fs->timeout = timeout_of (options->cache);
  fs->ready_fd = -1;
  fs->read_ahead_fd = -1;
  if (fstat (root_fd, &st) != 0)
    {
      tpd_error_set_errno (error, errno, "cannot read %s", source);
      return NULL;
    }
  tpd_stamp_from_stat (&stamp, &st);
  fs->root_dev = st.st_dev;
  fs->inodes = tpd_inodes_new (&stamp);
  fs->dirs = tpd_dirs_new (fs->inodes, root_fd, max_directory_fds ());
  fs->devices = tpd_devices_new (root_fd);
  fs->walkers = tpd_walkers_new ();
  fs->report = tpd_report_new ();
  fs->xattrs = tpd_doc_xattrs_new ();
  if (options->names == TPD_NAMES_PLAIN)
    fs->views = tpd_views_new (&options->name_rules, tpd_look_for_name, fs, (gint64) (fs->timeout * G_USEC_PER_SEC));
  if (!decide_acls (fs, error))
    return NULL;
  return g_steal_pointer (&fs);
}

void
tpd_fs_start (TpdFs *fs)
{
  const TpdFsOptions *options = fs->options;
  sigset_t all, before;

  /* Newer GLib starts a thread here that makes the others: none of them may
   * take a signal that is meant for the signal thread. */
  sigfillset (&all);
  pthread_sigmask (SIG_BLOCK, &all, &before);
  fs->listers = tpd_listers_new (options->threads);
  fs->ahead = tpd_ahead_new (fs->inodes, tpd_op_drop_directory);
  fs->decoder = tpd_decoder_new (tpd_fs_options_decoders (options), options->decode_budget, tpd_look_decode, fs);
  pthread_sigmask (SIG_SETMASK, &before, NULL);
}

void
tpd_fs_free (TpdFs *fs)
{
  if (fs->listers != NULL)
    g_thread_pool_free (fs->listers, FALSE, TRUE);
  g_clear_pointer (&fs->ahead, tpd_ahead_free);
  g_clear_pointer (&fs->decoder, tpd_decoder_free);
  g_clear_pointer (&fs->walkers, tpd_walkers_free);
  g_clear_pointer (&fs->views, tpd_views_free);
  g_clear_pointer (&fs->known, tpd_known_free);
  g_clear_pointer (&fs->xattrs, tpd_doc_xattrs_free);
  g_clear_pointer (&fs->report, tpd_report_free);
  g_clear_pointer (&fs->devices, tpd_devices_free);
  g_clear_pointer (&fs->dirs, tpd_dirs_free);
  if (fs->inodes != NULL)
    tpd_inodes_foreach (fs->inodes, tpd_open_file_close_all, NULL);
  g_clear_pointer (&fs->inodes, tpd_inodes_free);
  g_clear_pointer (&fs->passthrough, tpd_passthrough_free);
  g_clear_pointer (&fs->unwrapper, tpd_unwrapper_unref);
  g_clear_pointer (&fs->keyring, tpd_keyring_unref);
  g_clear_pointer (&fs->keeper, tpd_keeper_free);
  close (fs->root_fd);
  g_free (fs->source);
  g_free (fs->mountpoint);
  g_free (fs);
}
