/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trusted publishing domains: the input as the file (one password for all), as
 * the XML inside its encryption, and as the licensor certificate in that.
 */
#include <string.h>

#include "crypto/key_text.h"
#include "crypto/keyfile.h"
#include "crypto/tpd_file_private.h"
#include "fuzz.h"

static TpdSecret *
password (gpointer user_data, GError **error)
{
  return tpd_secret_new ("Correct-Horse-7", 15);
}

static void
check_file (const uint8_t *data, size_t size)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) keys = tpd_tpd_file_read ("fuzz.xml", data, size, password, NULL, &error);

  g_assert ((keys == NULL) == (error != NULL));
  g_assert (keys == NULL || keys->len > 0);
  g_assert (error == NULL || g_utf8_validate (error->message, -1, NULL));
  (void) tpd_tpd_file_detect (data, size);
}

static void
check_inner (const uint8_t *data, size_t size)
{
  g_autoptr (TpdSecret) plain = tpd_secret_new (data, size);
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdFileInner) inner = tpd_file_parse_inner (plain, &error);

  g_assert ((inner == NULL) == (error != NULL));
  for (guint i = 0; inner != NULL && inner->certificates[i] != NULL; i++)
    tpd_licensor_free (tpd_licensor_parse (inner->certificates[i], NULL));
}

static void
check_certificate (const uint8_t *data, size_t size)
{
  g_autofree char *text = NULL;

  if (memchr (data, 0, size) != NULL || !g_utf8_validate ((const char *) data, (gssize) size, NULL))
    return;
  text = g_strndup ((const char *) data, size);
  tpd_licensor_free (tpd_licensor_parse (text, NULL));
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  if (size == 0)
    return 0;
  check_file (data, size);
  check_inner (data, size);
  check_certificate (data, size);
  return 0;
}
