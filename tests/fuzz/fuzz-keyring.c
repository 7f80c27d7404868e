/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keyrings: the input as the text of a keyring file; as what a key agent sends
 * of its keys; and as changes (offset of two bytes, new byte) to such a
 * message that is sound.
 */
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "crypto/keys.h"
#include "fuzz.h"

static void
check_file (const uint8_t *data, size_t size)
{
  g_autoptr (TpdKeyConfig) config = tpd_key_config_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *path = NULL;
  int fd = memfd_create ("keyring", MFD_CLOEXEC);

  g_assert (fd >= 0 && fchmod (fd, 0600) == 0 && write (fd, data, size) == (gssize) size);
  path = g_strdup_printf ("/proc/self/fd/%d", fd);
  g_assert (tpd_key_config_load (config, path, &error) == (error == NULL));
  for (guint i = 0; error == NULL && i < config->specs->len; i++)
    {
      const TpdKeySpec *spec = g_ptr_array_index (config->specs, i);

      g_assert (spec->name != NULL && (spec->file == NULL) != (spec->uri == NULL));
    }
  close (fd);
}

static void
check_message (GBytes *bytes)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdKeyring) keyring = tpd_keyring_deserialize (bytes, &error);
  g_autoptr (TpdKeyring) again = NULL;
  g_autoptr (GBytes) first = NULL;
  g_autoptr (GBytes) second = NULL;

  g_assert ((keyring == NULL) == (error != NULL));
  if (keyring == NULL)
    return;
  first = tpd_keyring_serialize (keyring);
  again = tpd_keyring_deserialize (first, NULL);
  g_assert (again != NULL && again->keys->len == keyring->keys->len);
  second = tpd_keyring_serialize (again);
  g_assert (g_bytes_equal (first, second));
}

static char **
list (const char *text)
{
  return g_strsplit (text, " ", 0);
}

/* A keyring of two keys with something in every field. */
static GBytes *
sound_message (void)
{
  g_autoptr (GPtrArray) keys = g_ptr_array_new_with_free_func ((GDestroyNotify) tpd_key_info_free);
  g_autoptr (TpdKeyring) keyring = NULL;
  guint8 modulus[128];

  memset (modulus, 0xa5, sizeof modulus);
  for (guint i = 0; i < 2; i++)
    {
      TpdKeyInfo *info = g_new0 (TpdKeyInfo, 1);

      g_assert (tpd_public_key_from_be (&info->public_key, modulus, sizeof modulus, 65537));
      info->state = i == 0 ? TPD_KEY_HELD : TPD_KEY_KEYLESS;
      info->guid = i == 0 ? g_strdup ("04f83314-0efd-4d98-b609-17c4b389b980") : NULL;
      info->name = g_strdup ("contoso");
      info->path = g_strdup ("keys/tpd.xml");
      info->origin = g_strdup ("tpd");
      info->kdf = i == 0 ? 2 : 0;
      info->licensor_name = i == 0 ? g_strdup ("Contoso Ltd") : NULL;
      info->urls = list ("https://contoso.example/_wmcs https://rms.contoso.example");
      info->csp_name = i == 0 ? NULL : g_strdup ("provider");
      info->certificates = list ("<XrML/> <XrML/>");
      info->templates = list (i == 0 ? "<XrML/>" : "");
      info->warnings = list ("none");
      g_ptr_array_add (keys, info);
    }
  keyring = tpd_keyring_new (g_steal_pointer (&keys));
  return tpd_keyring_serialize (keyring);
}

static void
check_changed_message (const uint8_t *data, size_t size)
{
  g_autoptr (GBytes) sound = sound_message ();
  g_autoptr (GBytes) changed = NULL;
  TpdBytes changes = tpd_bytes (data, size);
  gsize len;
  guint8 *copy = g_bytes_unref_to_data (g_steal_pointer (&sound), &len);
  guint16 offset;
  guint8 byte;

  while (tpd_bytes_take_u16le (&changes, &offset) && tpd_bytes_take_u8 (&changes, &byte))
    copy[offset % len] = byte;
  changed = g_bytes_new_take (copy, len);
  check_message (changed);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (GBytes) message = g_bytes_new (data, size);

  if (size > 256 * 1024)
    return 0;
  check_file (data, size);
  check_message (message);
  check_changed_message (data, size);
  return 0;
}
