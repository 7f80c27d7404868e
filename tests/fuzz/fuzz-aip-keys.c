/* SPDX-License-Identifier: Apache-2.0 */
/* The output of Get-AipServiceKeys, and lists of accepted paths. */
#include <string.h>

#include "fuzz.h"
#include "tools/accept.h"
#include "tools/aip_keys.h"

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (GError) error = NULL, other = NULL;
  g_autoptr (GPtrArray) keys = tpd_aip_keys_parse ("keys", data, size, &error);
  g_autoptr (TpdAccept) accept = tpd_accept_parse ("accept", "/root", data, size, &other);

  g_assert ((keys == NULL) == (error != NULL));
  for (guint i = 0; keys != NULL && i < keys->len; i++)
    {
      const TpdAipKey *key = g_ptr_array_index (keys, i);

      g_assert (strlen (key->guid) == 36 && tpd_aip_keys_find (keys, key->guid) == key);
    }
  g_assert ((accept == NULL) == (other != NULL));
  if (accept != NULL)
    {
      g_autoptr (GPtrArray) unused = tpd_accept_unused (accept);

      for (guint i = 0; i < unused->len; i++)
        g_assert (strstr (g_ptr_array_index (unused, i), "//") == NULL);
      tpd_accept_has (accept, "a/b", "c");
    }
  return 0;
}
