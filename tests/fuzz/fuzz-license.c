/* SPDX-License-Identifier: Apache-2.0 */
/* What containers store as a license: decoding, splitting, parsing; and what
 * else license/ reads of XrML and its texts. */
#include <string.h>

#include "fuzz.h"
#include "license/license.h"
#include "license/text.h"

static void
check_split (const uint8_t *data, size_t size)
{
  g_autoptr (TpdLicenseText) text = tpd_license_text_decode (data, size, NULL);
  g_autoptr (GArray) slices = NULL;
  g_autoptr (GPtrArray) names = NULL;
  gsize end = 0;

  if (text == NULL)
    return;
  g_assert (g_utf8_validate (text->text, (gssize) text->len, NULL) && strlen (text->text) == text->len);
  slices = tpd_license_split (text->text, text->len);
  g_assert (slices->len <= TPD_LICENSE_DOCUMENTS_MAX);
  for (guint i = 0; i < slices->len; i++)
    {
      const TpdXrmlSlice *slice = &g_array_index (slices, TpdXrmlSlice, i);

      g_assert (slice->start >= end && slice->len <= text->len - slice->start);
      end = slice->start + slice->len;
      g_assert (slice->body_len == 0
                || (slice->body_start >= slice->start && slice->body_start + slice->body_len <= end));
    }
  names = tpd_descriptor_parse (text->text);
  g_assert (names != NULL);
  tpd_template_free (tpd_template_parse (text->text, NULL));
}

static void
check_parse (const uint8_t *data, size_t size)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdLicense) license = tpd_license_parse (data, size, &error);
  g_autoptr (TpdKeyring) keyring = NULL;
  g_autoptr (TpdContentKey) key = NULL;

  g_assert ((license == NULL) == (error != NULL));
  if (license == NULL)
    {
      g_assert (g_utf8_validate (error->message, -1, NULL));
      return;
    }
  g_assert (license->sealed_len > 0 && license->sealed_len <= TPD_SEALED_MAX);
  g_assert (license->principals_len <= TPD_PRINCIPALS_MAX && license->urls != NULL && license->names != NULL);
  (void) tpd_license_name (license, 1031);
  (void) tpd_signature_word (license->signature);
  g_assert (tpd_license_match_key (license, NULL, &error) == NULL);
  keyring = fuzz_keyring (license);
  key = tpd_license_unwrap (license, keyring, fuzz_unwrapper (), TPD_PURPOSE_READ, NULL, NULL);
  g_assert (key != NULL);
}

/* The short way and the parser may not find different keys. */
static void
check_peek (const uint8_t *data, size_t size)
{
  g_autoptr (TpdLicense) license = NULL;
  TpdPublicKey key;

  if (!tpd_license_peek_key (data, size, &key))
    return;
  license = tpd_license_parse_brief (data, size, NULL);
  g_assert (license == NULL || tpd_fingerprint_equal (&key.fingerprint, &license->server_key.fingerprint));
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  check_split (data, size);
  check_parse (data, size);
  check_peek (data, size);
  return 0;
}
