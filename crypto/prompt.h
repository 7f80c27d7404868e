/* SPDX-License-Identifier: Apache-2.0 */
/* The password prompt of crypto/password.c. */
#pragma once

#include "crypto/secret.h"

/*
 * Writes `text` to /dev/tty and reads one line with echo off. When SIGINT,
 * SIGTERM, SIGHUP, SIGQUIT or SIGTSTP comes meanwhile, the terminal is put
 * back before the signal takes its course; after a stop it asks again. For
 * single-threaded processes. Errors: TPD_ERROR_PASSWORD without a terminal or
 * input, TPD_ERROR_CANCELLED. The line is as typed, without its end.
 * (transfer full)
 */
TpdSecret *tpd_password_prompt (const char *text, GError **error);
