/* SPDX-License-Identifier: Apache-2.0 */
/* File systems below the root: see fs/devices.h. */
#include "fs/devices.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/log.h"

/* Not in linux/magic.h of every release. */
#define CIFS_MAGIC 0xff534d42
#define SMB2_MAGIC 0xfe534d42
#define FUSE_MAGIC 0x65735546

/* 0xffff is the status directory's. */
#define MAX_ORDINAL 0xfffe

typedef struct {
  dev_t dev;
  TpdDevice device;
} Known;

struct _TpdDevices {
  Known root; /* fixed */
  GMutex lock;
  GArray *others; /* of Known, under lock */
};

static void
ask (int fd, TpdDevice *device)
{
  struct statfs fs;
  char path[32];

  device->blocks_tell = TRUE;
  device->mode_bits_tell = TRUE;
  device->posix_acls = FALSE;
  if (fd < 0 || fstatfs (fd, &fs) != 0)
    {
      device->mode_bits_tell = FALSE;
      return;
    }
  /* getxattr() takes no O_PATH descriptor; its link in /proc does. */
  g_snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
  device->posix_acls = getxattr (path, "system.posix_acl_access", NULL, 0) >= 0 || errno == ENODATA;
  switch ((guint32) fs.f_type)
    {
    case FUSE_MAGIC:
      /* sshfs and its like report no blocks at all. */
      device->blocks_tell = FALSE;
      break;
    case NFS_SUPER_MAGIC:
    case CIFS_MAGIC:
    case SMB2_MAGIC:
    case SMB_SUPER_MAGIC:
      /* Their own ACLs rule at the server, unless NFSv3 offers POSIX ones. */
      device->mode_bits_tell = device->posix_acls;
      break;
    default:
      break;
    }
}

TpdDevices *
tpd_devices_new (int root_fd)
{
  TpdDevices *devices = g_new0 (TpdDevices, 1);
  struct stat st;

  if (fstat (root_fd, &st) == 0)
    devices->root.dev = st.st_dev;
  ask (root_fd, &devices->root.device);
  g_mutex_init (&devices->lock);
  devices->others = g_array_new (FALSE, TRUE, sizeof (Known));
  return devices;
}

void
tpd_devices_free (TpdDevices *devices)
{
  g_mutex_clear (&devices->lock);
  g_array_unref (devices->others);
  g_free (devices);
}

static gboolean
find (const TpdDevices *devices, dev_t dev, TpdDevice *device)
{
  for (guint i = 0; i < devices->others->len; i++)
    {
      const Known *known = &g_array_index (devices->others, Known, i);

      if (known->dev == dev)
        {
          *device = known->device;
          return TRUE;
        }
    }
  return FALSE;
}

void
tpd_devices_get (TpdDevices *devices, dev_t st_dev, int dirfd, const char *name, TpdDevice *device)
{
  Known known = { st_dev, { 0 } };
  gboolean found;
  int fd;

  if (st_dev == devices->root.dev)
    {
      *device = devices->root.device;
      return;
    }
  g_mutex_lock (&devices->lock);
  found = find (devices, st_dev, device);
  g_mutex_unlock (&devices->lock);
  if (found)
    return;

  fd = openat (dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  ask (fd, &known.device);
  if (fd >= 0)
    close (fd);
  g_mutex_lock (&devices->lock);
  if (!find (devices, st_dev, device))
    {
      known.device.ordinal = (guint16) MIN (devices->others->len + 1, MAX_ORDINAL);
      g_array_append_val (devices->others, known);
      *device = known.device;
    }
  g_mutex_unlock (&devices->lock);
}

guint64
tpd_device_ino (const TpdDevice *device, guint64 ino)
{
  if (device->ordinal == 0)
    return ino;
  return (guint64) device->ordinal << 48 | (ino & G_GUINT64_CONSTANT (0xffffffffffff));
}
