/* SPDX-License-Identifier: Apache-2.0 */
/* tpd keys: what the loaded keys are, public parts only. */
#include <stdio.h>

#include "base/log.h"
#include "base/text.h"
#include "license/license.h"
#include "tools/common.h"
#include "tools/json.h"
#include "tools/language.h"
#include "tools/report.h"

static const TpdCommandHelp help = {
  NULL,
  "Tells what each loaded key is: identity, origin, licensor, templates.",
};

/* Crypto mode 1 has keys of 1024 bits, mode 2 of 2048, [MS-RMPR] 3.1.4.7. */
static guint
crypto_mode (const TpdKeyInfo *key)
{
  return key->public_key.bits <= 1024 ? 1 : 2;
}

static const char *
state_word (const TpdKeyInfo *key)
{
  return key->state == TPD_KEY_HELD ? "held" : "keyless";
}

/* The templates of a key; what is no template is left out and told of. */
static GPtrArray *
parse_templates (const TpdKeyInfo *key, GPtrArray *warnings)
{
  GPtrArray *templates = g_ptr_array_new_with_free_func ((GDestroyNotify) tpd_template_free);

  for (gsize i = 0; key->templates != NULL && key->templates[i] != NULL; i++)
    {
      g_autoptr (GError) error = NULL;
      TpdTemplate *template = tpd_template_parse (key->templates[i], &error);
      if (template != NULL)
        g_ptr_array_add (templates, template);
      else
        g_ptr_array_add (warnings, g_strdup_printf ("template %zu is not understood: %s", i + 1,
                                                    error != NULL ? error->message : "no rights template"));
    }
  return templates;
}

static GPtrArray *
collect_warnings (const TpdKeyInfo *key)
{
  GPtrArray *warnings = g_ptr_array_new_with_free_func (g_free);

  for (gsize i = 0; key->warnings != NULL && key->warnings[i] != NULL; i++)
    g_ptr_array_add (warnings, g_strdup (key->warnings[i]));
  return warnings;
}

/* --- JSON -------------------------------------------------------------- */

static void
add_templates (TpdJson *json, const GPtrArray *templates)
{
  tpd_json_begin_array (json, "templates");
  for (guint i = 0; i < templates->len; i++)
    {
      const TpdTemplate *template = g_ptr_array_index (templates, i);
      tpd_json_begin_object (json, NULL);
      tpd_json_string (json, "guid", template->guid);
      tpd_json_string (json, "issued", template->issued);
      tpd_json_names (json, "names", template->names);
      tpd_json_end_object (json);
    }
  tpd_json_end_array (json);
}

static void
print_json (const TpdKeyInfo *key, const GPtrArray *templates, const GPtrArray *warnings)
{
  g_auto (TpdJson) json = { 0 };
  g_autofree char *fingerprint = tpd_hex (key->public_key.fingerprint.bytes, TPD_SHA256_SIZE);

  tpd_json_init (&json);
  tpd_json_begin_object (&json, NULL);
  tpd_json_uint (&json, "schema", TPD_REPORT_SCHEMA);
  tpd_json_string (&json, "tool_version", TPDFS_VERSION);
  tpd_json_string (&json, "name", key->name);
  tpd_json_string (&json, "path", key->path);
  tpd_json_string (&json, "state", state_word (key));
  tpd_json_string (&json, "guid", key->guid);
  tpd_json_uint (&json, "bits", key->public_key.bits);
  tpd_json_string (&json, "fingerprint", fingerprint);
  tpd_json_uint (&json, "crypto_mode", crypto_mode (key));
  tpd_json_string (&json, "origin", key->origin);
  tpd_json_uint_or_null (&json, "kdf", key->kdf);
  tpd_json_string (&json, "licensor_name", key->licensor_name);
  tpd_json_string (&json, "tenant", key->tenant_id);
  tpd_json_strings (&json, "urls", key->urls != NULL ? key->urls : (char *[]){ NULL });
  tpd_json_string (&json, "csp_name", key->csp_name);
  tpd_json_string (&json, "key_container", key->key_container);
  add_templates (&json, templates);
  tpd_json_string_array (&json, "warnings", warnings);
  tpd_json_end_object (&json);
  tpd_json_print (&json);
}

/* --- Text -------------------------------------------------------------- */

static void
print_state (const TpdKeyInfo *key)
{
  if (key->state == TPD_KEY_HELD)
    tpd_report_line ("State", "held: files sealed to this key can be opened");
  else if (key->csp_name != NULL || key->key_container != NULL)
    tpd_report_line ("State", "keyless: the private key is in %s, container %s; name it with another --key",
                     key->csp_name != NULL ? key->csp_name : "an unnamed provider",
                     key->key_container != NULL ? key->key_container : "not named");
  else
    tpd_report_line ("State", "keyless: the file holds no private key; name it with another --key");
}

static void
print_kdf (const TpdKeyInfo *key)
{
  if (key->kdf == 1)
    tpd_report_line ("Derivation",
                     "RMS 1.0 (weak: SHA-1 of the password, no salt; guard the file like the key itself)");
  else if (key->kdf == 2)
    tpd_report_line ("Derivation",
                     "RMS 2.0 (weak: SHA-256 of the password, no salt; guard the file like the key itself)");
}

static void
print_template (const TpdTemplate *template)
{
  const TpdDescriptorName *name = tpd_language_pick (template->names);

  tpd_report_line ("Template", "%s {%s}", name != NULL ? name->name : "(without name)",
                   template->guid != NULL ? template->guid : "no id");
}

static void
print_text (const TpdKeyInfo *key, const GPtrArray *templates, const GPtrArray *warnings)
{
  g_autofree char *fingerprint = tpd_hex (key->public_key.fingerprint.bytes, TPD_SHA256_SIZE);

  tpd_report_line ("Key", "%s", key->name);
  if (key->path != NULL)
    tpd_report_line ("File", "%s (%s)", key->path, key->origin);
  tpd_report_line ("GUID", "%s", key->guid != NULL ? key->guid : "not known (a private key has none)");
  tpd_report_line ("Key size", "%u bits, crypto mode %u", key->public_key.bits, crypto_mode (key));
  tpd_report_line ("Fingerprint", "%s", fingerprint);
  print_state (key);
  print_kdf (key);
  if (key->licensor_name != NULL)
    tpd_report_line ("Licensor", "%s", key->licensor_name);
  if (key->tenant_id != NULL)
    tpd_report_line ("Tenant", "%s", key->tenant_id);
  for (gsize i = 0; key->urls != NULL && key->urls[i] != NULL; i++)
    tpd_report_line ("URL", "%s", key->urls[i]);
  for (guint i = 0; i < templates->len; i++)
    print_template (g_ptr_array_index (templates, i));
  for (guint i = 0; i < warnings->len; i++)
    tpd_report_line ("Warning", "%s", (const char *) g_ptr_array_index (warnings, i));
  fflush (stdout);
}

static void
print_key (const TpdKeyInfo *key, gboolean as_json, gboolean first)
{
  g_autoptr (GPtrArray) warnings = collect_warnings (key);
  g_autoptr (GPtrArray) templates = parse_templates (key, warnings);

  if (as_json)
    {
      print_json (key, templates, warnings);
      return;
    }
  if (!first)
    putchar ('\n');
  print_text (key, templates, warnings);
}

TpdExit
tpd_cmd_keys (int argc, char **argv)
{
  g_auto (TpdCommon) common = { 0 };
  g_auto (TpdSession) session = { 0 };
  const GPtrArray *keys;
  TpdExit status;

  if (!tpd_common_parse (&common, TPD_COMMON_KEYS | TPD_COMMON_JSON, &help, NULL, argc, argv, &status)
      || !tpd_session_start (&session, &common, TPD_AGENT_DEFAULT, &status))
    return status;
  keys = session.keyring->keys;
  if (keys->len == 0)
    {
      tpd_error ("no key is configured; name an exported TPD with --key FILE --password-file FILE, or write a "
                 "keyring file, tpdfs-keyring.conf(5)");
      return TPD_EXIT_KEYS;
    }
  for (guint i = 0; i < keys->len; i++)
    print_key (g_ptr_array_index (keys, i), common.json, i == 0);
  return tpd_output_finish (TPD_EXIT_OK);
}
