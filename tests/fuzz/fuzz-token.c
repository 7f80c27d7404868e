/* SPDX-License-Identifier: Apache-2.0 */
/* Keys in tokens: the messages of the helper that runs foreign code, and the
 * URIs that name a key. */
#include <string.h>

#include "base/error.h"
#include "crypto/pkcs11_uri.h"
#include "crypto/pkcs11_wire.h"
#include "fuzz.h"

static void
check_lane (const uint8_t *data, size_t size)
{
  g_autofree guint8 *out = g_malloc (MAX (TPD_TOKEN_REQUEST_MAX, TPD_TOKEN_REPLY_MAX));
  TpdTokenRequest request;
  TpdTokenReply reply;

  if (tpd_token_request_read (data, size, &request))
    {
      g_assert (request.mechanism < TPD_TOKEN_N_MECHANISMS && request.len <= TPD_RSA_MAX_BYTES);
      g_assert (tpd_token_request_write (&request, out) == size && memcmp (out, data, size) == 0);
    }
  if (tpd_token_reply_read (data, size, &reply))
    {
      g_assert (reply.len <= TPD_RSA_MAX_BYTES);
      g_assert (tpd_token_reply_write (&reply, out) == size && memcmp (out, data, size) == 0);
    }
}

static void
check_control (const uint8_t *data, size_t size)
{
  TpdTokenControl control;

  if (!tpd_token_control_read (data, size, &control))
    return;
  g_assert (control.kind <= TPD_TOKEN_SAYS_ERROR && control.rest_len <= size);
  if (control.kind == TPD_TOKEN_SAYS_KEY)
    g_assert (control.has_public_key);
  if (control.has_public_key)
    g_assert (control.public_key.len > 0 && control.public_key.len <= TPD_RSA_MAX_BYTES);
}

static void
check_uri (const uint8_t *data, size_t size)
{
  g_autofree char *text = g_strndup ((const char *) data, size);
  g_autofree char *shown = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdPkcs11Uri) uri = NULL;

  /* Keyring files are UTF-8. */
  if (!g_utf8_validate (text, -1, NULL))
    return;
  uri = tpd_pkcs11_uri_parse (text, &error);
  g_assert ((uri == NULL) == (error != NULL));
  g_assert (error == NULL || (error->domain == TPD_ERROR && g_utf8_validate (error->message, -1, NULL)));
  for (int i = 0; uri != NULL && i < 4; i++)
    {
      const char *const fields[] = { uri->token, uri->serial, uri->object, uri->pin_file };

      g_assert (fields[i] == NULL || g_utf8_validate (fields[i], -1, NULL));
    }
  shown = tpd_pkcs11_uri_display (text);
  g_assert (strchr (shown, '?') == NULL);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  check_lane (data, size);
  check_control (data, size);
  check_uri (data, size);
  return 0;
}
