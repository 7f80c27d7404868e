/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The private operation of RSA-2048 on eight blocks at once, with the
 * processor's instructions for eight products of 52 bits (x86, AVX-512 IFMA):
 * three times what OpenSSL does one after the other. For crypto/private_key.c
 * only; one block, other keys and other processors are OpenSSL's.
 *
 * Nothing that it decides and no address that it reads depends on key or data;
 * blocks are blinded besides; and each result is proven by the public operation
 * before it is given out, so that no fault of code or machine can show.
 */
#pragma once

#include <glib.h>
#include <openssl/types.h>

#define TPD_RSA_WIDE_BLOCKS 8
/* Of the modulus, and of each block. */
#define TPD_RSA_WIDE_BYTES 256

typedef struct _TpdRsaWide TpdRsaWide;

/*
 * For the private key `pkey`, all in secret memory. NULL when the processor or
 * its operating system has not what it takes, when the key has not two primes of
 * 1024 bits, or without memory. (transfer full)
 */
TpdRsaWide *tpd_rsa_wide_new (EVP_PKEY *pkey);
void tpd_rsa_wide_free (TpdRsaWide *wide);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdRsaWide, tpd_rsa_wide_free)

/*
 * `out[i]` = `in[i]`^d mod n, for `n` blocks, at least 1 and at most
 * TPD_RSA_WIDE_BLOCKS, big-endian of TPD_RSA_WIDE_BYTES bytes; takes as long for one
 * as for all. Gives a bit, 1 << i, for each result that was proven; the others are
 * zeros. What is not below the modulus is never proven: no number to the public
 * exponent is that block. Thread-safe.
 */
guint tpd_rsa_wide_private (TpdRsaWide *wide, const guint8 *const *in, guint8 *const *out, guint n);

/* For tests: from now on tpd_rsa_wide_new() gives NULL as on other processors. */
void tpd_rsa_wide_set_allowed (gboolean allowed);
