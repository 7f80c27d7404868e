/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secret memory for fuzzing: from malloc, so that the sanitizer sees the
 * bounds of every secret, which on locked pages it cannot, and at the speed of
 * malloc. The linker puts these in the place of those of crypto/secret.c
 * (--wrap); it can do so for calls from other files only, hence all of them.
 */
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"

gpointer __wrap_tpd_secret_alloc (gsize len);
void __wrap_tpd_secret_free (gpointer data, gsize len);
TpdSecret *__wrap_tpd_secret_new (const void *data, gsize len);
void __wrap_tpd_secret_unref (TpdSecret *secret);

gpointer
__wrap_tpd_secret_alloc (gsize len)
{
  return len > 0 ? g_malloc0 (len) : NULL;
}

void
__wrap_tpd_secret_free (gpointer data, gsize len)
{
  /* Touches all of it: a wrong length would leave a part, or wipe too much. */
  if (data != NULL)
    memset (data, 0, len);
  g_free (data);
}

TpdSecret *
__wrap_tpd_secret_new (const void *data, gsize len)
{
  TpdSecret *secret = g_new0 (TpdSecret, 1);

  secret->ref_count = 1;
  secret->len = len;
  secret->capacity = len + 1;
  secret->data = g_malloc0 (secret->capacity);
  if (data != NULL && len > 0)
    memcpy (secret->data, data, len);
  return secret;
}

void
__wrap_tpd_secret_unref (TpdSecret *secret)
{
  if (!g_atomic_int_dec_and_test (&secret->ref_count))
    return;
  __wrap_tpd_secret_free (secret->data, secret->capacity);
  g_free (secret);
}
