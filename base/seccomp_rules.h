/* SPDX-License-Identifier: Apache-2.0 */
/* What the filters of the document process and of the key agent share. */
#pragma once

#include <glib.h>
#include <seccomp.h>

/* Answers the calls of those names with `action`. 0 or a negative errno. Calls
 * that this machine or this libseccomp does not know cannot be made by name;
 * for them the default answer stands. */
static inline int
tpd_seccomp_add_all (scmp_filter_ctx filter, guint32 action, const char *const *names, gsize n)
{
  int failed = 0;

  for (gsize i = 0; i < n && failed == 0; i++)
    {
      int number = seccomp_syscall_resolve_name (names[i]);
      if (number != __NR_SCMP_ERROR)
        failed = seccomp_rule_add (filter, action, number, 0);
    }
  return failed;
}
