/* SPDX-License-Identifier: Apache-2.0 */
/* Confinement of the document process: see base/confine.h. */
#include "base/confine.h"

#include <dirent.h>
#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/confine_private.h"
#include "base/error.h"
#include "base/log.h"

#ifndef CAP_LAST_CAP
#define CAP_LAST_CAP 40
#endif
#define CAP_BIT(cap) (G_GUINT64_CONSTANT (1) << (cap))

static void
path_clear (gpointer data)
{
  g_free (((TpdConfinedPath *) data)->path);
}

TpdConfinement *
tpd_confinement_new (TpdConfineFlags flags)
{
  TpdConfinement *confinement = g_new0 (TpdConfinement, 1);

  confinement->flags = flags;
  confinement->paths = g_array_new (FALSE, FALSE, sizeof (TpdConfinedPath));
  g_array_set_clear_func (confinement->paths, path_clear);
  return confinement;
}

void
tpd_confinement_free (TpdConfinement *confinement)
{
  g_array_unref (confinement->paths);
  g_free (confinement);
}

void
tpd_confinement_add_flags (TpdConfinement *confinement, TpdConfineFlags flags)
{
  confinement->flags |= flags;
}

void
tpd_confinement_read (TpdConfinement *confinement, const char *path)
{
  const TpdConfinedPath entry = { g_strdup (path), FALSE };

  g_array_append_val (confinement->paths, entry);
}

void
tpd_confinement_write (TpdConfinement *confinement, const char *path)
{
  const TpdConfinedPath entry = { g_strdup (path), TRUE };

  confinement->flags |= TPD_CONFINE_WRITES;
  g_array_append_val (confinement->paths, entry);
}

/* --- Capabilities --------------------------------------------------------- */

/* Reading users' private files takes one; making files that belong to others
 * takes those that chown(2), chmod(2) and utimensat(2) ask for, and getting
 * into directories that were given away already. */
static guint64
capabilities_kept (TpdConfineFlags flags)
{
  guint64 kept = CAP_BIT (CAP_DAC_READ_SEARCH);

  if (flags & TPD_CONFINE_OWNERS)
    kept |= CAP_BIT (CAP_CHOWN) | CAP_BIT (CAP_FOWNER) | CAP_BIT (CAP_FSETID) | CAP_BIT (CAP_DAC_OVERRIDE);
  return kept;
}

gboolean
tpd_capabilities_keep (guint64 kept, GError **error)
{
  struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
  struct __user_cap_data_struct data[2] = { { 0 } };

  if (syscall (SYS_capget, &header, data) != 0)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_CONFINE, "This process cannot tell its capabilities: %s",
                   g_strerror (errno));
      return FALSE;
    }
  /* Those that a program could have, which is never run; needs a capability
   * itself, and an ordinary user has none to lose. */
  for (guint cap = 0; cap <= CAP_LAST_CAP; cap++)
    if (!(kept & CAP_BIT (cap)))
      (void) prctl (PR_CAPBSET_DROP, cap, 0, 0, 0);
  (void) prctl (PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  for (guint i = 0; i < G_N_ELEMENTS (data); i++)
    {
      data[i].permitted &= (guint32) (kept >> (32 * i));
      data[i].effective = data[i].permitted;
      data[i].inheritable = 0;
    }
  if (syscall (SYS_capset, &header, data) == 0)
    return TRUE;
  g_set_error (error, TPD_ERROR, TPD_ERROR_CONFINE, "This process cannot give up its capabilities: %s",
               g_strerror (errno));
  return FALSE;
}

/* As much memory may be locked as can be had: what is decoded is. */
static void
raise_lock_limit (void)
{
  const struct rlimit none = { RLIM_INFINITY, RLIM_INFINITY };
  struct rlimit limit;

  if (setrlimit (RLIMIT_MEMLOCK, &none) == 0 || getrlimit (RLIMIT_MEMLOCK, &limit) != 0)
    return;
  limit.rlim_cur = limit.rlim_max;
  (void) setrlimit (RLIMIT_MEMLOCK, &limit);
}

/* --- All together --------------------------------------------------------- */

/* Of a process whose /proc is not to be seen nothing is known. */
static gboolean
has_threads (void)
{
  DIR *tasks = opendir ("/proc/self/task");
  guint n = 0;

  while (tasks != NULL && readdir (tasks) != NULL)
    n++;
  if (tasks != NULL)
    closedir (tasks);
  return n > 3; /* ".", ".." and this one */
}

gboolean
tpd_confine (const TpdConfinement *confinement, GError **error)
{
  const struct rlimit zero = { 0, 0 };

  if (has_threads ())
    {
      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_CONFINE,
                           "This process has threads already, which would stay unconfined");
      return FALSE;
    }
  if (prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || setrlimit (RLIMIT_CORE, &zero) != 0
      || setrlimit (RLIMIT_MSGQUEUE, &zero) != 0)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_CONFINE, "This process cannot limit itself: %s", g_strerror (errno));
      return FALSE;
    }
  raise_lock_limit ();
  if (!tpd_capabilities_keep (capabilities_kept (confinement->flags), error))
    return FALSE;
  /* A change of credentials may have undone it. */
  prctl (PR_SET_DUMPABLE, 0, 0, 0, 0);
  g_autoptr (GError) own = NULL;
  if (!tpd_confine_paths (confinement, &own))
    {
      if (own != NULL)
        {
          g_propagate_error (error, g_steal_pointer (&own));
          return FALSE;
        }
      tpd_warning ("this kernel has no Landlock (5.13 and later, with lsm=landlock): a hostile document that took "
                   "over this process could read every file that this process can");
    }
  return tpd_confine_system_calls (confinement->flags, error);
}
