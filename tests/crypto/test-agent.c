/* SPDX-License-Identifier: Apache-2.0 */
/* The key agent as a real child process: what it answers, how it dies, and
 * what it leaves behind. */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "crypto/agent.h"
#include "sealed.h"

#define N_THREADS 12
#define N_LANES 3

static GPtrArray *samples;

static TpdUnwrapper *
start (const TpdKeyConfig *config, guint lanes, TpdAgentFlags flags, TpdKeyring **keyring)
{
  g_autoptr (GError) error = NULL;
  TpdUnwrapper *unwrapper = tpd_agent_start (config, lanes, flags, keyring, &error);
  g_assert_no_error (error);
  g_assert_nonnull (unwrapper);
  return unwrapper;
}

static TpdUnwrapper *
start_all (guint lanes, TpdAgentFlags flags)
{
  g_autoptr (TpdKeyConfig) config = sealed_key_config ();
  g_autoptr (TpdKeyring) keyring = NULL;
  return start (config, lanes, flags, &keyring);
}

static TpdUnwrapStatus
ask (TpdUnwrapper *unwrapper, const char *name)
{
  g_auto (TpdUnwrapReply) reply;
  tpd_unwrapper_unwrap (unwrapper, &sealed_find (samples, name)->request, &reply);
  return reply.status;
}

#define GOOD "long session key.txt.pfile"

/* Log lines while `fd` collects them. */
static int
log_begin (void)
{
  int fd = memfd_create ("log", MFD_CLOEXEC);
  g_assert_cmpint (fd, >=, 0);
  tpd_log_to_file (fd);
  return fd;
}

static char *
log_end (int fd)
{
  char text[8192] = "";
  tpd_log_to_file (-1);
  g_assert_cmpint (pread (fd, text, sizeof text - 1, 0), >=, 0);
  close (fd);
  return g_strdup (text);
}

static guint
count (const char *text, const char *words)
{
  guint n = 0;
  for (const char *at = strstr (text, words); at; at = strstr (at + 1, words))
    n++;
  return n;
}

static void
test_keyring (void)
{
  static const char *const guids[] = { "04f83314-0efd-4d98-b609-17c4b389b980", "e1f3ca50-1436-4c5d-9557-208c407c31ed",
                                       "d9816186-a0e0-4f4a-905b-8124eaf24a40", "049205e9-8712-4b6f-88d0-f52eecff64b5",
                                       "2246dcb9-f2fa-4891-98f5-d667ae063d0e" };
  g_autoptr (TpdKeyConfig) config = sealed_key_config ();
  g_autoptr (TpdKeyring) keyring = NULL;
  g_autoptr (TpdUnwrapper) unwrapper = start (config, 1, TPD_AGENT_DEFAULT, &keyring);

  g_assert_cmpuint (keyring->keys->len, ==, G_N_ELEMENTS (guids));
  for (guint i = 0; i < G_N_ELEMENTS (guids); i++)
    {
      const TpdKeyInfo *info = g_ptr_array_index (keyring->keys, i);
      g_assert_cmpstr (info->guid, ==, guids[i]);
      g_assert_cmpint (info->state, ==, TPD_KEY_HELD);
      g_assert_cmpuint (g_strv_length (info->templates), >=, 2);
    }
}

static gpointer
unwrap_all (gpointer data)
{
  guint opened = 0;

  for (guint i = 0; i < samples->len; i++)
    {
      const Sealed *sealed = g_ptr_array_index (samples, i);
      g_auto (TpdUnwrapReply) reply;
      tpd_unwrapper_unwrap (data, &sealed->request, &reply);
      if (!json_object_get_boolean_member (sealed->entry, "open"))
        continue;
      g_assert_cmpint (reply.status, ==, TPD_UNWRAP_OK);
      g_assert_cmpuint (reply.key->key->len, ==, (gsize) json_object_get_int_member (sealed->entry, "key_bytes"));
      opened++;
    }
  return GUINT_TO_POINTER (opened);
}

static void
test_many_threads (void)
{
  g_autoptr (TpdUnwrapper) unwrapper = start_all (N_LANES, TPD_AGENT_DEFAULT);
  GThread *threads[N_THREADS];

  for (guint i = 0; i < N_THREADS; i++)
    threads[i] = g_thread_new ("reader", unwrap_all, unwrapper);
  for (guint i = 0; i < N_THREADS; i++)
    g_assert_cmpuint (GPOINTER_TO_UINT (g_thread_join (threads[i])), >, 50);
}

/* What comes through the sockets is what an unwrapper in this process says. */
static void
test_same_as_in_process (void)
{
  g_autoptr (TpdKeyConfig) config = sealed_key_config ();
  g_autoptr (TpdUnwrapper) agent = start_all (1, TPD_AGENT_ALLOW_TRACE);
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) keys = tpd_keys_load (config, &error);
  g_assert_no_error (error);
  g_autoptr (TpdUnwrapper) local = tpd_unwrapper_new_in_process (keys);

  for (guint i = 0; i < samples->len; i++)
    {
      TpdUnwrapRequest request = ((Sealed *) g_ptr_array_index (samples, i))->request;
      g_auto (TpdUnwrapReply) a, b;
      request.purpose = TPD_PURPOSE_TRACE;
      tpd_unwrapper_unwrap (agent, &request, &a);
      tpd_unwrapper_unwrap (local, &request, &b);
      g_assert_cmpint (a.status, ==, b.status);
      g_assert_cmpstr (a.trace, ==, b.trace);
      if (!b.key)
        continue;
      g_assert_cmpmem (a.key->key->data, a.key->key->len, b.key->key->data, b.key->key->len);
      g_assert_cmphex (a.key->mode_word, ==, b.key->mode_word);
      g_assert_cmphex (a.key->size_word, ==, b.key->size_word);
      g_assert_cmphex (a.key->flags, ==, b.key->flags);
      g_assert_cmpint (a.key->hash_rule, ==, b.key->hash_rule);
      g_assert_cmpint (a.key->oaep_sha256, ==, b.key->oaep_sha256);
      g_assert_cmpuint (a.key->session_key_len, ==, b.key->session_key_len);
    }
}

static void
test_unknown_key (void)
{
  g_autoptr (TpdUnwrapper) unwrapper = start_all (1, TPD_AGENT_DEFAULT);

  g_assert_cmpint (ask (unwrapper, "partner lost.txt.pfile"), ==, TPD_UNWRAP_UNAVAILABLE);
  g_assert_cmpint (ask (unwrapper, "same id other modulus.txt.pfile"), ==, TPD_UNWRAP_UNAVAILABLE);
  g_assert_cmpint (ask (unwrapper, "sealed key damaged.txt.pfile"), ==, TPD_UNWRAP_REFUSED);
  g_assert_cmpint (ask (unwrapper, "double key.txt.pfile"), ==, TPD_UNWRAP_DOUBLE_KEY);
  g_assert_cmpint (ask (unwrapper, GOOD), ==, TPD_UNWRAP_OK);
}

static void
test_trace_needs_leave (void)
{
  for (guint allowed = 0; allowed <= 1; allowed++)
    {
      g_autoptr (TpdUnwrapper) unwrapper = start_all (1, allowed ? TPD_AGENT_ALLOW_TRACE : TPD_AGENT_DEFAULT);
      TpdUnwrapRequest request = sealed_find (samples, "sealed key damaged.txt.pfile")->request;
      g_auto (TpdUnwrapReply) reply;
      request.purpose = TPD_PURPOSE_TRACE;
      tpd_unwrapper_unwrap (unwrapper, &request, &reply);
      g_assert_cmpint (reply.status, ==, TPD_UNWRAP_REFUSED);
      g_assert_true ((reply.trace != NULL) == allowed);
    }
}

static void
test_largest_request (void)
{
  g_autoptr (TpdUnwrapper) unwrapper = start_all (1, TPD_AGENT_ALLOW_TRACE);
  g_autofree guint8 *sealed = g_malloc0 (TPD_SEALED_MAX + 1);
  g_autofree char *principals = g_malloc (TPD_PRINCIPALS_MAX + 1);
  TpdUnwrapRequest request = sealed_find (samples, GOOD)->request;
  g_auto (TpdUnwrapReply) largest, too_large, cut;

  memset (principals, 'p', TPD_PRINCIPALS_MAX + 1);
  request.purpose = TPD_PURPOSE_TRACE;
  request.principals = principals;
  request.principals_len = TPD_PRINCIPALS_MAX + 1; /* left out, harmless */
  tpd_unwrapper_unwrap (unwrapper, &request, &cut);
  g_assert_cmpint (cut.status, ==, TPD_UNWRAP_OK);
  g_assert_cmpint (cut.key->hash_rule, ==, TPD_HASH_RULE_NONE);

  request.principals_len = TPD_PRINCIPALS_MAX;
  request.sealed = sealed;
  request.sealed_len = TPD_SEALED_MAX;
  tpd_unwrapper_unwrap (unwrapper, &request, &largest);
  g_assert_cmpint (largest.status, ==, TPD_UNWRAP_REFUSED);
  request.sealed_len = TPD_SEALED_MAX + 1;
  tpd_unwrapper_unwrap (unwrapper, &request, &too_large);
  g_assert_cmpint (too_large.status, ==, TPD_UNWRAP_REFUSED);
  g_assert_cmpint (ask (unwrapper, GOOD), ==, TPD_UNWRAP_OK);
}

static void
assert_same_reply (const TpdUnwrapReply *a, const TpdUnwrapReply *b)
{
  g_assert_cmpint (a->status, ==, b->status);
  g_assert_null (a->trace);
  g_assert_true ((a->key != NULL) == (b->key != NULL));
  if (a->key != NULL)
    g_assert_cmpmem (a->key->key->data, a->key->key->len, b->key->key->data, b->key->key->len);
}

/* All samples in groups of `size`; each gets the answer that it gets alone. */
static void
ask_in_groups (TpdUnwrapper *unwrapper, TpdUnwrapper *alone, guint size)
{
  guint n;

  for (guint from = 0; from < samples->len; from += n)
    {
      TpdUnwrapRequest requests[TPD_UNWRAP_MANY];
      TpdUnwrapReply replies[TPD_UNWRAP_MANY];

      n = MIN (size, samples->len - from);
      for (guint i = 0; i < n; i++)
        requests[i] = ((Sealed *) g_ptr_array_index (samples, from + i))->request;
      tpd_unwrapper_unwrap_many (unwrapper, requests, n, replies);
      for (guint i = 0; i < n; i++)
        {
          g_auto (TpdUnwrapReply) expected;
          tpd_unwrapper_unwrap (alone, &requests[i], &expected);
          assert_same_reply (&replies[i], &expected);
          tpd_unwrap_reply_clear (&replies[i]);
        }
    }
}

static TpdUnwrapper *
start_local (void)
{
  g_autoptr (TpdKeyConfig) config = sealed_key_config ();
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) keys = tpd_keys_load (config, &error);

  g_assert_no_error (error);
  return tpd_unwrapper_new_in_process (keys);
}

static void
test_many_at_once (void)
{
  static const char *const names[] = { GOOD, "sealed key damaged.txt.pfile", "partner lost.txt.pfile", GOOD,
                                       "double key.txt.pfile" };
  static const TpdUnwrapStatus expected[] = { TPD_UNWRAP_OK, TPD_UNWRAP_REFUSED, TPD_UNWRAP_UNAVAILABLE, TPD_UNWRAP_OK,
                                              TPD_UNWRAP_DOUBLE_KEY };
  g_autoptr (TpdUnwrapper) unwrapper = start_all (1, TPD_AGENT_ALLOW_TRACE);
  g_autoptr (TpdUnwrapper) local = start_local ();
  g_autofree TpdAgentStats *before = tpd_agent_stats (unwrapper, NULL);
  TpdUnwrapRequest requests[G_N_ELEMENTS (names)];
  TpdUnwrapReply replies[G_N_ELEMENTS (names)];

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    requests[i] = sealed_find (samples, names[i])->request;
  for (guint traced = 0; traced <= 1; traced++)
    {
      /* One that wants a trace gets it, and the others what they want. */
      requests[1].purpose = traced ? TPD_PURPOSE_TRACE : TPD_PURPOSE_READ;
      tpd_unwrapper_unwrap_many (unwrapper, requests, G_N_ELEMENTS (names), replies);
      for (guint i = 0; i < G_N_ELEMENTS (names); i++)
        {
          g_assert_cmpint (replies[i].status, ==, expected[i]);
          g_assert_true ((replies[i].key != NULL) == (expected[i] == TPD_UNWRAP_OK));
          g_assert_true ((replies[i].trace != NULL) == (traced && i == 1));
          tpd_unwrap_reply_clear (&replies[i]);
        }
    }
  g_autofree TpdAgentStats *after = tpd_agent_stats (unwrapper, NULL);
  g_assert_cmpuint (after->unknown_key - before->unknown_key, ==, 2);
  tpd_unwrapper_unwrap_many (unwrapper, requests, 0, replies);
  for (guint size = 1; size <= TPD_UNWRAP_MANY; size += 5)
    ask_in_groups (unwrapper, local, size);
}

static void
test_many_large (void)
{
  g_autoptr (TpdUnwrapper) unwrapper = start_all (1, TPD_AGENT_DEFAULT);
  g_autofree guint8 *sealed = g_malloc0 (TPD_SEALED_MAX + 1);
  TpdUnwrapRequest requests[TPD_UNWRAP_MANY];
  TpdUnwrapReply replies[TPD_UNWRAP_MANY];

  for (guint i = 0; i < TPD_UNWRAP_MANY; i++)
    {
      requests[i] = sealed_find (samples, GOOD)->request;
      if (i == 3 || i == TPD_UNWRAP_MANY - 1)
        continue;
      requests[i].sealed = sealed;
      requests[i].sealed_len = i == 7 ? TPD_SEALED_MAX + 1 : TPD_SEALED_MAX;
    }
  tpd_unwrapper_unwrap_many (unwrapper, requests, TPD_UNWRAP_MANY, replies);
  for (guint i = 0; i < TPD_UNWRAP_MANY; i++)
    {
      g_assert_cmpint (replies[i].status, ==, i == 3 || i == TPD_UNWRAP_MANY - 1 ? TPD_UNWRAP_OK : TPD_UNWRAP_REFUSED);
      tpd_unwrap_reply_clear (&replies[i]);
    }
}

typedef struct {
  TpdUnwrapper *unwrapper, *alone;
} Grouper;

static gpointer
ask_in_groups_thread (gpointer data)
{
  const Grouper *grouper = data;

  ask_in_groups (grouper->unwrapper, grouper->alone, TPD_UNWRAP_MANY);
  return NULL;
}

static void
test_many_at_once_threads (void)
{
  g_autoptr (TpdUnwrapper) agent = start_all (N_LANES, TPD_AGENT_DEFAULT);
  g_autoptr (TpdUnwrapper) cache = tpd_unwrap_cache_new (agent, 4);
  g_autoptr (TpdUnwrapper) local = start_local ();
  Grouper grouper = { cache, local };
  GThread *threads[N_THREADS];

  for (guint i = 0; i < N_THREADS; i++)
    threads[i] = g_thread_new ("asker", ask_in_groups_thread, &grouper);
  for (guint i = 0; i < N_THREADS; i++)
    g_thread_join (threads[i]);
}

static void
test_many_killed (void)
{
  g_autoptr (TpdUnwrapper) unwrapper = start_all (2, TPD_AGENT_DEFAULT);
  TpdUnwrapRequest requests[TPD_UNWRAP_MANY];
  TpdUnwrapReply replies[TPD_UNWRAP_MANY];
  int fd = log_begin ();

  for (guint i = 0; i < TPD_UNWRAP_MANY; i++)
    requests[i] = sealed_find (samples, GOOD)->request;
  g_assert_cmpint (kill (tpd_agent_pid (unwrapper), SIGKILL), ==, 0);
  for (guint round = 0; round < 2; round++)
    {
      tpd_unwrapper_unwrap_many (unwrapper, requests, TPD_UNWRAP_MANY, replies);
      for (guint i = 0; i < TPD_UNWRAP_MANY; i++)
        {
          g_assert_cmpint (replies[i].status, ==, TPD_UNWRAP_UNAVAILABLE);
          g_assert_null (replies[i].key);
        }
    }
  g_autofree char *log = log_end (fd);
  g_assert_cmpuint (count (log, "has died"), ==, 1);
}

static void
test_no_keys (void)
{
  g_autoptr (TpdKeyConfig) config = tpd_key_config_new ();
  g_autoptr (TpdKeyring) keyring = NULL;
  int fd = log_begin ();
  g_autoptr (TpdUnwrapper) unwrapper = start (config, 4, TPD_AGENT_DEFAULT, &keyring);

  g_assert_cmpuint (keyring->keys->len, ==, 0);
  g_assert_cmpint (tpd_agent_pid (unwrapper), ==, 0);
  g_assert_cmpint (ask (unwrapper, GOOD), ==, TPD_UNWRAP_UNAVAILABLE);
  g_autofree char *log = log_end (fd);
  g_assert_cmpstr (log, ==, "");
}

/* --- Loading ------------------------------------------------------------ */

static void
assert_start_fails (const TpdKeyConfig *config, int code, const char *first, const char *second)
{
  g_autoptr (TpdKeyring) keyring = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_null (tpd_agent_start (config, 2, TPD_AGENT_DEFAULT, &keyring, &error));
  g_assert_null (keyring);
  g_test_message ("%s", error->message);
  g_assert_error (error, TPD_ERROR, code);
  g_assert_nonnull (strstr (error->message, first));
  g_assert_nonnull (strstr (error->message, second));
  /* No process was left. */
  g_assert_cmpint (waitpid (-1, NULL, WNOHANG), ==, -1);
  g_assert_cmpint (errno, ==, ECHILD);
}

static TpdKeyConfig *
cloud_config (const char *password_name)
{
  TpdKeyConfig *config = tpd_key_config_new ();
  g_autofree char *file = g_build_filename (g_getenv ("TPD_FIXTURES"), "keys", "tpd-cloud.xml", NULL);
  config->allow_insecure_files = TRUE;
  tpd_key_config_add_file (config, file);
  if (password_name)
    {
      g_autofree char *password = g_build_filename (g_getenv ("TPD_FIXTURES"), "keys", password_name, NULL);
      g_assert_true (tpd_key_config_set_password_file (config, password, NULL));
    }
  return config;
}

static void
test_errors_come_through (void)
{
  g_autoptr (TpdKeyConfig) wrong = cloud_config ("tpd-onprem.password.txt");
  assert_start_fails (wrong, TPD_ERROR_PASSWORD, "tpd-cloud.xml", "The password does not open");

  g_autoptr (TpdKeyConfig) absent = cloud_config ("absent.txt");
  assert_start_fails (absent, TPD_ERROR_ERRNO + ENOENT, "absent.txt", g_strerror (ENOENT));

  g_autoptr (TpdKeyConfig) open_file = cloud_config ("tpd-cloud.password.txt");
  g_autofree char *folder = g_dir_make_tmp ("tpd-agent-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "key.xml", NULL);
  g_assert_true (g_file_set_contents (path, "x", 1, NULL));
  g_assert_cmpint (g_chmod (path, 0644), ==, 0);
  open_file->allow_insecure_files = FALSE;
  tpd_key_config_add_file (open_file, path);
  g_ptr_array_remove_index (open_file->specs, 0);
  assert_start_fails (open_file, TPD_ERROR_INSECURE_FILE, path, "chmod 600");
  g_unlink (path);
  g_rmdir (folder);
}

static void
test_password_fd (void)
{
  int ends[2];
  g_autoptr (TpdKeyConfig) config = cloud_config (NULL);
  g_autoptr (TpdKeyring) keyring = NULL;

  g_assert_cmpint (pipe (ends), ==, 0);
  g_assert_cmpint (write (ends[1], "Correct-Horse-7\n", 16), ==, 16);
  close (ends[1]);
  g_assert_true (tpd_key_config_set_password_fd (config, ends[0], NULL));
  g_autoptr (TpdUnwrapper) unwrapper = start (config, 1, TPD_AGENT_DEFAULT, &keyring);
  g_assert_cmpuint (keyring->keys->len, ==, 1);
  g_assert_cmpint (fcntl (ends[0], F_GETFD), ==, -1);
}

/* The password is typed, the agent asks. */
static void
test_prompt (void)
{
  int master, status = -1;
  pid_t child = forkpty (&master, NULL, NULL, NULL);

  if (child == 0)
    {
      g_autoptr (TpdKeyConfig) config = cloud_config (NULL);
      g_autoptr (TpdKeyring) keyring = NULL;
      TpdUnwrapper *unwrapper = tpd_agent_start (config, 1, TPD_AGENT_DEFAULT, &keyring, NULL);
      _exit (unwrapper && ask (unwrapper, GOOD) == TPD_UNWRAP_OK ? 0 : 1);
    }
  g_assert_cmpint (child, >, 0);
  GString *shown = g_string_new (NULL);
  gboolean typed = FALSE;
  for (;;)
    {
      char buffer[256];
      gssize n = read (master, buffer, sizeof buffer); /* EIO when the child is gone */
      if (n <= 0)
        break;
      g_string_append_len (shown, buffer, n);
      if (!typed && strstr (shown->str, "tpd-cloud.xml: "))
        {
          g_assert_cmpint (write (master, "Correct-Horse-7\n", 16), ==, 16);
          typed = TRUE;
        }
    }
  g_assert_true (typed);
  g_assert_null (strstr (shown->str, "Horse"));
  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  g_assert_cmpint (status, ==, 0);
  g_string_free (shown, TRUE);
  close (master);
}

/* --- Death -------------------------------------------------------------- */

static void
test_killed_before (void)
{
  g_autoptr (TpdUnwrapper) unwrapper = start_all (N_LANES, TPD_AGENT_DEFAULT);
  int fd = log_begin ();

  g_assert_cmpint (kill (tpd_agent_pid (unwrapper), SIGKILL), ==, 0);
  gint64 begin = g_get_monotonic_time ();
  for (guint i = 0; i < 5; i++)
    g_assert_cmpint (ask (unwrapper, GOOD), ==, TPD_UNWRAP_UNAVAILABLE);
  g_assert_cmpint (g_get_monotonic_time () - begin, <, 5 * G_USEC_PER_SEC);
  g_autofree char *log = log_end (fd);
  g_assert_cmpuint (count (log, "\n"), ==, 1);
  g_assert_cmpuint (count (log, "the key agent (process "), ==, 1);
  g_assert_nonnull (strstr (log, "has died"));
  g_assert_nonnull (strstr (log, "mount again"));
}

static gpointer
ask_once (gpointer unwrapper)
{
  return GINT_TO_POINTER (ask (unwrapper, GOOD));
}

/* More threads than lanes: some wait for an answer, some for a lane. */
static void
test_killed_during (void)
{
  g_autoptr (TpdUnwrapper) unwrapper = start_all (N_LANES, TPD_AGENT_DEFAULT);
  GThread *threads[N_THREADS];
  int fd = log_begin (), status = 0;

  g_assert_cmpint (kill (tpd_agent_pid (unwrapper), SIGSTOP), ==, 0);
  g_assert_cmpint (waitpid (tpd_agent_pid (unwrapper), &status, WUNTRACED), ==, tpd_agent_pid (unwrapper));
  g_assert_true (WIFSTOPPED (status));
  for (guint i = 0; i < N_THREADS; i++)
    threads[i] = g_thread_new ("reader", ask_once, unwrapper);
  g_usleep (G_USEC_PER_SEC / 5);
  g_assert_cmpint (kill (tpd_agent_pid (unwrapper), SIGKILL), ==, 0);
  for (guint i = 0; i < N_THREADS; i++)
    g_assert_cmpint (GPOINTER_TO_INT (g_thread_join (threads[i])), ==, TPD_UNWRAP_UNAVAILABLE);
  g_autofree char *log = log_end (fd);
  g_assert_cmpuint (count (log, "has died"), ==, 1);
}

static void
test_free_ends_it (void)
{
  TpdUnwrapper *unwrapper = start_all (N_LANES, TPD_AGENT_DEFAULT);
  int pid = tpd_agent_pid (unwrapper);

  g_assert_cmpint (pid, >, 0);
  tpd_unwrapper_unref (unwrapper);
  g_assert_cmpint (kill (pid, 0), ==, -1);
  g_assert_cmpint (errno, ==, ESRCH);
}

/* However its parent ends. We become the agent's foster parent. */
static void
test_parent_exit_ends_it (void)
{
  g_assert_cmpint (prctl (PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), ==, 0);
  for (guint by_kill = 0; by_kill <= 1; by_kill++)
    {
      int ends[2], agent = 0, status = -1;
      g_assert_cmpint (pipe2 (ends, O_CLOEXEC), ==, 0);
      pid_t parent = fork ();
      if (parent == 0)
        {
          TpdUnwrapper *unwrapper = start_all (2, TPD_AGENT_DEFAULT);
          int pid = tpd_agent_pid (unwrapper);
          if (ask (unwrapper, GOOD) != TPD_UNWRAP_OK || write (ends[1], &pid, sizeof pid) != sizeof pid)
            _exit (1);
          if (by_kill)
            pause ();
          _exit (0);
        }
      close (ends[1]);
      g_assert_cmpint (read (ends[0], &agent, sizeof agent), ==, sizeof agent);
      close (ends[0]);
      if (by_kill)
        kill (parent, SIGKILL);
      g_assert_cmpint (waitpid (parent, NULL, 0), ==, parent);
      g_assert_cmpint (waitpid (agent, &status, 0), ==, agent);
      g_assert_true (WIFEXITED (status) && WEXITSTATUS (status) == 0);
    }
  prctl (PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
}

static void
test_deaf_to_signals (void)
{
  static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE };
  g_autoptr (TpdUnwrapper) unwrapper = start_all (1, TPD_AGENT_DEFAULT);

  for (guint i = 0; i < G_N_ELEMENTS (signals); i++)
    g_assert_cmpint (kill (tpd_agent_pid (unwrapper), signals[i]), ==, 0);
  g_usleep (G_USEC_PER_SEC / 10);
  g_assert_cmpint (ask (unwrapper, GOOD), ==, TPD_UNWRAP_OK);
}

/* --- What it holds on to ------------------------------------------------ */

typedef struct {
  guint nulls, sockets, others;
} Descriptors;

static gboolean
list_descriptors (const char *path, Descriptors *out)
{
  GDir *fds = g_dir_open (path, 0, NULL);

  *out = (Descriptors){ 0 };
  if (!fds)
    return FALSE;
  for (const char *name = g_dir_read_name (fds); name; name = g_dir_read_name (fds))
    {
      g_autofree char *link = g_build_filename (path, name, NULL);
      g_autofree char *target = g_file_read_link (link, NULL);
      if (g_strcmp0 (target, "/dev/null") == 0)
        out->nulls++;
      else if (target && g_str_has_prefix (target, "socket:"))
        out->sockets++;
      else
        out->others++;
    }
  g_dir_close (fds);
  return TRUE;
}

static void
test_lets_go (void)
{
  int extra = open ("/dev/zero", O_RDONLY); /* inheritable, as from a shell */
  g_autoptr (TpdUnwrapper) unwrapper = start_all (N_LANES, TPD_AGENT_DEFAULT);
  g_autofree char *proc = g_strdup_printf ("/proc/%d", tpd_agent_pid (unwrapper));
  g_autofree char *status_path = g_build_filename (proc, "status", NULL);
  g_autofree char *fd_path = g_build_filename (proc, "fd", NULL);
  g_autofree char *cwd_path = g_build_filename (proc, "cwd", NULL);
  g_autofree char *status = NULL;
  Descriptors found;
  close (extra);

  g_assert_true (g_file_get_contents (status_path, &status, NULL, NULL));
  g_assert_nonnull (strstr (status, "tpd-key-agent\n"));
  if (strstr (status, "NoNewPrivs:"))
    g_assert_nonnull (strstr (status, "NoNewPrivs:\t1\n"));
  g_assert_cmpint (getsid (tpd_agent_pid (unwrapper)), ==, tpd_agent_pid (unwrapper));

  g_autofree char *cwd = g_file_read_link (cwd_path, NULL);
  if (!cwd || !list_descriptors (fd_path, &found))
    {
      g_test_skip ("an undumpable process shows its descriptors to root only");
      return;
    }
  g_assert_cmpstr (cwd, ==, "/");
  /* It closes the control socket just after it has told us to go on. */
  for (guint i = 0; i < 500 && found.sockets != N_LANES + 1; i++)
    {
      g_usleep (10 * 1000);
      g_assert_true (list_descriptors (fd_path, &found));
    }
  g_assert_cmpuint (found.nulls, ==, 3);
  g_assert_cmpuint (found.sockets, ==, N_LANES + 1); /* and that for reports */
  g_assert_cmpuint (found.others, ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  samples = sealed_load_all ();
  g_test_add_func ("/agent/describes-its-keys", test_keyring);
  g_test_add_func ("/agent/prompts-on-the-terminal", test_prompt);
  g_test_add_func ("/agent/password-fd-is-closed-in-the-parent", test_password_fd);
  g_test_add_func ("/agent/loading-errors-come-through", test_errors_come_through);
  g_test_add_func ("/agent/no-keys-no-process", test_no_keys);
  g_test_add_func ("/agent/parent-exit-ends-it", test_parent_exit_ends_it);
  g_test_add_func ("/agent/keys-not-held-are-unavailable", test_unknown_key);
  g_test_add_func ("/agent/trace-needs-leave", test_trace_needs_leave);
  g_test_add_func ("/agent/answers-as-in-process", test_same_as_in_process);
  g_test_add_func ("/agent/largest-request", test_largest_request);
  g_test_add_func ("/agent/many-at-once", test_many_at_once);
  g_test_add_func ("/agent/many-at-once-that-do-not-fit-one-message", test_many_large);
  g_test_add_func ("/agent/many-at-once-from-many-threads", test_many_at_once_threads);
  g_test_add_func ("/agent/many-at-once-of-a-dead-agent", test_many_killed);
  g_test_add_func ("/agent/lets-go-of-what-it-inherited", test_lets_go);
  g_test_add_func ("/agent/deaf-to-the-signals-of-its-parent", test_deaf_to_signals);
  g_test_add_func ("/agent/free-ends-it", test_free_ends_it);
  g_test_add_func ("/agent/many-threads", test_many_threads);
  g_test_add_func ("/agent/killed-before-a-request", test_killed_before);
  g_test_add_func ("/agent/killed-during-requests", test_killed_during);
  int status = g_test_run ();
  g_ptr_array_unref (samples);
  return status;
}
