/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A private key in a token, as an operation of the key agent: see
 * crypto/token_key.h.
 *
 * Where the token removes the padding, it is asked for that: raw RSA is a
 * stronger tool and often not allowed. Raw RSA is the way where the token does
 * not know a padding, of which OAEP with SHA-256 is the usual one.
 *
 * Modules tell bad padding from a fault of their own in no uniform way, and
 * some say the same for both. What is not clear is settled by a block whose
 * message we know: when that decrypts, it was the data. How often a token is
 * asked can be measured from outside, and a block whose padding fits needs no
 * settling even if nothing else of it does; so it gets as many operations,
 * too, before it is refused (make_up). Every block that is refused costs the
 * same.
 */
#include "crypto/token_key.h"

#include <string.h>

#include "base/error.h"
#include "crypto/pkcs11_module.h"
#include "crypto/token_canary.h"
#include "crypto/token_lanes.h"

typedef enum {
  OFFER_UNKNOWN,
  OFFER_YES,
  OFFER_NO,
} Offer;

struct _TpdTokenKey {
  TpdPrivateOperation base;
  int ref_count; /* atomic */
  TpdTokenHelper *helper;
  TpdPublicKey public_key;
  TpdCanary canary;
  char *token_label;
  char *label;
  char *warning;
  int offers[TPD_TOKEN_N_MECHANISMS]; /* Offer; atomic */
};

/* What one decryption came to. */
typedef enum {
  OUTCOME_MESSAGE,
  OUTCOME_BAD_BLOCK,   /* the padding does not fit */
  OUTCOME_NOT_OFFERED, /* the token does not decrypt in this way */
  OUTCOME_UNCLEAR,
  OUTCOME_TROUBLE, /* the token cannot be used now */
} Outcome;

static Outcome
outcome_of (guint32 rv)
{
  switch (rv)
    {
    case CKR_OK:
      return OUTCOME_MESSAGE;
    case CKR_ENCRYPTED_DATA_INVALID:
    case CKR_ENCRYPTED_DATA_LEN_RANGE:
    case CKR_DATA_INVALID:
    case CKR_DATA_LEN_RANGE:
      return OUTCOME_BAD_BLOCK;
    case CKR_MECHANISM_INVALID:
    case CKR_MECHANISM_PARAM_INVALID:
    case CKR_KEY_FUNCTION_NOT_PERMITTED:
    case CKR_KEY_TYPE_INCONSISTENT:
    case CKR_KEY_SIZE_RANGE:
    case CKR_FUNCTION_NOT_SUPPORTED:
    case CKR_ARGUMENTS_BAD:
      return OUTCOME_NOT_OFFERED;
    case CKR_TOKEN_NOT_PRESENT:
    case CKR_TOKEN_NOT_RECOGNIZED:
    case CKR_DEVICE_REMOVED:
    case CKR_DEVICE_MEMORY:
    case CKR_HOST_MEMORY:
    case CKR_SLOT_ID_INVALID:
    case CKR_SESSION_CLOSED:
    case CKR_SESSION_COUNT:
    case CKR_SESSION_HANDLE_INVALID:
    case CKR_KEY_HANDLE_INVALID:
    case CKR_OBJECT_HANDLE_INVALID:
    case CKR_CRYPTOKI_NOT_INITIALIZED:
    case CKR_OPERATION_ACTIVE:
      return OUTCOME_TROUBLE;
    default:
      return tpd_pkcs11_error_code (rv) == TPD_ERROR_PASSWORD ? OUTCOME_TROUBLE : OUTCOME_UNCLEAR;
    }
}

static TpdTokenMechanism
mechanism_of (TpdPadding padding)
{
  static const TpdTokenMechanism mechanisms[TPD_N_PADDINGS] = {
    [TPD_PADDING_OAEP_SHA1] = TPD_TOKEN_OAEP_SHA1,
    [TPD_PADDING_OAEP_SHA256] = TPD_TOKEN_OAEP_SHA256,
    [TPD_PADDING_PKCS1] = TPD_TOKEN_PKCS1,
  };
  return mechanisms[padding];
}

static Outcome
trouble (const TpdTokenKey *key, const char *words, GError **error)
{
  g_set_error (error, TPD_ERROR, TPD_ERROR_AGENT, "The token \"%s\" cannot be used now: %s", key->token_label, words);
  return OUTCOME_TROUBLE;
}

/* --- One block ----------------------------------------------------------- */

typedef struct {
  TpdTokenKey *key;
  guint lane;
  TpdPadding padding;
  TpdTokenMechanism mechanism;
  TpdOpened *opened; /* for the message under `padding` */
  guint32 rv;        /* what the module said last */
} Task;

/* The message of `block` into task->opened, whatever the module says of it. */
static Outcome
decrypt (Task *task, gboolean reopen, const guint8 *block, GError **error)
{
  TpdOpened *opened = task->opened;
  const gsize len = task->key->public_key.len;
  guint8 *out = tpd_secret_alloc (TPD_RSA_MAX_BYTES);
  const char *why = NULL;
  Outcome outcome;
  gsize n = 0;

  opened->fits[task->padding] = FALSE;
  opened->len[task->padding] = 0;
  if (!tpd_token_helper_decrypt (task->key->helper, task->lane, task->mechanism, reopen, block, len, out, &n, &task->rv,
                                 &why))
    outcome = trouble (task->key, why, error);
  else
    outcome = outcome_of (task->rv);
  if (outcome == OUTCOME_MESSAGE && task->mechanism == TPD_TOKEN_RAW)
    {
      /* Some modules leave out the zeros at the start. */
      if (n < len)
        {
          memmove (out + len - n, out, n);
          memset (out, 0, len - n);
        }
      tpd_opened_unpad (opened, task->padding, out, len);
      outcome = opened->fits[task->padding] ? OUTCOME_MESSAGE : OUTCOME_BAD_BLOCK;
    }
  else if (outcome == OUTCOME_MESSAGE)
    {
      memcpy (opened->message[task->padding], out, n);
      opened->len[task->padding] = n;
      opened->fits[task->padding] = TRUE;
    }
  tpd_secret_free (out, TPD_RSA_MAX_BYTES);
  if (outcome == OUTCOME_TROUBLE && error && !*error)
    {
      g_autofree char *words = tpd_pkcs11_words (task->rv);
      trouble (task->key, words, error);
    }
  return outcome;
}

/* Whether the known block decrypts; the outcome, MESSAGE only if it is right. */
static Outcome
test_canary (const Task *task, gboolean reopen, guint32 *rv, GError **error)
{
  const TpdCanary *canary = &task->key->canary;
  Task test = *task;

  *rv = CKR_MECHANISM_INVALID;
  if (!canary->made[task->padding])
    return OUTCOME_NOT_OFFERED;
  test.opened = tpd_secret_alloc (sizeof *test.opened);
  Outcome outcome = decrypt (&test, reopen, canary->blocks[task->padding], error);
  if (outcome == OUTCOME_MESSAGE
      && !tpd_canary_is (canary, test.opened->message[task->padding], test.opened->len[task->padding]))
    outcome = OUTCOME_BAD_BLOCK;
  tpd_secret_free (test.opened, sizeof *test.opened);
  *rv = test.rv;
  return outcome;
}

/*
 * `block` by a mechanism that is known to be offered; what is not clear is
 * settled, also that it should not be offered any more: no block may decide
 * that.
 */
static Outcome
decrypt_clearly (Task *task, const guint8 *block, GError **error)
{
  Outcome outcome = decrypt (task, FALSE, block, error);
  guint32 rv;

  if (outcome != OUTCOME_UNCLEAR && outcome != OUTCOME_NOT_OFFERED)
    {
      task->opened->owes = outcome != OUTCOME_TROUBLE;
      return outcome;
    }
  outcome = test_canary (task, FALSE, &rv, NULL);
  if (outcome == OUTCOME_NOT_OFFERED)
    return outcome;
  if (outcome != OUTCOME_MESSAGE)
    outcome = test_canary (task, TRUE, &rv, error);
  if (outcome == OUTCOME_TROUBLE)
    return outcome;
  if (outcome != OUTCOME_MESSAGE)
    {
      g_autofree char *words = tpd_pkcs11_words (rv);
      return trouble (task->key, words, error);
    }
  /* Once more: another lane may have mended the token after our first try. */
  outcome = decrypt (task, FALSE, block, error);
  return outcome == OUTCOME_UNCLEAR || outcome == OUTCOME_NOT_OFFERED ? OUTCOME_BAD_BLOCK : outcome;
}

/* Asks for one way of decryption, and remembers it. */
static Outcome
find_offer (TpdTokenKey *key, guint lane, TpdPadding padding, TpdTokenMechanism mechanism, guint32 *rv, GError **error)
{
  const Task task = { .key = key, .lane = lane, .padding = padding, .mechanism = mechanism };
  Outcome outcome = test_canary (&task, FALSE, rv, error);

  if (outcome != OUTCOME_TROUBLE)
    g_atomic_int_set (&key->offers[mechanism], outcome == OUTCOME_MESSAGE ? OFFER_YES : OFFER_NO);
  return outcome;
}

/*
 * `block` under task->padding, in the first way that the token offers. Without
 * any way the padding counts as not tried.
 */
static Outcome
open_block (Task *task, const guint8 *block, GError **error)
{
  const TpdTokenMechanism ways[] = { mechanism_of (task->padding), TPD_TOKEN_RAW };

  for (guint i = 0; i < G_N_ELEMENTS (ways); i++)
    {
      int *offer = &task->key->offers[ways[i]];
      guint32 rv;
      if (g_atomic_int_get (offer) == OFFER_UNKNOWN
          && find_offer (task->key, task->lane, task->padding, ways[i], &rv, error) == OUTCOME_TROUBLE)
        return OUTCOME_TROUBLE;
      if (g_atomic_int_get (offer) == OFFER_NO)
        continue;
      task->mechanism = ways[i];
      Outcome outcome = decrypt_clearly (task, block, error);
      if (outcome != OUTCOME_NOT_OFFERED)
        return outcome;
      g_atomic_int_set (offer, OFFER_NO);
    }
  return OUTCOME_NOT_OFFERED;
}

/* --- The operation --------------------------------------------------------- */

/* The paddings in the order in which they are tried, one an attempt: a token
 * takes one at a time. */
static guint
paddings_of (TpdSealType type, TpdPadding paddings[TPD_N_PADDINGS])
{
  guint n = 0;

  for (TpdPadding padding = 0; padding < TPD_N_PADDINGS; padding++)
    if (tpd_padding_applies (padding, type))
      paddings[n++] = padding;
  return n;
}

static guint
token_attempts (TpdPrivateOperation *self, TpdSealType type)
{
  TpdPadding paddings[TPD_N_PADDINGS];
  return paddings_of (type, paddings);
}

static gboolean
token_run (TpdPrivateOperation *self, TpdSealType type, guint attempt, const guint8 *block, TpdOpened *opened,
           GError **error)
{
  TpdPadding paddings[TPD_N_PADDINGS];
  guint n = paddings_of (type, paddings);
  Task task = { .key = (TpdTokenKey *) self, .padding = paddings[attempt % n], .opened = opened };

  task.lane = tpd_token_helper_lane_take (task.key->helper);
  Outcome outcome = open_block (&task, block, error);
  tpd_token_helper_lane_give_back (task.key->helper, task.lane);
  opened->tried[task.padding] = outcome == OUTCOME_MESSAGE || outcome == OUTCOME_BAD_BLOCK;
  /* A license has one of the other two as a rule; this one is a guess. */
  if (outcome == OUTCOME_NOT_OFFERED && task.padding == TPD_PADDING_OAEP_SHA256)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_UNSUPPORTED,
                   "The token \"%s\" offers neither RSA-OAEP with SHA-256 nor raw RSA", task.key->token_label);
      return FALSE;
    }
  if (outcome == OUTCOME_NOT_OFFERED)
    {
      g_autofree char *words = tpd_pkcs11_words (CKR_MECHANISM_INVALID);
      outcome = trouble (task.key, words, error);
    }
  return outcome != OUTCOME_TROUBLE;
}

/* As many operations as decrypt_clearly() does more for a block of which the
 * token does not say clearly that it is bad; the results are of no interest.
 * The way is the one that open_block() took. */
static void
token_make_up (TpdPrivateOperation *self, TpdSealType type, guint attempt)
{
  TpdPadding paddings[TPD_N_PADDINGS];
  guint n = paddings_of (type, paddings);
  Task task = { .key = (TpdTokenKey *) self, .padding = paddings[attempt % n] };
  guint32 rv;

  task.mechanism = mechanism_of (task.padding);
  if (g_atomic_int_get (&task.key->offers[task.mechanism]) != OFFER_YES)
    task.mechanism = TPD_TOKEN_RAW;
  task.lane = tpd_token_helper_lane_take (task.key->helper);
  for (guint i = 0; i < 2; i++)
    (void) test_canary (&task, FALSE, &rv, NULL);
  tpd_token_helper_lane_give_back (task.key->helper, task.lane);
}

/* --- Opening ----------------------------------------------------------------- */

/* The helper's error, or that it ended. */
static void
take_error (const TpdTokenControl *control, gboolean heard, GError **error)
{
  if (heard && control->kind == TPD_TOKEN_SAYS_ERROR)
    {
      g_autofree char *text = g_utf8_make_valid ((const char *) control->rest, (gssize) control->rest_len);
      g_set_error_literal (error, TPD_ERROR, (int) control->code, text);
    }
  else
    g_set_error_literal (error, TPD_ERROR, TPD_ERROR_KEY_UNUSABLE,
                         "The helper process of the token ended: the PKCS#11 module crashed or ended it; the system "
                         "log may say why");
}

static char *
rest_text (const TpdTokenControl *control)
{
  return g_utf8_make_valid ((const char *) control->rest, (gssize) control->rest_len);
}

static gboolean
tell_open (TpdTokenHelper *helper, const TpdPublicKey *licensor, const TpdSecret *pin)
{
  guint8 *message = tpd_secret_alloc (TPD_TOKEN_CONTROL_MAX);
  gsize len = tpd_token_says_open (licensor, pin ? pin->data : NULL, pin ? pin->len : 0, message);
  gboolean told = tpd_token_helper_tell (helper, message, len);

  tpd_secret_free (message, TPD_TOKEN_CONTROL_MAX);
  return told;
}

static gboolean
find_key (TpdTokenKey *key, TpdPasswordFunc ask_pin, gpointer user_data, const TpdPublicKey *licensor, GError **error)
{
  guint8 message[TPD_TOKEN_CONTROL_MAX];
  TpdTokenControl control = { 0 };
  g_autoptr (TpdSecret) pin = NULL;
  gboolean heard = tpd_token_helper_tell (key->helper, message, tpd_token_says_start (message))
                   && tpd_token_helper_hear (key->helper, message, &control);

  if (!heard || control.kind != TPD_TOKEN_SAYS_TOKEN)
    {
      take_error (&control, heard, error);
      return FALSE;
    }
  key->token_label = rest_text (&control);
  if (control.wants_pin && !(pin = ask_pin (user_data, error)))
    return FALSE;
  if (pin && (pin->len == 0 || pin->len > TPD_TOKEN_PIN_MAX))
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_PASSWORD, "The PIN for the token \"%s\" is %s", key->token_label,
                   pin->len == 0 ? "empty" : "too long");
      return FALSE;
    }
  heard = tell_open (key->helper, licensor, pin) && tpd_token_helper_hear (key->helper, message, &control);
  if (!heard || control.kind != TPD_TOKEN_SAYS_KEY)
    {
      take_error (&control, heard, error);
      return FALSE;
    }
  key->public_key = control.public_key;
  key->label = control.rest_len > 0 ? rest_text (&control) : NULL;
  return TRUE;
}

/*
 * Which ways the token offers. OAEP with SHA-256 is asked for when a license
 * needs it; raw RSA when one of the other two is missing.
 */
static gboolean
find_offers (TpdTokenKey *key, guint lane, GError **error)
{
  guint32 pkcs1_rv, oaep_rv, raw_rv;
  Outcome pkcs1 = find_offer (key, lane, TPD_PADDING_PKCS1, TPD_TOKEN_PKCS1, &pkcs1_rv, error);
  Outcome oaep = pkcs1 == OUTCOME_TROUBLE
                     ? pkcs1
                     : find_offer (key, lane, TPD_PADDING_OAEP_SHA1, TPD_TOKEN_OAEP_SHA1, &oaep_rv, error);

  if (oaep == OUTCOME_TROUBLE)
    return FALSE;
  if (pkcs1 == OUTCOME_MESSAGE && oaep == OUTCOME_MESSAGE)
    return TRUE;
  Outcome raw = find_offer (key, lane, TPD_PADDING_PKCS1, TPD_TOKEN_RAW, &raw_rv, error);
  if (raw == OUTCOME_TROUBLE || raw == OUTCOME_MESSAGE)
    return raw == OUTCOME_MESSAGE;

  const gboolean none = pkcs1 != OUTCOME_MESSAGE && oaep != OUTCOME_MESSAGE;
  if (none && (pkcs1 == OUTCOME_BAD_BLOCK || oaep == OUTCOME_BAD_BLOCK || raw == OUTCOME_BAD_BLOCK))
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_KEY_MISMATCH,
                   "The private key in the token \"%s\" does not decrypt what its public part encrypts: it is another "
                   "key",
                   key->token_label);
      return FALSE;
    }
  g_autofree char *words = tpd_pkcs11_words (pkcs1 != OUTCOME_MESSAGE ? pkcs1_rv : oaep_rv);
  if (none)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_KEY_UNUSABLE,
                   "The key in the token \"%s\" cannot decrypt in any of the ways that are needed: %s",
                   key->token_label, words);
      return FALSE;
    }
  key->warning =
      g_strdup_printf ("files of crypto mode %d cannot be opened with it: %s", pkcs1 != OUTCOME_MESSAGE ? 1 : 2, words);
  return TRUE;
}

TpdTokenKey *
tpd_token_key_open (TpdTokenHelper *helper, TpdPasswordFunc pin, gpointer user_data, const TpdPublicKey *licensor,
                    GError **error)
{
  static const TpdPrivateOperationClass klass = { token_attempts, token_run, token_make_up };
  g_autoptr (TpdTokenKey) key = g_new0 (TpdTokenKey, 1);

  key->base.klass = &klass;
  key->base.public_key = &key->public_key;
  key->ref_count = 1;
  key->helper = tpd_token_helper_ref (helper);
  if (!find_key (key, pin, user_data, licensor, error))
    return NULL;
  tpd_token_helper_opened (helper);
  tpd_canary_make (&key->canary, &key->public_key);
  guint lane = tpd_token_helper_lane_take (helper);
  gboolean ok = find_offers (key, lane, error);
  tpd_token_helper_lane_give_back (helper, lane);
  return ok ? g_steal_pointer (&key) : NULL;
}

TpdTokenKey *
tpd_token_key_ref (TpdTokenKey *key)
{
  g_atomic_int_inc (&key->ref_count);
  return key;
}

void
tpd_token_key_unref (TpdTokenKey *key)
{
  if (!key || !g_atomic_int_dec_and_test (&key->ref_count))
    return;
  tpd_token_helper_unref (key->helper);
  g_free (key->token_label);
  g_free (key->label);
  g_free (key->warning);
  g_free (key);
}

TpdPrivateOperation *
tpd_token_key_operation (TpdTokenKey *key)
{
  return &key->base;
}

const char *
tpd_token_key_token_label (const TpdTokenKey *key)
{
  return key->token_label;
}

const char *
tpd_token_key_label (const TpdTokenKey *key)
{
  return key->label;
}

const char *
tpd_token_key_warning (const TpdTokenKey *key)
{
  return key->warning;
}

int
tpd_token_key_helper_pid (const TpdTokenKey *key)
{
  return tpd_token_helper_pid (key->helper);
}
