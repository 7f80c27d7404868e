/* SPDX-License-Identifier: Apache-2.0 */
/* The facts of one file for a person: see report.h. */
#include "tools/report.h"

#include <string.h>

#include "base/text.h"
#include "tools/language.h"

void
tpd_report_line (const char *label, const char *format, ...)
{
  g_autofree char *value = NULL, *shown = NULL, *head = NULL;
  va_list args;

  va_start (args, format);
  value = g_strdup_vprintf (format, args);
  va_end (args);
  shown = tpd_display (value);
  head = g_strdup_printf ("%s:", label);
  printf ("%-15s %s\n", head, shown);
}

static void
line_if (const char *label, const char *value)
{
  if (value != NULL)
    tpd_report_line (label, "%s", value);
}

static void
print_file (const TpdFileFacts *facts)
{
  tpd_report_line ("File", "%s", facts->path);
  tpd_report_line ("Verdict", "%s", tpd_verdict_word (facts->verdict));
  line_if ("Reason", facts->message);
  if (facts->version != NULL)
    tpd_report_line ("Kind", "%s, version %s", facts->kind, facts->version);
  else
    line_if ("Kind", facts->kind);
  if (facts->through_mount)
    tpd_report_line ("Seen through", "a tpdfs mount");
}

static void
print_content (const TpdFileFacts *facts)
{
  if (facts->is_protected)
    line_if ("Plain name", facts->plain_name);
  if (facts->plain_size_known)
    tpd_report_line ("Plain size", "%" G_GUINT64_FORMAT " bytes", facts->plain_size);
  else
    tpd_report_line ("Plain size", "not known without the content key");
  if (facts->is_protected)
    tpd_report_line ("Source size", "%" G_GUINT64_FORMAT " bytes", facts->source_size);
  line_if ("Original name", facts->original_name);
  if (facts->cipher != NULL)
    tpd_report_line ("Cipher", "%s (plaintext: %s)", facts->cipher, facts->proof != NULL ? facts->proof : "not proven");
  for (gsize i = 0; facts->fallbacks != NULL && facts->fallbacks[i] != NULL; i++)
    tpd_report_line ("Fallback", "%s", facts->fallbacks[i]);
  line_if ("Source SHA-256", facts->source_sha256);
  line_if ("Plain SHA-256", facts->plain_sha256);
}

static void
print_template (const TpdFileFacts *facts)
{
  const TpdDescriptorName *name = tpd_language_pick (facts->names);
  const char *shown = name != NULL ? name->name : facts->template_name;
  const char *label = facts->template_guid != NULL ? "Template" : "Policy";

  if (shown != NULL && facts->template_guid != NULL)
    tpd_report_line (label, "%s {%s}", shown, facts->template_guid);
  else if (shown != NULL)
    tpd_report_line (label, "%s", shown);
  else if (facts->template_guid != NULL)
    tpd_report_line (label, "{%s}", facts->template_guid);
  if (name != NULL && name->description != NULL && name->description[0] != '\0')
    tpd_report_line ("Description", "%s", name->description);
}

static void
print_label (const TpdFileFacts *facts)
{
  const TpdLabel *label = facts->label;

  if (label == NULL)
    {
      line_if ("Label", facts->label_name);
      return;
    }
  if (label->name != NULL)
    tpd_report_line ("Label", "%s {%s}", label->name, label->id);
  else
    tpd_report_line ("Label", "{%s}", label->id);
  line_if ("Label site", label->site);
  line_if ("Label method", label->method);
  line_if ("Label set", label->set_date);
}

static void
print_license (const TpdFileFacts *facts)
{
  line_if ("Content id", facts->content_id);
  line_if ("Policy id", facts->policy_id);
  print_template (facts);
  line_if ("Owner", facts->rms_owner);
  line_if ("Author", facts->author);
  if (facts->issued != NULL)
    tpd_report_line ("Issued", "%s UTC", facts->issued);
  line_if ("Signature", facts->signature);
}

static void
print_key (const TpdFileFacts *facts)
{
  if (facts->key_guid != NULL)
    tpd_report_line ("Key", "%s", facts->key_guid);
  if (facts->key_bits != 0)
    tpd_report_line ("Key size", "%u bits", facts->key_bits);
  line_if ("Fingerprint", facts->key_fingerprint);
  if (facts->key_name != NULL)
    tpd_report_line ("Loaded as", "%s%s", facts->key_name, facts->key_held ? "" : " (without its private key)");
  else if (facts->license != NULL)
    tpd_report_line ("Loaded as", "not loaded");
  line_if ("Tenant", facts->tenant);
  /* Intranet and extranet address are often the same. */
  for (gsize i = 0; facts->urls != NULL && facts->urls[i] != NULL; i++)
    {
      if (i == 0 || strcmp (facts->urls[i], facts->urls[i - 1]) != 0)
        tpd_report_line ("URL", "%s", facts->urls[i]);
    }
}

static void
print_rights_entry (const TpdRightsEntry *entry)
{
  g_autofree char *words = g_strjoinv (", ", entry->rights);

  if (entry->until == NULL)
    tpd_report_line ("Rights", "%s: %s", entry->principal, words);
  else
    tpd_report_line ("Rights", "%s: %s (until %s UTC%s)", entry->principal, words, entry->until,
                     tpd_time_passed (entry->until, g_get_real_time () / G_USEC_PER_SEC) ? ", expired" : "");
}

static void
print_rights (const TpdFileFacts *facts)
{
  if (facts->expires != NULL)
    tpd_report_line ("Expires", "%s UTC%s", facts->expires,
                     tpd_time_passed (facts->expires, g_get_real_time () / G_USEC_PER_SEC) ? " (expired)" : "");
  for (guint i = 0; facts->rights != NULL && i < facts->rights->entries->len; i++)
    print_rights_entry (g_ptr_array_index (facts->rights->entries, i));
  if (facts->license != NULL && facts->content_key == NULL)
    tpd_report_line ("Rights", "not known without the content key");
}

void
tpd_report_print_text (const TpdFileFacts *facts)
{
  print_file (facts);
  print_content (facts);
  print_label (facts);
  print_license (facts);
  print_key (facts);
  print_rights (facts);
  for (guint i = 0; i < facts->warnings->len; i++)
    tpd_report_line ("Warning", "%s", (const char *) g_ptr_array_index (facts->warnings, i));
  fflush (stdout);
}
