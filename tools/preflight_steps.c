/* SPDX-License-Identifier: Apache-2.0 */
/* The words of the decision paper that are the same for everybody. */
#include "tools/preflight.h"

const char *const tpd_preflight_unseen[] = {
  "Mailboxes: Exchange Online and on-premises, archives and journals, and PST files elsewhere.",
  "SharePoint and OneDrive libraries: what is downloaded from them may be protected by them.",
  "Laptops, telephones, removable media, backups, and what was sent to others.",
  "What lies inside archives other than zip, and those that unpack themselves, in mailboxes and disk images, and what "
  "is embedded in or attached to plain documents, also on this share.",
  "What programs encrypt in other ways: S/MIME, BitLocker, passwords.",
  NULL,
};

const char *const tpd_preflight_before[] = {
  "Keep the answers of Get-AipServiceKeys and Get-AipServiceConfiguration; compare the first with --aip-keys.",
  "Request the export of every Microsoft-managed tenant key, active and archived, from Microsoft Support (\"Azure "
  "Information Protection key export\"), naming every KeyIdentifier. It takes days to weeks, and is possible only "
  "while "
  "the subscription lives: the right to export ends with it, though reading goes on for a time.",
  "Decrypt what Support returns with AadrmTpd.exe while a Windows PC is at hand: it gives ExportedTPD-*.xml and its "
  "password.",
  "A customer-managed key (BYOK) is never exported: take the key you made, or its HSM's backup. One made inside the "
  "vault cannot be taken along: decrypt its documents while the vault works.",
  "Export the trusted publishing domain of every AD RMS cluster, and keep the key service of double key encryption.",
  "Load all of it, run tpd preflight --deep on every share, and keep two copies of keys and passwords, apart.",
  "Fetch the usage, admin, document and tracking logs, and the templates: they go with the service.",
  NULL,
};

const TpdPreflightStep tpd_preflight_steps[] = {
  { "Connect-AipService", "sign in as Global Administrator, in Windows PowerShell 5", "no error" },
  { "Get-AipService", "the service is on", "Enabled" },
  { "Disable-AipService", "switch it off; confirm", "no error" },
  { "Get-AipService", "the service is off", "Disabled" },
  { "Disconnect-AipService", "sign out", "no error" },
};

const gsize tpd_preflight_n_steps = G_N_ELEMENTS (tpd_preflight_steps);

const char *const tpd_preflight_after[] = {
  "Nobody protects anything new: tpd registry --disable-creation for Windows, and no label or mail rule that encrypts.",
  "tpd scan --cutoff DATE finds licenses issued after the service was switched off; look at them at once.",
  "Read through tpdfs, or take plaintext once with tpd materialize; do not delete protected originals before their "
  "copies are proven.",
  "Windows clients that go on with an AD RMS: tpd registry --redirect-to URL.",
  "Delete no key vault before every share is proven, and then with soft delete and purge protection on.",
  "Let the subscription lapse last.",
  NULL,
};
