/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tpd show --trace: the way from bytes to content key, made to be pasted into
 * a bug report. It says what was found and which of several readings held, in
 * words and numbers of the formats, and never a key, a password or plaintext:
 * only the head of a recognised container is shown as bytes.
 */
#include <string.h>

#include "base/text.h"
#include "tools/report.h"

#define HEAD_SIZE 512
#define HEAD_COLUMNS 16

static void
heading (const char *text)
{
  printf ("\n-- %s\n", text);
}

/* Lines of another part, each made fit for a terminal. */
static void
print_lines (const char *text)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);

  for (gsize i = 0; lines[i] != NULL; i++)
    {
      g_autofree char *shown = tpd_display (lines[i]);
      if (shown[0] != '\0')
        printf ("   %s\n", shown);
    }
}

static void
print_strings (const char *label, char *const *values)
{
  for (gsize i = 0; values != NULL && values[i] != NULL; i++)
    tpd_report_line (label, "%s", values[i]);
}

/* --- Container --------------------------------------------------------- */

static void
print_hex_line (const guint8 *data, gsize len, gsize off)
{
  char text[HEAD_COLUMNS + 1] = { 0 };

  printf ("   %04zx ", off);
  for (gsize i = 0; i < HEAD_COLUMNS; i++)
    {
      if (i < len)
        printf (" %02x", data[i]);
      else
        fputs ("   ", stdout);
    }
  for (gsize i = 0; i < len; i++)
    text[i] = (char) (g_ascii_isprint (data[i]) ? data[i] : '.');
  printf ("  %s\n", text);
}

/* The words of the header: offsets, sizes and flags are all in here. */
static void
print_head (TpdSource *source)
{
  guint8 head[HEAD_SIZE];
  gssize len = tpd_source_pread (source, head, sizeof head, 0, NULL);

  for (gssize off = 0; off < len; off += HEAD_COLUMNS)
    print_hex_line (head + off, (gsize) MIN (HEAD_COLUMNS, len - off), (gsize) off);
}

static const char *
size_class_text (TpdSizeClass size_class)
{
  switch (size_class)
    {
    case TPD_SIZE_EXACT:
      return "in clear";
    case TPD_SIZE_NEEDS_KEY:
      return "needs the key";
    case TPD_SIZE_NEEDS_DECODING:
      return "needs decoding";
    }
  return "?";
}

static void
trace_container (const TpdFileFacts *facts)
{
  const TpdProbe *probe = facts->probe;

  heading ("container");
  tpd_report_line ("Size", "%" G_GUINT64_FORMAT " bytes", facts->source_size);
  tpd_report_line ("Probe", "%s, %s", tpd_kind_word (probe->kind), tpd_verdict_word (probe->verdict));
  if (probe->message != NULL)
    tpd_report_line ("Message", "%s", probe->message);
  print_strings ("Warning", probe->warnings);
  if (probe->format == NULL || probe->verdict == TPD_VERDICT_NOT_PROTECTED)
    return;
  tpd_report_line ("Version", "%u.%u", probe->version_major, probe->version_minor);
  tpd_report_line ("Extension", "%s", probe->extension != NULL ? probe->extension : "none named by the format");
  tpd_report_line ("Plain size", "%s", size_class_text (probe->size_class));
  if (probe->size_class == TPD_SIZE_EXACT)
    tpd_report_line ("Stored size", "%" G_GUINT64_FORMAT " bytes", probe->plain_size);
  tpd_report_line ("Metadata", "%zu bytes", probe->metadata != NULL ? strlen (probe->metadata) : 0);
  tpd_report_line ("Head", "the first bytes of the file");
  print_head (facts->source);
}

/* --- License ----------------------------------------------------------- */

static void
trace_seal (const TpdLicense *license)
{
  tpd_report_line ("Sealed", "%zu bytes of type %s", license->sealed_len,
                   license->seal_type_name != NULL ? license->seal_type_name : "(none)");
  tpd_report_line ("RSA block", "%u bytes; %zd bytes of AES behind it", license->server_key.len,
                   (gssize) license->sealed_len - (gssize) license->server_key.len);
  tpd_report_line ("Principals", "%zu bytes for the hash rules", license->principals_len);
  tpd_report_line ("Rights data", "%zu bytes", license->erd_len);
  tpd_report_line ("Double key", "%s", license->double_key ? "signs of it in the clear text" : "no sign of it");
}

static void
trace_license (const TpdFileFacts *facts)
{
  const TpdLicense *license = facts->license;

  heading ("license");
  if (facts->license_bytes != NULL)
    tpd_report_line ("Stored", "%zu bytes", g_bytes_get_size (facts->license_bytes));
  if (license == NULL)
    {
      tpd_report_line ("Parse", "failed: %s", facts->message != NULL ? facts->message : "no license was read");
      return;
    }
  tpd_report_line ("Encoding", "%s", license->encoding);
  tpd_report_line ("Documents", "%u", license->n_documents);
  print_strings ("Document", license->document_types);
  tpd_report_line ("SHA-256", "%s", facts->pl_sha256);
  tpd_report_line ("Issuer", "%s", license->issuer_type != NULL ? license->issuer_type : "(none)");
  tpd_report_line ("Signature", "%s; chain to the server key: %s", facts->signature,
                   license->chain_linked ? "linked" : "not linked");
  if (license->server_version != NULL)
    tpd_report_line ("Server", "%s, version %s", license->server_name != NULL ? license->server_name : "(no name)",
                     license->server_version);
  trace_seal (license);
  print_strings ("Warning", license->warnings);
}

/* --- Key --------------------------------------------------------------- */

static void
trace_loaded_key (const TpdKeyInfo *key, const TpdLicense *license)
{
  g_autofree char *fingerprint = tpd_hex (key->public_key.fingerprint.bytes, TPD_SHA256_SIZE);
  const char *match = "no match";

  if (tpd_fingerprint_equal (&key->public_key.fingerprint, &license->server_key.fingerprint))
    match = "same modulus";
  else if (g_strcmp0 (key->guid, license->server_guid) == 0)
    match = "same GUID, other modulus";
  tpd_report_line ("Loaded", "%s, %u bits, %s, %s%s: %s", key->guid != NULL ? key->guid : "(no GUID)",
                   key->public_key.bits, fingerprint, key->origin, key->state == TPD_KEY_HELD ? "" : ", keyless",
                   match);
}

static void
trace_key (const TpdFileFacts *facts, const TpdKeyring *keyring)
{
  heading ("key");
  tpd_report_line ("Wanted", "%s, %u bits, %s", facts->key_guid != NULL ? facts->key_guid : "(no GUID)",
                   facts->key_bits, facts->key_fingerprint);
  for (guint i = 0; i < keyring->keys->len; i++)
    trace_loaded_key (g_ptr_array_index (keyring->keys, i), facts->license);
  if (keyring->keys->len == 0)
    tpd_report_line ("Loaded", "none");
  if (facts->agent_trace == NULL)
    return;
  tpd_report_line ("Agent", "its steps");
  print_lines (facts->agent_trace);
}

static const char *
hash_rule_text (TpdHashRule rule)
{
  switch (rule)
    {
    case TPD_HASH_RULE_NONE:
      return "none matched (no error)";
    case TPD_HASH_RULE_A:
      return "A";
    case TPD_HASH_RULE_B:
      return "B";
    case TPD_HASH_RULE_C:
      return "C";
    case TPD_HASH_RULE_D:
      return "D";
    }
  return "?";
}

static void
trace_content_key (const TpdFileFacts *facts)
{
  const TpdContentKey *key = facts->content_key;
  TpdCipherMode mode;

  heading ("content key");
  tpd_report_line ("Session key", "%zu bytes", key->session_key_len);
  tpd_report_line ("OAEP digest", "%s",
                   key->pkcs1         ? "none (PKCS#1 v1.5)"
                   : key->oaep_sha256 ? "SHA-256 (fallback)"
                                      : "SHA-1");
  tpd_report_line ("Key header", "mode word 0x%04x, size word 0x%04x, flags 0x%08x", key->mode_word, key->size_word,
                   key->flags);
  if (tpd_cipher_mode_from_word (key->mode_word, &mode))
    tpd_report_line ("Content key", "%zu bytes, license asks for %s", key->key->len,
                     tpd_cipher_name (mode, key->key->len));
  else
    tpd_report_line ("Content key", "%zu bytes, mode word is not known", key->key->len);
  tpd_report_line ("Hash rule", "%s", hash_rule_text (key->hash_rule));
}

/* --- Rights and document ------------------------------------------------ */

static void
trace_rights (const TpdFileFacts *facts)
{
  const TpdRights *rights = facts->rights;

  heading ("rights");
  if (rights == NULL)
    {
      tpd_report_line ("Decoded", "no");
      return;
    }
  tpd_report_line ("Decoded", "as %s", rights->cipher);
  tpd_report_line ("Form", "%s", rights->official ? "official template" : "ad-hoc policy");
  tpd_report_line ("Entries", "%u", rights->entries->len);
}

static void
trace_document (const TpdFileFacts *facts)
{
  const TpdDocument *document = facts->document;

  heading ("document");
  if (document == NULL)
    {
      tpd_report_line ("Opened", "no: %s", facts->message != NULL ? facts->message : "");
      return;
    }
  tpd_report_line ("Cipher", "%s", document->cipher);
  tpd_report_line ("Proof", "%s", tpd_proof_word (document->proof));
  tpd_report_line ("Plain size", "%" G_GUINT64_FORMAT " bytes", document->plain_size);
  print_strings ("Fallback", document->fallbacks);
  print_strings ("Warning", document->warnings);
}

void
tpd_report_print_trace (const TpdFileFacts *facts, const TpdKeyring *keyring)
{
  printf ("\n-- trace by tpd %s, decoder %d\n", TPDFS_VERSION, TPD_DECODER_VERSION);
  puts ("   It holds no key, password or plaintext, but names, addresses and ids of\n"
        "   the license: read it before you pass it on.");
  if (facts->probe == NULL)
    return;
  trace_container (facts);
  if (facts->probe->verdict == TPD_VERDICT_OK)
    trace_license (facts);
  if (facts->license != NULL)
    trace_key (facts, keyring);
  if (facts->content_key != NULL)
    {
      trace_content_key (facts);
      trace_rights (facts);
      trace_document (facts);
    }
  heading ("verdict");
  tpd_report_line ("Verdict", "%s", tpd_verdict_word (facts->verdict));
  if (facts->message != NULL)
    tpd_report_line ("Message", "%s", facts->message);
  fflush (stdout);
}
