/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the product says of one file: one enum, one word in JSON, one errno at
 * the FUSE border.
 */
#pragma once

#include <glib.h>

typedef enum {
  TPD_VERDICT_OK,            /* opens: the content key was unwrapped */
  TPD_VERDICT_KEY_HELD,      /* the key is loaded, not yet tried */
  TPD_VERDICT_NOT_PROTECTED, /* plain file, or labelled without encryption */
  TPD_VERDICT_NO_KEY,        /* sealed to a key that is not loaded */
  TPD_VERDICT_DOUBLE_KEY,    /* a second (DKE) key is needed */
  TPD_VERDICT_DENIED,        /* policy refuses this user */
  TPD_VERDICT_DAMAGED,       /* structure, sealed key or padding wrong */
  TPD_VERDICT_TOO_LARGE,     /* decoding would exceed the budget */
  TPD_VERDICT_AMBIGUOUS,     /* two decryptions possible, none proven */
  TPD_VERDICT_UNSUPPORTED,   /* known but not handled */
  TPD_VERDICT_OFFLINE,       /* stub of a hierarchical store, not recalled */
  TPD_VERDICT_IO_ERROR,      /* the source could not be read */
} TpdVerdict;

#define TPD_N_VERDICTS (TPD_VERDICT_IO_ERROR + 1)

/* The word of JSON, xattrs and messages: "ok", "no-key", ... */
const char *tpd_verdict_word (TpdVerdict verdict);

/* The errno that open(2) gives on the mount; 0 for verdicts that open.
 * `io_errno` is what TPD_VERDICT_IO_ERROR stands for (EIO if 0). */
int tpd_verdict_errno (TpdVerdict verdict, int io_errno);

/* The verdict that a failed probe, unwrap or read means. */
TpdVerdict tpd_verdict_from_error (const GError *error);
