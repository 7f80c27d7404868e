/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that the agent gets together, among them hostile ones in every mixture:
 * each gets the answer that a key of this process gives it alone.
 */
#include "crypto/agent.h"
#include "sealed.h"

#define ROUNDS 150

static GPtrArray *samples;

static const Sealed *
any_sample (void)
{
  return g_ptr_array_index (samples, (guint) g_test_rand_int_range (0, (int) samples->len));
}

/* `sealed` has room for TPD_SEALED_MAX bytes. */
static void
make_request (TpdUnwrapRequest *request, guint8 *sealed)
{
  *request = any_sample ()->request;
  memcpy (sealed, request->sealed, request->sealed_len);
  request->sealed = sealed;
  switch (g_test_rand_int_range (0, 16))
    {
    case 0:
      sealed[g_test_rand_int_range (0, (int) MAX (request->sealed_len, 1))] ^=
          (guint8) (1 << g_test_rand_int_range (0, 8));
      break;
    case 1: /* not below any modulus */
      memset (sealed, 0xff, g_test_rand_bit () ? 1 : 256);
      break;
    case 2: /* opens to zeros, and is the same when it is reversed */
      memset (sealed, 0, 256);
      break;
    case 3: /* of another key, which may have another length */
      request->key = any_sample ()->request.key;
      break;
    case 4: /* of no key */
      request->key.bytes[0] ^= 1;
      break;
    case 5:
      request->type = (TpdSealType) g_test_rand_int_range (TPD_SEAL_V1, TPD_SEAL_UNKNOWN + 1);
      break;
    case 6: /* too little for a block, or nothing */
      request->sealed_len = g_test_rand_bit () ? 0 : (gsize) g_test_rand_int_range (1, 256);
      break;
    case 7: /* nothing behind the block */
      request->sealed_len = 256;
      break;
      case 8: /* the block of one license, the rest of another */
      {
        const TpdUnwrapRequest *other = &any_sample ()->request;
        memcpy (sealed, other->sealed, MIN (other->sealed_len, 256));
        break;
      }
    case 9: /* backwards: opens at the second attempt */
      for (guint i = 0; i < 128; i++)
        {
          const guint8 byte = sealed[i];
          sealed[i] = sealed[255 - i];
          sealed[255 - i] = byte;
        }
      break;
    default:
      break;
    }
}

static void
assert_same (const TpdUnwrapReply *a, const TpdUnwrapReply *b)
{
  g_assert_cmpint (a->status, ==, b->status);
  g_assert_true ((a->key != NULL) == (b->key != NULL));
  if (a->key == NULL)
    return;
  g_assert_cmpmem (a->key->key->data, a->key->key->len, b->key->key->data, b->key->key->len);
  g_assert_cmpint (a->key->mode_word, ==, b->key->mode_word);
  g_assert_cmpint (a->key->oaep_sha256, ==, b->key->oaep_sha256);
  g_assert_cmpuint (a->key->session_key_len, ==, b->key->session_key_len);
}

static void
test_hostile_ones_among_them (void)
{
  g_autoptr (TpdKeyConfig) config = sealed_key_config ();
  g_autoptr (TpdKeyring) keyring = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdUnwrapper) agent = tpd_agent_start (config, 1, TPD_AGENT_DEFAULT, &keyring, &error);
  g_assert_no_error (error);
  g_autoptr (GPtrArray) keys = tpd_keys_load (config, &error);
  g_assert_no_error (error);
  g_autoptr (TpdUnwrapper) alone = tpd_unwrapper_new_in_process (keys);
  g_autofree guint8 *sealed = g_malloc0 (TPD_UNWRAP_MANY * TPD_SEALED_MAX);
  guint seen[TPD_UNWRAP_UNAVAILABLE + 1] = { 0 };

  for (guint round = 0; round < ROUNDS; round++)
    {
      const guint n = round % 3 == 0 ? (guint) g_test_rand_int_range (1, TPD_UNWRAP_MANY) : TPD_UNWRAP_MANY;
      TpdUnwrapRequest requests[TPD_UNWRAP_MANY];
      TpdUnwrapReply replies[TPD_UNWRAP_MANY];

      for (guint i = 0; i < n; i++)
        make_request (&requests[i], sealed + i * TPD_SEALED_MAX);
      tpd_unwrapper_unwrap_many (agent, requests, n, replies);
      for (guint i = 0; i < n; i++)
        {
          g_auto (TpdUnwrapReply) expected;

          tpd_unwrapper_unwrap (alone, &requests[i], &expected);
          assert_same (&replies[i], &expected);
          seen[expected.status]++;
          tpd_unwrap_reply_clear (&replies[i]);
        }
    }
  g_assert_cmpuint (seen[TPD_UNWRAP_OK], >, ROUNDS);
  g_assert_cmpuint (seen[TPD_UNWRAP_REFUSED], >, ROUNDS);
  g_assert_cmpuint (seen[TPD_UNWRAP_DOUBLE_KEY], >, 0);
  g_assert_cmpuint (seen[TPD_UNWRAP_UNAVAILABLE], >, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  samples = sealed_load_all ();
  g_test_add_func ("/together/hostile-ones-among-them", test_hostile_ones_among_them);
  int status = g_test_run ();
  g_ptr_array_unref (samples);
  return status;
}
