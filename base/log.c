/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines: see base/log.h. Set up before threads start, then read only. */
#include "base/log.h"

#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/text.h"

static const char *log_name = "tpd";
static TpdLogLevel log_level = TPD_LOG_INFO;
static int log_fd = -1;
static TpdLogSink log_sink;
static gpointer log_sink_data;

void
tpd_log_fill_descriptors (void)
{
  int fd;

  do
    fd = open ("/dev/null", O_RDONLY | O_NOCTTY);
  while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd > STDERR_FILENO)
    close (fd);
}

void
tpd_log_init (const char *name, TpdLogLevel level)
{
  log_name = name;
  log_level = level;
}

void
tpd_log_to_file (int fd)
{
  log_fd = fd;
}

void
tpd_log_to_sink (TpdLogSink sink, gpointer data)
{
  log_sink = sink;
  log_sink_data = data;
}

static void
write_line (int fd, const char *line)
{
  (void) tpd_write_all (fd, line, strlen (line));
}

void
tpd_log (TpdLogLevel level, const char *format, ...)
{
  static const char *const words[] = { "error: ", "warning: ", "", "debug: " };
  g_autofree char *text = NULL, *shown = NULL;
  va_list args;

  if (level > log_level)
    return;
  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  shown = tpd_display (text);
  if (log_fd >= 0)
    {
      g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
      g_autofree char *stamp = g_date_time_format (now, "%Y-%m-%dT%H:%M:%SZ");
      g_autofree char *line = g_strdup_printf ("%s %s%s\n", stamp, words[level], shown);
      write_line (log_fd, line);
    }
  if (log_sink != NULL)
    {
      log_sink (level, shown, log_sink_data);
      return;
    }
  g_autofree char *line = g_strdup_printf ("%s: %s%s\n", log_name, words[level], shown);
  write_line (STDERR_FILENO, line);
}
