/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private keys in PEM (RFC 7468), with the encryption of RFC 1421 as OpenSSL
 * wrote it for decades. Blocks are cut out and decoded here, into secret
 * memory. Every private key of the file counts; certificates and public keys
 * beside it are stepped over.
 */
#include <string.h>

#include "base/error.h"
#include "crypto/key_text.h"
#include "crypto/keyfile_pbe.h"
#include "crypto/keyfile_private.h"

#define LABEL_MAX 64
#define BEGIN "-----BEGIN "
#define END "-----END "
#define DASHES "-----"

/* One block; the offsets are in the text of the file. */
typedef struct {
  char *label;
  char *cipher_name; /* of DEK-Info; NULL when not encrypted that way */
  char *iv_hex;
  gsize body, body_end;
  gsize next;
} Block;

static void
block_clear (Block *block)
{
  g_free (block->label);
  g_free (block->cipher_name);
  g_free (block->iv_hex);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Block, block_clear)

static gboolean
damaged (GError **error)
{
  g_set_error_literal (error, TPD_ERROR, TPD_ERROR_KEY_FILE, "The PEM file is damaged or cut off");
  return FALSE;
}

static gboolean
take_dek_info (Block *block, const char *line)
{
  g_auto (GStrv) words = NULL;

  if (!g_str_has_prefix (line, "DEK-Info:"))
    return TRUE;
  words = g_strsplit (line + strlen ("DEK-Info:"), ",", 3);
  if (g_strv_length (words) != 2 || block->cipher_name != NULL)
    return FALSE;
  block->cipher_name = g_strdup (g_strstrip (words[0]));
  block->iv_hex = g_strdup (g_strstrip (words[1]));
  return TRUE;
}

/* Steps over "Name: value" lines and the blank line behind them. */
static gboolean
take_headers (const TpdSecret *text, Block *block)
{
  while (block->body < block->body_end)
    {
      const char *begin = (const char *) text->data + block->body;
      const char *newline = memchr (begin, '\n', block->body_end - block->body);
      g_autofree char *line = NULL;

      if (newline == NULL || memchr (begin, ':', (gsize) (newline - begin)) == NULL)
        return TRUE;
      line = g_strstrip (g_strndup (begin, (gsize) (newline - begin)));
      if (!take_dek_info (block, line))
        return FALSE;
      block->body += (gsize) (newline - begin) + 1;
    }
  return TRUE;
}

/* The block that begins at `at`, which is where BEGIN was found. */
static gboolean
take_block (const TpdSecret *text, gsize at, Block *block)
{
  gsize label = at + strlen (BEGIN);
  gssize label_end = tpd_key_text_find (text, label, DASHES), end;
  g_autofree char *end_line = NULL;

  if (label_end < 0 || (gsize) label_end - label > LABEL_MAX)
    return FALSE;
  block->label = g_strndup ((const char *) text->data + label, (gsize) label_end - label);
  block->body = (gsize) label_end + strlen (DASHES);
  end_line = g_strconcat (END, block->label, DASHES, NULL);
  end = tpd_key_text_find (text, block->body, end_line);
  if (end < 0)
    return FALSE;
  block->body_end = (gsize) end;
  block->next = (gsize) end + strlen (end_line);
  while (block->body < block->body_end && g_ascii_isspace (text->data[block->body]))
    block->body++;
  return take_headers (text, block);
}

static gboolean
read_block (TpdKeyReader *reader, const TpdSecret *text, const Block *block, GError **error)
{
  g_autoptr (TpdSecret) der = tpd_secret_from_base64 ((const char *) text->data + block->body,
                                                      block->body_end - block->body, TPD_BASE64_STANDARD);

  if (der == NULL)
    return damaged (error);
  if (block->cipher_name != NULL)
    {
      const TpdSecret *password = tpd_key_reader_password (reader, error);
      g_autoptr (TpdSecret) sealed = g_steal_pointer (&der);

      if (password == NULL)
        return FALSE;
      der = tpd_pbe_open_dek (block->cipher_name, block->iv_hex, sealed->data, sealed->len, password, error);
      if (der == NULL)
        return FALSE;
    }
  if (strcmp (block->label, "RSA PRIVATE KEY") == 0)
    return tpd_key_read_pkcs1 (reader, der->data, der->len, "pem", error);
  if (strcmp (block->label, "PRIVATE KEY") == 0)
    return tpd_key_read_pkcs8 (reader, der->data, der->len, "pem", error);
  return tpd_key_read_encrypted_pkcs8 (reader, der->data, der->len, "pem", error);
}

static gboolean
refuse_label (const char *label, GError **error)
{
  if (strcmp (label, "OPENSSH PRIVATE KEY") == 0)
    g_set_error_literal (
        error, TPD_ERROR, TPD_ERROR_KEY_UNUSABLE,
        "This is an OpenSSH private key. If it really is the key of an RMS server, convert a copy with "
        "\"ssh-keygen -p -m PEM -f FILE\"");
  else
    g_set_error (error, TPD_ERROR, TPD_ERROR_KEY_UNUSABLE,
                 "This is no RSA key (the file says \"%s\"): the keys of RMS servers are RSA keys", label);
  return FALSE;
}

gboolean
tpd_key_read_pem (TpdKeyReader *reader, const TpdSecret *text, GError **error)
{
  gssize at = tpd_key_text_find (text, 0, BEGIN);

  while (at >= 0)
    {
      g_auto (Block) block = { 0 };

      if (!take_block (text, (gsize) at, &block))
        return damaged (error);
      if (strcmp (block.label, "RSA PRIVATE KEY") == 0 || strcmp (block.label, "PRIVATE KEY") == 0
          || strcmp (block.label, "ENCRYPTED PRIVATE KEY") == 0)
        {
          if (!read_block (reader, text, &block, error))
            return FALSE;
        }
      else if (g_str_has_suffix (block.label, "PRIVATE KEY"))
        return refuse_label (block.label, error);
      at = tpd_key_text_find (text, block.next, BEGIN);
    }
  return reader->keys->len > 0 || tpd_key_reader_public_only (error);
}
