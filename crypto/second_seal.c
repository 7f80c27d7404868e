/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inner seal of Double Key Encryption: the content key sealed to the key of
 * a double key service before it was sealed to the tenant key. No genuine
 * double-key license is public. What the service gives back for an inner block
 * is (docs/formats.md), and so that all of it must fit: OAEP proves the key, the
 * header's arithmetic the message. Everything else stays double-key.
 */
#include <string.h>

#include "crypto/enablingbits.h"
#include "crypto/key_header.h"

static TpdContentKey *
take_key (const TpdSecondSeal *seal, const guint8 *message, gsize len)
{
  TpdBytes bytes = tpd_bytes (message, len);
  TpdKeyHeader header;
  const guint8 *data;

  if (!tpd_key_header_take (&bytes, &header) || header.blob_size != len)
    return NULL;
  const gsize key_len = tpd_bytes_left (&bytes);
  if (!tpd_is_aes_key_len (key_len) || (header.size_word != key_len && header.size_word != key_len * 8)
      || !tpd_bytes_take (&bytes, key_len, &data))
    return NULL;

  TpdContentKey *key = g_new0 (TpdContentKey, 1);
  key->ref_count = 1;
  key->key = tpd_secret_new (data, key_len);
  key->mode_word = header.mode_word;
  key->size_word = header.size_word;
  key->flags = header.flags;
  key->hash_rule = seal->hash_rule;
  key->pkcs1 = seal->pkcs1;
  key->oaep_sha256 = seal->oaep_sha256;
  key->second_seal = TRUE;
  key->session_key_len = seal->session_key_len;
  return key;
}

static TpdContentKey *
try_once (TpdPrivateOperation *operation, const TpdSecondSeal *seal, const guint8 *block, guint attempt,
          gboolean *tried, GError **error)
{
  TpdOpened *opened = tpd_secret_alloc (sizeof *opened);
  TpdContentKey *key = NULL;

  if (operation->klass->run (operation, TPD_SEAL_V2, attempt, block, opened, error))
    {
      *tried |= opened->tried[TPD_PADDING_OAEP_SHA256];
      if (opened->fits[TPD_PADDING_OAEP_SHA256])
        key = take_key (seal, opened->message[TPD_PADDING_OAEP_SHA256], opened->len[TPD_PADDING_OAEP_SHA256]);
      if (key == NULL && opened->owes)
        operation->klass->make_up (operation, TPD_SEAL_V2, attempt);
    }
  tpd_secret_free (opened, sizeof *opened);
  return key;
}

static void
say (TpdUnwrapReply *reply, const char *name, gboolean opened)
{
  char *more;

  if (reply->trace == NULL)
    return;
  more = g_strdup_printf ("%ssecond key: \"%s\" %s\n", reply->trace, name, opened ? "opens it" : "does not open it");
  g_free (reply->trace);
  reply->trace = more;
}

/* The RSA block for a key of `len` bytes: the lengths tell whether a key header
 * stands in front of it, and then that must fit. NULL: not for such a key. */
static const guint8 *
block_for (const TpdSecondSeal *seal, gsize len)
{
  if (seal->len == len)
    return seal->data;
  return seal->len == TPD_KEY_HEADER_SIZE + len && seal->headed ? seal->data + TPD_KEY_HEADER_SIZE : NULL;
}

gboolean
tpd_second_seal_open (TpdPrivateOperation *operation, const char *name, TpdUnwrapReply *reply, GError **error)
{
  const TpdPublicKey *public_key = operation->public_key;
  const TpdSecondSeal *seal = reply->second;
  const guint attempts = operation->klass->attempts (operation, TPD_SEAL_V2);
  const guint8 *block = seal != NULL ? block_for (seal, public_key->len) : NULL;
  g_autoptr (GError) failed = NULL;
  gboolean tried = FALSE;

  if (block == NULL)
    return FALSE;
  /* No message of this key. */
  if (memcmp (block, public_key->modulus, public_key->len) >= 0)
    {
      say (reply, name, FALSE);
      return FALSE;
    }
  for (guint i = 0; i < attempts && reply->key == NULL; i++)
    reply->key = try_once (operation, seal, block, i, &tried, failed == NULL ? &failed : NULL);
  say (reply, name, reply->key != NULL);
  if (reply->key != NULL)
    {
      reply->status = TPD_UNWRAP_OK;
      return TRUE;
    }
  /* That a token does not offer another padding is no trouble; that it does not
   * offer this one is. */
  if (!tried && failed != NULL)
    g_propagate_error (error, g_steal_pointer (&failed));
  return FALSE;
}
