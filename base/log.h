/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages for people: one line each, to stderr or, in a daemon, to a sink. Control characters in the text are escaped,
 * so a file name cannot forge a line. Never pass a secret.
 */
#pragma once

#include <glib.h>

typedef enum {
  TPD_LOG_ERROR,
  TPD_LOG_WARNING,
  TPD_LOG_INFO,
  TPD_LOG_DEBUG,
} TpdLogLevel;

/* First of all in main(): a standard stream that the caller closed is filled
 * with /dev/null, which cannot be written. Else the next file opened would take
 * its number, and with it messages, or be lost when a daemon lets go of them. */
void tpd_log_fill_descriptors (void);
/* `name` (static string) prefixes each line; messages above `level` are dropped. */
void tpd_log_init (const char *name, TpdLogLevel level);
/* To `sink` instead of stderr: the line as it is to be shown. May
 * come from several threads at once. */
typedef void (*TpdLogSink) (TpdLogLevel level, const char *line, gpointer data);
void tpd_log_to_sink (TpdLogSink sink, gpointer data);
/* Also appends each line, with a time stamp, to the file `fd` (kept open). */
void tpd_log_to_file (int fd);

void tpd_log (TpdLogLevel level, const char *format, ...) G_GNUC_PRINTF (2, 3);

#define tpd_error(...) tpd_log (TPD_LOG_ERROR, __VA_ARGS__)
#define tpd_warning(...) tpd_log (TPD_LOG_WARNING, __VA_ARGS__)
#define tpd_info(...) tpd_log (TPD_LOG_INFO, __VA_ARGS__)
#define tpd_debug(...) tpd_log (TPD_LOG_DEBUG, __VA_ARGS__)
