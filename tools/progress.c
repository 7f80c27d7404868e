/* SPDX-License-Identifier: Apache-2.0 */
/* The line on the terminal: see progress.h. */
#include "tools/progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DRAW_EVERY_US (200 * 1000)
/* Before that, rates jump about. */
#define RATE_AFTER_US (2 * G_USEC_PER_SEC)
#define MAX_COLUMNS 200

void
tpd_progress_init (TpdProgress *progress, const char *what, gboolean quiet)
{
  memset (progress, 0, sizeof *progress);
  progress->what = what;
  progress->shown = !quiet && isatty (STDERR_FILENO);
  progress->began = g_get_monotonic_time ();
  g_mutex_init (&progress->lock);
}

void
tpd_progress_clear (TpdProgress *progress)
{
  tpd_progress_hide (progress);
  g_mutex_clear (&progress->lock);
}

void
tpd_progress_add (TpdProgress *progress, guint64 files, guint64 bytes)
{
  atomic_fetch_add_explicit (&progress->files, files, memory_order_relaxed);
  atomic_fetch_add_explicit (&progress->bytes, bytes, memory_order_relaxed);
}

char *
tpd_progress_bytes (guint64 bytes)
{
  static const char *const units[] = { "kB", "MB", "GB", "TB", "PB", "EB" };
  double value = (double) bytes / 1000;
  guint unit = 0;

  if (bytes < 1000)
    return g_strdup_printf ("%" G_GUINT64_FORMAT " bytes", bytes);
  /* 999.95 would be shown as 1000.0. */
  while (value >= 999.95 && unit + 1 < G_N_ELEMENTS (units))
    {
      value /= 1000;
      unit++;
    }
  return g_strdup_printf ("%.1f %s", value, units[unit]);
}

char *
tpd_progress_number (guint64 number)
{
  g_autofree char *digits = g_strdup_printf ("%" G_GUINT64_FORMAT, number);
  GString *grouped = g_string_new (NULL);
  gsize len = strlen (digits);

  for (gsize i = 0; i < len; i++)
    {
      if (i > 0 && (len - i) % 3 == 0)
        g_string_append_c (grouped, ' ');
      g_string_append_c (grouped, digits[i]);
    }
  return g_string_free (grouped, FALSE);
}

static void
append_left (GString *line, const TpdProgress *progress, guint64 files, gint64 elapsed)
{
  guint64 left, seconds;

  if (progress->expected == 0 || files == 0 || files >= progress->expected)
    return;
  left = progress->expected - files;
  seconds = (guint64) ((double) elapsed / (double) files * (double) left / G_USEC_PER_SEC);
  g_string_append_printf (line, ", %u %%", (guint) ((double) files * 100 / (double) progress->expected));
  if (elapsed < RATE_AFTER_US)
    return;
  if (seconds >= 3600)
    g_string_append_printf (line, ", about %u h %02u min left", (guint) (seconds / 3600), (guint) (seconds / 60 % 60));
  else
    g_string_append_printf (line, ", about %u:%02u left", (guint) (seconds / 60), (guint) (seconds % 60));
}

static gsize
columns (void)
{
  struct winsize size = { 0 };

  if (ioctl (STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
    return 79;
  return MIN (size.ws_col - 1, MAX_COLUMNS);
}

static void
write_line (const char *text)
{
  g_autofree char *whole = g_strconcat ("\r", text, "\x1b[K", NULL);

  if (write (STDERR_FILENO, whole, strlen (whole)) < 0)
    return;
}

void
tpd_progress_draw (TpdProgress *progress)
{
  gint64 now = g_get_monotonic_time (), elapsed = now - progress->began;
  guint64 n = atomic_load_explicit (&progress->files, memory_order_relaxed);
  guint64 bytes = atomic_load_explicit (&progress->bytes, memory_order_relaxed);
  g_autoptr (GString) line = NULL;
  g_autofree char *files = NULL, *size = NULL;

  if (!progress->shown || now - progress->drawn < DRAW_EVERY_US)
    return;
  progress->drawn = now;
  files = tpd_progress_number (n);
  size = tpd_progress_bytes (bytes);
  line = g_string_new (NULL);
  g_string_append_printf (line, "%s: %s files, %s", progress->what, files, size);
  if (elapsed >= RATE_AFTER_US)
    {
      g_autofree char *rate = tpd_progress_number ((guint64) ((double) n * G_USEC_PER_SEC / (double) elapsed));
      g_string_append_printf (line, ", %s files/s", rate);
    }
  append_left (line, progress, n, elapsed);
  if (line->len > columns ())
    g_string_truncate (line, columns ());
  g_mutex_lock (&progress->lock);
  write_line (line->str);
  progress->on_line = TRUE;
  g_mutex_unlock (&progress->lock);
}

/* With the lock held. */
static void
hide (TpdProgress *progress)
{
  if (progress->on_line)
    write_line ("");
  progress->on_line = FALSE;
}

void
tpd_progress_hide (TpdProgress *progress)
{
  g_mutex_lock (&progress->lock);
  hide (progress);
  g_mutex_unlock (&progress->lock);
}

void
tpd_progress_tell (TpdProgress *progress, TpdLogLevel level, const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  g_mutex_lock (&progress->lock);
  hide (progress);
  tpd_log (level, "%s", text);
  g_mutex_unlock (&progress->lock);
}
