/* SPDX-License-Identifier: Apache-2.0 */
/* Unwrapping with keys of this process: what the key agent does for each
 * request, and the unwrapper of unit tests. */
#include "base/error.h"
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

static TpdPrivateOperation *
operation_of (const TpdLoadedKey *loaded, TpdLocalOperation *local)
{
  return loaded->key ? tpd_local_operation_init (local, loaded->key) : tpd_token_key_operation (loaded->token);
}

/* A second key has no name in the license that is known: all others are tried. */
static void
open_second_seal (GPtrArray *keys, guint first, TpdUnwrapReply *reply, GError **error)
{
  gboolean opened = FALSE;
  g_autoptr (GError) failed = NULL;

  for (guint i = 0; i < keys->len && !opened; i++)
    {
      const TpdLoadedKey *loaded = g_ptr_array_index (keys, i);
      TpdLocalOperation local;
      const char *name = loaded->info ? loaded->info->name : "key";
      if (i != first && tpd_loaded_key_held (loaded))
        opened = tpd_second_seal_open (operation_of (loaded, &local), name, reply, failed == NULL ? &failed : NULL);
    }
  g_clear_pointer (&reply->second, g_free);
  /* No answer to remember: the token may be back. */
  if (!opened && failed != NULL)
    {
      reply->status = TPD_UNWRAP_UNAVAILABLE;
      /* Of the second seal alone; the bits of the first are sound. */
      if (g_error_matches (failed, TPD_ERROR, TPD_ERROR_UNSUPPORTED))
        failed->code = TPD_ERROR_DOUBLE_KEY;
      g_propagate_error (error, g_steal_pointer (&failed));
    }
}

void
tpd_loaded_keys_prepare (GPtrArray *keys, const TpdUnwrapRequest *const *requests, guint n, TpdPreparedBlock *prepared)
{
  int wanted[TPD_UNWRAP_MANY];

  g_assert (n <= TPD_UNWRAP_MANY);
  for (guint i = 0; i < n; i++)
    wanted[i] = tpd_loaded_keys_find (keys, &requests[i]->key);
  /* Those of one key go together; there are seldom two. */
  for (guint first = 0; first < n; first++)
    {
      const int index = wanted[first];
      const TpdLoadedKey *loaded = index >= 0 ? g_ptr_array_index (keys, (guint) index) : NULL;
      const TpdUnwrapRequest *same[TPD_UNWRAP_MANY];
      TpdPreparedBlock *blocks[TPD_UNWRAP_MANY];
      guint n_same = 0;

      if (loaded == NULL || loaded->key == NULL)
        continue;
      for (guint i = first; i < n; i++)
        if (wanted[i] == index)
          {
            same[n_same] = requests[i];
            blocks[n_same++] = &prepared[i];
            wanted[i] = -1;
          }
      tpd_enabling_bits_prepare (loaded->key, same, n_same, blocks);
    }
}

void
tpd_loaded_keys_unwrap (GPtrArray *keys, guint index, const TpdUnwrapRequest *request, const TpdPreparedBlock *prepared,
                        TpdUnwrapReply *reply, GError **error)
{
  TpdLocalOperation local = { .prepared = NULL };
  TpdPrivateOperation *operation = operation_of (g_ptr_array_index (keys, index), &local);

  /* Of a key in a token nothing is prepared, and `local` not used. */
  local.prepared = prepared;
  tpd_enabling_bits_unwrap_with (operation, request, reply, error);
  if (reply->second)
    open_second_seal (keys, index, reply, error);
}

static void
local_unwrap (TpdUnwrapper *self, const TpdUnwrapRequest *request, TpdUnwrapReply *reply)
{
  GPtrArray *keys = ((LocalUnwrapper *) self)->keys;
  int index = tpd_loaded_keys_find (keys, &request->key);

  if (index >= 0)
    tpd_loaded_keys_unwrap (keys, (guint) index, request, NULL, reply, NULL);
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
  static const TpdUnwrapperClass klass = { .unwrap = local_unwrap, .free = local_free };
  LocalUnwrapper *local = g_new0 (LocalUnwrapper, 1);

  local->base.klass = &klass;
  local->base.ref_count = 1;
  local->keys = g_ptr_array_ref (keys);
  return &local->base;
}
