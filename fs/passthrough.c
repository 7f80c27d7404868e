/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel passthrough: see fs/passthrough.h. */
#include "fs/passthrough.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/vfs.h>

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#include "base/log.h"
#include "fs/broker.h"

#ifdef FUSE_CAP_PASSTHROUGH
#define BUILT_IN TRUE
#else
#define BUILT_IN FALSE
#endif

#define N_LOCKS 64

/* Registering a file and giving it up again takes about 20 us more than opening
 * it: more than the reads that it saves where one or two fetch the whole file,
 * which the kernel then keeps. Measured: the first read of 128 KiB is faster
 * through the mount, that of 256 KiB without it. */
#define MIN_SIZE (256 * 1024)

struct _TpdPassthrough {
  TpdBroker *broker; /* NULL: none */
  gboolean always;   /* small files, too */
  guint depth;
  guint max_fds;

  const char *why;  /* atomic; NULL: it is there */
  gboolean off;     /* because it was asked for */
  guint files, fds; /* atomic */
  guint64 refused;  /* atomic */
  GMutex locks[N_LOCKS];
};

static void
disable (TpdPassthrough *passthrough, const char *why)
{
  const char *none = NULL;

  if (__atomic_compare_exchange_n (&passthrough->why, &none, why, FALSE, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
    tpd_debug ("no kernel passthrough: %s", why);
  /* A process with such a right is not to be there for nothing. */
  if (passthrough->broker != NULL)
    tpd_broker_end (passthrough->broker);
}

static gboolean
is_active (const TpdPassthrough *passthrough)
{
  return __atomic_load_n (&passthrough->why, __ATOMIC_ACQUIRE) == NULL;
}

/* What is stacked on a file system may be registered only when the kernel
 * knows beforehand; then nothing can be stacked on the mount in turn. */
static guint
stacking_depth (int root_fd)
{
  static const guint32 stacked[] = { 0x794c7630 /* overlayfs */, 0xf15f /* ecryptfs */, 0x65735546 /* FUSE */ };
  struct statfs fs;

  if (fstatfs (root_fd, &fs) != 0)
    return 0;
  for (guint i = 0; i < G_N_ELEMENTS (stacked); i++)
    if ((guint32) fs.f_type == stacked[i])
      return 1;
  return 0;
}

static guint
fd_limit (void)
{
  struct rlimit limit;

  return getrlimit (RLIMIT_NOFILE, &limit) == 0 ? (guint) MIN (limit.rlim_cur / 4, 65536) : 0;
}

TpdPassthrough *
tpd_passthrough_new (const TpdFsOptions *options, int root_fd, const char *source)
{
  TpdPassthrough *passthrough = g_new0 (TpdPassthrough, 1);

  for (guint i = 0; i < N_LOCKS; i++)
    g_mutex_init (&passthrough->locks[i]);
  passthrough->always = options->passthrough == TPD_PASSTHROUGH_ALWAYS;
  passthrough->off = options->passthrough == TPD_PASSTHROUGH_OFF;
  if (passthrough->off)
    disable (passthrough, "switched off by passthrough=off");
  else if (!BUILT_IN)
    disable (passthrough, "tpdfs was built with a libfuse before 3.17");
  else
    {
      passthrough->depth = stacking_depth (root_fd);
      passthrough->max_fds = fd_limit ();
      passthrough->broker = tpd_broker_start (root_fd, source, options->one_file_system);
      if (passthrough->broker == NULL)
        disable (passthrough, "only root may have the kernel read files for a mount (CAP_SYS_ADMIN)");
    }
  return passthrough;
}

void
tpd_passthrough_free (TpdPassthrough *passthrough)
{
  if (passthrough == NULL)
    return;
  g_clear_pointer (&passthrough->broker, tpd_broker_free);
  for (guint i = 0; i < N_LOCKS; i++)
    g_mutex_clear (&passthrough->locks[i]);
  g_free (passthrough);
}

void
tpd_passthrough_connect (TpdPassthrough *passthrough, int fuse_fd)
{
  if (passthrough == NULL || passthrough->broker == NULL)
    return;
  if (tpd_broker_connect (passthrough->broker, fuse_fd) != 0)
    disable (passthrough, "the process that registers files could not confine itself and has ended");
}

gboolean
tpd_passthrough_is_possible (const TpdPassthrough *passthrough)
{
  return passthrough != NULL && is_active (passthrough);
}

guint
tpd_passthrough_depth (const TpdPassthrough *passthrough)
{
  return passthrough->depth;
}

void
tpd_passthrough_set_offered (TpdPassthrough *passthrough, gboolean offered)
{
  if (passthrough != NULL && !offered)
    disable (passthrough, "this kernel has none (Linux 6.9 and later, with CONFIG_FUSE_PASSTHROUGH)");
}

void
tpd_passthrough_lock (TpdPassthrough *passthrough, guint64 id)
{
  if (passthrough != NULL)
    g_mutex_lock (&passthrough->locks[id % N_LOCKS]);
}

void
tpd_passthrough_unlock (TpdPassthrough *passthrough, guint64 id)
{
  if (passthrough != NULL)
    g_mutex_unlock (&passthrough->locks[id % N_LOCKS]);
}

static void
note_failure (TpdPassthrough *passthrough, int errnum)
{
  __atomic_add_fetch (&passthrough->refused, 1, __ATOMIC_RELAXED);
  if (errnum == EPERM)
    disable (passthrough, "the kernel does not let this system's root register files (a container?)");
  else if (errnum == ENOTTY || errnum == ENOSYS || errnum == EOPNOTSUPP)
    disable (passthrough, "this kernel does not know how to register files");
  else if (errnum == EPIPE && is_active (passthrough))
    {
      tpd_warning ("the process that registers files for the kernel has ended: files are read through the mount now, "
                   "more slowly");
      disable (passthrough, "the process that registers files has ended");
    }
  else
    tpd_debug ("a file was not registered for passthrough: %s", g_strerror (errnum));
}

gint32
tpd_passthrough_register (TpdPassthrough *passthrough, int fd, guint64 size)
{
  gint32 id = 0;
  int errnum;

  if (passthrough == NULL || !is_active (passthrough) || (size < MIN_SIZE && !passthrough->always))
    return 0;
  errnum = tpd_broker_open (passthrough->broker, fd, &id);
  if (errnum != 0)
    note_failure (passthrough, errnum);
  else
    __atomic_add_fetch (&passthrough->files, 1, __ATOMIC_RELAXED);
  return id;
}

void
tpd_passthrough_unregister (TpdPassthrough *passthrough, gint32 backing_id)
{
  __atomic_sub_fetch (&passthrough->files, 1, __ATOMIC_RELAXED);
  tpd_broker_close (passthrough->broker, backing_id);
}

gboolean
tpd_passthrough_take_fd (TpdPassthrough *passthrough)
{
  if (__atomic_add_fetch (&passthrough->fds, 1, __ATOMIC_RELAXED) <= passthrough->max_fds)
    return TRUE;
  tpd_passthrough_give_fd (passthrough);
  return FALSE;
}

void
tpd_passthrough_give_fd (TpdPassthrough *passthrough)
{
  __atomic_sub_fetch (&passthrough->fds, 1, __ATOMIC_RELAXED);
}

void
tpd_passthrough_get_state (const TpdPassthrough *passthrough, TpdPassthroughState *state)
{
  *state = (TpdPassthroughState){ .state = "off", .why = "this mount has none" };
  if (passthrough == NULL)
    return;
  state->why = __atomic_load_n (&passthrough->why, __ATOMIC_ACQUIRE);
  state->state = passthrough->off ? "off" : state->why != NULL ? "unavailable" : "active";
  state->files = __atomic_load_n (&passthrough->files, __ATOMIC_RELAXED);
  state->refused = __atomic_load_n (&passthrough->refused, __ATOMIC_RELAXED);
  state->broker_pid =
      passthrough->broker != NULL && state->why == NULL ? (int) tpd_broker_pid (passthrough->broker) : 0;
}
