/* SPDX-License-Identifier: Apache-2.0 */
/* ZIP archives as containers: see container.h. */
#include "format/container.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/hash.h"
#include "format/unpack.h"

/* The directory is encrypted, or the member in a new way: 4.4.4. */
#define FLAGS_CLOSED (TPD_ZIP_FLAG_ENCRYPTED | 0x0040 | 0x2000)
/* "Version made by": systems whose attributes have a mode of Unix. */
#define SYSTEM_UNIX 3
#define SYSTEM_DARWIN 19
#define ATTRIBUTE_DIRECTORY 0x10

void
tpd_container_work_init (TpdContainerWork *work, TpdScratchPool *pool, guint64 source_size)
{
  work->pool = pool;
  work->members_left = TPD_CONTAINER_MEMBERS;
  tpd_budget_init_decode (&work->budget, source_size);
}

/* --- Members ------------------------------------------------------------ */

static TpdMemberKind
kind_of (const TpdZipMember *member)
{
  guint system = member->made >> 8;
  mode_t mode = (mode_t) (member->attributes >> 16);

  if (member->name_len > 0 && member->name[member->name_len - 1] == '/')
    return TPD_MEMBER_DIRECTORY;
  if ((system == SYSTEM_UNIX || system == SYSTEM_DARWIN) && (mode & S_IFMT) != 0 && !S_ISREG (mode))
    return S_ISDIR (mode) ? TPD_MEMBER_DIRECTORY : TPD_MEMBER_LINK;
  if ((member->attributes & ATTRIBUTE_DIRECTORY) != 0 && member->size == 0)
    return TPD_MEMBER_DIRECTORY;
  if ((member->flags & FLAGS_CLOSED) != 0)
    return TPD_MEMBER_CLOSED;
  return tpd_unpack_knows (member->method) ? TPD_MEMBER_FILE : TPD_MEMBER_METHOD;
}

typedef struct {
  guint64 header;
  guint i;
} Place;

static int
compare_places (const void *a, const void *b)
{
  const Place *first = a, *second = b;

  return first->header < second->header ? -1 : first->header > second->header;
}

static void
put_in_order (TpdContainer *container)
{
  g_autofree Place *places = g_new (Place, MAX (container->n, 1));

  for (guint i = 0; i < container->n; i++)
    places[i] = (Place){ tpd_container_zip_member (container, i)->header, i };
  qsort (places, container->n, sizeof *places, compare_places);
  container->in_order = g_new (guint, MAX (container->n, 1));
  for (guint at = 0; at < container->n; at++)
    container->in_order[at] = places[at].i;
}

/* Members that share bytes unpack to more than any file could hold. */
static gboolean
find_regions (TpdContainer *container, GError **error)
{
  guint64 end = container->zip.directory;

  put_in_order (container);
  for (guint at = container->n; at-- > 0;)
    {
      guint i = container->in_order[at];
      const TpdZipMember *member = tpd_container_zip_member (container, i);
      guint64 room = end - member->header;

      if (room < TPD_ZIP_LOCAL_SIZE + (guint64) member->name_len
          || member->packed > room - TPD_ZIP_LOCAL_SIZE - member->name_len)
        {
          g_set_error_literal (error, TPD_ERROR, TPD_ERROR_DAMAGED,
                               "members of the archive overlap: it is damaged, or made to fill the disk");
          return FALSE;
        }
      container->members[i].region_end = end;
      end = member->header;
    }
  return TRUE;
}

static guint
hash_member (gconstpointer key)
{
  const TpdZipMember *member = key;

  return (guint) tpd_hash64 (member->name, member->name_len);
}

static gboolean
same_name (gconstpointer a, gconstpointer b)
{
  const TpdZipMember *first = a, *second = b;

  return first->name_len == second->name_len && memcmp (first->name, second->name, first->name_len) == 0;
}

static void
number_names (TpdContainer *container)
{
  g_autoptr (GHashTable) seen = g_hash_table_new (hash_member, same_name);

  for (guint i = 0; i < container->n; i++)
    {
      const TpdZipMember *member = tpd_container_zip_member (container, i);
      guint before = GPOINTER_TO_UINT (g_hash_table_lookup (seen, member));

      container->members[i].ordinal = before + 1;
      /* The first stays the key. */
      g_hash_table_insert (seen, (gpointer) member, GUINT_TO_POINTER (before + 1));
    }
  for (guint i = 0; i < container->n; i++)
    container->members[i].namesakes =
        GPOINTER_TO_UINT (g_hash_table_lookup (seen, tpd_container_zip_member (container, i)));
}

/* --- Opening ------------------------------------------------------------ */

static gboolean
read_directory (TpdContainer *container, GError **error)
{
  TpdZip *zip = &container->zip;
  g_autoptr (GError) problem = NULL;

  if (tpd_zip_find_directory (zip, &problem))
    {
      if (zip->directory_size > TPD_ZIP_DIRECTORY_MAX || zip->n_members > container->work->members_left)
        {
          g_set_error (error, TPD_ERROR, TPD_ERROR_TOO_LARGE,
                       "the archive says that it has %" G_GUINT64_FORMAT " members: unpack it, it is too large to be"
                       " looked into as it is",
                       zip->n_members);
          return FALSE;
        }
      if (tpd_zip_read_directory (zip, &problem))
        return TRUE;
    }
  if (problem != NULL && tpd_verdict_from_error (problem) == TPD_VERDICT_IO_ERROR)
    {
      g_propagate_error (error, g_steal_pointer (&problem));
      return FALSE;
    }
  g_set_error_literal (error, TPD_ERROR, TPD_ERROR_DAMAGED,
                       "the archive has no sound directory: it is cut off or damaged");
  return FALSE;
}

TpdContainer *
tpd_container_open (TpdSource *source, TpdContainerWork *work, GError **error)
{
  g_autoptr (TpdContainer) container = g_new0 (TpdContainer, 1);

  container->source = tpd_source_ref (source);
  container->work = work;
  tpd_zip_init (&container->zip, source, G_MAXUINT64);
  if (!read_directory (container, error))
    return NULL;
  container->n = container->zip.members->len;
  work->members_left -= container->n;
  container->members = g_new0 (TpdContainerMember, MAX (container->n, 1));
  for (guint i = 0; i < container->n; i++)
    container->members[i].kind = kind_of (tpd_container_zip_member (container, i));
  if (!find_regions (container, error))
    return NULL;
  number_names (container);
  return g_steal_pointer (&container);
}

void
tpd_container_free (TpdContainer *container)
{
  if (container == NULL)
    return;
  tpd_zip_clear (&container->zip);
  tpd_source_unref (container->source);
  g_free (container->members);
  g_free (container->in_order);
  g_free (container);
}

gboolean
tpd_container_find_data (TpdContainer *container, guint i, guint64 *data, GError **error)
{
  const TpdZipMember *member = tpd_container_zip_member (container, i);
  g_autoptr (GError) problem = NULL;

  if (tpd_zip_find_data (&container->zip, member, data, &problem) && *data <= container->members[i].region_end
      && member->packed <= container->members[i].region_end - *data)
    return TRUE;
  if (problem != NULL)
    g_propagate_error (error, g_steal_pointer (&problem));
  else
    g_set_error_literal (error, TPD_ERROR, TPD_ERROR_DAMAGED,
                         "the archive is damaged here: the member is not where the directory says");
  return FALSE;
}

TpdSource *
tpd_container_member_source (TpdContainer *container, guint i, GError **error)
{
  guint64 data;

  g_return_val_if_fail (container->members[i].kind == TPD_MEMBER_FILE, NULL);

  if (!tpd_container_find_data (container, i, &data, error))
    return NULL;
  return tpd_unpack_new (container->source, tpd_container_zip_member (container, i), data, container->work->pool,
                         &container->work->budget);
}

char *
tpd_container_member_path (const TpdContainer *container, guint i)
{
  const TpdZipMember *member = tpd_container_zip_member (container, i);
  GString *path = g_string_new ("!");

  if (container->members[i].ordinal > 1)
    g_string_append_printf (path, "%u", container->members[i].ordinal);
  g_string_append_c (path, '/');
  for (guint at = 0; at < member->name_len; at++)
    if (member->name[at] != '\0')
      g_string_append_c (path, (char) member->name[at]);
    else
      g_string_append (path, "\\0");
  return g_string_free (path, FALSE);
}

/* --- Looking for protected members ---------------------------------------- */

typedef struct {
  TpdContainerWork *work;
  TpdContainerEach each;
  gpointer data;
  TpdContainerLook *look;
} Walk;

static gboolean look_into (Walk *walk, TpdSource *source, const char *prefix, guint depth, GError **error);

/* What needs a password, or a tool of its own, weighs more than what anybody
 * can unpack, and that more than a PDF whose password may be empty. */
static guint
weight_of (TpdOpaque opaque)
{
  switch (opaque)
    {
    case TPD_OPAQUE_NONE:
      return 0;
    case TPD_OPAQUE_PDF:
      return 1;
    case TPD_OPAQUE_ARCHIVE:
      return 2;
    default:
      return 3;
    }
}

/* Something opaque is inside. */
static void
note_opaque (Walk *walk, TpdOpaque opaque)
{
  if (weight_of (opaque) > weight_of (walk->look->opaque))
    walk->look->opaque = opaque;
}

/* What should have been looked into, and was not. */
static void
leave_out (Walk *walk, TpdOpaque opaque)
{
  walk->look->complete = FALSE;
  note_opaque (walk, opaque);
}

/* FALSE only when the source cannot be read: other errors leave it out. */
static gboolean
leave_out_error (Walk *walk, GError *problem, GError **error)
{
  if (tpd_verdict_from_error (problem) == TPD_VERDICT_IO_ERROR)
    {
      g_propagate_error (error, g_error_copy (problem));
      return FALSE;
    }
  leave_out (walk, TPD_OPAQUE_ARCHIVE);
  return TRUE;
}

/* A member that is not protected. */
static gboolean
look_at_plain (Walk *walk, TpdSource *source, const TpdProbe *probe, const char *path, guint depth, GError **error)
{
  g_autoptr (GError) problem = NULL;
  TpdOpaque opaque = TPD_OPAQUE_NONE;
  gboolean is_zip = tpd_zip_magic (probe->head, sizeof probe->head);

  if (!tpd_opaque_look (source, probe, &opaque, &problem))
    return leave_out_error (walk, problem, error);
  if (opaque == TPD_OPAQUE_NONE)
    return TRUE;
  if (!is_zip)
    {
      note_opaque (walk, opaque);
      return TRUE;
    }
  if (depth >= TPD_CONTAINER_DEPTH)
    {
      leave_out (walk, opaque);
      return TRUE;
    }
  if (opaque == TPD_OPAQUE_ZIP)
    leave_out (walk, opaque);
  return look_into (walk, source, path, depth + 1, error);
}

static gboolean
look_at_file (Walk *walk, TpdContainer *container, guint i, const char *prefix, guint depth, GError **error)
{
  g_autoptr (GError) problem = NULL;
  g_autoptr (TpdSource) source = tpd_container_member_source (container, i, &problem);
  g_autoptr (TpdProbe) probe = NULL;
  g_autofree char *name = NULL, *path = NULL;

  if (source == NULL)
    return leave_out_error (walk, problem, error);
  probe = tpd_probe (source, NULL);
  if (probe->kind == TPD_KIND_PLAIN && probe->verdict != TPD_VERDICT_NOT_PROTECTED)
    {
      if (probe->verdict == TPD_VERDICT_IO_ERROR)
        {
          g_set_error (error, TPD_ERROR, TPD_ERROR_ERRNO + (probe->io_errno != 0 ? probe->io_errno : EIO), "%s",
                       probe->message);
          return FALSE;
        }
      leave_out (walk, TPD_OPAQUE_ARCHIVE);
      return TRUE;
    }
  name = tpd_container_member_path (container, i);
  path = g_strconcat (prefix, name, NULL);
  if (probe->verdict == TPD_VERDICT_NOT_PROTECTED)
    return look_at_plain (walk, source, probe, path, depth, error);
  walk->look->protected ++;
  return walk->each == NULL || walk->each (walk->data, path, source, probe, error);
}

static gboolean
look_at_member (Walk *walk, TpdContainer *container, guint i, const char *prefix, guint depth, GError **error)
{
  switch (container->members[i].kind)
    {
    case TPD_MEMBER_CLOSED:
      leave_out (walk, TPD_OPAQUE_ZIP);
      return TRUE;
    case TPD_MEMBER_METHOD:
      leave_out (walk, TPD_OPAQUE_ARCHIVE);
      return TRUE;
    case TPD_MEMBER_FILE:
      return tpd_container_zip_member (container, i)->size == 0
             || look_at_file (walk, container, i, prefix, depth, error);
    default:
      return TRUE;
    }
}

/* No deeper than TPD_CONTAINER_DEPTH. */
static gboolean
look_into (Walk *walk, TpdSource *source, const char *prefix, guint depth, GError **error)
{
  g_autoptr (GError) problem = NULL;
  g_autoptr (TpdContainer) container = tpd_container_open (source, walk->work, &problem);

  if (container == NULL)
    return leave_out_error (walk, problem, error);
  for (guint at = 0; at < container->n; at++)
    if (!look_at_member (walk, container, container->in_order[at], prefix, depth, error))
      return FALSE;
  return TRUE;
}

gboolean
tpd_container_look (TpdSource *source, TpdContainerWork *work, TpdContainerEach each, gpointer data,
                    TpdContainerLook *look, GError **error)
{
  Walk walk = { work, each, data, look };

  *look = (TpdContainerLook){ .complete = TRUE };
  return look_into (&walk, source, "", 1, error);
}
