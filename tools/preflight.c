/* SPDX-License-Identifier: Apache-2.0 */
/* Sorting what a scan found: see preflight.h. */
#include "tools/preflight.h"

#include <string.h>

#include "license/rights.h"
#include "tools/record.h"

const char *
tpd_table_word (TpdTable table)
{
  static const char *const words[] = {
    [TPD_TABLE_NO_KEY] = "no-key",         [TPD_TABLE_DOUBLE_KEY] = "double-key",   [TPD_TABLE_FOREIGN] = "foreign",
    [TPD_TABLE_DAMAGED] = "damaged",       [TPD_TABLE_UNSUPPORTED] = "unsupported", [TPD_TABLE_UNREAD] = "unread",
    [TPD_TABLE_OPAQUE] = "opaque",         [TPD_TABLE_ACCEPTED] = "accepted",       [TPD_TABLE_UNPROVEN] = "unproven",
    [TPD_TABLE_CONTAINERS] = "containers", [TPD_TABLE_RIGHTS] = "rights",           [TPD_TABLE_ARCHIVES] = "archives",
    [TPD_TABLE_NAMES] = "names",
  };

  return words[table];
}

const char *
tpd_table_title (TpdTable table)
{
  static const char *const titles[] = {
    [TPD_TABLE_NO_KEY] = "Lost: sealed to a key of your own that is not held",
    [TPD_TABLE_DOUBLE_KEY] = "Lost here: double key encryption needs a second key",
    [TPD_TABLE_FOREIGN] = "Of other organisations: their keys, and not yours to export",
    [TPD_TABLE_DAMAGED] = "Damaged: lost already, unless a backup has them",
    [TPD_TABLE_UNSUPPORTED] = "Lost: protected in a way that is not handled",
    [TPD_TABLE_UNREAD] = "Not read: what they are is not known",
    [TPD_TABLE_OPAQUE] = "Opaque: nobody can tell what is inside",
    [TPD_TABLE_ACCEPTED] = "Accepted by --accept",
    [TPD_TABLE_CONTAINERS] = "Archives with protected files inside, which are counted by themselves, too",
    [TPD_TABLE_UNPROVEN] = "Opened, but not proven to be right",
    [TPD_TABLE_RIGHTS] = "Would be refused under policy=rights, but to super users",
    [TPD_TABLE_ARCHIVES] = "Not looked into: archives, disk images, encrypted PDFs",
    [TPD_TABLE_NAMES] = "Named like protected files, and are none",
  };

  return titles[table];
}

const char *
tpd_refused_word (TpdRefused refused)
{
  static const char *const words[] = {
    [TPD_REFUSED_SIGNATURE] = "signature",
    [TPD_REFUSED_CHAIN] = "chain",
    [TPD_REFUSED_UNREADABLE] = "unreadable",
    [TPD_REFUSED_EXPIRED] = "expired",
  };

  return words[refused];
}

/* --- Keys --------------------------------------------------------------- */

typedef struct {
  TpdPreflight *preflight;
  TpdOwn *own;
} Learning;

static void
container_free (gpointer data)
{
  TpdPreflightContainer *container = data;

  g_free (container->path);
  g_free (container);
}

static void
learn_member (TpdPreflight *preflight, const TpdIndexEntry *entry)
{
  g_autofree char *path = tpd_record_path ("", entry->dir, entry->row->archive);
  TpdVerdict verdict = tpd_record_verdict (entry->row, entry->document, preflight->report->keyring);
  TpdPreflightContainer *container = g_hash_table_lookup (preflight->containers, path);

  if (container == NULL)
    {
      container = g_new0 (TpdPreflightContainer, 1);
      container->path = g_steal_pointer (&path);
      g_hash_table_insert (preflight->containers, container->path, container);
    }
  container->n++;
  if (verdict == TPD_VERDICT_OK || verdict == TPD_VERDICT_KEY_HELD)
    return;
  if (container->shut++ == 0)
    container->why = verdict;
  preflight->shut.files++;
  preflight->shut.bytes += entry->row->size;
}

static gboolean
learn (gpointer data, const char *path, const TpdIndexEntry *entry)
{
  const Learning *learning = data;

  if (entry->document != NULL && entry->document->has_key)
    tpd_own_learn (learning->own, entry->document);
  if (entry->row != NULL && entry->row->archive != NULL)
    learn_member (learning->preflight, entry);
  return TRUE;
}

/* Whether a key of that GUID is loaded with its private part. */
static gboolean
is_guid_held (const TpdKeyring *keyring, const char *guid)
{
  for (guint i = 0; i < keyring->keys->len; i++)
    {
      const TpdKeyInfo *key = g_ptr_array_index (keyring->keys, i);

      if (key->state == TPD_KEY_HELD && key->guid != NULL && g_ascii_strcasecmp (key->guid, guid) == 0)
        return TRUE;
    }
  return FALSE;
}

static void
add_needed_keys (TpdPreflight *preflight, const TpdOwn *own)
{
  g_autoptr (GPtrArray) needed = tpd_tally_keys (&preflight->report->scan->tally);

  for (guint i = 0; i < needed->len; i++)
    {
      const TpdTallyKey *entry = g_ptr_array_index (needed, i);
      TpdPreflightKey *key = g_new0 (TpdPreflightKey, 1);

      key->key = entry->key;
      key->count = entry->count;
      key->needed = TRUE;
      key->held = entry->held;
      key->own = tpd_own_judge (own, &entry->key);
      key->listed = tpd_aip_keys_find (preflight->listed, entry->key.guid);
      g_ptr_array_add (preflight->keys, key);
      g_hash_table_insert (preflight->needed, &key->key.fingerprint, key);
    }
}

/* What Get-AipServiceKeys lists and no file here needs: other places may. */
static void
add_listed_keys (TpdPreflight *preflight)
{
  guint n_needed = preflight->keys->len;

  for (guint i = 0; preflight->listed != NULL && i < preflight->listed->len; i++)
    {
      const TpdAipKey *listed = g_ptr_array_index (preflight->listed, i);
      TpdPreflightKey *key;
      gboolean known = FALSE;

      for (guint j = 0; j < n_needed; j++)
        known = known || ((const TpdPreflightKey *) g_ptr_array_index (preflight->keys, j))->listed == listed;
      if (known)
        continue;
      key = g_new0 (TpdPreflightKey, 1);
      key->key.guid = listed->guid;
      key->listed = listed;
      key->own = TPD_OWN_LISTED;
      key->held = is_guid_held (preflight->report->keyring, listed->guid);
      g_ptr_array_add (preflight->keys, key);
    }
}

/* --- Files -------------------------------------------------------------- */

typedef struct {
  TpdPreflight *preflight;
  TpdPreflightEach each;
  gpointer data;
  const char *path;
  const TpdIndexEntry *entry;
  gboolean go_on;
} Sorting;

static void
count_add (TpdCount *count, const TpdIndexRow *row)
{
  count->files++;
  count->bytes += row != NULL ? row->size : 0;
}

static void
line_free (gpointer data)
{
  TpdPreflightLine *line = data;

  g_free (line->path);
  g_free (line->why);
  g_free (line);
}

static void
put (Sorting *sorting, TpdTable table, const char *why)
{
  TpdPreflight *preflight = sorting->preflight;
  const TpdIndexEntry *entry = sorting->entry;

  count_add (&preflight->tables[table], entry->row);
  if (preflight->lines[table]->len < TPD_PREFLIGHT_LINES)
    {
      TpdPreflightLine *line = g_new0 (TpdPreflightLine, 1);

      line->path = tpd_record_path ("", entry->dir[0] != '\0' || entry->row != NULL ? entry->dir : ".",
                                    entry->row != NULL ? entry->row->name : NULL);
      line->why = g_strdup (why);
      line->size = entry->row != NULL ? entry->row->size : 0;
      g_ptr_array_add (preflight->lines[table], line);
    }
  if (sorting->each != NULL && sorting->go_on)
    sorting->go_on = sorting->each (sorting->data, table, sorting->path, entry, why);
}

/* A member may be accepted by itself, or with its archive. */
static gboolean
is_accepted (Sorting *sorting)
{
  const TpdIndexRow *row = sorting->entry->row;

  return tpd_accept_has (sorting->preflight->accept, sorting->entry->dir, row->name)
         || (row->archive != NULL && tpd_accept_has (sorting->preflight->accept, sorting->entry->dir, row->archive));
}

/* What stands against switching off unless somebody accepts it. */
static void
put_unless_accepted (Sorting *sorting, TpdTable table, const char *why)
{
  put (sorting, is_accepted (sorting) ? TPD_TABLE_ACCEPTED : table, why);
}

static void
sort_container (Sorting *sorting)
{
  g_autofree char *path = tpd_record_path ("", sorting->entry->dir, sorting->entry->row->name);
  const TpdPreflightContainer *container = g_hash_table_lookup (sorting->preflight->containers, path);
  g_autofree char *why = NULL;

  if (container == NULL)
    return;
  if (container->shut == 0)
    why = g_strdup_printf ("%" G_GUINT64_FORMAT " protected members, which all open", container->n);
  else
    why = g_strdup_printf ("%" G_GUINT64_FORMAT " protected members, of which %" G_GUINT64_FORMAT
                           " cannot be opened (%s)",
                           container->n, container->shut, tpd_verdict_word (container->why));
  put (sorting, TPD_TABLE_CONTAINERS, why);
}

static void
sort_plain (Sorting *sorting, const TpdIndexRow *row)
{
  static const char *const whys[] = {
    [TPD_OPAQUE_PST] = "an Outlook mailbox (PST): export it to .msg or .eml, or keep the keys",
    [TPD_OPAQUE_OST] = "a copy of an Exchange mailbox (OST): its server has the mail",
    [TPD_OPAQUE_7Z] = "a 7z archive: unpack it and scan what was in it",
    [TPD_OPAQUE_RAR] = "a rar archive: unpack it and scan what was in it",
    [TPD_OPAQUE_ZIP] = "a zip archive with a password: unpack it and scan what was in it",
    [TPD_OPAQUE_OFFICE] = "an Office document with a password, which no key of the service opens",
    [TPD_OPAQUE_PDF] = "an encrypted PDF: not by the service; it may need a password",
    [TPD_OPAQUE_ARCHIVE] = "may hold protected files, which stay protected when it is unpacked",
    [TPD_OPAQUE_MAIL] = "a mail with a protected one in it, or too long to know: save that (message.rpmsg) by itself",
    [TPD_OPAQUE_MBOX] = "a mailbox (mbox) with protected mail in it, or too large to know: take it apart",
  };

  if (row->members > 0)
    sort_container (sorting);
  if (row->opaque == TPD_OPAQUE_NONE)
    {
      if (sorting->entry->document != NULL)
        put (sorting, TPD_TABLE_NAMES,
             row->size == 0 ? "it is empty: its content is lost" : "its content may have been overwritten");
      return;
    }
  count_add (&sorting->preflight->opaque[row->opaque], row);
  /* What anybody can unpack needs the same keys as the rest; but of zip it is
   * said that it was looked into. */
  if (row->opaque == TPD_OPAQUE_ARCHIVE && row->container == TPD_INDEX_CONTAINER_PARTLY)
    put_unless_accepted (sorting, TPD_TABLE_OPAQUE,
                         "a zip archive of which not all could be looked into: unpack it and scan what was in it");
  /* Inside a PDF with a password nothing is protected by the service. */
  else if (row->opaque == TPD_OPAQUE_ARCHIVE || row->opaque == TPD_OPAQUE_PDF)
    put (sorting, TPD_TABLE_ARCHIVES, whys[row->opaque]);
  else
    put_unless_accepted (sorting, TPD_TABLE_OPAQUE, whys[row->opaque]);
}

static void
refuse (Sorting *sorting, TpdRefused refused, const char *why)
{
  count_add (&sorting->preflight->refused[refused], sorting->entry->row);
  put (sorting, TPD_TABLE_RIGHTS, why);
}

/* The first reason counts. */
static void
ask_policy (Sorting *sorting, const TpdIndexDocument *document)
{
  gint64 now = sorting->preflight->report->scan->finished;
  g_autofree char *why = NULL;

  if (g_strcmp0 (document->signature, "good") != 0 && g_strcmp0 (document->signature, "repaired") != 0)
    {
      why = g_strdup_printf ("the signature of its license is %s",
                             document->signature != NULL ? document->signature : "not known");
      refuse (sorting, TPD_REFUSED_SIGNATURE, why);
    }
  else if (!document->linked)
    refuse (sorting, TPD_REFUSED_CHAIN, "no certificate leads from its signature to the server's key");
  else if (document->rights == TPD_INDEX_RIGHTS_UNREADABLE)
    refuse (sorting, TPD_REFUSED_UNREADABLE, "its rights cannot be decoded");
  else if (document->expires != NULL && tpd_time_passed (document->expires, now))
    {
      why = g_strdup_printf ("it expired on %s: only its owner would be let in", document->expires);
      refuse (sorting, TPD_REFUSED_EXPIRED, why);
    }
}

static gboolean
names_archive (const char *extension)
{
  static const char *const archives[] = { ".zip", ".7z", ".rar", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".cab", NULL };

  for (gsize i = 0; extension != NULL && archives[i] != NULL; i++)
    if (g_ascii_strcasecmp (extension, archives[i]) == 0)
      return TRUE;
  return FALSE;
}

static void
sort_opening (Sorting *sorting, const TpdIndexRow *row, const TpdIndexDocument *document)
{
  TpdPreflight *preflight = sorting->preflight;
  g_autofree char *why = NULL;

  count_add (&preflight->opens, row);
  if (names_archive (row->extension))
    put (sorting, TPD_TABLE_ARCHIVES,
         "an archive under protection: what was protected before it was packed still is when it is opened");
  if (!row->opened)
    count_add (&preflight->unopened, row);
  else if (g_strcmp0 (document->proof, "proven") == 0)
    count_add (&preflight->proven, row);
  else
    {
      why = document->message != NULL
                ? g_strdup (document->message)
                : g_strdup_printf ("proof: %s", document->proof != NULL ? document->proof : "none");
      put (sorting, TPD_TABLE_UNPROVEN, why);
    }
  ask_policy (sorting, document);
}

static void
sort_no_key (Sorting *sorting, const TpdIndexDocument *document)
{
  const TpdPreflightKey *key = document != NULL && document->has_key
                                   ? g_hash_table_lookup (sorting->preflight->needed, &document->key.fingerprint)
                                   : NULL;
  g_autofree char *why = NULL;

  if (key == NULL)
    {
      put (sorting, TPD_TABLE_NO_KEY, "its key is not known");
      return;
    }
  why = g_strdup_printf ("needs key %s%s%s", key->key.guid != NULL ? key->key.guid : "without a GUID",
                         key->own == TPD_OWN_FOREIGN && key->key.url != NULL ? " of " : "",
                         key->own == TPD_OWN_FOREIGN && key->key.url != NULL ? key->key.url : "");
  put (sorting, key->own == TPD_OWN_FOREIGN ? TPD_TABLE_FOREIGN : TPD_TABLE_NO_KEY, why);
}

static gboolean
sort_entry (gpointer data, const char *path, const TpdIndexEntry *entry)
{
  Sorting *sorting = data;
  const TpdIndexRow *row = entry->row;
  const TpdIndexDocument *document = entry->document;
  const TpdKeyring *keyring = sorting->preflight->report->keyring;
  const char *message = document != NULL ? document->message : NULL;

  sorting->path = path;
  sorting->entry = entry;
  if (row == NULL)
    {
      put (sorting, TPD_TABLE_UNREAD, entry->dir_error);
      return sorting->go_on;
    }
  switch (tpd_record_verdict (row, document, keyring))
    {
    case TPD_VERDICT_NOT_PROTECTED:
      sort_plain (sorting, row);
      break;
    case TPD_VERDICT_OK:
    case TPD_VERDICT_KEY_HELD:
      sort_opening (sorting, row, document);
      break;
    case TPD_VERDICT_NO_KEY:
      sort_no_key (sorting, document);
      break;
    case TPD_VERDICT_DOUBLE_KEY:
      put_unless_accepted (sorting, TPD_TABLE_DOUBLE_KEY, message);
      break;
    case TPD_VERDICT_UNSUPPORTED:
    case TPD_VERDICT_DENIED:
      put (sorting, TPD_TABLE_UNSUPPORTED, message);
      break;
    case TPD_VERDICT_OFFLINE:
      put_unless_accepted (sorting, TPD_TABLE_UNREAD, message);
      break;
    case TPD_VERDICT_IO_ERROR:
      put (sorting, TPD_TABLE_UNREAD, message);
      break;
    case TPD_VERDICT_DAMAGED:
    case TPD_VERDICT_AMBIGUOUS:
    case TPD_VERDICT_TOO_LARGE:
      put (sorting, TPD_TABLE_DAMAGED, message);
      break;
    }
  return sorting->go_on;
}

static guint
count_lacking (const TpdPreflight *preflight)
{
  guint lacking = 0;

  for (guint i = 0; i < preflight->keys->len; i++)
    {
      const TpdPreflightKey *key = g_ptr_array_index (preflight->keys, i);
      lacking += key->own != TPD_OWN_FOREIGN && !key->held ? 1 : 0;
    }
  return lacking;
}

gboolean
tpd_preflight_judge (TpdPreflight *preflight, TpdPreflightEach each, gpointer data, GError **error)
{
  Sorting sorting = { .preflight = preflight, .each = each, .data = data, .go_on = TRUE };
  g_autoptr (TpdOwn) own =
      tpd_own_new (preflight->report->keyring, preflight->own, preflight->foreign, preflight->listed);
  Learning learning = { preflight, own };

  preflight->keys = g_ptr_array_new_with_free_func (g_free);
  preflight->containers = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, container_free);
  preflight->needed = g_hash_table_new (tpd_fingerprint_hash, tpd_fingerprint_same);
  for (guint i = 0; i < TPD_N_TABLES; i++)
    preflight->lines[i] = g_ptr_array_new_with_free_func (line_free);
  if (!tpd_scan_report_each (preflight->report, TPD_INDEX_DOCUMENTS, learn, &learning, error))
    return FALSE;
  add_needed_keys (preflight, own);
  add_listed_keys (preflight);
  if (!tpd_scan_report_each (preflight->report, TPD_INDEX_AND_OPAQUE, sort_entry, &sorting, error))
    return FALSE;
  preflight->lacking = count_lacking (preflight);
  preflight->go = preflight->lacking == 0 && preflight->tables[TPD_TABLE_NO_KEY].files == 0
                  && preflight->tables[TPD_TABLE_DOUBLE_KEY].files == 0
                  && preflight->tables[TPD_TABLE_OPAQUE].files == 0 && preflight->tables[TPD_TABLE_UNREAD].files == 0;
  return TRUE;
}

void
tpd_preflight_clear (TpdPreflight *preflight)
{
  g_clear_pointer (&preflight->containers, g_hash_table_unref);
  g_clear_pointer (&preflight->needed, g_hash_table_unref);
  g_clear_pointer (&preflight->keys, g_ptr_array_unref);
  for (guint i = 0; i < TPD_N_TABLES; i++)
    g_clear_pointer (&preflight->lines[i], g_ptr_array_unref);
}
