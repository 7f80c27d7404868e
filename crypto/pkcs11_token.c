/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A private key in a token: see crypto/pkcs11_token.h.
 *
 * Many lanes decrypt at once, each in a session of its own, under the reader's
 * side of a lock. When a token goes away, everything that PKCS#11 knows of it
 * goes too, in ways that differ between modules: sessions, login, handles,
 * even the list of slots. What is known to bring all of them back is to end
 * the module and to begin again, so that is done, under the writer's side of
 * the lock; a generation number tells lanes that their sessions are of before.
 *
 * The PIN is kept for that. A token counts wrong PINs and locks itself, and we
 * are started again and again by machines: so a PIN that was refused is never
 * tried again by this process, and not at all when it would be the last try
 * that the token allows.
 */
#include "crypto/pkcs11_token.h"

#include <string.h>

#include "base/error.h"
#include "crypto/pkcs11_objects.h"

#define SLOTS_MAX 1024
/* Between attempts to open a token that is away: many readers may ask. */
#define RETRY_US G_USEC_PER_SEC
#define SETTLE_US (G_USEC_PER_SEC / 2)

struct _TpdPkcs11Token {
  CK_FUNCTION_LIST *module;
  const TpdPkcs11Uri *uri;
  GRWLock lock;           /* readers decrypt; protects all below */
  gboolean one_at_a_time; /* the module is not made for threads */
  char *label;
  CK_SLOT_ID slot;
  CK_FLAGS flags;
  TpdSecret *pin;
  gsize pin_refused; /* CK_RV, CKR_OK: it was not; atomic: lanes log in too */
  gboolean usable;
  CK_SESSION_HANDLE main; /* keeps us logged in while no lane has a session */
  TpdPkcs11Key key;
  guint generation;
  gint64 failed_at;
  CK_RV failed_with;
  GMutex main_lock; /* for lanes that get no session: one uses `main` at a time */
};

static CK_RV
failed (const TpdPkcs11Token *token, CK_RV rv, const char *doing, GError **error)
{
  return tpd_pkcs11_failed (rv, token->label, doing, error);
}

/* --- Slots and tokens ----------------------------------------------------- */

/* Fields of PKCS#11 are filled up with blanks, by some modules with zeros. */
static char *
field_text (const guint8 *field, gsize size)
{
  while (size > 0 && (field[size - 1] == ' ' || field[size - 1] == '\0'))
    size--;
  return g_utf8_make_valid ((const char *) field, (gssize) size);
}

static gboolean
field_is (const guint8 *field, gsize size, const char *wanted)
{
  g_autofree char *text = wanted ? field_text (field, size) : NULL;
  return !wanted || strcmp (text, wanted) == 0;
}

static gboolean
slot_matches (const TpdPkcs11Token *token, CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
  const TpdPkcs11Uri *uri = token->uri;
  CK_SLOT_INFO slot_info;

  memset (info, 0, sizeof *info);
  memset (&slot_info, 0, sizeof slot_info);
  if (token->module->C_GetTokenInfo (slot, info) != CKR_OK || !(info->flags & CKF_TOKEN_INITIALIZED))
    return FALSE;
  if ((uri->slot_description || uri->slot_manufacturer)
      && (token->module->C_GetSlotInfo (slot, &slot_info) != CKR_OK
          || !field_is (slot_info.slotDescription, sizeof slot_info.slotDescription, uri->slot_description)
          || !field_is (slot_info.manufacturerID, sizeof slot_info.manufacturerID, uri->slot_manufacturer)))
    return FALSE;
  return (uri->slot_id < 0 || (CK_SLOT_ID) uri->slot_id == slot)
         && field_is (info->label, sizeof info->label, uri->token)
         && field_is (info->serialNumber, sizeof info->serialNumber, uri->serial)
         && field_is (info->manufacturerID, sizeof info->manufacturerID, uri->manufacturer)
         && field_is (info->model, sizeof info->model, uri->model);
}

static CK_RV
list_slots (const TpdPkcs11Token *token, GArray **slots)
{
  CK_ULONG n = 0;
  CK_RV rv = token->module->C_GetSlotList (CK_TRUE, NULL, &n);

  /* A token may come between the two calls. */
  *slots = g_array_sized_new (FALSE, TRUE, sizeof (CK_SLOT_ID), SLOTS_MAX);
  g_array_set_size (*slots, SLOTS_MAX);
  if (rv == CKR_OK)
    {
      n = SLOTS_MAX;
      rv = token->module->C_GetSlotList (CK_TRUE, (CK_SLOT_ID *) (void *) (*slots)->data, &n);
    }
  g_array_set_size (*slots, rv == CKR_OK && n <= SLOTS_MAX ? (guint) n : 0);
  return rv;
}

static CK_RV
find_token (TpdPkcs11Token *token, GError **error)
{
  g_autoptr (GArray) slots = NULL;
  g_autoptr (GString) labels = g_string_new (NULL);
  CK_RV rv = list_slots (token, &slots);
  guint found = 0;

  if (rv != CKR_OK)
    return failed (token, rv, "asked for its tokens", error);
  for (guint i = 0; i < slots->len; i++)
    {
      CK_SLOT_ID slot = g_array_index (slots, CK_SLOT_ID, i);
      CK_TOKEN_INFO info;
      gboolean matches = slot_matches (token, slot, &info);
      g_autofree char *label = field_text (info.label, sizeof info.label);
      if (info.flags & CKF_TOKEN_INITIALIZED)
        g_string_append_printf (labels, "%s\"%s\"", labels->len > 0 ? ", " : "", label);
      if (!matches)
        continue;
      found++;
      token->slot = slot;
      token->flags = info.flags;
      g_free (token->label);
      token->label = g_steal_pointer (&label);
    }
  if (found == 1)
    return CKR_OK;
  if (found == 0)
    g_set_error (error, TPD_ERROR, TPD_ERROR_KEY_UNUSABLE,
                 "No token is there that the URI means; there %s%s; is the device connected, its service running, and "
                 "is it the right module?",
                 labels->len > 0 ? "is " : "is none at all", labels->str);
  else
    g_set_error (error, TPD_ERROR, TPD_ERROR_KEY_UNUSABLE,
                 "The URI means %u tokens of those that are there (%s): add token=, serial= or slot-id= to it", found,
                 labels->str);
  return CKR_TOKEN_NOT_PRESENT;
}

static CK_RV
initialize (TpdPkcs11Token *token, GError **error)
{
  CK_C_INITIALIZE_ARGS arguments = { .flags = CKF_OS_LOCKING_OK };
  CK_RV rv = token->module->C_Initialize (&arguments);

  if (rv == CKR_CANT_LOCK)
    {
      token->one_at_a_time = TRUE;
      rv = token->module->C_Initialize (NULL);
    }
  if (rv == CKR_OK || rv == CKR_CRYPTOKI_ALREADY_INITIALIZED)
    return CKR_OK;
  return failed (token, rv, "initialised", error);
}

/* --- Login ------------------------------------------------------------------ */

static CK_RV
log_in_as (TpdPkcs11Token *token, CK_SESSION_HANDLE session, CK_USER_TYPE user)
{
  const gboolean give = token->pin && !(token->flags & CKF_PROTECTED_AUTHENTICATION_PATH);
  CK_RV rv = (CK_RV) g_atomic_pointer_get (&token->pin_refused);

  if (rv == CKR_OK)
    rv = token->module->C_Login (session, user, give ? token->pin->data : NULL, give ? token->pin->len : 0);
  if (rv == CKR_USER_ALREADY_LOGGED_IN && user == CKU_USER)
    rv = CKR_OK;
  if (tpd_pkcs11_error_code (rv) == TPD_ERROR_PASSWORD && rv != CKR_USER_NOT_LOGGED_IN)
    g_atomic_pointer_set (&token->pin_refused, (gsize) rv);
  return rv;
}

static CK_RV
log_in (TpdPkcs11Token *token, GError **error)
{
  CK_RV rv;

  if (!(token->flags & CKF_LOGIN_REQUIRED))
    return CKR_OK;
  if (token->flags & CKF_USER_PIN_LOCKED)
    return failed (token, CKR_PIN_LOCKED, "opened", error);
  if (token->flags & CKF_USER_PIN_FINAL_TRY)
    {
      g_set_error (
          error, TPD_ERROR, TPD_ERROR_PASSWORD,
          "The token \"%s\" allows only one more wrong PIN before it locks itself, so it was not tried: log in "
          "once with its own tools and the right PIN",
          token->label);
      return CKR_PIN_LOCKED;
    }
  rv = log_in_as (token, token->main, CKU_USER);
  return rv == CKR_OK ? rv : failed (token, rv, "opened", error);
}

/* From a token that was found to a key that can be used. */
static CK_RV
open_key (TpdPkcs11Token *token, const TpdPublicKey *wanted, GError **error)
{
  CK_RV rv = token->module->C_OpenSession (token->slot, CKF_SERIAL_SESSION, NULL, NULL, &token->main);

  if (rv != CKR_OK)
    return failed (token, rv, "opened", error);
  rv = log_in (token, error);
  if (rv == CKR_OK)
    rv = tpd_pkcs11_key_find (token->module, token->main, token->label, token->uri, wanted, &token->key, error);
  if (rv != CKR_OK)
    {
      (void) token->module->C_CloseSession (token->main);
      return rv;
    }
  token->usable = TRUE;
  token->generation++;
  return CKR_OK;
}

TpdPkcs11Token *
tpd_pkcs11_token_new (CK_FUNCTION_LIST *functions, const TpdPkcs11Uri *uri, GError **error)
{
  TpdPkcs11Token *token = g_new0 (TpdPkcs11Token, 1);

  token->module = functions;
  token->uri = uri;
  g_rw_lock_init (&token->lock);
  g_mutex_init (&token->main_lock);
  CK_RV rv = initialize (token, error);
  g_autoptr (GError) first = NULL;
  if (rv == CKR_OK)
    rv = find_token (token, &first);
  if (rv == CKR_TOKEN_NOT_PRESENT)
    {
      /* Some are there only a moment after the module was started, or not
       * while another process writes to them. */
      (void) functions->C_Finalize (NULL);
      g_usleep (SETTLE_US);
      rv = initialize (token, error);
      if (rv == CKR_OK)
        rv = find_token (token, error);
    }
  else if (first)
    g_propagate_error (error, g_steal_pointer (&first));
  if (rv == CKR_OK)
    return token;
  tpd_pkcs11_token_free (token);
  return NULL;
}

void
tpd_pkcs11_token_free (TpdPkcs11Token *token)
{
  g_rw_lock_writer_lock (&token->lock);
  (void) token->module->C_Finalize (NULL);
  token->usable = FALSE;
  g_rw_lock_writer_unlock (&token->lock);
  g_clear_pointer (&token->pin, tpd_secret_unref);
  g_rw_lock_clear (&token->lock);
  g_mutex_clear (&token->main_lock);
  g_free (token->key.label);
  g_free (token->label);
  g_free (token);
}

const char *
tpd_pkcs11_token_label (const TpdPkcs11Token *token)
{
  return token->label;
}

gboolean
tpd_pkcs11_token_wants_pin (const TpdPkcs11Token *token)
{
  return (token->flags & CKF_LOGIN_REQUIRED) && !(token->flags & CKF_PROTECTED_AUTHENTICATION_PATH);
}

gboolean
tpd_pkcs11_token_open (TpdPkcs11Token *token, TpdSecret *pin, const TpdPublicKey *licensor,
                       TpdTokenDescription *description, GError **error)
{
  token->pin = pin ? tpd_secret_ref (pin) : NULL;
  if (open_key (token, licensor, error) != CKR_OK)
    return FALSE;
  description->public_key = token->key.public_key;
  description->label = token->key.label;
  return TRUE;
}

/* --- Decryption -------------------------------------------------------------- */

/* What a new session, login or token can mend. */
static gboolean
is_gone (CK_RV rv)
{
  static const CK_RV gone[] = {
    CKR_SESSION_HANDLE_INVALID, CKR_SESSION_CLOSED,           CKR_DEVICE_REMOVED,     CKR_TOKEN_NOT_PRESENT,
    CKR_TOKEN_NOT_RECOGNIZED,   CKR_SLOT_ID_INVALID,          CKR_KEY_HANDLE_INVALID, CKR_OBJECT_HANDLE_INVALID,
    CKR_USER_NOT_LOGGED_IN,     CKR_CRYPTOKI_NOT_INITIALIZED, CKR_OPERATION_ACTIVE,
  };

  for (guint i = 0; i < G_N_ELEMENTS (gone); i++)
    if (gone[i] == rv)
      return TRUE;
  return FALSE;
}

/* With the writer's lock held. */
static CK_RV
begin_again (TpdPkcs11Token *token)
{
  const TpdPublicKey same = token->key.public_key;
  CK_RV rv;

  token->usable = FALSE;
  (void) token->module->C_Finalize (NULL);
  rv = initialize (token, NULL);
  if (rv == CKR_OK)
    rv = find_token (token, NULL);
  if (rv == CKR_OK)
    rv = open_key (token, &same, NULL);
  token->key.public_key = same;
  token->failed_with = rv;
  token->failed_at = g_get_monotonic_time ();
  return rv;
}

/* The whole token anew, unless that was done since `generation`. */
static CK_RV
reopen_token (TpdPkcs11Token *token, guint generation)
{
  CK_RV rv = CKR_OK;

  g_rw_lock_writer_lock (&token->lock);
  if (!token->usable && g_get_monotonic_time () - token->failed_at < RETRY_US)
    rv = token->failed_with;
  else if (!token->usable || token->generation == generation)
    rv = begin_again (token);
  g_rw_lock_writer_unlock (&token->lock);
  return rv;
}

static CK_RV
decrypt_in (TpdPkcs11Token *token, CK_SESSION_HANDLE session, TpdTokenMechanism way, const guint8 *block, gsize len,
            guint8 *out, gsize *out_len)
{
  CK_RSA_PKCS_OAEP_PARAMS sha1 = { CKM_SHA_1, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, NULL, 0 };
  CK_RSA_PKCS_OAEP_PARAMS sha256 = { CKM_SHA256, CKG_MGF1_SHA256, CKZ_DATA_SPECIFIED, NULL, 0 };
  CK_MECHANISM mechanisms[TPD_TOKEN_N_MECHANISMS] = {
    [TPD_TOKEN_PKCS1] = { CKM_RSA_PKCS, NULL, 0 },
    [TPD_TOKEN_OAEP_SHA1] = { CKM_RSA_PKCS_OAEP, &sha1, sizeof sha1 },
    [TPD_TOKEN_OAEP_SHA256] = { CKM_RSA_PKCS_OAEP, &sha256, sizeof sha256 },
    [TPD_TOKEN_RAW] = { CKM_RSA_X_509, NULL, 0 },
  };
  CK_ULONG n = TPD_RSA_MAX_BYTES;
  CK_RV rv = token->module->C_DecryptInit (session, &mechanisms[way], token->key.handle);

  if (rv == CKR_OK && token->key.always_authenticate)
    {
      rv = log_in_as (token, session, CKU_CONTEXT_SPECIFIC);
      /* The operation has begun and can only be ended with its session. */
      if (rv != CKR_OK && !is_gone (rv) && session != token->main)
        (void) token->module->C_CloseSession (session);
    }
  if (rv == CKR_OK)
    rv = token->module->C_Decrypt (session, (CK_BYTE_PTR) block, len, out, &n);
  if (rv == CKR_OK && n > TPD_RSA_MAX_BYTES)
    rv = CKR_GENERAL_ERROR;
  *out_len = rv == CKR_OK ? (gsize) n : 0;
  return rv;
}

/* With the lock held. A token without a free session for this lane lends it
 * the main one. */
static CK_RV
decrypt_locked (TpdPkcs11Lane *lane, TpdTokenMechanism way, const guint8 *block, gsize len, guint8 *out, gsize *out_len)
{
  TpdPkcs11Token *token = lane->token;

  if (!token->usable)
    return CKR_TOKEN_NOT_PRESENT;
  if (lane->generation != token->generation)
    lane->open = FALSE;
  lane->generation = token->generation;
  if (!lane->open)
    {
      CK_RV rv = token->module->C_OpenSession (token->slot, CKF_SERIAL_SESSION, NULL, NULL, &lane->session);
      if (rv == CKR_SESSION_COUNT)
        {
          g_mutex_lock (&token->main_lock);
          rv = decrypt_in (token, token->main, way, block, len, out, out_len);
          g_mutex_unlock (&token->main_lock);
          return rv;
        }
      if (rv != CKR_OK)
        return rv;
      lane->open = TRUE;
    }
  return decrypt_in (token, lane->session, way, block, len, out, out_len);
}

static CK_RV
attempt (TpdPkcs11Lane *lane, TpdTokenMechanism way, const guint8 *block, gsize len, guint8 *out, gsize *out_len)
{
  GRWLock *lock = &lane->token->lock;
  CK_RV rv;

  /* `one_at_a_time` is set before there are lanes. */
  if (lane->token->one_at_a_time)
    {
      g_rw_lock_writer_lock (lock);
      rv = decrypt_locked (lane, way, block, len, out, out_len);
      g_rw_lock_writer_unlock (lock);
      return rv;
    }
  g_rw_lock_reader_lock (lock);
  rv = decrypt_locked (lane, way, block, len, out, out_len);
  g_rw_lock_reader_unlock (lock);
  return rv;
}

CK_RV
tpd_pkcs11_lane_decrypt (TpdPkcs11Lane *lane, TpdTokenMechanism mechanism, gboolean reopen, const guint8 *block,
                         gsize len, guint8 *out, gsize *out_len)
{
  CK_RV rv = CKR_SESSION_CLOSED;

  *out_len = 0;
  if (!reopen)
    rv = attempt (lane, mechanism, block, len, out, out_len);
  if (!is_gone (rv))
    return rv;
  rv = reopen_token (lane->token, lane->generation);
  return rv == CKR_OK ? attempt (lane, mechanism, block, len, out, out_len) : rv;
}
