/* SPDX-License-Identifier: Apache-2.0 */
/* Passwords: where they come from and the forms that key files need. Used in
 * the key agent only. */
#pragma once

#include "crypto/keys.h"
#include "crypto/secret.h"

/*
 * Fetches the password for `spec` from its source. From files, fds and
 * credentials: a UTF-8 or UTF-16LE byte-order mark is understood, exactly one
 * trailing LF or CRLF is dropped, invalid UTF-8 is TPD_ERROR_PASSWORD. A
 * password file others can read is TPD_ERROR_INSECURE_FILE with the command
 * that mends it, unless `allow_insecure`. Prompts on /dev/tty with echo off
 * (restored on signals); without a terminal TPD_ERROR_PASSWORD says which
 * option gives the password. The result is UTF-8. (transfer full)
 */
TpdSecret *tpd_password_get (const TpdKeySpec *spec, gboolean allow_insecure, GError **error);

/* The password as UTF-16LE without mark or terminator. NULL if not UTF-8. */
TpdSecret *tpd_password_utf16 (const TpdSecret *utf8);

/*
 * Reads a key or password file into secret memory: O_NOFOLLOW is not needed
 * for the administrator's own links, but it must be a regular file owned by
 * this user or root, at most `max` bytes, and not readable or writable by
 * group or others (TPD_ERROR_INSECURE_FILE) unless `allow_insecure`.
 */
TpdSecret *tpd_secret_file_read (const char *path, gsize max, gboolean allow_insecure, GError **error);
