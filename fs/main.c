/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tpdfs: mounts a tree read-only, protected documents in plain text.
 *
 * The order of start matters: the process is hardened first; the key agent is
 * forked before any thread exists and before anything of the source is read,
 * while a password can still be asked for on the terminal; so is the broker
 * (fs/broker.h), which has no secret to inherit; the launcher ends
 * only when the mount answers (fs/daemon.h). Once the mount is made, and before
 * the first thread and the first request, the process is confined to what it
 * needs from then on (fs/confined.h); what that does not allow and is needed at
 * the end, the keeper does (fs/keeper.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "crypto/agent.h"
#include "crypto/secret.h"
#include "fs/confined.h"
#include "fs/daemon.h"
#include "fs/fs.h"
#include "fs/options.h"
#include "fs/places.h"
#include "fs/readahead.h"

enum { EXIT_FINE = 0, EXIT_MOUNT = 1, EXIT_USAGE = 2, EXIT_KEY = 3 };

#define MALLOC_ARENAS 4
#define SECRET_MEMORY (1024 * 1024)
/* Content keys remembered: about a hundred bytes each. */
#define MAX_REMEMBERED_KEYS 65536

static int
fail (int status, const GError *error)
{
  tpd_error ("%s", error->message);
  return status;
}

static int
finish_output (void)
{
  if (fflush (stdout) == 0 && !ferror (stdout))
    return EXIT_FINE;
  tpd_error ("cannot write standard output: %s", g_strerror (errno));
  return EXIT_MOUNT;
}

static void
fuse_log_line (enum fuse_log_level level, const char *format, va_list args)
{
  g_autofree char *text = g_strdup_vprintf (format, args);

  g_strchomp (text);
  if (*text == '\0')
    return;
  tpd_log (level <= FUSE_LOG_ERR       ? TPD_LOG_ERROR
           : level <= FUSE_LOG_WARNING ? TPD_LOG_WARNING
           : level <= FUSE_LOG_INFO    ? TPD_LOG_INFO
                                       : TPD_LOG_DEBUG,
           "%s", text);
}

/* As many open files as we are allowed. */
static void
raise_file_limit (void)
{
  struct rlimit limit;

  if (getrlimit (RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max)
    {
      limit.rlim_cur = limit.rlim_max;
      setrlimit (RLIMIT_NOFILE, &limit);
    }
}

static gboolean
load_keyrings (TpdFsOptions *options, GError **error)
{
  for (guint i = 0; i < options->keyrings->len; i++)
    if (!tpd_key_config_load (options->keys, options->keyrings->pdata[i], error))
      return FALSE;
  if (options->keys->given || options->keyrings->len > 0)
    return TRUE;
  return tpd_key_config_load_default (options->keys, error);
}

static struct fuse_session *
new_session (TpdFs *fs)
{
  const TpdFsOptions *options = fs->options;
  struct fuse_args args = FUSE_ARGS_INIT (0, NULL);
  struct fuse_session *session;
  g_autofree char *fsname = g_strconcat ("fsname=", fs->source, NULL);
  char *words = NULL;

  if (fuse_opt_add_opt (&words, "ro,nosuid,nodev,default_permissions,subtype=tpdfs") != 0
      || (options->allow_other && fuse_opt_add_opt (&words, "allow_other") != 0)
      || (options->noexec && fuse_opt_add_opt (&words, "noexec") != 0)
      || (options->debug && fuse_opt_add_opt (&words, "debug") != 0) || fuse_opt_add_opt_escaped (&words, fsname) != 0
      || fuse_opt_add_arg (&args, "tpdfs") != 0 || fuse_opt_add_arg (&args, "-o") != 0
      || fuse_opt_add_arg (&args, words) != 0)
    g_error ("out of memory");
  session = fuse_session_new (&args, &tpd_fs_ops, sizeof tpd_fs_ops, fs);
  fuse_opt_free_args (&args);
  free (words);
  return session;
}

static void
log_start (TpdFs *fs)
{
  g_autoptr (GString) keys = g_string_new (NULL);
  guint n = fs->keyring != NULL ? fs->keyring->keys->len : 0;

  for (guint i = 0; i < n; i++)
    {
      const TpdKeyInfo *key = fs->keyring->keys->pdata[i];

      g_string_append_printf (keys, "%s%s%s", i > 0 ? ", " : ": ", key->name,
                              key->state == TPD_KEY_HELD ? "" : " (without its private key)");
    }
  tpd_info ("%s is mounted read-only on %s, with %u %s%s", fs->source, fs->mountpoint, n, n == 1 ? "key" : "keys",
            keys->str);
  if (n == 0)
    tpd_warning ("no keys: protected files are listed but cannot be opened");
  if (fs->options->asked_rw)
    tpd_info ("rw was asked for: tpdfs mounts are always read-only");
}

static int
serve (TpdFs *fs)
{
  TpdSignals *signals;
  int result;

  tpd_fs_start (fs);
  log_start (fs);
  fs->loop = tpd_loop_new (fs->session, fs->options->threads);
  signals = tpd_signals_start (fs);
  result = tpd_loop_run (fs->loop);
  tpd_decoder_stop (fs->decoder); /* answers what is parked */
  tpd_signals_stop (signals);
  g_clear_pointer (&fs->loop, tpd_loop_free);
  if (result != 0)
    tpd_error ("the mount on %s broke: %s", fs->mountpoint, g_strerror (result));
  else
    tpd_info ("%s is unmounted", fs->mountpoint);
  return result == 0 && fs->ready ? EXIT_FINE : EXIT_MOUNT;
}

/* From here on this process can read the source, and serve. */
static gboolean
settle (TpdFs *fs, GError **error)
{
  const char *log_name = fs->options->foreground ? NULL : "tpdfs";

  tpd_passthrough_connect (fs->passthrough, fuse_session_fd (fs->session));
  fs->read_ahead_fd = tpd_read_ahead_open (fs->mountpoint);
  fs->keeper = tpd_keeper_start (fs->mountpoint, log_name, error);
  if (fs->keeper == NULL)
    return FALSE;
  if (log_name != NULL)
    tpd_daemon_detach ();
  fs->known = tpd_known_open (fs);
  if (!tpd_fs_confine (fs, error))
    return FALSE;
  if (log_name != NULL)
    {
      tpd_daemon_mute ();
      tpd_keeper_take_log (fs->keeper);
    }
  return TRUE;
}

/* A pipe that nobody reads is to poll(2) what a connection is that is over. */
static void
end_connection (int fd)
{
  int ends[2];

  if (pipe2 (ends, O_CLOEXEC) != 0)
    return;
  close (ends[0]);
  dup3 (ends[1], fd, O_CLOEXEC);
  close (ends[1]);
}

/* When somebody else has unmounted it, the connection is over. Otherwise it is
 * made so, because libfuse would unmount once more, perhaps what lies below. */
static void
unmount (TpdFs *fs)
{
  struct pollfd connection = { fuse_session_fd (fs->session), 0, 0 };

  if (poll (&connection, 1, 0) != 1 || (connection.revents & POLLERR) == 0)
    {
      if (!tpd_keeper_unmount (fs->keeper))
        tpd_error ("%s could not be unmounted; see fusermount3(1)", fs->mountpoint);
      end_connection (connection.fd);
    }
  fuse_session_unmount (fs->session);
}

static int
mount_and_serve (TpdFs *fs)
{
  g_autoptr (GError) error = NULL;
  int status = EXIT_MOUNT;

  fs->session = new_session (fs);
  if (fs->session == NULL)
    {
      tpd_error ("libfuse refused its options");
      return EXIT_MOUNT;
    }
  if (fuse_session_mount (fs->session, fs->mountpoint) != 0)
    tpd_error ("cannot mount on %s", fs->mountpoint);
  else if (!settle (fs, &error))
    {
      tpd_error ("%s", error->message);
      if (fs->keeper != NULL)
        unmount (fs);
      else
        fuse_session_unmount (fs->session);
    }
  else
    {
      status = serve (fs);
      unmount (fs);
    }
  fuse_session_destroy (fs->session);
  return status;
}

static int
run (TpdFsOptions *options, TpdPlaces *places)
{
  g_autoptr (TpdUnwrapper) agent = NULL;
  g_autoptr (TpdPassthrough) passthrough = NULL;
  g_autoptr (TpdFs) fs = NULL;
  g_autoptr (GError) error = NULL;
  TpdKeyring *keyring = NULL;
  int ready_fd = -1;

  if (!options->foreground)
    {
      ready_fd = tpd_daemon_launch ();
      if (ready_fd < 0)
        {
          tpd_error ("cannot start the daemon: %s", g_strerror (errno));
          return EXIT_MOUNT;
        }
    }
  agent = tpd_agent_start (options->keys, options->threads + tpd_fs_options_decoders (options), TPD_AGENT_DEFAULT,
                           &keyring, &error);
  if (agent == NULL)
    return fail (EXIT_KEY, error);
  passthrough = tpd_passthrough_new (options, places->root_fd, places->source);
  tpd_secret_init (SECRET_MEMORY);
  fs = tpd_fs_new (options, places->root_fd, g_strdup (places->source), g_strdup (places->mountpoint), keyring,
                   tpd_unwrap_cache_new (agent, MAX_REMEMBERED_KEYS), &error);
  places->root_fd = -1;
  if (fs == NULL)
    return fail (EXIT_MOUNT, error);
  fs->agent_pid = tpd_agent_pid (agent);
  fs->ready_fd = ready_fd;
  fs->passthrough = g_steal_pointer (&passthrough);
  return mount_and_serve (fs);
}

int
main (int argc, char **argv)
{
  g_autoptr (TpdFsOptions) options = NULL;
  g_auto (TpdPlaces) places = { NULL, NULL, -1 };
  g_autoptr (GError) error = NULL;

  tpd_log_fill_descriptors ();
  tpd_log_init ("tpdfs", TPD_LOG_INFO);
  options = tpd_fs_options_parse (argc, argv, &error);
  if (options == NULL)
    return fail (EXIT_USAGE, error);
  if (options->help)
    {
      g_autofree char *text = tpd_fs_options_help ();

      fputs (text, stdout);
      return finish_output ();
    }
  if (options->version)
    {
      printf ("tpdfs %s (libfuse %s)\n", TPDFS_VERSION, fuse_pkgversion ());
      return finish_output ();
    }
  if (options->verbose || options->debug)
    tpd_log_init ("tpdfs", TPD_LOG_DEBUG);
  /* Threads come and go with the load; an arena for each would keep what a
   * long walk took. */
  mallopt (M_ARENA_MAX, MALLOC_ARENAS);
  tpd_process_harden ();
  raise_file_limit ();
  fuse_set_log_func (fuse_log_line);
  if (!load_keyrings (options, &error))
    return fail (EXIT_KEY, error);
  if (!tpd_places_find (&places, options->source, options->mountpoint, &error))
    return fail (EXIT_MOUNT, error);
  return run (options, &places);
}
