/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file systems met below the source's root: each gets an ordinal, so that
 * inode numbers of different file systems stay apart, and what had to be
 * asked of it once.
 */
#pragma once

#include <glib.h>
#include <sys/types.h>

typedef struct _TpdDevices TpdDevices;

typedef struct {
  guint16 ordinal;         /* 0: the root's */
  gboolean blocks_tell;    /* st_blocks 0 means that nothing is stored here */
  gboolean mode_bits_tell; /* mode bits, and POSIX ACLs, are all that rules access */
  gboolean posix_acls;
} TpdDevice;

/* `root_fd` (O_PATH) is asked at once. */
TpdDevices *tpd_devices_new (int root_fd);
void tpd_devices_free (TpdDevices *devices);

/*
 * What is known of the file system of `st_dev`, which `name` in `dirfd` lies on
 * (it is asked when the device is new). Thread-safe.
 */
void tpd_devices_get (TpdDevices *devices, dev_t st_dev, int dirfd, const char *name, TpdDevice *device);

/* The inode number to show: that of the source on the root's device, else the
 * ordinal in the top 16 bits. */
guint64 tpd_device_ino (const TpdDevice *device, guint64 ino);
