/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gathers the facts of one file: see facts.h. The steps run in the order of
 * the file: open, probe, license, key, content key, rights, document, hashes.
 * The first that fails gives the verdict; what was learnt before it stays.
 */
#include "tools/facts.h"

#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "crypto/secret.h"
#include "format/names.h"
#include "format/opaque.h"
#include "format/whole.h"

static void
fail (TpdFileFacts *facts, TpdVerdict verdict, const char *message)
{
  facts->verdict = verdict;
  g_free (facts->message);
  facts->message = g_strdup (message);
}

static void
fail_error (TpdFileFacts *facts, const GError *error)
{
  fail (facts, tpd_verdict_from_error (error), error->message);
}

static void
add_warnings (TpdFileFacts *facts, char **warnings)
{
  for (gsize i = 0; warnings != NULL && warnings[i] != NULL; i++)
    g_ptr_array_add (facts->warnings, g_strdup (warnings[i]));
}

/* --- Through a mount --------------------------------------------------- */

static TpdVerdict
verdict_from_word (const char *word)
{
  for (guint i = 0; i < TPD_N_VERDICTS; i++)
    {
      if (g_strcmp0 (word, tpd_verdict_word ((TpdVerdict) i)) == 0)
        return (TpdVerdict) i;
    }
  return TPD_VERDICT_IO_ERROR;
}

static gboolean
verdict_opens (TpdVerdict verdict)
{
  return verdict == TPD_VERDICT_OK || verdict == TPD_VERDICT_KEY_HELD || verdict == TPD_VERDICT_NOT_PROTECTED;
}

/* The attribute names the key by its GUID, or by fingerprint if it has none. */
static void
key_from_word (TpdFileFacts *facts, const char *word)
{
  char guid[TPD_GUID_SIZE];

  if (tpd_guid_parse (word, guid))
    facts->key_guid = g_strdup (guid);
  else
    facts->key_fingerprint = g_strdup (word);
}

static void
facts_from_mount (TpdFileFacts *facts)
{
  char **words = facts->mounted->words;

  facts->through_mount = TRUE;
  facts->kind = words[TPD_MOUNTED_KIND];
  facts->is_protected = strcmp (facts->kind, tpd_kind_word (TPD_KIND_PLAIN)) != 0;
  facts->verdict = verdict_from_word (words[TPD_MOUNTED_VERDICT]);
  facts->plain_name = g_path_get_basename (facts->path);
  facts->plain_size_known = verdict_opens (facts->verdict);
  facts->plain_size = facts->mounted->size;
  facts->source_size = facts->mounted->size;
  if (words[TPD_MOUNTED_SOURCE_SIZE] != NULL)
    (void) tpd_number_parse (words[TPD_MOUNTED_SOURCE_SIZE], 10, 0, G_MAXINT64, &facts->source_size);
  facts->content_id = words[TPD_MOUNTED_CONTENT_ID];
  facts->rms_owner = words[TPD_MOUNTED_RMS_OWNER];
  facts->template_name = words[TPD_MOUNTED_TEMPLATE];
  facts->issued = words[TPD_MOUNTED_ISSUED];
  facts->cipher = words[TPD_MOUNTED_CIPHER];
  facts->proof = words[TPD_MOUNTED_PROOF];
  facts->label_name = words[TPD_MOUNTED_LABEL];
  if (words[TPD_MOUNTED_KEY] != NULL)
    key_from_word (facts, words[TPD_MOUNTED_KEY]);
  if (!verdict_opens (facts->verdict))
    facts->message = g_strdup ("the mount refuses this file; ask tpd show about the source for the reason");
}

/* --- Container --------------------------------------------------------- */

/* A protected file that was cut to nothing, or overwritten, looks plain. */
static void
warn_only_name_is_protected (TpdFileFacts *facts, const char *base)
{
  const char *what = facts->source_size == 0 ? "it is empty" : "its content is not";

  if (tpd_name_is_candidate (base, NULL))
    g_ptr_array_add (facts->warnings, g_strdup_printf ("the name is that of a protected file, but %s", what));
}

static void
facts_from_probe (TpdFileFacts *facts, const TpdOpenOptions *options)
{
  const TpdNameRules rules = { .mail = options->mail };
  const TpdProbe *probe = facts->probe;
  g_autofree char *base = g_path_get_basename (facts->path);

  facts->kind = tpd_kind_word (probe->kind);
  facts->is_protected = probe->kind != TPD_KIND_PLAIN && probe->verdict != TPD_VERDICT_NOT_PROTECTED;
  if (facts->is_protected && tpd_name_fits (base, probe->kind, &rules))
    facts->plain_name = tpd_name_plain (base, probe->extension, &rules);
  else
    facts->plain_name = g_steal_pointer (&base);
  if (probe->version_major != 0)
    facts->version = g_strdup_printf ("%u.%u", probe->version_major, probe->version_minor);
  if (probe->verdict == TPD_VERDICT_NOT_PROTECTED)
    {
      warn_only_name_is_protected (facts, facts->plain_name);
      facts->plain_size_known = TRUE;
      facts->plain_size = facts->source_size;
    }
  else if (probe->verdict == TPD_VERDICT_OK && tpd_probe_size_class (probe, options) == TPD_SIZE_EXACT)
    {
      facts->plain_size_known = TRUE;
      facts->plain_size = probe->plain_size;
    }
  add_warnings (facts, probe->warnings);
  fail (facts, probe->verdict, probe->message);
}

/* --- License ----------------------------------------------------------- */

static gboolean
load_license (TpdFileFacts *facts, const TpdSession *session)
{
  g_autoptr (GError) error = NULL;

  facts->license_bytes = tpd_probe_read_license (facts->probe, facts->source, &error);
  if (facts->license_bytes != NULL)
    facts->license = tpd_license_cache_parse (session->licenses, facts->license_bytes, &error);
  if (facts->license == NULL)
    fail_error (facts, error);
  return facts->license != NULL;
}

static void
facts_from_license (TpdFileFacts *facts)
{
  const TpdLicense *license = facts->license;

  facts->content_id = license->content_id;
  facts->policy_id = license->policy_id;
  facts->rms_owner = license->rms_owner;
  facts->author = license->author;
  facts->issued = license->issued;
  facts->issuer = license->issuer_type;
  facts->tenant = license->tenant_id;
  facts->original_name = license->original_name;
  facts->signature = tpd_signature_word (license->signature);
  facts->urls = license->urls;
  facts->names = license->names;
  facts->expires = license->valid_until;
  if (license->seal_type == TPD_SEAL_V1)
    facts->crypto_mode = 1;
  else if (license->seal_type == TPD_SEAL_V2)
    facts->crypto_mode = 2;
  facts->pl_sha256 = tpd_hex (license->sha256, sizeof license->sha256);
  facts->key_guid = g_strdup (license->server_guid);
  facts->key_bits = license->server_key.bits;
  facts->key_fingerprint = tpd_hex (license->server_key.fingerprint.bytes, TPD_SHA256_SIZE);
  add_warnings (facts, license->warnings);
}

/* --- Content key and rights -------------------------------------------- */

/* [MS-RMPR] 3.5.4.1 wants the GUID to be the same, too; RSA does not care. */
static void
warn_other_guid (TpdFileFacts *facts, const TpdKeyring *keyring)
{
  const TpdLicense *license = facts->license;
  const char *other = NULL;

  for (guint i = 0; i < keyring->keys->len; i++)
    {
      const TpdKeyInfo *key = g_ptr_array_index (keyring->keys, i);

      if (key->guid == NULL || !tpd_fingerprint_equal (&key->public_key.fingerprint, &license->server_key.fingerprint))
        continue;
      if (g_strcmp0 (key->guid, license->server_guid) == 0)
        return;
      other = key->guid;
    }
  if (other != NULL && license->server_guid != NULL)
    g_ptr_array_add (
        facts->warnings,
        g_strdup_printf ("the license calls its key %s, the loaded key is called %s: it is the same key by "
                         "its modulus, and opens it",
                         license->server_guid, other));
}

/* FALSE: it is not loaded. */
static gboolean
find_key (TpdFileFacts *facts, const TpdSession *session)
{
  const TpdKeyInfo *key = tpd_keyring_find (session->keyring, &facts->license->server_key.fingerprint);
  if (key != NULL)
    {
      facts->key_held = key->state == TPD_KEY_HELD;
      facts->key_name = g_strdup (key->name);
      warn_other_guid (facts, session->keyring);
    }
  return key != NULL;
}

/* Whether nothing is to be gained by opening it now. A sign of a second key is
 * worth a look: only the unwrapping can tell. */
static gboolean
may_stay_closed (const TpdFileFacts *facts, const TpdOpenOptions *options, TpdFileFactsFlags flags)
{
  return (flags & TPD_FILE_FACTS_LAZY) != 0 && facts->key_held
         && tpd_probe_size_class (facts->probe, options) == TPD_SIZE_EXACT && !facts->license->double_key;
}

/* Mail that is to be left protected: the source is all there is to read. */
static gboolean
is_left (const TpdFileFacts *facts, const TpdOpenOptions *options)
{
  return options->mail == TPD_MAIL_SOURCE && tpd_kind_is_mail (facts->probe->kind);
}

/* What the agent said to the request for the content key. */
static gboolean
take_key (TpdFileFacts *facts, const TpdSession *session, const TpdUnwrapReply *reply)
{
  g_autoptr (GError) error = NULL;

  facts->agent_trace = g_strdup (reply->trace);
  facts->content_key = tpd_license_take_reply (facts->license, session->keyring, reply, &error);
  if (facts->content_key == NULL)
    fail_error (facts, error);
  return facts->content_key != NULL;
}

static void
facts_from_rights (TpdFileFacts *facts)
{
  const TpdRights *rights = facts->rights;

  if (rights->official)
    facts->template_guid = rights->template_guid;
  if (facts->names == NULL || facts->names->len == 0)
    facts->names = rights->names;
  if (rights->expires != NULL)
    facts->expires = rights->expires;
}

/* Rights are never a reason not to open: what is wrong with them is a warning. */
static void
load_rights (TpdFileFacts *facts)
{
  g_autoptr (GError) error = NULL;

  facts->rights = tpd_rights_decode (facts->license, facts->content_key, &error);
  if (facts->rights != NULL)
    facts_from_rights (facts);
  else
    g_ptr_array_add (facts->warnings, g_strdup_printf ("the rights are not known: %s", error->message));
}

static void
warn_expired (TpdFileFacts *facts)
{
  gint64 now = g_get_real_time () / G_USEC_PER_SEC;

  if (facts->expires != NULL && tpd_time_passed (facts->expires, now))
    g_ptr_array_add (facts->warnings,
                     g_strdup_printf ("the content expired on %s; it opens nevertheless", facts->expires));
}

/* --- Document and hashes ----------------------------------------------- */

/* Of the seal, and of the content. */
static void
put_fallbacks (TpdFileFacts *facts)
{
  const TpdContentKey *key = facts->content_key;
  const struct {
    gboolean taken;
    const char *word;
  } seals[] = {
    { facts->license->seal_type == TPD_SEAL_UNKNOWN, "seal-type-unknown" },
    { key->oaep_sha256, "oaep-sha256" },
    { key->reversed, "rsa-reversed" },
    { key->second_seal, "second-key" },
  };
  g_autoptr (GStrvBuilder) words = g_strv_builder_new ();

  for (guint i = 0; i < G_N_ELEMENTS (seals); i++)
    if (seals[i].taken)
      g_strv_builder_add (words, seals[i].word);
  if (facts->document->fallbacks != NULL)
    g_strv_builder_addv (words, (const char **) facts->document->fallbacks);
  facts->fallbacks = g_strv_builder_end (words);
}

static void
open_document (TpdFileFacts *facts, const TpdSession *session, const TpdOpenOptions *options)
{
  g_autoptr (GError) error = NULL;
  TpdOpenOptions inner = *options;

  inner.keyring = session->keyring;
  inner.unwrapper = session->unwrapper;
  facts->document =
      tpd_document_new (facts->source, facts->probe, facts->license, facts->content_key, &inner, NULL, &error);
  if (facts->document == NULL)
    {
      fail_error (facts, error);
      return;
    }
  facts->plain_size_known = TRUE;
  facts->plain_size = facts->document->plain_size;
  facts->cipher = facts->document->cipher;
  facts->proof = tpd_proof_word (facts->document->proof);
  put_fallbacks (facts);
  add_warnings (facts, facts->document->warnings);
}

/* `proof` and what is said against it; a plaintext that cannot be read to its
 * end is a failure. */
static void
check_document (TpdFileFacts *facts)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *wrong = NULL;
  const char *extension = strrchr (facts->plain_name, '.');
  TpdProof proof;

  if (!tpd_document_check (facts->document, extension, &proof, &wrong, &error))
    {
      fail_error (facts, error);
      return;
    }
  facts->checked = TRUE;
  facts->proof = tpd_proof_word (proof);
  g_free (facts->message);
  facts->message = g_steal_pointer (&wrong);
}

static char *
hash_source (TpdSource *source, GError **error)
{
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autofree guint8 *block = g_malloc (TPD_INPUT_BLOCK);
  guint64 off = 0;
  gssize n;

  while ((n = tpd_source_pread (source, block, TPD_INPUT_BLOCK, off, error)) > 0)
    {
      g_checksum_update (sum, block, n);
      off += (guint64) n;
    }
  tpd_wipe (block, TPD_INPUT_BLOCK);
  return n < 0 ? NULL : g_strdup (g_checksum_get_string (sum));
}

static gboolean
hash_document (TpdFileFacts *facts, GError **error)
{
  g_autoptr (TpdSource) plain = NULL;

  if (facts->document == NULL)
    return TRUE;
  plain = tpd_source_new_document (facts->document);
  facts->plain_sha256 = hash_source (plain, error);
  return facts->plain_sha256 != NULL;
}

static void
load_hashes (TpdFileFacts *facts)
{
  g_autoptr (GError) error = NULL;

  facts->source_sha256 = hash_source (facts->source, &error);
  if (facts->source_sha256 != NULL && facts->verdict == TPD_VERDICT_NOT_PROTECTED)
    facts->plain_sha256 = g_strdup (facts->source_sha256);
  if (facts->source_sha256 == NULL || !hash_document (facts, &error)
      || !tpd_input_check_unchanged (facts->source, &facts->stamp, &error))
    {
      g_clear_pointer (&facts->plain_sha256, g_free);
      fail_error (facts, error);
    }
}

/* What the mount shows is the plaintext; the source is out of reach. */
static void
hash_shown (TpdFileFacts *facts)
{
  g_autoptr (GError) error = NULL;

  facts->source = tpd_input_open (facts->path, &facts->stamp, &error);
  if (facts->source != NULL)
    facts->plain_sha256 = hash_source (facts->source, &error);
  if (facts->plain_sha256 == NULL)
    fail_error (facts, error);
}

/* --- Label -------------------------------------------------------------- */

/* The clear label wins: Office trusts it before the one inside. */
static void
load_label (TpdFileFacts *facts, TpdFileFactsFlags flags)
{
  facts->label = tpd_label_known (facts->probe, facts->license);
  if (flags & TPD_FILE_FACTS_LAZY)
    return;
  tpd_label_merge (&facts->label, tpd_label_read (facts->source));
  if (facts->document != NULL)
    {
      g_autoptr (TpdSource) plain = tpd_source_new_document (facts->document);
      tpd_label_merge (&facts->label, tpd_label_read (plain));
    }
}

/* --- All of it --------------------------------------------------------- */

/* All that comes before the content key. */
static void
begin_protected (TpdFileFacts *facts, const TpdSession *session, const TpdOpenOptions *options, TpdFileFactsFlags flags,
                 TpdUnwrapRequest *request)
{
  const TpdPurpose purpose = flags & TPD_FILE_FACTS_TRACE ? TPD_PURPOSE_TRACE : TPD_PURPOSE_READ;
  g_autoptr (GError) error = NULL;

  if (!load_license (facts, session))
    return;
  facts_from_license (facts);
  if (!find_key (facts, session) && (flags & TPD_FILE_FACTS_TERSE) != 0)
    facts->verdict = TPD_VERDICT_NO_KEY;
  else if (may_stay_closed (facts, options, flags))
    facts->verdict = TPD_VERDICT_KEY_HELD;
  else if (tpd_license_request (facts->license, session->keyring, purpose, request, &error))
    facts->awaits_key = TRUE;
  else
    fail_error (facts, error);
}

static void
end_protected (TpdFileFacts *facts, const TpdSession *session, const TpdOpenOptions *options, TpdFileFactsFlags flags,
               const TpdUnwrapReply *reply)
{
  if (facts->awaits_key && take_key (facts, session, reply))
    {
      load_rights (facts);
      if (!is_left (facts, options))
        open_document (facts, session, options);
      if ((flags & TPD_FILE_FACTS_CHECK) != 0 && facts->document != NULL)
        check_document (facts);
    }
  facts->awaits_key = FALSE;
  if (facts->license != NULL)
    warn_expired (facts);
}

static TpdFileFacts *
facts_new (const char *path)
{
  TpdFileFacts *facts = g_new0 (TpdFileFacts, 1);

  facts->path = g_strdup (path);
  facts->warnings = g_ptr_array_new_with_free_func (g_free);
  return facts;
}

TpdFileFacts *
tpd_file_facts_of_error (const char *path, const GError *error)
{
  TpdFileFacts *facts = facts_new (path);

  fail_error (facts, error);
  return facts;
}

TpdFileFacts *
tpd_file_facts_begin (const char *path, TpdSource *source, const TpdStamp *stamp, TpdProbe *probe,
                      const TpdSession *session, const TpdOpenOptions *options, TpdFileFactsFlags flags,
                      TpdUnwrapRequest *request)
{
  TpdFileFacts *facts = facts_new (path);

  facts->source = tpd_source_ref (source);
  facts->stamp = *stamp;
  facts->source_size = source->size;
  facts->probe = probe;
  facts_from_probe (facts, options);
  if (probe->verdict == TPD_VERDICT_OK)
    begin_protected (facts, session, options, flags, request);
  return facts;
}

void
tpd_file_facts_end (TpdFileFacts *facts, const TpdSession *session, const TpdOpenOptions *options,
                    TpdFileFactsFlags flags, const TpdUnwrapReply *reply)
{
  if (facts->probe->verdict == TPD_VERDICT_OK)
    end_protected (facts, session, options, flags, reply);
  load_label (facts, flags);
  if (flags & TPD_FILE_FACTS_HASH)
    load_hashes (facts);
}

TpdFileFacts *
tpd_file_facts_gather_source (const char *path, TpdSource *source, const TpdStamp *stamp, TpdProbe *probe,
                              const TpdSession *session, const TpdOpenOptions *options, TpdFileFactsFlags flags)
{
  g_auto (TpdUnwrapReply) reply = { 0 };
  TpdUnwrapRequest request;
  TpdFileFacts *facts = tpd_file_facts_begin (path, source, stamp, probe, session, options, flags, &request);

  if (facts->awaits_key)
    tpd_unwrapper_unwrap (session->unwrapper, &request, &reply);
  tpd_file_facts_end (facts, session, options, flags, &reply);
  return facts;
}

static TpdFileFacts *
gather_mounted (const char *path, TpdMounted *mounted, TpdFileFactsFlags flags)
{
  TpdFileFacts *facts = facts_new (path);

  facts->mounted = mounted;
  facts_from_mount (facts);
  if ((flags & TPD_FILE_FACTS_HASH) && verdict_opens (facts->verdict))
    hash_shown (facts);
  return facts;
}

/* A plain mail may have a protected one in it where a probe does not look. What
 * cannot be read is told by who reads it. */
static TpdProbe *
probe_deeply (TpdSource *source)
{
  TpdProbe *probe = tpd_probe (source, NULL);
  TpdOpaque opaque;

  if (probe->verdict == TPD_VERDICT_NOT_PROTECTED && tpd_opaque_searches (probe)
      && tpd_opaque_look (source, probe, &opaque, NULL))
    tpd_opaque_warn (probe, opaque);
  return probe;
}

TpdFileFacts *
tpd_file_facts_gather (const char *path, const TpdSession *session, const TpdOpenOptions *options,
                       TpdFileFactsFlags flags)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdSource) source = NULL;
  TpdMounted *mounted = tpd_mounted_read (path);
  TpdStamp stamp;

  if (mounted != NULL)
    return gather_mounted (path, mounted, flags);
  source = tpd_input_open (path, &stamp, &error);
  if (source == NULL)
    return tpd_file_facts_of_error (path, error);
  return tpd_file_facts_gather_source (path, source, &stamp, probe_deeply (source), session, options, flags);
}

void
tpd_file_facts_free (TpdFileFacts *facts)
{
  if (facts == NULL)
    return;
  g_clear_pointer (&facts->label, tpd_label_free);
  g_clear_pointer (&facts->document, tpd_document_unref);
  g_clear_pointer (&facts->rights, tpd_rights_free);
  g_clear_pointer (&facts->content_key, tpd_content_key_unref);
  g_clear_pointer (&facts->license, tpd_license_unref);
  g_clear_pointer (&facts->license_bytes, g_bytes_unref);
  g_clear_pointer (&facts->probe, tpd_probe_free);
  g_clear_pointer (&facts->source, tpd_source_unref);
  tpd_mounted_free (facts->mounted);
  g_ptr_array_unref (facts->warnings);
  g_free (facts->path);
  g_free (facts->message);
  g_free (facts->plain_name);
  g_free (facts->version);
  g_free (facts->source_sha256);
  g_free (facts->plain_sha256);
  g_free (facts->pl_sha256);
  g_free (facts->key_guid);
  g_free (facts->key_fingerprint);
  g_free (facts->key_name);
  g_free (facts->agent_trace);
  g_strfreev (facts->fallbacks);
  g_free (facts);
}
