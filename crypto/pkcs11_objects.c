/* SPDX-License-Identifier: Apache-2.0 */
/* Finding a private key in a token: see crypto/pkcs11_objects.h. */
#include "crypto/pkcs11_objects.h"

#include <string.h>

#include "base/error.h"

#define KEYS_MAX 64
#define ATTRIBUTE_MAX 1024
#define USUAL_EXPONENT 65537

/* Where is searched, and for what. */
typedef struct {
  CK_FUNCTION_LIST *module;
  CK_SESSION_HANDLE session;
  const char *token_label;
  const TpdPkcs11Uri *uri;
} Search;

typedef struct {
  CK_OBJECT_HANDLE handle;
  char *label; /* may be NULL */
  gboolean has_public_key;
  TpdPublicKey public_key;
} Candidate;

static void
candidate_clear (gpointer data)
{
  g_free (((Candidate *) data)->label);
}

/* NULL when there is none, or it is not to be seen, or unreasonably long. */
static GByteArray *
attribute (const Search *search, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type)
{
  guint8 value[ATTRIBUTE_MAX];
  CK_ATTRIBUTE wanted = { type, value, sizeof value };
  CK_RV rv = search->module->C_GetAttributeValue (search->session, object, &wanted, 1);

  if (rv != CKR_OK || wanted.ulValueLen == 0 || wanted.ulValueLen > sizeof value)
    return NULL;
  return g_byte_array_append (g_byte_array_new (), value, (guint) wanted.ulValueLen);
}

/* -1: not told. */
static int
flag (const Search *search, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type)
{
  g_autoptr (GByteArray) value = attribute (search, object, type);
  return value && value->len == sizeof (CK_BBOOL) ? value->data[0] != 0 : -1;
}

static CK_RV
find_objects (const Search *search, CK_OBJECT_CLASS class, GBytes *id, const char *label,
              CK_OBJECT_HANDLE found[KEYS_MAX], CK_ULONG *n)
{
  CK_KEY_TYPE rsa = CKK_RSA;
  CK_ATTRIBUTE template[4] = { { CKA_CLASS, &class, sizeof class }, { CKA_KEY_TYPE, &rsa, sizeof rsa } };
  CK_ULONG size = 2;
  gsize id_len = 0;
  gconstpointer id_data = id ? g_bytes_get_data (id, &id_len) : NULL;

  if (id)
    template[size++] = (CK_ATTRIBUTE){ CKA_ID, (gpointer) id_data, id_len };
  if (label)
    template[size++] = (CK_ATTRIBUTE){ CKA_LABEL, (gpointer) label, strlen (label) };
  *n = 0;
  CK_RV rv = search->module->C_FindObjectsInit (search->session, template, size);
  if (rv != CKR_OK)
    return rv;
  rv = search->module->C_FindObjects (search->session, found, KEYS_MAX, n);
  (void) search->module->C_FindObjectsFinal (search->session);
  if (rv != CKR_OK || *n > KEYS_MAX)
    *n = 0;
  return rv;
}

static gboolean
read_public_key (const Search *search, CK_OBJECT_HANDLE object, TpdPublicKey *out)
{
  g_autoptr (GByteArray) modulus = attribute (search, object, CKA_MODULUS);
  g_autoptr (GByteArray) exponent = attribute (search, object, CKA_PUBLIC_EXPONENT);
  guint32 e = exponent ? 0 : USUAL_EXPONENT;

  for (guint i = 0; exponent && i < exponent->len; i++)
    {
      if (e >> 24)
        return FALSE;
      e = e << 8 | exponent->data[i];
    }
  return modulus && tpd_public_key_from_be (out, modulus->data, modulus->len, e);
}

/* Some tokens do not show the modulus of a private key; then that of the
 * public key with the same id, which PKCS#11 asks to be its other half. */
static void
read_candidate (const Search *search, CK_OBJECT_HANDLE object, Candidate *out)
{
  g_autoptr (GByteArray) label = attribute (search, object, CKA_LABEL);
  g_autoptr (GByteArray) id = attribute (search, object, CKA_ID);
  CK_OBJECT_HANDLE others[KEYS_MAX];
  CK_ULONG n = 0;

  *out = (Candidate){ .handle = object };
  out->label = label ? g_utf8_make_valid ((const char *) label->data, label->len) : NULL;
  out->has_public_key = read_public_key (search, object, &out->public_key);
  if (out->has_public_key || !id)
    return;
  g_autoptr (GBytes) id_bytes = g_bytes_new (id->data, id->len);
  if (find_objects (search, CKO_PUBLIC_KEY, id_bytes, NULL, others, &n) == CKR_OK && n == 1)
    out->has_public_key = read_public_key (search, others[0], &out->public_key);
}

static CK_RV
list_candidates (const Search *search, gboolean all, GArray **out)
{
  CK_OBJECT_HANDLE found[KEYS_MAX];
  CK_ULONG n = 0;
  CK_RV rv =
      find_objects (search, CKO_PRIVATE_KEY, all ? NULL : search->uri->id, all ? NULL : search->uri->object, found, &n);

  *out = g_array_new (FALSE, FALSE, sizeof (Candidate));
  g_array_set_clear_func (*out, candidate_clear);
  for (CK_ULONG i = 0; i < n; i++)
    {
      Candidate candidate;
      read_candidate (search, found[i], &candidate);
      g_array_append_val (*out, candidate);
    }
  return rv;
}

static gboolean
same_key (const TpdPublicKey *a, const TpdPublicKey *b)
{
  return tpd_fingerprint_equal (&a->fingerprint, &b->fingerprint);
}

/* Keeps those of the modulus; if there is none, those that do not tell theirs. */
static void
keep_wanted (GArray *candidates, const TpdPublicKey *wanted)
{
  gboolean told = FALSE;

  for (guint i = 0; i < candidates->len; i++)
    {
      const Candidate *c = &g_array_index (candidates, Candidate, i);
      told = told || (c->has_public_key && same_key (&c->public_key, wanted));
    }
  for (guint i = candidates->len; i-- > 0;)
    {
      const Candidate *c = &g_array_index (candidates, Candidate, i);
      if (c->has_public_key ? !same_key (&c->public_key, wanted) : told)
        g_array_remove_index (candidates, i);
    }
}

/* The same key may be there twice; then either will do. */
static gboolean
all_the_same (const GArray *candidates)
{
  const Candidate *first = &g_array_index (candidates, Candidate, 0);

  for (guint i = 1; i < candidates->len; i++)
    {
      const Candidate *other = &g_array_index (candidates, Candidate, i);
      if (!first->has_public_key || !other->has_public_key || !same_key (&first->public_key, &other->public_key))
        return FALSE;
    }
  return TRUE;
}

static char *
describe_all (const GArray *candidates)
{
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < candidates->len; i++)
    {
      const Candidate *c = &g_array_index (candidates, Candidate, i);
      g_string_append_printf (text, "%s\"%s\"", i > 0 ? ", " : "", c->label ? c->label : "");
    }
  return g_string_free (text, FALSE);
}

static CK_RV
no_key (const Search *search, gboolean by_modulus, GError **error)
{
  g_autoptr (GArray) all = NULL;
  CK_RV rv = list_candidates (search, TRUE, &all);
  g_autofree char *labels = describe_all (all);

  if (rv != CKR_OK)
    return tpd_pkcs11_failed (rv, search->token_label, "searched", error);
  g_set_error (error, TPD_ERROR, TPD_ERROR_KEY_UNUSABLE,
               "The token \"%s\" has no private RSA key that is meant%s; it has %s%s", search->token_label,
               by_modulus ? " (by the URI, and with the modulus of the licensor)" : "", all->len > 0 ? "" : "none",
               labels);
  return CKR_KEY_HANDLE_INVALID;
}

CK_RV
tpd_pkcs11_key_find (CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session, const char *token_label,
                     const TpdPkcs11Uri *uri, const TpdPublicKey *wanted, TpdPkcs11Key *key, GError **error)
{
  const Search search = { module, session, token_label, uri };
  g_autoptr (GArray) candidates = NULL;
  CK_RV rv = list_candidates (&search, FALSE, &candidates);

  if (rv != CKR_OK)
    return tpd_pkcs11_failed (rv, token_label, "searched", error);
  if (wanted)
    keep_wanted (candidates, wanted);
  if (candidates->len == 0)
    return no_key (&search, wanted != NULL, error);
  if (!all_the_same (candidates))
    {
      g_autofree char *labels = describe_all (candidates);
      g_set_error (error, TPD_ERROR, TPD_ERROR_KEY_UNUSABLE,
                   "The URI means several keys of the token \"%s\" (%s): add object= or id= to it, or name the keyless "
                   "TPD of the key with licensor=",
                   token_label, labels);
      return CKR_KEY_HANDLE_INVALID;
    }

  Candidate *found = &g_array_index (candidates, Candidate, 0);
  if (!found->has_public_key && !wanted)
    {
      g_set_error (
          error, TPD_ERROR, TPD_ERROR_KEY_UNUSABLE,
          "The token \"%s\" does not tell the modulus of the key: name its keyless TPD with licensor=", token_label);
      return CKR_ATTRIBUTE_SENSITIVE;
    }
  if (flag (&search, found->handle, CKA_DECRYPT) == 0)
    return tpd_pkcs11_failed (CKR_KEY_FUNCTION_NOT_PERMITTED, token_label, "used", error);
  key->handle = found->handle;
  key->public_key = found->has_public_key ? found->public_key : *wanted;
  key->always_authenticate = flag (&search, found->handle, CKA_ALWAYS_AUTHENTICATE) == 1;
  g_free (key->label);
  key->label = g_steal_pointer (&found->label);
  return CKR_OK;
}
