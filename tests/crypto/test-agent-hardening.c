/* SPDX-License-Identifier: Apache-2.0 */
/* The key agent that runs, looked at from outside: that it is confined, leaves
 * no core, and tells what it did. */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "crypto/agent.h"
#include "sealed.h"

static GPtrArray *samples;

static TpdUnwrapper *
start_agent (guint lanes)
{
  g_autoptr (TpdKeyConfig) config = sealed_key_config ();
  g_autoptr (TpdKeyring) keyring = NULL;
  g_autoptr (GError) error = NULL;
  TpdUnwrapper *unwrapper = tpd_agent_start (config, lanes, TPD_AGENT_DEFAULT, &keyring, &error);

  g_assert_no_error (error);
  return unwrapper;
}

static char *
proc_file (int pid, const char *name)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/%s", pid, name);
  char *text = NULL;

  return g_file_get_contents (path, &text, NULL, NULL) ? text : NULL;
}

static void
test_agent_is_confined (void)
{
  g_autoptr (TpdUnwrapper) unwrapper = start_agent (3);
  int pid = tpd_agent_pid (unwrapper);
  g_autofree char *tasks = g_strdup_printf ("/proc/%d/task", pid);
  GDir *dir = g_dir_open (tasks, 0, NULL);
  guint n = 0;

  g_assert_nonnull (dir);
  for (const char *name = g_dir_read_name (dir); name; name = g_dir_read_name (dir), n++)
    {
      g_autofree char *file = g_strdup_printf ("task/%s/status", name);
      g_autofree char *status = proc_file (pid, file);
      g_assert_nonnull (strstr (status, "Seccomp:\t2\n"));
      g_assert_nonnull (strstr (status, "NoNewPrivs:\t1\n"));
    }
  g_dir_close (dir);
  g_assert_cmpuint (n, ==, 4);

  g_autofree char *limits = proc_file (pid, "limits");
  if (!limits)
    return;
  g_assert_nonnull (strstr (limits, "Max open files            0                    0 "));
  g_assert_nonnull (strstr (limits, "Max core file size        0                    0 "));
}

/* By its own user, and by root without the right to trace. */
static void
test_agent_is_not_to_be_read (void)
{
  g_autoptr (TpdUnwrapper) unwrapper = start_agent (1);
  const int pid = tpd_agent_pid (unwrapper);
  int status = -1;
  pid_t child;

  if (geteuid () == 0)
    {
      g_test_skip ("root may read any process");
      return;
    }
  child = fork ();
  if (child == 0)
    {
      g_autofree char *memory = g_strdup_printf ("/proc/%d/mem", pid);
      int fd = open (memory, O_RDONLY);
      _exit (fd < 0 && errno == EACCES && ptrace (PTRACE_ATTACH, pid, NULL, NULL) < 0 && errno == EPERM ? 0 : 1);
    }
  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  g_assert_cmpint (status, ==, 0);
}

static void
fill_core_limit (pid_t pid)
{
  const struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
  const struct rlimit hard = { 0, RLIM_INFINITY };

  /* Root may; for others the hard limit of nothing stands. */
  if (prlimit (pid, RLIMIT_CORE, &all, NULL) != 0)
    (void) prlimit (pid, RLIMIT_CORE, &hard, NULL);
}

/* Whether a process that crashes here leaves a core file at all. */
static gboolean
cores_are_made (void)
{
  int status = 0;
  pid_t child = fork ();

  if (child == 0)
    {
      fill_core_limit (getpid ());
      signal (SIGSEGV, SIG_DFL);
      raise (SIGSEGV);
      _exit (0);
    }
  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  return WIFSIGNALED (status) && WCOREDUMP (status);
}

static void
test_agent_leaves_no_core (void)
{
  static const int signals[] = { SIGSEGV, SIGABRT, SIGBUS, SIGSYS, SIGILL };
  g_autofree char *back = g_get_current_dir ();

  g_autofree char *folder = g_dir_make_tmp ("tpd-hardening-XXXXXX", NULL);
  g_assert_cmpint (g_chdir (folder), ==, 0);
  g_test_message ("others leave a core here: %d", cores_are_made ());
  for (guint i = 0; i < G_N_ELEMENTS (signals); i++)
    {
      g_autoptr (TpdUnwrapper) unwrapper = start_agent (1);
      int pid = tpd_agent_pid (unwrapper), status = 0;
      fill_core_limit (pid);
      g_assert_cmpint (kill (pid, signals[i]), ==, 0);
      g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
      g_assert_true (WIFSIGNALED (status));
      g_assert_cmpint (WTERMSIG (status), ==, signals[i]);
      g_assert_false (WCOREDUMP (status));
    }
  g_assert_cmpint (g_chdir (back), ==, 0);
  g_autofree char *core = g_build_filename (folder, "core", NULL);
  g_unlink (core);
  g_rmdir (folder);
}

/* --- What it counts and says ------------------------------------------------ */

static void
ask (TpdUnwrapper *unwrapper, const char *name, guint times)
{
  for (guint i = 0; i < times; i++)
    {
      g_auto (TpdUnwrapReply) reply;
      tpd_unwrapper_unwrap (unwrapper, &sealed_find (samples, name)->request, &reply);
    }
}

static void
test_agent_counts (void)
{
  g_autoptr (TpdUnwrapper) unwrapper = start_agent (2);
  g_autoptr (GError) error = NULL;
  guint64 opened = 0, refused = 0, double_key = 0;
  int fd = memfd_create ("log", MFD_CLOEXEC);
  char log[4096] = "";

  ask (unwrapper, "long session key.txt.pfile", 3);
  ask (unwrapper, "double key.txt.pfile", 2);
  ask (unwrapper, "partner lost.txt.pfile", 4);
  tpd_log_to_file (fd);
  ask (unwrapper, "sealed key damaged.txt.pfile", 150);
  tpd_log_to_file (-1);

  g_autofree TpdAgentStats *stats = tpd_agent_stats (unwrapper, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (stats->n_keys, ==, 5);
  for (guint i = 0; i < stats->n_keys; i++)
    {
      opened += stats->keys[i].opened;
      refused += stats->keys[i].refused;
      double_key += stats->keys[i].double_key;
      g_assert_true (stats->keys[i].unavailable == 0);
    }
  g_assert_true (opened == 3 && double_key == 2 && refused == 150 && stats->unknown_key == 4);
  /* Of many refusals one line tells, in our log. */
  g_assert_cmpint (pread (fd, log, sizeof log - 1, 0), >, 0);
  close (fd);
  g_assert_nonnull (strstr (log, ": 100 sealed keys did not open"));
  g_assert_true (strchr (log, '\n') == strrchr (log, '\n'));

  kill (tpd_agent_pid (unwrapper), SIGKILL);
  g_assert_null (tpd_agent_stats (unwrapper, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_AGENT);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  samples = sealed_load_all ();
  g_test_add_func ("/agent-hardening/confined", test_agent_is_confined);
  g_test_add_func ("/agent-hardening/not-to-be-read", test_agent_is_not_to_be_read);
  g_test_add_func ("/agent-hardening/leaves-no-core", test_agent_leaves_no_core);
  g_test_add_func ("/agent-hardening/counts-and-says", test_agent_counts);
  int status = g_test_run ();
  g_ptr_array_unref (samples);
  return status;
}
