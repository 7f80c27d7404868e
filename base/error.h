/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one GError domain of the product.
 *
 * Codes below TPD_ERROR_ERRNO name a class of failure; a failed system call
 * is TPD_ERROR_ERRNO + errno, so that the FUSE border can give the caller the
 * errno that the source gave us. base/verdict.h maps a GError to a verdict.
 */
#pragma once

#include <glib.h>

#define TPD_ERROR (tpd_error_quark ())

typedef enum {
  /* About one document; each maps to the verdict of the same name. */
  TPD_ERROR_NOT_PROTECTED,
  TPD_ERROR_NO_KEY,
  TPD_ERROR_DOUBLE_KEY,
  TPD_ERROR_DENIED,
  TPD_ERROR_DAMAGED,
  TPD_ERROR_TOO_LARGE,
  TPD_ERROR_AMBIGUOUS,
  TPD_ERROR_UNSUPPORTED,
  TPD_ERROR_OFFLINE,

  /* About the source while it is read. */
  TPD_ERROR_STALE,     /* the source changed under us */
  TPD_ERROR_CANCELLED, /* the caller gave up */

  /* About keys and their files. */
  TPD_ERROR_PASSWORD,      /* wrong password, or nothing of the file decrypts */
  TPD_ERROR_KEY_FILE,      /* not a key file, truncated, hostile */
  TPD_ERROR_KEY_DAMAGED,   /* private key part damaged or inconsistent */
  TPD_ERROR_KEY_MISMATCH,  /* private key is not the one the certificate names */
  TPD_ERROR_KEY_UNUSABLE,  /* known artefact that can never give a key */
  TPD_ERROR_INSECURE_FILE, /* key or password file that others can read */
  TPD_ERROR_AGENT,         /* the key agent is gone or answered nonsense */

  TPD_ERROR_USAGE,   /* wrong option or configuration */
  TPD_ERROR_CONFINE, /* this process cannot be confined */

  TPD_ERROR_ERRNO = 1000, /* + errno */
} TpdError;

GQuark tpd_error_quark (void);

/* Sets `*error` from `errnum`; the message is the formatted text, a colon and
 * strerror. */
void tpd_error_set_errno (GError **error, int errnum, const char *format, ...) G_GNUC_PRINTF (3, 4);

/* The errno inside an error made by tpd_error_set_errno(), 0 for any other. */
int tpd_error_get_errno (const GError *error);
