/* SPDX-License-Identifier: Apache-2.0 */
/* Unwrapping with keys of this process: what the key agent does for each
 * request, and the unwrapper of unit tests. */
#include "crypto/agent_private.h"
#include "crypto/enablingbits.h"
#include "crypto/keyfile.h"
#include "crypto/token_key.h"

typedef struct {
  TpdUnwrapper base;
  GPtrArray *keys;
} LocalUnwrapper;

int
tpd_loaded_keys_find (GPtrArray *keys, const TpdFingerprint *fingerprint)
{
  for (guint i = 0; i < keys->len; i++)
    {
      const TpdPublicKey *held = tpd_loaded_key_held (g_ptr_array_index (keys, i));
      if (held && tpd_fingerprint_equal (&held->fingerprint, fingerprint))
        return (int) i;
    }
  return -1;
}

void
tpd_loaded_key_unwrap (const TpdLoadedKey *loaded, const TpdUnwrapRequest *request, TpdUnwrapReply *reply,
                       GError **error)
{
  if (loaded->key)
    tpd_enabling_bits_unwrap (loaded->key, request, reply);
  else
    tpd_enabling_bits_unwrap_with (tpd_token_key_operation (loaded->token), request, reply, error);
}

static void
local_unwrap (TpdUnwrapper *self, const TpdUnwrapRequest *request, TpdUnwrapReply *reply)
{
  GPtrArray *keys = ((LocalUnwrapper *) self)->keys;
  int index = tpd_loaded_keys_find (keys, &request->key);

  if (index >= 0)
    tpd_loaded_key_unwrap (g_ptr_array_index (keys, index), request, reply, NULL);
}

static void
local_free (TpdUnwrapper *self)
{
  g_ptr_array_unref (((LocalUnwrapper *) self)->keys);
  g_free (self);
}

TpdUnwrapper *
tpd_unwrapper_new_in_process (GPtrArray *keys)
{
  static const TpdUnwrapperClass klass = { local_unwrap, local_free };
  LocalUnwrapper *local = g_new0 (LocalUnwrapper, 1);

  local->base.klass = &klass;
  local->base.ref_count = 1;
  local->keys = g_ptr_array_ref (keys);
  return &local->base;
}
