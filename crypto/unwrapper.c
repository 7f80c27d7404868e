/* SPDX-License-Identifier: Apache-2.0 */
/* Counting and dispatch of unwrappers, replies and content keys. */
#include "crypto/unwrapper.h"

TpdContentKey *
tpd_content_key_ref (TpdContentKey *key)
{
  g_atomic_int_inc (&key->ref_count);
  return key;
}

void
tpd_content_key_unref (TpdContentKey *key)
{
  if (!key || !g_atomic_int_dec_and_test (&key->ref_count))
    return;
  g_clear_pointer (&key->key, tpd_secret_unref);
  g_free (key);
}

void
tpd_unwrap_reply_clear (TpdUnwrapReply *reply)
{
  g_clear_pointer (&reply->key, tpd_content_key_unref);
  g_clear_pointer (&reply->trace, g_free);
  g_clear_pointer (&reply->second, g_free);
}

TpdUnwrapper *
tpd_unwrapper_ref (TpdUnwrapper *unwrapper)
{
  g_atomic_int_inc (&unwrapper->ref_count);
  return unwrapper;
}

void
tpd_unwrapper_unref (TpdUnwrapper *unwrapper)
{
  if (unwrapper && g_atomic_int_dec_and_test (&unwrapper->ref_count))
    unwrapper->klass->free (unwrapper);
}

void
tpd_unwrapper_unwrap (TpdUnwrapper *unwrapper, const TpdUnwrapRequest *request, TpdUnwrapReply *reply)
{
  *reply = (TpdUnwrapReply){ .status = TPD_UNWRAP_UNAVAILABLE };
  unwrapper->klass->unwrap (unwrapper, request, reply);
}

static gboolean
can_go_together (const TpdUnwrapper *unwrapper, const TpdUnwrapRequest *requests, guint n)
{
  for (guint i = 0; i < n; i++)
    if (requests[i].purpose == TPD_PURPOSE_TRACE)
      return FALSE;
  return n > 1 && unwrapper->klass->unwrap_many != NULL;
}

void
tpd_unwrapper_unwrap_many (TpdUnwrapper *unwrapper, const TpdUnwrapRequest *requests, guint n, TpdUnwrapReply *replies)
{
  g_assert (n <= TPD_UNWRAP_MANY);
  for (guint i = 0; i < n; i++)
    replies[i] = (TpdUnwrapReply){ .status = TPD_UNWRAP_UNAVAILABLE };
  if (can_go_together (unwrapper, requests, n))
    unwrapper->klass->unwrap_many (unwrapper, requests, n, replies);
  else
    for (guint i = 0; i < n; i++)
      unwrapper->klass->unwrap (unwrapper, &requests[i], &replies[i]);
}
