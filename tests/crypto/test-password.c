/* SPDX-License-Identifier: Apache-2.0 */
/* Passwords from files, descriptors, credentials and a terminal, which here
 * is a pseudo-terminal with a small shell of our own on it. */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/error.h"
#include "crypto/password.h"

#define WAIT_MS 20000

typedef struct {
  char *folder;
  char *path;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  f->folder = g_dir_make_tmp ("tpd-password-XXXXXX", NULL);
  f->path = g_build_filename (f->folder, "it's a password.txt", NULL);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  g_unlink (f->path);
  g_rmdir (f->folder);
  g_free (f->path);
  g_free (f->folder);
}

static void
write_file (const Fixture *f, const char *bytes, gssize len, mode_t mode)
{
  g_assert_true (g_file_set_contents_full (f->path, bytes, len, G_FILE_SET_CONTENTS_CONSISTENT, (int) mode, NULL));
  g_assert_cmpint (g_chmod (f->path, mode), ==, 0);
}

static TpdKeySpec
spec_for (TpdPasswordKind kind, const char *source)
{
  return (TpdKeySpec){
    .name = (char *) "contoso",
    .file = (char *) "/etc/tpdfs/Contoso.xml",
    .password_kind = kind,
    .password_source = (char *) source,
    .password_fd = -1,
  };
}

/* Lengths are explicit, because of the NULs. */
#define FORM(bytes, text)         \
  {                               \
    bytes, sizeof bytes - 1, text \
  }
static const struct {
  const char *bytes;
  gsize len;
  const char *text;
} forms[] = {
  FORM ("secret", "secret"),
  FORM ("secret\n", "secret"),
  FORM ("secret\r\n", "secret"),
  FORM ("secret\n\n", "secret\n"),
  FORM ("secret\r", "secret\r"),
  FORM (" se cret ", " se cret "),
  FORM ("\n", ""),
  FORM ("\xef\xbb\xbf"
        "P@ssw0rd-\xc3\xa4\xc3\x9f\xe2\x82\xac\n",
        "P@ssw0rd-\xc3\xa4\xc3\x9f\xe2\x82\xac"),
  FORM ("\xff\xfe"
        "a\0\xac\x20\x3d\xd8\x11\xdd\r\0\n\0",
        "a\xe2\x82\xac\xf0\x9f\x94\x91"),
  FORM ("\xff\xfe"
        "\xe9\0",
        "\xc3\xa9"),
  FORM ("\xff\xfe", ""),
};

static const struct {
  const char *bytes;
  gsize len;
  const char *text;
} not_text[] = {
  FORM ("caf\xe9\n", NULL), /* Latin-1 */
  FORM ("a\0b\0", NULL),    /* UTF-16 without its mark */
  FORM ("\xff\xfe"
        "a\0b",
        NULL), /* half a unit */
  FORM ("\xff\xfe"
        "\x3d\xd8"
        "a\0",
        NULL), /* a high surrogate alone */
  FORM ("\xff\xfe"
        "\x3d\xd8",
        NULL),
  FORM ("\xff\xfe"
        "\x11\xdd",
        NULL), /* a low one */
  FORM ("\xff\xfe"
        "\0\0",
        NULL),
  FORM ("\xed\xa0\xbd", NULL), /* a surrogate in UTF-8 */
};

static void
test_forms (Fixture *f, gconstpointer data)
{
  const TpdKeySpec spec = spec_for (TPD_PASSWORD_FILE, f->path);

  for (guint i = 0; i < G_N_ELEMENTS (forms); i++)
    {
      g_autoptr (GError) error = NULL;
      write_file (f, forms[i].bytes, (gssize) forms[i].len, 0600);
      g_autoptr (TpdSecret) password = tpd_password_get (&spec, FALSE, &error);
      g_assert_no_error (error);
      g_assert_cmpmem (password->data, password->len, forms[i].text, strlen (forms[i].text));
    }
  for (guint i = 0; i < G_N_ELEMENTS (not_text); i++)
    {
      g_autoptr (GError) error = NULL;
      write_file (f, not_text[i].bytes, (gssize) not_text[i].len, 0600);
      g_autoptr (TpdSecret) password = tpd_password_get (&spec, FALSE, &error);
      g_assert_null (password);
      g_assert_error (error, TPD_ERROR, TPD_ERROR_PASSWORD);
      g_assert_nonnull (strstr (error->message, f->path));
    }
}

/* The keys that SHA-256 gives, made with Mono's classes. */
static void
test_utf16 (void)
{
  static const struct {
    const char *password;
    const char *key;
  } vectors[] = {
    { "password", "e201065d0554652615c320c00a1d5bc8" },
    { "Pa$$w0rd", "86084d8f165645dde017d7767252ef2d" },
    { "P@ssw0rd-\xc3\xa4\xc3\x9f\xe2\x82\xac", "2a694bae652c5c78de7f10a617f924dc" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (vectors); i++)
    {
      g_autoptr (TpdSecret) utf8 = tpd_secret_new (vectors[i].password, strlen (vectors[i].password));
      g_autoptr (TpdSecret) utf16 = tpd_password_utf16 (utf8);
      g_autofree char *digest = g_compute_checksum_for_data (G_CHECKSUM_SHA256, utf16->data, utf16->len);
      g_assert_cmpmem (digest, 32, vectors[i].key, 32);
    }

  static const guint8 key_pair[] = { 0x3d, 0xd8, 0x11, 0xdd };
  g_autoptr (TpdSecret) astral = tpd_secret_new ("\xf0\x9f\x94\x91", 4);
  g_autoptr (TpdSecret) pair = tpd_password_utf16 (astral);
  g_assert_cmpmem (pair->data, pair->len, key_pair, sizeof key_pair);

  g_autoptr (TpdSecret) bad = tpd_secret_new ("\xff", 1);
  g_assert_null (tpd_password_utf16 (bad));
}

static void
test_file_modes (Fixture *f, gconstpointer data)
{
  static const mode_t open_modes[] = { 0640, 0604, 0620, 0602, 0644, 0610 };
  g_autofree char *quoted = g_shell_quote (f->path);
  g_autofree char *mend = g_strdup_printf ("chmod 600 %s", quoted);
  g_autofree char *copy = g_strdup_printf ("install -m 600 %s", quoted);

  for (guint i = 0; i < G_N_ELEMENTS (open_modes); i++)
    {
      g_autoptr (GError) error = NULL;
      write_file (f, "hidden", -1, open_modes[i]);
      g_assert_null (tpd_secret_file_read (f->path, 100, FALSE, &error));
      g_assert_error (error, TPD_ERROR, TPD_ERROR_INSECURE_FILE);
      g_assert_nonnull (strstr (error->message, mend));
      g_assert_nonnull (strstr (error->message, copy));
      g_assert_null (strstr (error->message, "hidden"));

      g_autoptr (TpdSecret) allowed = tpd_secret_file_read (f->path, 100, TRUE, NULL);
      g_assert_cmpmem (allowed->data, allowed->len, "hidden", 6);
    }
  write_file (f, "hidden", -1, 0400);
  g_autoptr (TpdSecret) secret = tpd_secret_file_read (f->path, 6, FALSE, NULL);
  g_assert_cmpmem (secret->data, secret->len, "hidden", 6);
}

static void
test_file_owner (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  if (geteuid () != 0)
    {
      g_test_skip ("only root can give a file away");
      return;
    }
  write_file (f, "hidden", -1, 0600);
  g_assert_cmpint (chown (f->path, 4711, 4711), ==, 0);
  g_assert_null (tpd_secret_file_read (f->path, 100, FALSE, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_INSECURE_FILE);
  g_assert_nonnull (strstr (error->message, "4711"));
}

static void
test_file_kinds (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (tpd_secret_file_read (f->path, 100, FALSE, &error));
  g_assert_cmpint (tpd_error_get_errno (error), ==, ENOENT);
  g_clear_error (&error);

  g_assert_null (tpd_secret_file_read (f->folder, 100, FALSE, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_KEY_FILE);
  g_clear_error (&error);

  /* Must not wait for a writer. */
  g_assert_cmpint (mkfifo (f->path, 0600), ==, 0);
  g_assert_null (tpd_secret_file_read (f->path, 100, FALSE, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_KEY_FILE);
  g_assert_nonnull (strstr (error->message, "--password-fd"));
  g_clear_error (&error);
  g_unlink (f->path);

  write_file (f, "12345678", -1, 0600);
  g_assert_null (tpd_secret_file_read (f->path, 7, FALSE, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_KEY_FILE);

  /* The administrator's own link is followed, to the target's mode. */
  g_autofree char *link = g_build_filename (f->folder, "link", NULL);
  g_assert_cmpint (symlink (f->path, link), ==, 0);
  g_autoptr (TpdSecret) secret = tpd_secret_file_read (link, 8, FALSE, NULL);
  g_assert_cmpuint (secret->len, ==, 8);
  g_unlink (link);
}

static void
test_fd (void)
{
  int ends[2];
  g_autoptr (GError) error = NULL;
  TpdKeySpec spec = spec_for (TPD_PASSWORD_FD, NULL);

  g_assert_cmpint (pipe (ends), ==, 0);
  g_assert_cmpint (write (ends[1], "from a pipe\n", 12), ==, 12);
  close (ends[1]);
  spec.password_fd = ends[0];
  g_autoptr (TpdSecret) password = tpd_password_get (&spec, FALSE, &error);
  g_assert_no_error (error);
  g_assert_cmpmem (password->data, password->len, "from a pipe", 11);

  /* It was closed: reading again is an error that names it. */
  g_assert_cmpint (fcntl (ends[0], F_GETFD), ==, -1);
  g_assert_null (tpd_password_get (&spec, FALSE, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_PASSWORD);
  g_autofree char *number = g_strdup_printf ("descriptor %d", ends[0]);
  g_assert_nonnull (strstr (error->message, number));
}

static void
test_fd_endless (void)
{
  g_autoptr (GError) error = NULL;
  TpdKeySpec spec = spec_for (TPD_PASSWORD_FD, NULL);

  spec.password_fd = open ("/dev/zero", O_RDONLY | O_CLOEXEC);
  g_assert_null (tpd_password_get (&spec, FALSE, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_PASSWORD);
}

static void
test_credential (Fixture *f, gconstpointer data)
{
  const TpdKeySpec spec = spec_for (TPD_PASSWORD_CREDENTIAL, "it's a password.txt");
  const TpdKeySpec outside = spec_for (TPD_PASSWORD_CREDENTIAL, "../password");
  g_autoptr (GError) error = NULL;

  g_unsetenv ("CREDENTIALS_DIRECTORY");
  g_assert_null (tpd_password_get (&spec, FALSE, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_PASSWORD);
  g_assert_nonnull (strstr (error->message, "LoadCredential"));
  g_clear_error (&error);

  g_setenv ("CREDENTIALS_DIRECTORY", f->folder, TRUE);
  /* systemd grants by ACL, whose mask shows as group bits. */
  write_file (f, "from systemd\n", -1, 0440);
  g_autoptr (TpdSecret) password = tpd_password_get (&spec, FALSE, &error);
  g_assert_no_error (error);
  g_assert_cmpmem (password->data, password->len, "from systemd", 12);

  g_assert_null (tpd_password_get (&outside, FALSE, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_USAGE);
  g_clear_error (&error);

  g_chmod (f->path, 0444);
  g_assert_null (tpd_password_get (&spec, FALSE, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_INSECURE_FILE);
  g_unsetenv ("CREDENTIALS_DIRECTORY");
}

static void
test_no_terminal (void)
{
  int status = -1;
  pid_t child = fork ();

  if (child == 0)
    {
      const TpdKeySpec spec = spec_for (TPD_PASSWORD_PROMPT, NULL);
      g_autoptr (GError) error = NULL;
      setsid ();
      TpdSecret *password = tpd_password_get (&spec, FALSE, &error);
      _exit (!password && g_error_matches (error, TPD_ERROR, TPD_ERROR_PASSWORD)
                     && strstr (error->message, "--password-file") && strstr (error->message, "--password-fd")
                 ? 0
                 : 1);
    }
  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  g_assert_cmpint (status, ==, 0);
}

/* --- On a terminal ------------------------------------------------------ */

typedef struct {
  int master;     /* of the pseudo-terminal */
  int report;     /* one line from our shell for each thing that happens */
  int commands;   /* a byte makes our shell continue the stopped job */
  pid_t shell;    /* leader of the session */
  GString *shown; /* all that was on the screen */
} Terminal;

/* The job: asks, and leaves with 0 when it got what was typed. */
static void G_GNUC_NORETURN
job (const char *expected)
{
  const TpdKeySpec spec = spec_for (TPD_PASSWORD_PROMPT, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdSecret) password = tpd_password_get (&spec, FALSE, &error);

  if (!password)
    _exit (10 + (error->code == TPD_ERROR_PASSWORD));
  _exit (password->len == strlen (expected) && memcmp (password->data, expected, password->len) == 0 ? 0 : 1);
}

/* A shell with job control and one job. */
static void G_GNUC_NORETURN
shell (const char *expected, int report, int commands)
{
  int status;
  char byte;
  pid_t child = fork ();

  if (child == 0)
    {
      setpgid (0, 0);
      signal (SIGTTOU, SIG_IGN);
      tcsetpgrp (STDIN_FILENO, getpgrp ());
      signal (SIGTTOU, SIG_DFL);
      dprintf (report, "job %d\n", (int) getpid ());
      job (expected);
    }
  signal (SIGTTOU, SIG_IGN);
  for (;;)
    {
      if (waitpid (child, &status, WUNTRACED) != child)
        _exit (1);
      if (!WIFSTOPPED (status))
        break;
      dprintf (report, "stopped %d\n", WSTOPSIG (status));
      if (read (commands, &byte, 1) != 1)
        _exit (1);
      tcsetpgrp (STDIN_FILENO, child);
      kill (child, SIGCONT);
    }
  if (WIFSIGNALED (status))
    dprintf (report, "killed %d\n", WTERMSIG (status));
  else
    dprintf (report, "exited %d\n", WEXITSTATUS (status));
  /* Stays, so that the terminal can be looked at. */
  (void) !read (commands, &byte, 1);
  _exit (0);
}

static Terminal *
terminal_new (const char *expected)
{
  Terminal *t = g_new0 (Terminal, 1);
  int reports[2], commands[2];

  g_assert_cmpint (pipe2 (reports, O_CLOEXEC), ==, 0);
  g_assert_cmpint (pipe2 (commands, O_CLOEXEC), ==, 0);
  t->shell = forkpty (&t->master, NULL, NULL, NULL);
  g_assert_cmpint (t->shell, >=, 0);
  if (t->shell == 0)
    {
      close (reports[0]);
      close (commands[1]);
      shell (expected, reports[1], commands[0]);
    }
  close (reports[1]);
  close (commands[0]);
  t->report = reports[0];
  t->commands = commands[1];
  t->shown = g_string_new (NULL);
  return t;
}

static void
terminal_free (Terminal *t)
{
  close (t->commands);
  g_assert_cmpint (waitpid (t->shell, NULL, 0), ==, t->shell);
  close (t->report);
  close (t->master);
  g_string_free (t->shown, TRUE);
  g_free (t);
}

/* Waits for output on the screen. */
static void
await_text (Terminal *t, const char *text)
{
  gsize from = t->shown->len;
  while (!strstr (t->shown->str + from, text))
    {
      char buffer[256];
      struct pollfd wait = { .fd = t->master, .events = POLLIN };
      g_assert_cmpint (poll (&wait, 1, WAIT_MS), ==, 1);
      gssize n = read (t->master, buffer, sizeof buffer);
      g_assert_cmpint (n, >, 0);
      g_string_append_len (t->shown, buffer, n);
    }
}

static char *
await_report (Terminal *t)
{
  GString *line = g_string_new (NULL);
  for (;;)
    {
      char byte;
      struct pollfd wait = { .fd = t->report, .events = POLLIN };
      g_assert_cmpint (poll (&wait, 1, WAIT_MS), ==, 1);
      g_assert_cmpint (read (t->report, &byte, 1), ==, 1);
      if (byte == '\n')
        return g_string_free (line, FALSE);
      g_string_append_c (line, byte);
    }
}

static void
assert_report (Terminal *t, const char *expected)
{
  g_autofree char *report = await_report (t);
  g_assert_cmpstr (report, ==, expected);
}

static void
type (Terminal *t, const char *keys)
{
  g_assert_cmpint (write (t->master, keys, strlen (keys)), ==, (gssize) strlen (keys));
}

static gboolean
echoes (Terminal *t)
{
  struct termios settings;
  g_assert_cmpint (tcgetattr (t->master, &settings), ==, 0);
  return (settings.c_lflag & ECHO) != 0;
}

/* Up to the prompt; returns the process that asks. */
static pid_t
await_prompt (Terminal *t)
{
  g_autofree char *report = await_report (t);
  g_assert_true (g_str_has_prefix (report, "job "));
  await_text (t, "Password for key file /etc/tpdfs/Contoso.xml: ");
  g_assert_false (echoes (t));
  return (pid_t) g_ascii_strtoll (report + 4, NULL, 10);
}

static void
test_prompt (void)
{
  Terminal *t = terminal_new ("Sch\xc3\xb6n-7");

  await_prompt (t);
  type (t, "Sch\xc3\xb6n-7\n");
  assert_report (t, "exited 0");
  await_text (t, "\n");
  g_assert_true (echoes (t));
  g_assert_null (strstr (t->shown->str, "-7"));
  terminal_free (t);
}

static void
test_prompt_end_of_input (void)
{
  Terminal *t = terminal_new ("");

  await_prompt (t);
  type (t, "\x04");
  assert_report (t, "exited 11");
  g_assert_true (echoes (t));
  terminal_free (t);
}

static void
test_prompt_interrupted (void)
{
  Terminal *t = terminal_new ("");

  await_prompt (t);
  type (t, "half\x03");
  g_autofree char *expected = g_strdup_printf ("killed %d", SIGINT);
  assert_report (t, expected);
  g_assert_true (echoes (t));
  terminal_free (t);
}

static void
test_prompt_terminated (void)
{
  Terminal *t = terminal_new ("");

  pid_t asking = await_prompt (t);
  g_assert_cmpint (kill (asking, SIGTERM), ==, 0);
  g_autofree char *expected = g_strdup_printf ("killed %d", SIGTERM);
  assert_report (t, expected);
  g_assert_true (echoes (t));
  terminal_free (t);
}

static void
test_prompt_stopped (void)
{
  Terminal *t = terminal_new ("right");

  await_prompt (t);
  type (t, "wro\x1a");
  g_autofree char *expected = g_strdup_printf ("stopped %d", SIGTSTP);
  assert_report (t, expected);
  g_assert_true (echoes (t));

  g_assert_cmpint (write (t->commands, "c", 1), ==, 1);
  await_text (t, "Password for key file /etc/tpdfs/Contoso.xml: ");
  g_assert_false (echoes (t));
  type (t, "right\n");
  assert_report (t, "exited 0");
  g_assert_true (echoes (t));
  terminal_free (t);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(path, test) g_test_add (path, Fixture, NULL, set_up, test, tear_down)
  ADD ("/password/encodings-marks-and-one-line-end", test_forms);
  g_test_add_func ("/password/utf16-gives-the-known-keys", test_utf16);
  ADD ("/secret-file/open-to-others-is-refused-with-the-remedy", test_file_modes);
  ADD ("/secret-file/of-another-user-is-refused", test_file_owner);
  ADD ("/secret-file/regular-and-bounded", test_file_kinds);
  g_test_add_func ("/password/fd-is-read-and-closed", test_fd);
  g_test_add_func ("/password/fd-is-bounded", test_fd_endless);
  ADD ("/password/systemd-credential", test_credential);
  g_test_add_func ("/prompt/without-terminal-names-the-options", test_no_terminal);
  g_test_add_func ("/prompt/echo-is-off-and-restored", test_prompt);
  g_test_add_func ("/prompt/end-of-input-is-no-password", test_prompt_end_of_input);
  g_test_add_func ("/prompt/interrupt-restores-the-terminal", test_prompt_interrupted);
  g_test_add_func ("/prompt/termination-restores-the-terminal", test_prompt_terminated);
  g_test_add_func ("/prompt/stop-restores-and-asks-again", test_prompt_stopped);
  return g_test_run ();
}
