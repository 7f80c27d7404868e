/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PKCS#11 module with one token and one RSA key, whose faults a test sets
 * while it runs: the two share this through the file that MOCK_STATE names.
 * MOCK_KEY names the PEM file of the private key.
 */
#pragma once

#include <glib.h>
#include <p11-kit/pkcs11.h>

#define MOCK_LABEL "mock token"
#define MOCK_KEY_LABEL "slc"

/* All are atomic. What a test sets: */
typedef struct {
  gint refuse[4];   /* return value of C_DecryptInit: PKCS#1, OAEP SHA-1, OAEP SHA-256, raw */
  gint bad_data_rv; /* return value of C_Decrypt when the padding does not fit */
  gint removed;     /* no token is in the slot */
  gint faulty;      /* CKR_GENERAL_ERROR until the module is ended */
  gint crash;       /* in C_Initialize */
  gint token_flags; /* of CK_TOKEN_INFO */
  gint pin;         /* a number; decimal digits */
  gint tries_left;
  gint always_authenticate;
  gint no_decrypt;   /* CKA_DECRYPT is false */
  gint hide_modulus; /* on all objects */
  gint cant_lock;
  gint sessions_max; /* 0: any number */
  gint hang_ms;      /* in C_Decrypt */
  /* what it counts: */
  gint n_initialize;
  gint n_login;
  gint n_context_login;
  gint n_decrypt;
  gint n_inside;
  gint most_inside;
} MockState;
