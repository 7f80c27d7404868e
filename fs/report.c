/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unreadable files: see fs/report.h. One mutex; a line of log is written
 * outside it. The log is rate limited, since a search through a share whose
 * key is missing opens every file.
 */
#include "fs/report.h"

#include <json-glib/json-glib.h>
#include <string.h>

#include "base/log.h"

#define MAX_SEEN 200000
#define MAX_LISTED 10000
/* Log lines at once, and each second after that. */
#define BURST 200
#define RATE 20

typedef struct {
  guint64 dev, ino;
  guint verdict;
} Seen;

struct _TpdReport {
  GMutex lock;
  /* All under lock. */
  GHashTable *seen; /* set of Seen */
  GQueue lines;     /* of char *: JSON, oldest first */
  double tokens;
  gint64 filled_us;
  guint64 suppressed;
};

static guint
seen_hash (gconstpointer data)
{
  const Seen *seen = data;

  return (guint) (seen->ino ^ seen->ino >> 32 ^ seen->dev * 31 ^ seen->verdict * 0x9e3779b9u);
}

static gboolean
seen_equal (gconstpointer a, gconstpointer b)
{
  const Seen *x = a, *y = b;

  return x->dev == y->dev && x->ino == y->ino && x->verdict == y->verdict;
}

TpdReport *
tpd_report_new (void)
{
  TpdReport *report = g_new0 (TpdReport, 1);

  g_mutex_init (&report->lock);
  report->seen = g_hash_table_new_full (seen_hash, seen_equal, g_free, NULL);
  g_queue_init (&report->lines);
  report->tokens = BURST;
  report->filled_us = g_get_monotonic_time ();
  return report;
}

void
tpd_report_free (TpdReport *report)
{
  g_hash_table_unref (report->seen);
  g_queue_clear_full (&report->lines, g_free);
  g_mutex_clear (&report->lock);
  g_free (report);
}

gboolean
tpd_report_is_new (TpdReport *report, const TpdStamp *stamp, TpdVerdict verdict)
{
  Seen key = { stamp->dev, stamp->ino, verdict };
  gboolean is_new;

  g_mutex_lock (&report->lock);
  is_new = !g_hash_table_contains (report->seen, &key);
  if (is_new)
    {
      /* Forgetting everything once in a long while repeats some lines. */
      if (g_hash_table_size (report->seen) >= MAX_SEEN)
        g_hash_table_remove_all (report->seen);
      g_hash_table_add (report->seen, g_memdup2 (&key, sizeof key));
    }
  g_mutex_unlock (&report->lock);
  return is_new;
}

static void
add_path (JsonBuilder *builder, const char *path)
{
  if (g_utf8_validate (path, -1, NULL))
    {
      json_builder_set_member_name (builder, "path");
      json_builder_add_string_value (builder, path);
      return;
    }
  g_autofree char *encoded = g_base64_encode ((const guchar *) path, strlen (path));
  json_builder_set_member_name (builder, "path_b64");
  json_builder_add_string_value (builder, encoded);
}

static char *
json_line (const char *path, const char *kind, TpdVerdict verdict, const char *message)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();
  g_autoptr (JsonNode) root = NULL;
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autofree char *time = g_date_time_format (now, "%Y-%m-%dT%H:%M:%SZ");
  g_autofree char *clean = g_utf8_make_valid (message, -1);

  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, "time");
  json_builder_add_string_value (builder, time);
  add_path (builder, path);
  json_builder_set_member_name (builder, "kind");
  json_builder_add_string_value (builder, kind);
  json_builder_set_member_name (builder, "verdict");
  json_builder_add_string_value (builder, tpd_verdict_word (verdict));
  json_builder_set_member_name (builder, "message");
  json_builder_add_string_value (builder, clean);
  json_builder_end_object (builder);
  root = json_builder_get_root (builder);
  return json_to_string (root, FALSE);
}

/* Under the lock. */
static gboolean
may_log (TpdReport *report)
{
  gint64 now = g_get_monotonic_time ();

  report->tokens = MIN (BURST, report->tokens + (double) (now - report->filled_us) * RATE / G_USEC_PER_SEC);
  report->filled_us = now;
  if (report->tokens < 1)
    {
      report->suppressed++;
      return FALSE;
    }
  report->tokens -= 1;
  return TRUE;
}

void
tpd_report_unreadable (TpdReport *report, const char *path, const char *kind, TpdVerdict verdict, const char *message)
{
  char *line = json_line (path, kind, verdict, message);
  guint64 suppressed = 0;
  gboolean log;

  g_mutex_lock (&report->lock);
  g_queue_push_tail (&report->lines, line);
  if (report->lines.length > MAX_LISTED)
    g_free (g_queue_pop_head (&report->lines));
  log = may_log (report);
  if (log)
    {
      suppressed = report->suppressed;
      report->suppressed = 0;
    }
  g_mutex_unlock (&report->lock);

  if (suppressed > 0)
    tpd_warning ("%" G_GUINT64_FORMAT " messages about unreadable files left out; see .tpdfs/unreadable.jsonl",
                 suppressed);
  if (log)
    tpd_warning ("%s: %s: %s", path, tpd_verdict_word (verdict), message);
}

GBytes *
tpd_report_list (TpdReport *report)
{
  GString *text = g_string_new (NULL);

  g_mutex_lock (&report->lock);
  for (const GList *link = report->lines.head; link != NULL; link = link->next)
    g_string_append_printf (text, "%s\n", (const char *) link->data);
  g_mutex_unlock (&report->lock);
  return g_string_free_to_bytes (text);
}
