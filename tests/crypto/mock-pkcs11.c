/* SPDX-License-Identifier: Apache-2.0 */
/* A PKCS#11 module for tests: see mock-pkcs11.h. */
#include "mock-pkcs11.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SLOT 7
#define PRIVATE_KEY 2
#define PUBLIC_KEY 3
#define SESSIONS 64

#define GET(field) g_atomic_int_get (&state->field)
#define COUNT(field) g_atomic_int_inc (&state->field)

static MockState *state;
static EVP_PKEY *key;
static GMutex lock; /* protects all below */
static gboolean initialized, logged_in;
static struct {
  gboolean open, active, needs_pin;
  CK_ULONG mechanism;
  gboolean sha256;
  CK_OBJECT_HANDLE found[2];
  CK_ULONG n_found;
} sessions[SESSIONS];
static guint n_open;

static void
attach (void)
{
  int fd = open (g_getenv ("MOCK_STATE"), O_RDWR | O_CLOEXEC);
  FILE *file = fopen (g_getenv ("MOCK_KEY"), "re");

  state = mmap (NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  key = PEM_read_PrivateKey (file, NULL, NULL, NULL);
  fclose (file);
  close (fd);
}

static CK_RV
initialize (void *arguments)
{
  if (!state)
    attach ();
  if (GET (crash))
    abort ();
  if (GET (cant_lock) && arguments)
    return CKR_CANT_LOCK;
  COUNT (n_initialize);
  initialized = TRUE;
  logged_in = FALSE;
  n_open = 0;
  memset (sessions, 0, sizeof sessions);
  return CKR_OK;
}

static CK_RV
finalize (void *reserved)
{
  initialized = FALSE;
  g_atomic_int_set (&state->faulty, 0);
  return CKR_OK;
}

/* What every call says first. */
static CK_RV
check (void)
{
  if (!initialized)
    return CKR_CRYPTOKI_NOT_INITIALIZED;
  if (GET (removed))
    return CKR_DEVICE_REMOVED;
  return GET (faulty) ? CKR_GENERAL_ERROR : CKR_OK;
}

static CK_RV
get_slot_list (CK_BBOOL present, CK_SLOT_ID *slots, CK_ULONG *n)
{
  const CK_ULONG count = GET (removed) ? 0 : 1;

  if (slots && count > 0)
    slots[0] = SLOT;
  *n = count;
  return CKR_OK;
}

static void
pad (CK_UTF8CHAR *field, gsize size, const char *text)
{
  memset (field, ' ', size);
  memcpy (field, text, strlen (text));
}

static CK_RV
get_token_info (CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
  CK_RV rv = check ();

  if (rv != CKR_OK)
    return rv;
  memset (info, 0, sizeof *info);
  pad (info->label, sizeof info->label, MOCK_LABEL);
  pad (info->manufacturerID, sizeof info->manufacturerID, "tests");
  pad (info->model, sizeof info->model, "mock");
  pad (info->serialNumber, sizeof info->serialNumber, "42");
  info->flags = CKF_TOKEN_INITIALIZED | (CK_FLAGS) GET (token_flags);
  if ((info->flags & CKF_LOGIN_REQUIRED) && GET (tries_left) == 1)
    info->flags |= CKF_USER_PIN_FINAL_TRY;
  return CKR_OK;
}

static CK_RV
open_session (CK_SLOT_ID slot, CK_FLAGS flags, void *application, CK_NOTIFY notify, CK_SESSION_HANDLE *out)
{
  CK_RV rv = check ();

  g_mutex_lock (&lock);
  if (rv == CKR_OK && GET (sessions_max) > 0 && n_open >= (guint) GET (sessions_max))
    rv = CKR_SESSION_COUNT;
  for (CK_SESSION_HANDLE i = 1; rv == CKR_OK && i < SESSIONS; i++)
    if (!sessions[i].open)
      {
        memset (&sessions[i], 0, sizeof sessions[i]);
        sessions[i].open = TRUE;
        n_open++;
        *out = i;
        break;
      }
  g_mutex_unlock (&lock);
  return rv;
}

static CK_RV
close_session (CK_SESSION_HANDLE session)
{
  g_mutex_lock (&lock);
  if (sessions[session].open)
    n_open--;
  sessions[session].open = FALSE;
  g_mutex_unlock (&lock);
  return CKR_OK;
}

static CK_RV
check_session (CK_SESSION_HANDLE session)
{
  CK_RV rv = check ();
  if (rv == CKR_OK && (session >= SESSIONS || !sessions[session].open))
    rv = CKR_SESSION_HANDLE_INVALID;
  return rv;
}

static CK_RV
login (CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR *pin, CK_ULONG len)
{
  g_autofree char *expected = g_strdup_printf ("%d", GET (pin));
  CK_RV rv = check_session (session);

  if (rv != CKR_OK)
    return rv;
  if (user == CKU_CONTEXT_SPECIFIC)
    COUNT (n_context_login);
  else
    COUNT (n_login);
  if (user == CKU_USER && logged_in)
    return CKR_USER_ALREADY_LOGGED_IN;
  if (GET (tries_left) <= 0)
    return CKR_PIN_LOCKED;
  if (GET (token_flags) & CKF_PROTECTED_AUTHENTICATION_PATH)
    {
      if (pin)
        return CKR_ARGUMENTS_BAD;
    }
  else if (!pin || len != strlen (expected) || memcmp (pin, expected, len) != 0)
    {
      g_atomic_int_add (&state->tries_left, -1);
      return CKR_PIN_INCORRECT;
    }
  if (user == CKU_USER)
    logged_in = TRUE;
  else
    sessions[session].needs_pin = FALSE;
  return CKR_OK;
}

static CK_RV
put_value (CK_ATTRIBUTE *out, const void *value, gsize len)
{
  if (out->pValue && out->ulValueLen < len)
    {
      out->ulValueLen = CK_UNAVAILABLE_INFORMATION;
      return CKR_BUFFER_TOO_SMALL;
    }
  if (out->pValue)
    memcpy (out->pValue, value, len);
  out->ulValueLen = len;
  return CKR_OK;
}

static CK_RV
put_number (CK_ATTRIBUTE *out, const char *name)
{
  guint8 bytes[512];
  BIGNUM *number = NULL;
  gsize len;

  if (GET (hide_modulus))
    return CKR_ATTRIBUTE_SENSITIVE;
  EVP_PKEY_get_bn_param (key, name, &number);
  len = (gsize) BN_bn2bin (number, bytes);
  BN_free (number);
  return put_value (out, bytes, len);
}

static CK_RV
get_attribute (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *template, CK_ULONG n)
{
  CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
  CK_RV rv = check_session (session);

  if (rv != CKR_OK)
    return rv;
  switch (template[0].type)
    {
    case CKA_LABEL:
      return put_value (template, MOCK_KEY_LABEL, strlen (MOCK_KEY_LABEL));
    case CKA_ID:
      return put_value (template, "\1", 1);
    case CKA_MODULUS:
      return object == PRIVATE_KEY ? CKR_ATTRIBUTE_TYPE_INVALID : put_number (template, "n");
    case CKA_PUBLIC_EXPONENT:
      return object == PRIVATE_KEY ? CKR_ATTRIBUTE_TYPE_INVALID : put_number (template, "e");
    case CKA_DECRYPT:
      return put_value (template, GET (no_decrypt) ? &no : &yes, sizeof yes);
    case CKA_ALWAYS_AUTHENTICATE:
      return put_value (template, GET (always_authenticate) ? &yes : &no, sizeof yes);
    default:
      return CKR_ATTRIBUTE_TYPE_INVALID;
    }
}

static CK_RV
find_init (CK_SESSION_HANDLE session, CK_ATTRIBUTE *template, CK_ULONG n)
{
  CK_OBJECT_HANDLE object = PRIVATE_KEY;
  CK_RV rv = check_session (session);
  gboolean matches = TRUE;

  if (rv != CKR_OK)
    return rv;
  for (CK_ULONG i = 0; i < n; i++)
    {
      const CK_ATTRIBUTE *a = &template[i];
      if (a->type == CKA_CLASS && *(CK_OBJECT_CLASS *) a->pValue == CKO_PUBLIC_KEY)
        object = PUBLIC_KEY;
      if (a->type == CKA_LABEL)
        matches = matches && a->ulValueLen == strlen (MOCK_KEY_LABEL) && memcmp (a->pValue, MOCK_KEY_LABEL, 3) == 0;
      if (a->type == CKA_ID)
        matches = matches && a->ulValueLen == 1 && memcmp (a->pValue, "\1", 1) == 0;
    }
  if (object == PRIVATE_KEY && (GET (token_flags) & CKF_LOGIN_REQUIRED) && !logged_in)
    matches = FALSE;
  sessions[session].found[0] = object;
  sessions[session].n_found = matches ? 1 : 0;
  return CKR_OK;
}

static CK_RV
find_next (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *out, CK_ULONG max, CK_ULONG *n)
{
  *n = sessions[session].n_found;
  if (*n > 0)
    out[0] = sessions[session].found[0];
  sessions[session].n_found = 0;
  return CKR_OK;
}

static CK_RV
find_final (CK_SESSION_HANDLE session)
{
  return CKR_OK;
}

/* The last member, which p11-kit's header calls by two names over the years. */
static CK_ULONG
label_length (const CK_RSA_PKCS_OAEP_PARAMS *oaep)
{
  CK_ULONG length;

  memcpy (&length, (const char *) oaep + sizeof *oaep - sizeof length, sizeof length);
  return length;
}

static CK_RV
decrypt_init (CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE object)
{
  const CK_RSA_PKCS_OAEP_PARAMS *oaep = mechanism->pParameter;
  CK_RV rv = check_session (session);
  guint way;

  if (rv != CKR_OK)
    return rv;
  if (object != PRIVATE_KEY)
    return CKR_KEY_HANDLE_INVALID;
  if (sessions[session].active)
    return CKR_OPERATION_ACTIVE;
  if (mechanism->mechanism == CKM_RSA_PKCS_OAEP && (oaep->source != CKZ_DATA_SPECIFIED || label_length (oaep) != 0))
    return CKR_MECHANISM_PARAM_INVALID;
  sessions[session].mechanism = mechanism->mechanism;
  sessions[session].sha256 = mechanism->mechanism == CKM_RSA_PKCS_OAEP && oaep->hashAlg == CKM_SHA256;
  way = mechanism->mechanism == CKM_RSA_PKCS ? 0 : mechanism->mechanism == CKM_RSA_X_509 ? 3 : 1;
  if (way == 1 && sessions[session].sha256)
    way = 2;
  if (GET (refuse[way]) != 0)
    return (CK_RV) GET (refuse[way]);
  sessions[session].active = TRUE;
  sessions[session].needs_pin = GET (always_authenticate);
  return CKR_OK;
}

static CK_RV
private_operation (CK_SESSION_HANDLE session, const guint8 *in, CK_ULONG len, guint8 *out, CK_ULONG *out_len)
{
  EVP_PKEY_CTX *context = EVP_PKEY_CTX_new (key, NULL);
  const CK_ULONG mechanism = sessions[session].mechanism;
  const EVP_MD *md = sessions[session].sha256 ? EVP_sha256 () : EVP_sha1 ();
  guint8 plain[512];
  size_t n = sizeof plain;
  gboolean ok;

  EVP_PKEY_decrypt_init (context);
  EVP_PKEY_CTX_set_rsa_padding (context, mechanism == CKM_RSA_PKCS    ? RSA_PKCS1_PADDING
                                         : mechanism == CKM_RSA_X_509 ? RSA_NO_PADDING
                                                                      : RSA_PKCS1_OAEP_PADDING);
  if (mechanism == CKM_RSA_PKCS_OAEP)
    {
      EVP_PKEY_CTX_set_rsa_oaep_md (context, md);
      EVP_PKEY_CTX_set_rsa_mgf1_md (context, md);
    }
  ok = EVP_PKEY_decrypt (context, plain, &n, in, len) == 1;
  EVP_PKEY_CTX_free (context);
  if (!ok)
    return (CK_RV) GET (bad_data_rv);
  memcpy (out, plain, n);
  *out_len = n;
  return CKR_OK;
}

static CK_RV
decrypt (CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG len, CK_BYTE *out, CK_ULONG *out_len)
{
  CK_RV rv = check_session (session);
  int inside;

  if (rv != CKR_OK)
    return rv;
  if (!sessions[session].active)
    return CKR_OPERATION_NOT_INITIALIZED;
  if (sessions[session].needs_pin)
    return CKR_USER_NOT_LOGGED_IN;
  sessions[session].active = FALSE;
  COUNT (n_decrypt);
  inside = g_atomic_int_add (&state->n_inside, 1) + 1;
  if (inside > GET (most_inside))
    g_atomic_int_set (&state->most_inside, inside);
  if (GET (hang_ms) > 0)
    g_usleep ((gulong) GET (hang_ms) * 1000);
  rv = private_operation (session, in, len, out, out_len);
  g_atomic_int_add (&state->n_inside, -1);
  return rv;
}

__attribute__ ((visibility ("default"))) CK_RV
C_GetFunctionList (CK_FUNCTION_LIST **out)
{
  static CK_FUNCTION_LIST list = {
    .version = { 2, 40 },
    .C_Initialize = initialize,
    .C_Finalize = finalize,
    .C_GetSlotList = get_slot_list,
    .C_GetTokenInfo = get_token_info,
    .C_OpenSession = open_session,
    .C_CloseSession = close_session,
    .C_Login = login,
    .C_GetAttributeValue = get_attribute,
    .C_FindObjectsInit = find_init,
    .C_FindObjects = find_next,
    .C_FindObjectsFinal = find_final,
    .C_DecryptInit = decrypt_init,
    .C_Decrypt = decrypt,
  };
  *out = &list;
  return CKR_OK;
}
