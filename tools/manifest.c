/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of JSON lines, read and written: see manifest.h. Sorting works on
 * mapped files, so that memory holds no more than where lines begin. */
#include "tools/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/io.h"
#include "tools/manifest_private.h"
#include "tools/target.h"

#define WRITE_BUFFER (1024 * 1024)

char *
tpd_manifest_name (const char *base, guint shard, guint shards, const char *extension)
{
  if (shards <= 1)
    return g_strconcat (base, extension, NULL);
  return g_strdup_printf ("%s.%u-of-%u%s", base, shard, shards, extension);
}

int
tpd_manifest_open_state (int fd, gboolean make, GError **error)
{
  struct stat st;
  int state;

  if (make && mkdirat (fd, TPD_TARGET_STATE, 0700) != 0 && errno != EEXIST)
    {
      tpd_error_set_errno (error, errno, "cannot make the directory %s", TPD_TARGET_STATE);
      return -1;
    }
  state = openat (fd, TPD_TARGET_STATE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (state < 0 || fstat (state, &st) != 0)
    {
      tpd_error_set_errno (error, errno, "cannot open the directory %s", TPD_TARGET_STATE);
      if (state >= 0)
        close (state);
      return -1;
    }
  if (st.st_uid == geteuid () && (st.st_mode & 077) == 0)
    return state;
  close (state);
  g_set_error (error, TPD_ERROR, TPD_ERROR_INSECURE_FILE,
               "%s belongs to another user or is open to others: is it the state of a copy? If it is: chown and "
               "chmod 700 it",
               TPD_TARGET_STATE);
  return -1;
}

/* --- Keys -------------------------------------------------------------- */

static void
put_bytes (TpdJson *json, const char *name, const char *value)
{
  tpd_json_string (json, name, value);
  if (!g_utf8_validate (value, -1, NULL))
    {
      g_autofree char *base64 = g_base64_encode ((const guchar *) value, strlen (value));
      g_autofree char *name_b64 = g_strconcat (name, "_b64", NULL);

      tpd_json_string (json, name_b64, base64);
    }
}

void
tpd_manifest_put_path (TpdJson *json, const char *path)
{
  put_bytes (json, "path", path);
}

void
tpd_manifest_put_copy (TpdJson *json, const char *copy)
{
  put_bytes (json, "copy", copy);
}

/* Behind the string member that begins at `text` with `start`; `text` itself
 * if it does not. */
static const char *
skip_member (const char *text, const char *end, const char *start)
{
  gsize len = strlen (start);
  const char *p = text + len;

  if ((gsize) (end - text) < len || memcmp (text, start, len) != 0)
    return text;
  for (; p < end && *p != '"'; p++)
    if (*p == '\\')
      p++;
  return p < end ? p + 1 : text;
}

const char *
tpd_manifest_key (const char *line, gsize size, gsize *len)
{
  const char *end = line + size, *p = skip_member (line, end, "{\"path\":\"");

  if (p == line)
    return NULL;
  p = skip_member (p, end, ",\"path_b64\":\"");
  *len = (gsize) (p - line);
  return line;
}

char *
tpd_manifest_key_of (const char *path)
{
  g_auto (TpdJson) json = { 0 };

  tpd_json_init (&json);
  tpd_json_begin_object (&json, NULL);
  tpd_manifest_put_path (&json, path);
  return g_string_free (g_steal_pointer (&json.text), FALSE);
}

const char *
tpd_manifest_copy_key (const char *line, gsize size, gsize *len)
{
  gsize key_len = 0;
  const char *start, *p, *end = line + size;

  if (tpd_manifest_key (line, size, &key_len) == NULL)
    return NULL;
  start = line + key_len;
  p = skip_member (start, end, ",\"copy\":\"");
  if (p == start)
    return NULL;
  p = skip_member (p, end, ",\"copy_b64\":\"");
  *len = (gsize) (p - start);
  return start;
}

char *
tpd_manifest_copy_key_of (const char *copy)
{
  g_auto (TpdJson) json = { 0 };

  tpd_json_init (&json);
  tpd_json_begin_object (&json, NULL);
  tpd_manifest_put_copy (&json, copy);
  json.text->str[0] = ',';
  return g_string_free (g_steal_pointer (&json.text), FALSE);
}

const char *
tpd_manifest_rest (const char *line, gsize size, gsize *len)
{
  gsize key_len = 0;
  const char *key = tpd_manifest_key (line, size, &key_len), *p, *end = line + size;

  if (key == NULL)
    return NULL;
  p = skip_member (line + key_len, end, ",\"copy\":\"");
  p = skip_member (p, end, ",\"copy_b64\":\"");
  *len = (gsize) (end - p);
  return p;
}

/* --- Reading ----------------------------------------------------------- */

gboolean
tpd_manifest_each (int fd, TpdManifestEach each, gpointer data, GError **error)
{
  int copy = fcntl (fd, F_DUPFD_CLOEXEC, 3);
  FILE *file = copy >= 0 ? fdopen (copy, "r") : NULL;
  gboolean good = TRUE;
  guint64 offset = 0;
  char *line = NULL;
  size_t room = 0;
  ssize_t n;

  if (file == NULL || fseeko (file, 0, SEEK_SET) != 0)
    {
      tpd_error_set_errno (error, errno, "cannot read the list");
      if (file != NULL)
        fclose (file);
      else if (copy >= 0)
        close (copy);
      return FALSE;
    }
  while (good && (n = getline (&line, &room, file)) > 0)
    {
      if (line[n - 1] == '\n')
        good = each (data, line, (gsize) n - 1, offset, error);
      offset += (guint64) n;
    }
  if (good && ferror (file))
    {
      tpd_error_set_errno (error, EIO, "cannot read the list");
      good = FALSE;
    }
  free (line);
  fclose (file);
  return good;
}

/* --- Writing ----------------------------------------------------------- */

typedef struct {
  int state_fd, fd;
  char *temp;
  TpdDigest *sum;
  GByteArray *buffer;
} Writer;

static gboolean
writer_open (Writer *writer, int state_fd, const char *name, GError **error)
{
  *writer = (Writer){ .state_fd = state_fd };
  writer->temp = g_strconcat (name, ".new", NULL);
  (void) unlinkat (state_fd, writer->temp, 0);
  writer->fd = tpd_target_make_file (state_fd, writer->temp);
  if (writer->fd < 0)
    {
      tpd_error_set_errno (error, errno, "cannot write %s", name);
      g_free (writer->temp);
      return FALSE;
    }
  writer->sum = tpd_digest_new (TPD_SHA256_SIZE);
  writer->buffer = g_byte_array_new ();
  return TRUE;
}

static gboolean
writer_flush (Writer *writer, GError **error)
{
  const guint8 *data = writer->buffer->data;
  gsize len = writer->buffer->len;

  tpd_digest_update (writer->sum, data != NULL ? (const void *) data : "", len);
  if (!tpd_write_all (writer->fd, data, len))
    {
      tpd_error_set_errno (error, errno, "cannot write %s", writer->temp);
      return FALSE;
    }
  g_byte_array_set_size (writer->buffer, 0);
  return TRUE;
}

static gboolean
writer_put (Writer *writer, const char *data, gsize len, GError **error)
{
  g_byte_array_append (writer->buffer, (const guint8 *) data, (guint) len);
  g_byte_array_append (writer->buffer, (const guint8 *) "\n", 1);
  return writer->buffer->len < WRITE_BUFFER || writer_flush (writer, error);
}

/* Puts it in place if `good`; removes it otherwise. */
static gboolean
writer_close (Writer *writer, const char *name, gboolean good, guint8 *sha256, GError **error)
{
  guint8 digest[TPD_SHA256_SIZE];

  good = good && writer_flush (writer, error);
  tpd_digest_finish (writer->sum, digest);
  if (sha256 != NULL)
    memcpy (sha256, digest, sizeof digest);
  if (good
      && (fsync (writer->fd) != 0 || close (g_steal_fd (&writer->fd)) != 0
          || renameat (writer->state_fd, writer->temp, writer->state_fd, name) != 0 || fsync (writer->state_fd) != 0))
    {
      tpd_error_set_errno (error, errno, "cannot write %s", name);
      good = FALSE;
    }
  if (!good)
    (void) unlinkat (writer->state_fd, writer->temp, 0);
  if (writer->fd >= 0)
    close (writer->fd);
  g_byte_array_unref (writer->buffer);
  g_free (writer->temp);
  return good;
}

gboolean
tpd_manifest_write_text (int state_fd, const char *name, const char *text, GError **error)
{
  Writer writer;

  return writer_open (&writer, state_fd, name, error)
         && writer_close (&writer, name, writer_put (&writer, text, strlen (text), error), NULL, error);
}

/* --- Sorting ----------------------------------------------------------- */

typedef struct {
  char *data;
  gsize len;
} Map;

typedef struct {
  const char *record;
  guint32 len, key_len;
  guint64 offset; /* of the line; later lists count as behind earlier ones */
} Line;

static gboolean
map_list (int fd, Map *map, GError **error)
{
  struct stat st;

  *map = (Map){ NULL, 0 };
  if (fstat (fd, &st) != 0)
    {
      tpd_error_set_errno (error, errno, "cannot read the list");
      return FALSE;
    }
  if (st.st_size == 0)
    return TRUE;
  map->data = mmap (NULL, (gsize) st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (map->data == MAP_FAILED)
    map->data = NULL;
  else
    map->len = (gsize) st.st_size;
  /* Read now: a disk that fails later would end this process. Kernels before
   * 5.14 do not know how (EINVAL). */
  if (map->data == NULL || (madvise (map->data, map->len, MADV_POPULATE_READ) != 0 && errno != EINVAL))
    {
      tpd_error_set_errno (error, errno == EFAULT ? EIO : errno, "cannot read the list");
      return FALSE;
    }
  return TRUE;
}

static void
collect (const Map *map, guint64 base, GArray *lines)
{
  const char *p = map->data, *end = map->data + map->len;

  while (p != NULL && p < end)
    {
      const char *feed = memchr (p, '\n', (gsize) (end - p));
      gsize len = feed != NULL ? (gsize) (feed - p) : 0, key_len = 0;
      Line line = { .record = p, .offset = base + (guint64) (p - map->data) };

      if (feed == NULL)
        break;
      if (tpd_journal_line_record (p, len, &line.record, &len) && tpd_manifest_key (line.record, len, &key_len) != NULL
          && len < G_MAXUINT32)
        {
          line.len = (guint32) len;
          line.key_len = (guint32) key_len;
          g_array_append_val (lines, line);
        }
      p = feed + 1;
    }
}

static int
compare_keys (const Line *a, const Line *b)
{
  int order = memcmp (a->record, b->record, MIN (a->key_len, b->key_len));

  if (order != 0)
    return order;
  return (a->key_len > b->key_len) - (a->key_len < b->key_len);
}

static int
compare_lines (gconstpointer a, gconstpointer b)
{
  const Line *x = a, *y = b;
  int order = compare_keys (x, y);

  return order != 0 ? order : (x->offset > y->offset) - (x->offset < y->offset);
}

static gboolean
write_lines (Writer *writer, const GArray *lines, TpdManifestWanted wanted, gpointer data, guint64 *count,
             GError **error)
{
  for (guint i = 0; i < lines->len; i++)
    {
      const Line *line = &g_array_index (lines, Line, i);

      if (i + 1 < lines->len && compare_keys (line, line + 1) == 0)
        continue;
      if (wanted != NULL && !wanted (data, line->record, line->len, line->offset))
        continue;
      if (!writer_put (writer, line->record, line->len, error))
        return FALSE;
      (*count)++;
    }
  return TRUE;
}

gboolean
tpd_manifest_write_sorted (int state_fd, const char *name, const int *fds, guint n_fds, TpdManifestWanted wanted,
                           gpointer data, guint64 *count, guint8 sha256[TPD_SHA256_SIZE], GError **error)
{
  g_autoptr (GArray) lines = g_array_new (FALSE, FALSE, sizeof (Line));
  g_autofree Map *maps = g_new0 (Map, MAX (n_fds, 1));
  gboolean good = TRUE;
  guint64 base = 0, own_count = 0;
  Writer writer;

  for (guint i = 0; good && i < n_fds; i++)
    {
      good = map_list (fds[i], &maps[i], error);
      if (good)
        collect (&maps[i], base, lines);
      base += maps[i].len;
    }
  if (good)
    {
      g_array_sort (lines, compare_lines);
      good = writer_open (&writer, state_fd, name, error);
    }
  if (good)
    good = writer_close (&writer, name, write_lines (&writer, lines, wanted, data, &own_count, error), sha256, error);
  for (guint i = 0; i < n_fds; i++)
    if (maps[i].data != NULL)
      munmap (maps[i].data, maps[i].len);
  if (count != NULL)
    *count = own_count;
  return good;
}
