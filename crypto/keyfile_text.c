/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private keys in text that is not PEM: RSAKeyValue of .NET, and JSON, of
 * which JWK (RFC 7517) is a key and the others are artefacts that can never
 * give one. The key stands here in clear, so neither libxml2 nor a JSON
 * library gets to see it: both documents are flat and read where they lie.
 */
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "crypto/key_text.h"
#include "crypto/keyfile_private.h"

#define MEMBERS_MAX 64
#define DEPTH_MAX 32

/* The numbers of a key, decoded, in the order n, e, d, p, q. */
#define N_NUMBERS 5

typedef struct {
  TpdSecret *number[N_NUMBERS];
} Decoded;

static void
decoded_clear (Decoded *decoded)
{
  for (guint i = 0; i < N_NUMBERS; i++)
    g_clear_pointer (&decoded->number[i], tpd_secret_unref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Decoded, decoded_clear)

static gboolean
add_decoded (TpdKeyReader *reader, const Decoded *k, const char *origin, GError **error)
{
  TpdSecret *const *n = k->number;
  TpdPrivateKeyParts parts;

  if (n[0] != NULL && n[1] != NULL && n[2] == NULL && n[3] == NULL && n[4] == NULL)
    return tpd_key_reader_public_only (error);
  if (n[0] == NULL || n[1] == NULL || n[3] == NULL || n[4] == NULL)
    {
      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_KEY_FILE,
                           "The key is incomplete or damaged: modulus, exponent and both primes are needed. Export it "
                           "again");
      return FALSE;
    }
  parts = (TpdPrivateKeyParts){
    .n = n[0]->data,
    .n_len = n[0]->len,
    .e = n[1]->data,
    .e_len = n[1]->len,
    .d = n[2] != NULL ? n[2]->data : NULL,
    .d_len = n[2] != NULL ? n[2]->len : 0,
    .p = n[3]->data,
    .p_len = n[3]->len,
    .q = n[4]->data,
    .q_len = n[4]->len,
  };
  return tpd_key_reader_add_parts (reader, &parts, origin, error);
}

/* Behind the start tag of that name, which may have a prefix and white space at
 * its end but no attributes; -1 if there is none. */
static gssize
find_start_tag (const TpdSecret *text, const char *name)
{
  gssize at = 0;

  while ((at = tpd_key_text_find (text, (gsize) at, name)) >= 0)
    {
      const gboolean begins = at > 0 && (text->data[at - 1] == '<' || text->data[at - 1] == ':');

      at += (gssize) strlen (name);
      if (!begins)
        continue;
      while ((gsize) at < text->len && g_ascii_isspace (text->data[at]))
        at++;
      if ((gsize) at < text->len && text->data[at] == '>')
        return at + 1;
    }
  return -1;
}

gboolean
tpd_key_read_rsakeyvalue (TpdKeyReader *reader, const TpdSecret *text, GError **error)
{
  static const char *const names[N_NUMBERS] = { "Modulus", "Exponent", "D", "P", "Q" };
  g_auto (Decoded) decoded = { 0 };

  for (guint i = 0; i < N_NUMBERS; i++)
    {
      gssize at = find_start_tag (text, names[i]), end;

      if (at < 0)
        continue;
      end = tpd_key_text_find (text, (gsize) at, "</");
      if (end > at)
        decoded.number[i] =
            tpd_secret_from_base64 ((const char *) text->data + at, (gsize) (end - at), TPD_BASE64_STANDARD);
    }
  return add_decoded (reader, &decoded, "rsakeyvalue", error);
}

/* One member of a JSON object. The value is the characters between the quotes
 * for a string without escapes, and NULL for anything else. */
typedef struct {
  const char *name, *value;
  gsize name_len, value_len;
  TpdBytes object; /* the value if it is an object or array, else empty */
} Member;

static guint8
next_character (TpdBytes *b)
{
  guint8 c = 0;

  while (tpd_bytes_take_u8 (b, &c) && g_ascii_isspace (c))
    c = 0;
  return c;
}

/* Behind the opening quote. */
static gboolean
take_json_string (TpdBytes *b, const char **string, gsize *len, gboolean *escapes)
{
  gsize begin = b->pos;
  guint8 c;

  *escapes = FALSE;
  while (tpd_bytes_take_u8 (b, &c) && c >= 0x20)
    {
      if (c == '"')
        {
          *string = (const char *) b->data + begin;
          *len = b->pos - 1 - begin;
          return TRUE;
        }
      if (c == '\\')
        {
          *escapes = TRUE;
          if (!tpd_bytes_skip (b, 1))
            return FALSE;
        }
    }
  return FALSE;
}

/* Steps over the rest of a nested object or array. */
static gboolean
skip_json_nested (TpdBytes *b)
{
  guint depth = 1;
  guint8 c;

  while (depth > 0 && tpd_bytes_take_u8 (b, &c))
    {
      const char *string;
      gsize len;
      gboolean escapes;

      if (c == '"' && !take_json_string (b, &string, &len, &escapes))
        return FALSE;
      if ((c == '{' || c == '[') && ++depth > DEPTH_MAX)
        return FALSE;
      if (c == '}' || c == ']')
        depth--;
    }
  return depth == 0;
}

static gboolean
take_json_value (TpdBytes *b, Member *member)
{
  guint8 c = next_character (b);
  gboolean escapes;

  member->value = NULL;
  member->object = tpd_bytes (NULL, 0);
  if (c == '"')
    {
      if (!take_json_string (b, &member->value, &member->value_len, &escapes))
        return FALSE;
      if (escapes)
        member->value = NULL;
      return TRUE;
    }
  if (c == '{' || c == '[')
    {
      const gsize begin = b->pos - 1;

      return skip_json_nested (b) && tpd_bytes_slice (b, begin, b->pos - begin, &member->object);
    }
  /* A number or a word: up to, but not with, what ends it. */
  if (!g_ascii_isalnum (c) && c != '-')
    return FALSE;
  while (tpd_bytes_left (b) > 0 && strchr (",}] \t\r\n", b->data[b->pos]) == NULL)
    tpd_bytes_skip (b, 1);
  return TRUE;
}

/* Reads the members of one object; FALSE if it is malformed. */
static gboolean
take_json_object (TpdBytes b, Member *members, guint *n)
{
  gboolean escapes;
  guint8 c;

  *n = 0;
  if (next_character (&b) != '{')
    return FALSE;
  do
    {
      Member *member = &members[*n];

      if (*n == MEMBERS_MAX || next_character (&b) != '"'
          || !take_json_string (&b, &member->name, &member->name_len, &escapes) || next_character (&b) != ':'
          || !take_json_value (&b, member))
        return FALSE;
      (*n)++;
      c = next_character (&b);
  } while (c == ',');
  return c == '}' && next_character (&b) == 0;
}

static const Member *
find_member (const Member *members, guint n, const char *name)
{
  for (guint i = 0; i < n; i++)
    if (members[i].name_len == strlen (name) && memcmp (members[i].name, name, members[i].name_len) == 0)
      return &members[i];
  return NULL;
}

static gboolean
member_begins_with (const Member *member, const char *value)
{
  return member != NULL && member->value != NULL && member->value_len >= strlen (value)
         && memcmp (member->value, value, strlen (value)) == 0;
}

static gboolean
read_jwk (TpdKeyReader *reader, const Member *members, guint n, GError **error)
{
  static const char *const names[N_NUMBERS] = { "n", "e", "d", "p", "q" };
  g_auto (Decoded) decoded = { 0 };
  const Member *type = find_member (members, n, "kty");

  if (type->value == NULL || type->value_len != 3 || memcmp (type->value, "RSA", 3) != 0)
    {
      g_set_error_literal (
          error, TPD_ERROR, TPD_ERROR_KEY_UNUSABLE,
          "This JSON web key is no RSA key with its numbers: the keys of RMS servers are RSA keys, and "
          "one that stays in an HSM (kty RSA-HSM) cannot be read from a file");
      return FALSE;
    }
  for (guint i = 0; i < N_NUMBERS; i++)
    {
      const Member *member = find_member (members, n, names[i]);

      if (member != NULL && member->value != NULL)
        decoded.number[i] = tpd_secret_from_base64 (member->value, member->value_len, TPD_BASE64_URL);
    }
  return add_decoded (reader, &decoded, "jwk", error);
}

gboolean
tpd_key_read_json (TpdKeyReader *reader, const TpdSecret *text, GError **error)
{
  Member members[MEMBERS_MAX], inner[MEMBERS_MAX];
  const Member *key;
  guint n = 0, n_inner;

  /* The settings of Microsoft's DKE service may have comments in them. */
  if (tpd_key_text_find (text, 0, "\"TestKeys\"") >= 0)
    g_set_error_literal (
        error, TPD_ERROR, TPD_ERROR_KEY_UNUSABLE,
        "These are the settings of a double key encryption service. Save the text of \"PrivatePem\" between "
        "the lines -----BEGIN RSA PRIVATE KEY----- and -----END RSA PRIVATE KEY----- and load that "
        "file beside the key of the tenant");
  else if (!take_json_object (tpd_bytes (text->data, text->len), members, &n))
    g_set_error_literal (error, TPD_ERROR, TPD_ERROR_KEY_FILE, "The JSON file is damaged or cut off, or holds no key");
  else if (find_member (members, n, "schema_version") != NULL && find_member (members, n, "ciphertext") != NULL)
    g_set_error_literal (
        error, TPD_ERROR, TPD_ERROR_KEY_UNUSABLE,
        "This is a key transfer package (.byok), sealed to the HSMs of Azure: it can be opened nowhere "
        "else. Use the original that it was made from: the HSM, the PFX or the PEM file");
  else if (member_begins_with (find_member (members, n, "value"), TPD_KEY_VAULT_BACKUP))
    g_set_error_literal (error, TPD_ERROR, TPD_ERROR_KEY_UNUSABLE,
                         "This is a backup of Azure Key Vault, sealed to Azure: it can only be restored there. Use the "
                         "original that was imported into the vault");
  else if (find_member (members, n, "kty") != NULL)
    return read_jwk (reader, members, n, error);
  /* As Key Vault has it: the key and what is said of it. */
  else if ((key = find_member (members, n, "key")) != NULL && take_json_object (key->object, inner, &n_inner)
           && find_member (inner, n_inner, "kty") != NULL)
    return read_jwk (reader, inner, n_inner, error);
  else
    g_set_error_literal (error, TPD_ERROR, TPD_ERROR_KEY_FILE, "This JSON file holds no key");
  return FALSE;
}
