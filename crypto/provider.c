/* SPDX-License-Identifier: Apache-2.0 */
/* The OpenSSL library context: see crypto/provider.h. */
#include "crypto/provider.h"

#include <glib.h>
#include <openssl/crypto.h>
#include <openssl/provider.h>

OSSL_LIB_CTX *
tpd_openssl_context (void)
{
  static OSSL_LIB_CTX *context; /* atomic, by g_once */

  if (g_once_init_enter (&context))
    {
      OSSL_LIB_CTX *made = OSSL_LIB_CTX_new ();

      if (made == NULL || OSSL_PROVIDER_load (made, "default") == NULL)
        g_error ("OpenSSL's default provider cannot be loaded");
      g_once_init_leave (&context, made);
    }
  return context;
}
