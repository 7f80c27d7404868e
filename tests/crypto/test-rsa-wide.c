/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private operations on eight blocks at once. What is expected is the message
 * that OpenSSL's big numbers raised to the public exponent; the keys are new.
 */
#include "crypto/rsa_wide.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "crypto/private_key.h"

#define BLOCKS TPD_RSA_WIDE_BLOCKS
#define BYTES TPD_RSA_WIDE_BYTES

G_DEFINE_AUTOPTR_CLEANUP_FUNC (EVP_PKEY, EVP_PKEY_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (BIGNUM, BN_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (BN_CTX, BN_CTX_free)

static const char *const part_names[] = { OSSL_PKEY_PARAM_RSA_N,         OSSL_PKEY_PARAM_RSA_E,
                                          OSSL_PKEY_PARAM_RSA_D,         OSSL_PKEY_PARAM_RSA_FACTOR1,
                                          OSSL_PKEY_PARAM_RSA_FACTOR2,   OSSL_PKEY_PARAM_RSA_EXPONENT1,
                                          OSSL_PKEY_PARAM_RSA_EXPONENT2, OSSL_PKEY_PARAM_RSA_COEFFICIENT1 };

enum { N, E, D, P, Q, DP, DQ, QINV, N_PARTS };

/* The linker puts these before those that are called; OpenSSL itself still calls
 * its own. */
static gboolean no_chance, wrong_inverse;

int __real_BN_priv_rand_range_ex (BIGNUM *r, const BIGNUM *range, unsigned int strength, BN_CTX *context);
int __wrap_BN_priv_rand_range_ex (BIGNUM *r, const BIGNUM *range, unsigned int strength, BN_CTX *context);
BIGNUM *__real_BN_mod_inverse (BIGNUM *r, const BIGNUM *a, const BIGNUM *n, BN_CTX *context);
BIGNUM *__wrap_BN_mod_inverse (BIGNUM *r, const BIGNUM *a, const BIGNUM *n, BN_CTX *context);

int
__wrap_BN_priv_rand_range_ex (BIGNUM *r, const BIGNUM *range, unsigned int strength, BN_CTX *context)
{
  return no_chance ? 0 : __real_BN_priv_rand_range_ex (r, range, strength, context);
}

BIGNUM *
__wrap_BN_mod_inverse (BIGNUM *r, const BIGNUM *a, const BIGNUM *n, BN_CTX *context)
{
  BIGNUM *inverse = __real_BN_mod_inverse (r, a, n, context);

  if (inverse != NULL && wrong_inverse)
    g_assert_true (BN_add_word (inverse, 1));
  return inverse;
}

static BIGNUM *
part (EVP_PKEY *pkey, guint which)
{
  BIGNUM *number = NULL;

  g_assert_true (EVP_PKEY_get_bn_param (pkey, part_names[which], &number));
  return number;
}

/* A key of these numbers, which OpenSSL does not check. (transfer full) */
static EVP_PKEY *
pkey_of (BIGNUM *const *parts)
{
  OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new ();
  EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name (NULL, "RSA", NULL);
  EVP_PKEY *pkey = NULL;
  OSSL_PARAM *params;

  for (guint i = 0; i < N_PARTS; i++)
    g_assert_true (OSSL_PARAM_BLD_push_BN (builder, part_names[i], parts[i]));
  params = OSSL_PARAM_BLD_to_param (builder);
  g_assert_true (EVP_PKEY_fromdata_init (context) == 1
                 && EVP_PKEY_fromdata (context, &pkey, EVP_PKEY_KEYPAIR, params) == 1);
  OSSL_PARAM_free (params);
  OSSL_PARAM_BLD_free (builder);
  EVP_PKEY_CTX_free (context);
  return pkey;
}

/* The same key, its primes the other way round, with `delta` added to part
 * `which`. */
static EVP_PKEY *
pkey_changed (EVP_PKEY *pkey, gboolean swap, guint which, guint delta)
{
  g_autoptr (BN_CTX) context = BN_CTX_new ();
  BIGNUM *parts[N_PARTS];
  EVP_PKEY *changed;

  for (guint i = 0; i < N_PARTS; i++)
    parts[i] = part (pkey, i);
  if (swap)
    {
      BN_swap (parts[P], parts[Q]);
      BN_swap (parts[DP], parts[DQ]);
      g_assert_nonnull (BN_mod_inverse (parts[QINV], parts[Q], parts[P], context));
    }
  g_assert_true (BN_add_word (parts[which], delta));
  changed = pkey_of (parts);
  for (guint i = 0; i < N_PARTS; i++)
    BN_clear_free (parts[i]);
  return changed;
}

/* NULL, and the test is skipped, on processors that cannot do it. */
static TpdRsaWide *
wide_of (EVP_PKEY *pkey)
{
  TpdRsaWide *wide = tpd_rsa_wide_new (pkey);

#if defined(__x86_64__)
  gboolean able = __builtin_cpu_supports ("avx512f") && __builtin_cpu_supports ("avx512ifma");
#else
  gboolean able = FALSE;
#endif
  g_assert_true ((wide != NULL) == able);
  if (!able)
    g_test_skip ("the processor has no AVX-512 IFMA");
  return wide;
}

typedef struct {
  guint8 message[BLOCKS][BYTES], block[BLOCKS][BYTES], out[BLOCKS][BYTES];
} Batch;

/* Raises the messages to the public exponent. */
static void
seal (EVP_PKEY *pkey, Batch *batch, guint n)
{
  g_autoptr (BN_CTX) context = BN_CTX_new ();
  g_autoptr (BIGNUM) modulus = part (pkey, N);
  g_autoptr (BIGNUM) exponent = part (pkey, E);

  for (guint i = 0; i < n; i++)
    {
      g_autoptr (BIGNUM) number = BN_bin2bn (batch->message[i], BYTES, NULL);

      g_assert_cmpint (BN_cmp (number, modulus), <, 0);
      g_assert_true (BN_mod_exp (number, number, exponent, modulus, context));
      g_assert_cmpint (BN_bn2binpad (number, batch->block[i], BYTES), ==, BYTES);
    }
}

static guint
open_batch (TpdRsaWide *wide, Batch *batch, guint n)
{
  const guint8 *in[BLOCKS];
  guint8 *out[BLOCKS];

  memset (batch->out, 0xaa, sizeof batch->out);
  for (guint i = 0; i < n; i++)
    {
      in[i] = batch->block[i];
      out[i] = batch->out[i];
    }
  return tpd_rsa_wide_private (wide, in, out, n);
}

static void
assert_opens (TpdRsaWide *wide, Batch *batch, guint n)
{
  g_assert_cmphex (open_batch (wide, batch, n), ==, (1u << n) - 1);
  g_assert_cmpmem (batch->out, n * BYTES, batch->message, n * BYTES);
  for (guint i = n; i < BLOCKS; i++)
    for (guint k = 0; k < BYTES; k++)
      g_assert_cmphex (batch->out[i][k], ==, 0xaa);
}

static void
random_messages (Batch *batch)
{
  g_assert_true (RAND_bytes ((guint8 *) batch->message, sizeof batch->message) == 1);
  for (guint i = 0; i < BLOCKS; i++)
    batch->message[i][0] &= 0x7f; /* the modulus has its highest bit */
}

/* Every number of blocks; keys whose first prime is the larger one and keys
 * whose first is the smaller. */
static void
test_random (void)
{
  for (guint round = 0; round < 6; round++)
    {
      g_autoptr (EVP_PKEY) generated = EVP_RSA_gen (2048);
      g_autoptr (EVP_PKEY) pkey = pkey_changed (generated, round % 2 == 1, N, 0);
      g_autoptr (TpdRsaWide) wide = wide_of (pkey);
      Batch batch;

      for (guint n = 1; wide != NULL && n <= BLOCKS; n++)
        {
          random_messages (&batch);
          seal (pkey, &batch, n);
          assert_opens (wide, &batch, n);
        }
    }
}

/* 0, 1, the largest, and those that are 0 or -1 modulo one of the primes. */
static void
test_edges (void)
{
  g_autoptr (EVP_PKEY) pkey = EVP_RSA_gen (2048);
  g_autoptr (TpdRsaWide) wide = wide_of (pkey);
  g_autoptr (BIGNUM) n = part (pkey, N);
  g_autoptr (BIGNUM) p = part (pkey, P);
  g_autoptr (BIGNUM) q = part (pkey, Q);
  g_autoptr (BIGNUM) number = BN_new ();
  Batch batch;

  if (wide == NULL)
    return;
  memset (&batch, 0, sizeof batch);
  batch.message[1][BYTES - 1] = 1;
  g_assert_true (BN_sub (number, n, BN_value_one ()));
  BN_bn2binpad (number, batch.message[2], BYTES);
  BN_bn2binpad (p, batch.message[3], BYTES);
  BN_bn2binpad (q, batch.message[4], BYTES);
  g_assert_true (BN_sub (number, n, p));
  BN_bn2binpad (number, batch.message[5], BYTES);
  g_assert_true (BN_sub (number, q, BN_value_one ()));
  BN_bn2binpad (number, batch.message[6], BYTES);
  g_assert_true (BN_add (number, p, BN_value_one ()));
  BN_bn2binpad (number, batch.message[7], BYTES);
  for (guint round = 0; round < 8; round++)
    {
      guint8 first[BYTES];

      seal (pkey, &batch, BLOCKS);
      assert_opens (wide, &batch, BLOCKS);
      /* Each in every lane. */
      memcpy (first, batch.message[0], BYTES);
      memmove (batch.message[0], batch.message[1], (BLOCKS - 1) * BYTES);
      memcpy (batch.message[BLOCKS - 1], first, BYTES);
    }
}

/* Single bits and rows of ones: what carries from digit to digit. */
static void
test_bits (void)
{
  g_autoptr (EVP_PKEY) pkey = EVP_RSA_gen (2048);
  g_autoptr (TpdRsaWide) wide = wide_of (pkey);
  Batch batch;

  for (guint bit = 0; wide != NULL && bit + BLOCKS <= 2040; bit += BLOCKS)
    {
      memset (&batch, 0, sizeof batch);
      for (guint i = 0; i < BLOCKS; i++)
        {
          const guint at = bit + i, byte = BYTES - 1 - at / 8;

          batch.message[i][byte] = (guint8) (1 << at % 8);
          if (bit % 16 == 0)
            {
              batch.message[i][byte] = (guint8) ((2 << at % 8) - 1);
              memset (batch.message[i] + byte + 1, 0xff, BYTES - 1 - byte);
            }
        }
      seal (pkey, &batch, BLOCKS);
      assert_opens (wide, &batch, BLOCKS);
    }
}

/* Longer than one blinding lasts. */
static void
test_long (void)
{
  g_autoptr (EVP_PKEY) pkey = EVP_RSA_gen (2048);
  g_autoptr (TpdRsaWide) wide = wide_of (pkey);
  Batch batch;

  random_messages (&batch);
  seal (pkey, &batch, BLOCKS);
  for (guint i = 0; wide != NULL && i < 600; i++)
    assert_opens (wide, &batch, BLOCKS);
}

static void
test_exponents (void)
{
  static const guint exponents[] = { 3, 5, 17, 0x10001, 0x80000001, 0xffffffff };

  for (guint i = 0; i < G_N_ELEMENTS (exponents); i++)
    {
      EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name (NULL, "RSA", NULL);
      g_autoptr (EVP_PKEY) pkey = NULL;
      g_autoptr (BIGNUM) exponent = BN_new ();
      Batch batch;

      g_assert_true (BN_set_word (exponent, exponents[i]) && EVP_PKEY_keygen_init (context) == 1
                     && EVP_PKEY_CTX_set_rsa_keygen_bits (context, 2048) == 1
                     && EVP_PKEY_CTX_set1_rsa_keygen_pubexp (context, exponent) == 1
                     && EVP_PKEY_generate (context, &pkey) == 1);
      EVP_PKEY_CTX_free (context);
      g_autoptr (TpdRsaWide) wide = wide_of (pkey);
      random_messages (&batch);
      seal (pkey, &batch, BLOCKS);
      if (wide != NULL)
        assert_opens (wide, &batch, BLOCKS);
    }
}

/* A wrong number anywhere, as a fault of memory makes one: no result comes out,
 * not even one that is right modulo one prime and would betray the other. */
static void
test_faults (void)
{
  static const guint which[] = { DP, DQ, QINV, P, Q, N };
  g_autoptr (EVP_PKEY) pkey = EVP_RSA_gen (2048);
  static const guint8 zeros[BLOCKS][BYTES];
  Batch batch;

  for (guint i = 0; i < G_N_ELEMENTS (which); i++)
    {
      g_autoptr (EVP_PKEY) wrong = pkey_changed (pkey, FALSE, which[i], 2);
      g_autoptr (TpdRsaWide) wide = wide_of (wrong);

      random_messages (&batch);
      seal (pkey, &batch, BLOCKS);
      if (wide == NULL)
        return;
      g_assert_cmphex (open_batch (wide, &batch, BLOCKS), ==, 0);
      g_assert_cmpmem (batch.out, sizeof batch.out, zeros, sizeof zeros);
    }
}

/* Nothing comes out, and the next batch does not suffer from it. */
static void
assert_fails_once (EVP_PKEY *pkey, TpdRsaWide *wide, gboolean *fault)
{
  static const guint8 zeros[BLOCKS][BYTES];
  Batch batch;

  random_messages (&batch);
  seal (pkey, &batch, BLOCKS);
  *fault = TRUE;
  for (guint round = 0; round < 2; round++)
    {
      g_assert_cmphex (open_batch (wide, &batch, BLOCKS), ==, 0);
      g_assert_cmpmem (batch.out, sizeof batch.out, zeros, sizeof zeros);
    }
  *fault = FALSE;
  assert_opens (wide, &batch, BLOCKS);
}

/* Without random numbers there is no blinding; one whose halves do not belong
 * together makes other messages of the right ones. */
static void
test_blinding_faults (void)
{
  gboolean *const faults[] = { &no_chance, &wrong_inverse };
  g_autoptr (EVP_PKEY) pkey = EVP_RSA_gen (2048);

  for (guint i = 0; i < G_N_ELEMENTS (faults); i++)
    {
      g_autoptr (TpdRsaWide) wide = wide_of (pkey);

      if (wide != NULL)
        assert_fails_once (pkey, wide, faults[i]);
    }
}

#define STACK_SIZE (512 * 1024)
#define PRIME_DIGITS 20

typedef struct {
  EVP_PKEY *pkey;
  Batch batch;
  gboolean done;
  guint64 *stack, *copy; /* of STACK_SIZE bytes */
} OnStack;

static gpointer
work_on_stack (gpointer data)
{
  OnStack *work = data;
  TpdRsaWide *wide = wide_of (work->pkey);

  if (wide == NULL)
    return NULL;
  assert_opens (wide, &work->batch, BLOCKS);
  tpd_rsa_wide_free (wide);
  /* Before the thread ends, for then the system takes the memory back. */
  memcpy (work->copy, work->stack, STACK_SIZE);
  work->done = TRUE;
  return NULL;
}

/* How many of the digits of 52 bits, as which it is calculated with, and of the
 * words of 64 bits, as which OpenSSL holds it, are in `memory`. */
static guint
count_of_number (const BIGNUM *number, const guint64 *memory, gsize n)
{
  g_autoptr (BIGNUM) rest = BN_dup (number);
  guint64 words[PRIME_DIGITS + 1024 / 64];
  guint count = 0;

  g_assert_cmpint (BN_bn2lebinpad (number, (guint8 *) words, 1024 / 8), ==, 1024 / 8);
  for (guint i = 0; i < PRIME_DIGITS - 1; i++)
    {
      g_autoptr (BIGNUM) digit = BN_dup (rest);
      BN_mask_bits (digit, 52);
      words[1024 / 64 + i] = BN_get_word (digit);
      g_assert_true (BN_rshift (rest, rest, 52));
    }
  for (guint k = 0; k < 1024 / 64 + PRIME_DIGITS - 1; k++)
    for (gsize i = 0; i < n; i++)
      if (memory[i] == words[k])
        {
          count++;
          break;
        }
  return count;
}

/* Compilers put what does not fit the registers on the stack, which is not
 * locked: nothing of it is there afterwards. */
static void
test_stack (void)
{
  g_autoptr (EVP_PKEY) pkey = EVP_RSA_gen (2048);
  g_autofree guint64 *copy = g_malloc0 (STACK_SIZE);
  OnStack work = { .pkey = pkey, .copy = copy };
  pthread_attr_t attributes;
  pthread_t thread;

  work.stack = mmap (NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  g_assert_true (work.stack != MAP_FAILED);
  random_messages (&work.batch);
  seal (pkey, &work.batch, BLOCKS);
  g_assert_cmpint (pthread_attr_init (&attributes), ==, 0);
  g_assert_cmpint (pthread_attr_setstack (&attributes, work.stack, STACK_SIZE), ==, 0);
  g_assert_cmpint (pthread_create (&thread, &attributes, work_on_stack, &work), ==, 0);
  g_assert_cmpint (pthread_join (thread, NULL), ==, 0);
  pthread_attr_destroy (&attributes);
  for (guint i = P; work.done && i <= QINV; i++)
    {
      g_autoptr (BIGNUM) number = part (pkey, i);
      g_assert_cmpuint (count_of_number (number, copy, STACK_SIZE / sizeof *copy), ==, 0);
    }
  for (guint i = 0; work.done && i < BLOCKS; i++)
    {
      g_autoptr (BIGNUM) message = BN_bin2bn (work.batch.message[i] + BYTES / 2, BYTES / 2, NULL);
      g_assert_cmpuint (count_of_number (message, copy, STACK_SIZE / sizeof *copy), ==, 0);
    }
  munmap (work.stack, STACK_SIZE);
}

static void
test_other_keys (void)
{
  static const guint sizes[] = { 1024, 2046, 2050, 3072, 4096 };

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autoptr (EVP_PKEY) pkey = EVP_RSA_gen (sizes[i]);
      g_assert_null (tpd_rsa_wide_new (pkey));
    }
}

/* A modulus of 2048 bits, but one prime of 1000. */
static void
test_unequal_primes (void)
{
  g_autoptr (BN_CTX) context = BN_CTX_new ();
  g_autoptr (BIGNUM) p1 = BN_new ();
  g_autoptr (BIGNUM) q1 = BN_new ();
  BIGNUM *parts[N_PARTS];

  for (guint i = 0; i < N_PARTS; i++)
    parts[i] = BN_new ();
  g_assert_true (BN_generate_prime_ex (parts[P], 1048, FALSE, NULL, NULL, NULL));
  g_assert_true (BN_generate_prime_ex (parts[Q], 1000, FALSE, NULL, NULL, NULL));
  g_assert_true (BN_set_word (parts[E], 65537) && BN_mul (parts[N], parts[P], parts[Q], context)
                 && BN_sub (p1, parts[P], BN_value_one ()) && BN_sub (q1, parts[Q], BN_value_one ())
                 && BN_mul (parts[D], p1, q1, context) && BN_mod_inverse (parts[D], parts[E], parts[D], context)
                 && BN_mod (parts[DP], parts[D], p1, context) && BN_mod (parts[DQ], parts[D], q1, context)
                 && BN_mod_inverse (parts[QINV], parts[Q], parts[P], context));
  g_assert_cmpint (BN_num_bits (parts[N]), ==, 2048);
  g_autoptr (EVP_PKEY) pkey = pkey_of (parts);
  g_assert_null (tpd_rsa_wide_new (pkey));
  for (guint i = 0; i < N_PARTS; i++)
    BN_free (parts[i]);
}

/* --- Through the key ----------------------------------------------------- */

static TpdPrivateKey *
key_of (EVP_PKEY *pkey)
{
  guint8 bytes[Q + 1][TPD_RSA_MAX_BYTES];
  gsize lens[Q + 1];
  g_autoptr (GError) error = NULL;

  for (guint i = N; i <= Q; i++)
    {
      g_autoptr (BIGNUM) number = part (pkey, i);
      lens[i] = (gsize) BN_bn2bin (number, bytes[i]);
    }
  const TpdPrivateKeyParts parts = { .n = bytes[N],
                                     .e = bytes[E],
                                     .d = bytes[D],
                                     .p = bytes[P],
                                     .q = bytes[Q],
                                     .n_len = lens[N],
                                     .e_len = lens[E],
                                     .d_len = lens[D],
                                     .p_len = lens[P],
                                     .q_len = lens[Q] };
  TpdPrivateKey *key = tpd_private_key_new (&parts, &error);
  g_assert_no_error (error);
  return key;
}

typedef struct {
  TpdPrivateKey *key;
  guint8 message[TPD_PRIVATE_KEY_MANY][BYTES], block[TPD_PRIVATE_KEY_MANY][BYTES];
} Shared;

static void
shared_init (Shared *shared, EVP_PKEY *pkey)
{
  shared->key = key_of (pkey);
  for (guint from = 0; from < TPD_PRIVATE_KEY_MANY; from += BLOCKS)
    {
      Batch batch;

      random_messages (&batch);
      seal (pkey, &batch, BLOCKS);
      memcpy (shared->message[from], batch.message, sizeof batch.message);
      memcpy (shared->block[from], batch.block, sizeof batch.block);
    }
}

/* Blocks that `too_large` names are not below the modulus. */
static void
assert_many (const Shared *shared, guint n, guint too_large)
{
  static const guint8 zeros[BYTES];
  guint8 high[BYTES], out[TPD_PRIVATE_KEY_MANY][BYTES];
  const guint8 *ins[TPD_PRIVATE_KEY_MANY] = { NULL };
  guint8 *outs[TPD_PRIVATE_KEY_MANY] = { NULL };

  memset (high, 0xff, sizeof high);
  memset (out, 0xaa, sizeof out);
  for (guint i = 0; i < n; i++)
    {
      const guint8 *large = i % 2 == 0 ? tpd_private_key_public (shared->key)->modulus : high;

      ins[i] = too_large >> i & 1 ? large : shared->block[i];
      outs[i] = out[i];
    }
  const guint all = n == 32 ? G_MAXUINT32 : (1u << n) - 1;
  g_assert_cmphex (tpd_private_key_raw_many (shared->key, ins, outs, n), ==, all & ~too_large);
  for (guint i = 0; i < n; i++)
    g_assert_cmpmem (out[i], BYTES, too_large >> i & 1 ? zeros : shared->message[i], BYTES);
}

static void
many (gboolean allowed)
{
  g_autoptr (EVP_PKEY) pkey = EVP_RSA_gen (2048);
  Shared shared;

  tpd_rsa_wide_set_allowed (allowed);
  shared_init (&shared, pkey);
  for (guint n = 0; n <= TPD_PRIVATE_KEY_MANY; n++)
    {
      assert_many (&shared, n, 0);
      assert_many (&shared, n, 0x91244511u & (n == 32 ? G_MAXUINT32 : (1u << n) - 1));
    }
  assert_many (&shared, TPD_PRIVATE_KEY_MANY, G_MAXUINT32);
  tpd_private_key_unref (shared.key);
  tpd_rsa_wide_set_allowed (TRUE);
}

/* What the many fail to do is done by OpenSSL. */
static void
test_many_with_faults (void)
{
  gboolean *const faults[] = { &no_chance, &wrong_inverse };

  for (guint i = 0; i < G_N_ELEMENTS (faults); i++)
    {
      g_autoptr (EVP_PKEY) pkey = EVP_RSA_gen (2048);
      Shared shared;

      shared_init (&shared, pkey);
      *faults[i] = TRUE;
      assert_many (&shared, 16, 0x0412);
      *faults[i] = FALSE;
      tpd_private_key_unref (shared.key);
    }
}

static void
test_many (void)
{
  many (TRUE);
}

static void
test_many_by_openssl (void)
{
  many (FALSE);
}

static gpointer
often (gpointer data)
{
  for (guint i = 0; i < 40; i++)
    assert_many (data, 4 + i % 20, i % 3 == 0 ? 2 : 0);
  return NULL;
}

static void
test_threads (void)
{
  g_autoptr (EVP_PKEY) pkey = EVP_RSA_gen (2048);
  GThread *threads[8];
  Shared shared;

  shared_init (&shared, pkey);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("many", often, &shared);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  tpd_private_key_unref (shared.key);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  tpd_secret_init (256 * 1024);
  g_test_add_func ("/rsa-wide/random-messages", test_random);
  g_test_add_func ("/rsa-wide/edges-in-every-lane", test_edges);
  g_test_add_func ("/rsa-wide/single-bits-and-rows", test_bits);
  g_test_add_func ("/rsa-wide/six-hundred-batches", test_long);
  g_test_add_func ("/rsa-wide/public-exponents", test_exponents);
  g_test_add_func ("/rsa-wide/faults-give-nothing", test_faults);
  g_test_add_func ("/rsa-wide/faults-of-the-blinding-give-nothing", test_blinding_faults);
  g_test_add_func ("/rsa-wide/nothing-is-left-on-the-stack", test_stack);
  g_test_add_func ("/rsa-wide/other-sizes-are-left-to-openssl", test_other_keys);
  g_test_add_func ("/rsa-wide/unequal-primes-are-left-to-openssl", test_unequal_primes);
  g_test_add_func ("/rsa-wide/key/many", test_many);
  g_test_add_func ("/rsa-wide/key/many-by-openssl", test_many_by_openssl);
  g_test_add_func ("/rsa-wide/key/many-with-faults", test_many_with_faults);
  g_test_add_func ("/rsa-wide/key/threads", test_threads);
  return g_test_run ();
}
