/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a target begins: GLib's criticals and warnings are bugs and end it, and
 * the product's own messages stay silent.
 */
#include "base/log.h"
#include "fuzz.h"

static void
drop_message (const char *domain, GLogLevelFlags level, const char *message, gpointer user_data)
{
}

int
LLVMFuzzerInitialize (int *argc, char ***argv)
{
  g_log_set_always_fatal (G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING);
  g_log_set_handler (NULL, G_LOG_LEVEL_MESSAGE | G_LOG_LEVEL_INFO | G_LOG_LEVEL_DEBUG, drop_message, NULL);
  tpd_log_init ("fuzz", TPD_LOG_ERROR);
  return 0;
}
