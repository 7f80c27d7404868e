/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The broker: a process that holds the one right which kernel passthrough
 * takes, CAP_SYS_ADMIN, and does nothing with it but registering files, so that
 * the process that parses documents need not have it.
 *
 * It is forked before anything of the source is read, gets descriptors over a
 * socket pair, and tells the kernel that what is opened in the mount may be
 * read from them without asking the mount. It takes nothing but what the mount
 * could read anyhow: regular files that are open for reading only, on the file
 * systems that the source consists of, and sealed memory.
 */
#pragma once

#include <glib.h>
#include <sys/types.h>

typedef struct _TpdBroker TpdBroker;

/*
 * Forks the broker; single-threaded callers only. Files on the device of
 * `root_fd` will be taken and, unless `one_file_system`, those on file systems
 * that are mounted beneath `source` now. NULL: this process has not the right,
 * or cannot fork. (transfer full)
 */
TpdBroker *tpd_broker_start (int root_fd, const char *source, gboolean one_file_system);
/* It is not needed and ends; those who ask it afterwards get EPIPE. Thread-safe. */
void tpd_broker_end (TpdBroker *broker);
/* The broker ends; what it registered goes with the mount. */
void tpd_broker_free (TpdBroker *broker);
pid_t tpd_broker_pid (const TpdBroker *broker);

/* Those below: 0 or an errno; EPIPE: the broker is gone. Thread-safe. */

/* Hands over the descriptor of the FUSE connection, once; then the broker is
 * confined. */
int tpd_broker_connect (TpdBroker *broker, int fuse_fd);
/*
 * Registers the file behind `fd`. What is not to be registered, of the broker's
 * own judgement: EACCES (can be written to, or is open as a path only), EISDIR,
 * EINVAL (no regular file), EXDEV (another file system), ENFILE (too many).
 */
int tpd_broker_open (TpdBroker *broker, int fd, gint32 *backing_id);
/* Nothing is said about an id that is not known. */
void tpd_broker_close (TpdBroker *broker, gint32 backing_id);

/* --- The process itself; for tpd_broker_start() and tests ----------------- */

/* A message is one of these, with a descriptor for the first two, which are
 * answered by a gint32: the id if it is positive, else 0 or a negative errno.
 * Whatever else comes ends the broker. */
typedef struct {
  guint32 what;
  gint32 id; /* to be closed; else 0 */
} TpdBrokerMessage;

enum { TPD_BROKER_CONNECT = 1, TPD_BROKER_OPEN, TPD_BROKER_CLOSE };

/* Serves `sock` (SOCK_SEQPACKET) until its other end is closed. `devices`: of
 * dev_t, whose files may be registered. */
void tpd_broker_run (int sock, GArray *devices) G_GNUC_NORETURN;

/* What it does once it is connected: no system call but those it needs to
 * answer, on `fuse_fd` only the two. FALSE: not to be had. */
gboolean tpd_broker_confine (int fuse_fd);

/* The devices of what is mounted beneath `source`, from the text of
 * /proc/self/mountinfo, without those of kernel interfaces. Appended. */
void tpd_broker_add_mounts (const char *mountinfo, const char *source, GArray *devices);
