/* SPDX-License-Identifier: Apache-2.0 */
/* Unwrapping with keys of this process: what the key agent does for each
 * request, and the unwrapper of unit tests. */
#include "crypto/agent_private.h"
#include "crypto/enablingbits.h"
#include "crypto/keyfile.h"

typedef struct {
  TpdUnwrapper base;
  GPtrArray *keys;
} LocalUnwrapper;

void
tpd_loaded_keys_unwrap (GPtrArray *keys, const TpdUnwrapRequest *request, TpdUnwrapReply *reply)
{
  for (guint i = 0; i < keys->len; i++)
    {
      TpdLoadedKey *loaded = g_ptr_array_index (keys, i);
      if (loaded->key && tpd_fingerprint_equal (&tpd_private_key_public (loaded->key)->fingerprint, &request->key))
        {
          tpd_enabling_bits_unwrap (loaded->key, request, reply);
          return;
        }
    }
  *reply = (TpdUnwrapReply){ .status = TPD_UNWRAP_UNAVAILABLE };
}

static void
local_unwrap (TpdUnwrapper *self, const TpdUnwrapRequest *request, TpdUnwrapReply *reply)
{
  tpd_loaded_keys_unwrap (((LocalUnwrapper *) self)->keys, request, reply);
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
