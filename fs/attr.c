/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes and names: see fs/attr.h. */
#include "fs/attr.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "fs/look.h"
#include "fs/open_file.h"
#include "fs/status.h"

#define WRITE_BITS (S_IWUSR | S_IWGRP | S_IWOTH)
#define ESCAPE "~source"
#define RACE_TRIES 3

gboolean
tpd_attr_is_beyond (const TpdFs *fs, dev_t dev)
{
  return fs->options->one_file_system && dev != fs->root_dev;
}

static mode_t
shown_mode (const TpdFsOptions *options, mode_t mode)
{
  guint mask = S_ISDIR (mode) ? options->dmask : options->fmask;
  mode_t type = mode & S_IFMT, bits = mode & ~(mode_t) S_IFMT;

  if (S_ISLNK (mode))
    return mode;
  if (mask != TPD_NO_MASK)
    bits = 0777 & ~(mode_t) mask;
  return type | (bits & ~(mode_t) WRITE_BITS);
}

static void
fill (TpdFs *fs, const struct stat *st, const TpdFacts *facts, const TpdDevice *device, struct stat *attr)
{
  const TpdFsOptions *options = fs->options;

  *attr = *st;
  attr->st_ino = tpd_device_ino (device, st->st_ino);
  attr->st_mode = shown_mode (options, st->st_mode);
  if (options->has_uid)
    attr->st_uid = options->uid;
  if (options->has_gid)
    attr->st_gid = options->gid;
  if (S_ISREG (st->st_mode) && facts->size != (guint64) st->st_size)
    {
      attr->st_size = (off_t) facts->size;
      attr->st_blocks = (blkcnt_t) (facts->size / 512 + (facts->size % 512 != 0));
    }
}

/* With allow_other, on a file system whose own ACLs rule, mode bits would let
 * in whom the server keeps out. */
static gboolean
may_show (TpdFs *fs, const TpdDevice *device, TpdNode *node)
{
  const TpdFsOptions *options = fs->options;
  static gint told; /* atomic */

  if (device->ordinal == 0 || device->mode_bits_tell || !options->allow_other || options->acl_ignore)
    return TRUE;
  if (options->has_gid && options->fmask != TPD_NO_MASK && options->dmask != TPD_NO_MASK)
    return TRUE;
  if (g_atomic_int_compare_and_exchange (&told, 0, 1))
    {
      g_autofree char *path = tpd_node_path (fs->inodes, node);

      tpd_warning ("%s and what else lies on file systems with access lists of their own is closed to everybody: "
                   "mount with gid=, fmask= and dmask=, or with acl=ignore",
                   path);
    }
  return FALSE;
}

gboolean
tpd_attr_is_known (TpdNode *node, const struct stat *st)
{
  TpdStamp stamp, published;
  TpdFacts facts;

  if (!S_ISREG (st->st_mode))
    return TRUE;
  tpd_stamp_from_stat (&stamp, st);
  tpd_node_get_published (node, &published, &facts);
  return facts.known && tpd_stamp_same_content (&published, &stamp) && !tpd_look_again (&facts, st);
}

/* As tpd_attr_publish(). `*fd` is the file, open, or -1; it is -1 when it was
 * taken. */
static int
publish (TpdFs *fs, TpdNode *node, int dirfd, const char *name, int *fd, struct stat *st, struct stat *attr,
         gboolean *unsized, TpdWait *wait)
{
  TpdStamp stamp, published;
  TpdFacts facts;
  TpdDevice device;

  tpd_devices_get (fs->devices, st->st_dev, dirfd, name, &device);
  if (!may_show (fs, &device, node))
    return EACCES;
  tpd_stamp_from_stat (&stamp, st);
  tpd_node_get_published (node, &published, &facts);
  if (!facts.known || !tpd_stamp_same_content (&published, &stamp) || tpd_look_again (&facts, st))
    {
      int opened = *fd, errnum;

      *fd = -1;
      if (opened >= 0)
        errnum = tpd_look_opened (fs, dirfd, name, opened, st, &facts, wait);
      else
        errnum = tpd_look (fs, tpd_node_parent_id (node), dirfd, name, st, &facts, wait);

      if (errnum == TPD_WAIT && unsized != NULL)
        {
          facts.known = FALSE;
          *unsized = TRUE;
        }
      else if (errnum != 0)
        return errnum;
      tpd_stamp_from_stat (&stamp, st);
    }
  if (tpd_open_file_differs (node, !tpd_facts_passes (fs, &facts), &stamp))
    {
      tpd_inodes_detach (fs->inodes, node);
      return ESTALE;
    }
  tpd_node_publish (node, &stamp, &facts);
  fill (fs, st, &facts, &device, attr);
  return 0;
}

int
tpd_attr_publish (TpdFs *fs, TpdNode *node, int dirfd, const char *name, struct stat *st, struct stat *attr,
                  gboolean *unsized, TpdWait *wait)
{
  int fd = -1;

  return publish (fs, node, dirfd, name, &fd, st, attr, unsized, wait);
}

static int
publish_open (TpdFs *fs, TpdNode *node, struct stat *attr)
{
  TpdStamp stamp, published;
  TpdFacts facts;
  TpdDevice device;
  struct stat st;

  if (!tpd_open_file_stat_any (node, &st))
    return ESTALE;
  /* The device is known: the file was looked up once. */
  tpd_devices_get (fs->devices, st.st_dev, AT_FDCWD, "/", &device);
  tpd_stamp_from_stat (&stamp, &st);
  tpd_node_get_published (node, &published, &facts);
  /* Unlinking moves ctime; of the content, mtime and size tell. */
  if (tpd_facts_passes (fs, &facts))
    facts.size = stamp.size;
  else if (stamp.size != published.size || stamp.mtime_ns != published.mtime_ns)
    return ESTALE;
  fill (fs, &st, &facts, &device, attr);
  return 0;
}

int
tpd_attr_get (TpdFs *fs, TpdNode *node, struct stat *attr, TpdWait *wait)
{
  int errnum = ESTALE;

  for (guint tries = 0; errnum == ESTALE && tries < RACE_TRIES; tries++)
    {
      g_autoptr (TpdDirFd) dir = NULL;
      g_autofree char *name = NULL;
      struct stat st;

      errnum = tpd_dirs_stat (fs->dirs, node, &st);
      if (errnum != 0)
        break;
      if (node->id == TPD_NODE_ROOT)
        errnum = tpd_dirs_get (fs->dirs, node, &dir);
      else
        errnum = tpd_dirs_get_parent (fs->dirs, node, &dir, &name);
      if (errnum == 0)
        errnum = tpd_attr_publish (fs, node, dir->fd, name != NULL ? name : ".", &st, attr, NULL, wait);
    }
  return errnum == ESTALE ? publish_open (fs, node, attr) : errnum;
}

/* What an entry may be made of. */
typedef enum {
  OF_KNOWN, /* what is known */
  OF_LOOK,  /* a look into the file, if that tells the size */
  OF_ANY,   /* a look, and no size if need be */
} Means;

static int
make_entry (TpdFs *fs, TpdNode *parent, int dirfd, const char *source, int *fd, struct stat *st, Means means,
            struct fuse_entry_param *entry)
{
  TpdWait wait = { 0 };
  gboolean unsized = FALSE;
  TpdStamp stamp;
  TpdNode *node;
  int errnum;

  memset (entry, 0, sizeof *entry);
  if (tpd_attr_is_beyond (fs, st->st_dev) && !S_ISDIR (st->st_mode))
    return ENOENT;
  tpd_stamp_from_stat (&stamp, st);
  node = tpd_inodes_intern (fs->inodes, parent, source, &stamp);
  if (means == OF_KNOWN && !tpd_attr_is_known (node, st))
    errnum = EAGAIN;
  else
    errnum = publish (fs, node, dirfd, source, fd, st, &entry->attr, means == OF_ANY ? &unsized : NULL, &wait);
  /* The name is another node from now on. Who has the one that went open as a
   * plain file is not to get the kernel's pages of it, and where they end what
   * is there now. */
  if (errnum == ESTALE)
    tpd_fs_forget_attributes (fs, node->id);
  /* Who gets a listing without it will ask; who looks it up asks right now. */
  if (errnum == TPD_WAIT)
    tpd_decoder_ahead (fs->decoder, wait.source, &wait.stamp, wait.want);
  g_clear_pointer (&wait.source, tpd_source_unref);
  if (errnum == 0)
    {
      tpd_inodes_remember (node);
      entry->ino = node->id;
      entry->entry_timeout = fs->timeout;
      entry->attr_timeout = unsized ? 0 : fs->timeout;
    }
  tpd_node_unref (fs->inodes, node);
  return errnum;
}

/* `fd`, which is taken, is the file if it is open already; else -1. */
static int
make_entry_anew (TpdFs *fs, TpdNode *parent, int dirfd, const char *source, int fd, struct stat *st, Means means,
                 struct fuse_entry_param *entry)
{
  for (guint tries = 0;; tries++)
    {
      int errnum = make_entry (fs, parent, dirfd, source, &fd, st, means, entry);

      if (fd >= 0)
        close (fd);
      fd = -1;

      if (errnum != ESTALE || tries >= RACE_TRIES)
        return errnum;
      if (fstatat (dirfd, source, st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno;
    }
}

int
tpd_attr_entry (TpdFs *fs, TpdNode *parent, int dirfd, const char *source, struct stat *st,
                struct fuse_entry_param *entry)
{
  return make_entry_anew (fs, parent, dirfd, source, -1, st, OF_ANY, entry);
}

int
tpd_attr_entry_sized (TpdFs *fs, TpdNode *parent, int dirfd, const char *source, struct stat *st, gboolean known,
                      struct fuse_entry_param *entry)
{
  return make_entry_anew (fs, parent, dirfd, source, -1, st, known ? OF_KNOWN : OF_LOOK, entry);
}

int
tpd_attr_entry_opened (TpdFs *fs, TpdNode *parent, int dirfd, const char *source, int fd, struct stat *st,
                       struct fuse_entry_param *entry)
{
  return make_entry_anew (fs, parent, dirfd, source, fd, st, OF_LOOK, entry);
}

char *
tpd_attr_shown_status_name (TpdFs *fs)
{
  GString *name = g_string_new (TPD_STATUS_NAME ESCAPE);
  struct stat st;

  while (name->len < NAME_MAX && fstatat (fs->root_fd, name->str, &st, AT_SYMLINK_NOFOLLOW) == 0)
    g_string_append (name, ESCAPE);
  return g_string_free (name, FALSE);
}

/* A name that is not in the source: shown for another one? */
static int
resolve_shown (TpdFs *fs, TpdNode *parent, int dirfd, const char *name, char **source, struct stat *st)
{
  if (fs->views == NULL)
    return ENOENT;
  for (guint tries = 0; tries < RACE_TRIES; tries++)
    {
      g_autoptr (TpdView) view = NULL;
      TpdStamp looked_at, now;
      const char *found;
      int errnum = tpd_views_get (fs->views, parent->id, dirfd, NULL, &view);

      if (errnum != 0)
        return errnum;
      found = tpd_view_source (view, name, &looked_at);
      if (found == NULL)
        return ENOENT;
      if (fstatat (dirfd, found, st, AT_SYMLINK_NOFOLLOW) == 0)
        {
          tpd_stamp_from_stat (&now, st);
          if (tpd_stamp_same_content (&looked_at, &now))
            {
              *source = g_strdup (found);
              return 0;
            }
        }
      /* The file has changed, and its name may have with it. */
      tpd_views_drop (fs->views, parent->id);
    }
  return ENOENT;
}

int
tpd_attr_resolve (TpdFs *fs, TpdNode *parent, int dirfd, const char *name, char **source, struct stat *st)
{
  /* A name of the source is always that entry: no other one is ever shown
   * under it (format/names.c). */
  if (fstatat (dirfd, name, st, AT_SYMLINK_NOFOLLOW) == 0)
    {
      *source = g_strdup (name);
      return 0;
    }
  if (errno != ENOENT)
    return errno;
  if (parent->id == TPD_NODE_ROOT && g_str_has_prefix (name, TPD_STATUS_NAME ESCAPE))
    {
      g_autofree char *shown = tpd_attr_shown_status_name (fs);

      if (strcmp (name, shown) == 0)
        {
          *source = g_strdup (TPD_STATUS_NAME);
          return fstatat (dirfd, TPD_STATUS_NAME, st, AT_SYMLINK_NOFOLLOW) == 0 ? 0 : errno;
        }
    }
  return resolve_shown (fs, parent, dirfd, name, source, st);
}
