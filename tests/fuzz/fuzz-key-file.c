/* SPDX-License-Identifier: Apache-2.0 */
/* Key files of every other wrapping than a trusted publishing domain. */
#include <string.h>

#include "crypto/keyfile.h"
#include "crypto/private_key.h"
#include "fuzz.h"

typedef struct {
  const char *password;
  guint asked;
} Person;

static TpdSecret *
password (gpointer user_data, GError **error)
{
  Person *person = user_data;

  g_assert (person->asked++ == 0);
  return tpd_secret_new (person->password, strlen (person->password));
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  const gboolean pvk = size >= 4 && memcmp (data, "\x1e\xf1\xb5\xb0", 4) == 0;
  /* Those of the fixtures. */
  Person person = { pvk ? "Secret1" : "Correct-Horse-7", 0 };
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) keys = tpd_key_file_read ("fuzz", data, size, password, &person, &error);

  g_assert ((keys == NULL) == (error != NULL));
  g_assert (error == NULL || g_utf8_validate (error->message, -1, NULL));
  for (guint i = 0; keys != NULL && i < keys->len; i++)
    {
      const TpdLoadedKey *loaded = g_ptr_array_index (keys, i);

      g_assert (loaded->info != NULL && loaded->info->origin != NULL);
      g_assert ((loaded->key != NULL) == (loaded->info->state == TPD_KEY_HELD));
    }
  g_assert (keys == NULL || keys->len > 0);
  return 0;
}
