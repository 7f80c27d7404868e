/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a trusted publishing domain, the export of an RMS server's key, its
 * certificates and its rights templates (docs/formats.md, "TPD").
 *
 * The encryption has no MAC, and right padding is met by chance once in 256
 * times. So each of the two password derivations is tried on each field by
 * itself, and what it gives is judged by content: the description must be the
 * XML it should be, the key must pass every check of an RSA key and be the one
 * that the certificate names.
 */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "crypto/key_text.h"
#include "crypto/keyfile.h"
#include "crypto/tpd_file_private.h"

#define RSA_F4 65537

gboolean
tpd_tpd_file_detect (const guint8 *data, gsize len)
{
  g_autoptr (TpdSecret) text = tpd_key_text_peek (data, len, TPD_KEY_PEEK);
  g_autofree char *root = tpd_key_text_xml_root ((const char *) text->data);

  return g_strcmp0 (root, "ArrayOfAnyType") == 0;
}

typedef enum {
  FORM_AS_GIVEN,
  FORM_NFC,
  FORM_NFD,
} PasswordForm;

#define N_FORMS (FORM_NFD + 1)

/*
 * Windows takes a password as typed, keyboards here may compose differently.
 * NULL if the form is no other than the password given. GLib normalises in
 * ordinary memory: of what it leaves there we can wipe the result only, which
 * is why this is tried last and for other than ASCII passwords only.
 */
static TpdSecret *
password_form (TpdSecret *password, PasswordForm form)
{
  TpdSecret *other = NULL;
  char *text;

  if (form == FORM_AS_GIVEN)
    return tpd_secret_ref (password);
  if (g_str_is_ascii ((const char *) password->data))
    return NULL;
  text = g_utf8_normalize ((const char *) password->data, (gssize) password->len,
                           form == FORM_NFC ? G_NORMALIZE_NFC : G_NORMALIZE_NFD);
  if (text == NULL)
    return NULL;
  if (strlen (text) != password->len || !tpd_secret_equal (text, password->data, password->len))
    other = tpd_secret_new (text, strlen (text));
  tpd_wipe (text, strlen (text));
  g_free (text);
  return other;
}

static TpdSecret *
unseal (guint kdf, const TpdSecret *password, const guint8 *data, gsize len)
{
  g_autoptr (TpdSecret) key = tpd_file_derive_key (kdf, password);

  return key != NULL ? tpd_file_unseal (key, data, len) : NULL;
}

/* Opens the description; `*form` is then the password in the form that did it. */
static TpdFileInner *
open_info (const TpdFileItem *item, TpdSecret *password, guint *kdf, TpdSecret **form, GError **error)
{
  for (guint i = 0; i < N_FORMS; i++)
    {
      g_autoptr (TpdSecret) candidate = password_form (password, (PasswordForm) i);

      for (*kdf = 2; candidate != NULL && *kdf >= 1; (*kdf)--)
        {
          g_autoptr (TpdSecret) plain = unseal (*kdf, candidate, item->info, item->info_len);
          g_autoptr (GError) why = NULL;
          TpdFileInner *inner = plain != NULL ? tpd_file_parse_inner (plain, &why) : NULL;

          if (inner != NULL)
            {
              *form = g_steal_pointer (&candidate);
              return inner;
            }
          if (why != NULL && why->code != TPD_ERROR_PASSWORD)
            {
              g_propagate_error (error, g_steal_pointer (&why));
              return NULL;
            }
        }
    }
  g_set_error_literal (error, TPD_ERROR, TPD_ERROR_PASSWORD,
                       "The password does not open this trusted publishing domain, or the file is damaged: check that "
                       "the password belongs to this export; if it was set in PowerShell in double quotes, \"$\" and "
                       "what follows was replaced, so that the real password lacks that part; if a script made the "
                       "export, the password may be the base64 text that it passed on");
  return NULL;
}

static void
set_key_error (GError **error, const GError *why)
{
  if (why != NULL && why->code == TPD_ERROR_KEY_DAMAGED)
    g_set_error (error, TPD_ERROR, TPD_ERROR_KEY_DAMAGED, "The password is right. %s. Export the domain again",
                 why->message);
  else
    g_set_error (error, TPD_ERROR, TPD_ERROR_KEY_DAMAGED,
                 "The password opens the description of this trusted publishing domain, but not its private key, "
                 "which is sealed with another password or damaged%s%s%s. Export the domain again",
                 why != NULL ? " (" : "", why != NULL ? why->message : "", why != NULL ? ")" : "");
}

/* Opens a sealed key blob; with `may_be_plain`, one that is not sealed too. */
static TpdPrivateKey *
open_key (const guint8 *data, gsize len, const TpdSecret *password, gboolean may_be_plain, guint *kdf, GError **error)
{
  g_autoptr (GError) why = NULL;

  for (int i = 2; i >= (may_be_plain ? 0 : 1); i--)
    {
      g_autoptr (TpdSecret) blob = i > 0 ? unseal ((guint) i, password, data, len) : tpd_secret_new (data, len);
      g_autoptr (GError) local = NULL;
      TpdPrivateKey *key = blob != NULL ? tpd_private_key_from_capi_blob (blob->data, blob->len, &local) : NULL;

      *kdf = (guint) i;
      if (key != NULL)
        return key;
      /* Numbers that do not fit together tell more than a header that is none. */
      if (local != NULL && (why == NULL || local->code == TPD_ERROR_KEY_DAMAGED))
        {
          g_clear_error (&why);
          why = g_steal_pointer (&local);
        }
    }
  set_key_error (error, why);
  return NULL;
}

/* `*key` stays NULL for a keyless domain. */
static gboolean
take_key (const TpdFileItem *item, const TpdFileInner *inner, const TpdSecret *password, TpdPrivateKey **key,
          guint *kdf, GError **error)
{
  g_autoptr (TpdSecret) bytes = NULL;

  *kdf = 0;
  if (item->key != NULL)
    *key = open_key (item->key, item->key_len, password, FALSE, kdf, error);
  else if (inner->key_text == NULL)
    return TRUE;
  else
    {
      bytes = tpd_secret_from_base64 ((const char *) inner->key_text->data, inner->key_text->len, TPD_BASE64_STANDARD);
      if (bytes != NULL)
        *key = open_key (bytes->data, bytes->len, password, TRUE, kdf, error);
      else
        set_key_error (error, NULL);
    }
  if (*key != NULL && tpd_private_key_public (*key)->exponent != RSA_F4)
    {
      g_clear_pointer (key, tpd_private_key_unref);
      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_KEY_DAMAGED,
                           "The private key of this trusted publishing domain has another public exponent than 65537, "
                           "which no RMS server uses. Export the domain again");
    }
  return *key != NULL;
}

static void G_GNUC_PRINTF (2, 3) add_warning (GPtrArray *warnings, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  g_ptr_array_add (warnings, g_strdup_vprintf (format, args));
  va_end (args);
}

static char **
collect_warnings (const TpdKeyInfo *info, guint key_kdf, const char *id, const TpdLicensor *licensor,
                  guint templates_left_out)
{
  g_autoptr (GPtrArray) warnings = g_ptr_array_new ();

  if (info->guid == NULL)
    add_warning (warnings, "neither the domain nor its certificate gives the key a GUID: documents are matched by "
                           "modulus only");
  else if (g_strcmp0 (id, licensor->guid) != 0)
    add_warning (warnings, "the domain calls its key %s, its certificate calls it %s", id != NULL ? id : "nothing",
                 licensor->guid != NULL ? licensor->guid : "nothing");
  if (info->kdf == 1 || key_kdf == 1)
    add_warning (warnings, "sealed with the weak RMS 1.0 compatible password derivation: keep the file as if it were "
                           "not encrypted");
  if (info->state == TPD_KEY_KEYLESS)
    add_warning (warnings,
                 "the domain holds no private key (provider %s, container %s): load the key from its HSM or from the "
                 "file it was exported to",
                 info->csp_name != NULL ? info->csp_name : "not named",
                 info->key_container != NULL ? info->key_container : "not named");
  if (templates_left_out > 0)
    add_warning (warnings, "%u rights templates beyond the first %u were left out", templates_left_out,
                 g_strv_length (info->templates));
  g_ptr_array_add (warnings, NULL);
  return (char **) g_ptr_array_free (g_steal_pointer (&warnings), FALSE);
}

static TpdLoadedKey *
open_item (const char *name, const TpdFileItem *item, TpdSecret *password, GError **error)
{
  g_autoptr (TpdLoadedKey) loaded = g_new0 (TpdLoadedKey, 1);
  g_autoptr (TpdSecret) form = NULL;
  g_autoptr (TpdFileInner) inner = NULL;
  g_autoptr (TpdLicensor) licensor = NULL;
  TpdKeyInfo *info = g_new0 (TpdKeyInfo, 1);
  char guid[TPD_GUID_SIZE];
  const char *id;
  guint key_kdf;

  loaded->info = info;
  inner = open_info (item, password, &info->kdf, &form, error);
  if (inner == NULL)
    return NULL;
  if (!take_key (item, inner, form, &loaded->key, &key_kdf, error))
    return NULL;
  if (inner->certificates[0] == NULL)
    {
      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_KEY_FILE,
                           "This trusted publishing domain has no licensor certificate. Export it again");
      return NULL;
    }
  licensor = tpd_licensor_parse (inner->certificates[0], error);
  if (licensor == NULL)
    return NULL;
  if (loaded->key != NULL
      && (!tpd_fingerprint_equal (&licensor->public_key.fingerprint, &tpd_private_key_public (loaded->key)->fingerprint)
          || licensor->public_key.exponent != tpd_private_key_public (loaded->key)->exponent))
    {
      g_autofree char *named = tpd_hex (licensor->public_key.fingerprint.bytes, 8);
      g_autofree char *held = tpd_hex (tpd_private_key_public (loaded->key)->fingerprint.bytes, 8);
      g_set_error (error, TPD_ERROR, TPD_ERROR_KEY_MISMATCH,
                   "The private key of this trusted publishing domain (%s...) is not the one that its licensor "
                   "certificate names (%s...): the file was put together from two exports. Export the domain again",
                   held, named);
      return NULL;
    }

  id = inner->id != NULL && tpd_guid_parse (inner->id, guid) ? guid : NULL;
  info->state = loaded->key != NULL ? TPD_KEY_HELD : TPD_KEY_KEYLESS;
  info->public_key = licensor->public_key;
  info->guid = g_strdup (id != NULL ? id : licensor->guid);
  info->name = g_strdup (name);
  info->origin = g_strdup ("tpd");
  info->licensor_name = g_steal_pointer (&licensor->name);
  info->tenant_id = g_steal_pointer (&licensor->tenant_id);
  info->urls = g_steal_pointer (&licensor->urls);
  info->csp_name = g_steal_pointer (&inner->csp_name);
  info->key_container = g_steal_pointer (&inner->key_container);
  info->certificates = g_steal_pointer (&inner->certificates);
  info->templates = g_steal_pointer (&inner->templates);
  info->warnings = collect_warnings (info, key_kdf, id, licensor, inner->templates_left_out);
  return g_steal_pointer (&loaded);
}

GPtrArray *
tpd_tpd_file_read (const char *name, const guint8 *data, gsize len, TpdPasswordFunc password, gpointer user_data,
                   GError **error)
{
  g_autoptr (GPtrArray) keys = g_ptr_array_new_with_free_func ((GDestroyNotify) tpd_loaded_key_free);
  g_autoptr (GPtrArray) items = tpd_file_parse_outer (data, len, error);
  g_autoptr (TpdSecret) secret = NULL;

  if (items != NULL && password == NULL)
    g_set_error_literal (error, TPD_ERROR, TPD_ERROR_PASSWORD,
                         "This trusted publishing domain needs the password it was exported with");
  else if (items != NULL)
    secret = password (user_data, error);
  for (guint i = 0; secret != NULL && i < items->len; i++)
    {
      TpdLoadedKey *loaded = open_item (name, g_ptr_array_index (items, i), secret, error);

      if (loaded == NULL)
        break;
      g_ptr_array_add (keys, loaded);
    }
  if (items == NULL || keys->len < items->len)
    {
      g_prefix_error (error, "%s: ", name);
      return NULL;
    }
  return g_steal_pointer (&keys);
}
