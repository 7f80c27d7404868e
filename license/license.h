/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A parsed publishing license (XrML, [MS-RMPR] 2.2.9.7): everything that can be
 * told without a key. Immutable after tpd_license_parse(), counted, shared.
 */
#pragma once

#include <glib.h>

#include "crypto/digest.h"
#include "crypto/keys.h"
#include "crypto/unwrapper.h"

/* One language of a template or policy name, [MS-RMPR] 2.2.9.1.4. */
typedef struct {
  guint lcid;
  char *name;
  char *description;
} TpdDescriptorName;

/* AUTHENTICATEDDATA other than the rights: clear, signed application data. */
typedef struct {
  char *id;
  char *name;
  char *value; /* at most 64 KiB kept */
} TpdAppData;

typedef enum {
  TPD_SIGNATURE_NONE,     /* unsigned */
  TPD_SIGNATURE_GOOD,     /* by the key of the ISSUER */
  TPD_SIGNATURE_REPAIRED, /* good once white space between tags is removed */
  TPD_SIGNATURE_BAD,
  TPD_SIGNATURE_UNKNOWN, /* algorithm or key not understood */
} TpdSignatureState;

typedef struct {
  /* How it was stored. */
  const char *encoding;
  guint n_documents;
  char **document_types; /* BODY/@type (and descriptor type) of each document, for `show` */

  guint8 sha256[TPD_SHA256_SIZE]; /* of the PL document, as UTF-8 text */

  /* Identity; each may be NULL. GUIDs are 36 lower-case characters. */
  char *content_id;
  char *policy_id;
  char *issued; /* as stored: yyyy-MM-ddTHH:mm, UTC */
  char *valid_from;
  char *valid_until;
  char *rms_owner;     /* METADATA/OWNER NAME: can be forged, see rights */
  char *author;        /* ISSUER NAME */
  char *issuer_type;   /* "Group-Identity": offline; "MS-DRM-Server": online */
  char *original_name; /* LICENSEMETADATA MS.Content.Name: a hint, never a path */
  GPtrArray *names;    /* of TpdDescriptorName, all languages */
  char **urls;         /* licensing URLs, intranet first, then extranet; NULL terminated */
  char *referral;
  GPtrArray *app_data; /* of TpdAppData */

  /* The server principal the content key is sealed to. */
  char *server_guid;
  char *server_name;
  char *server_url;
  char *server_version;
  char *tenant_id;
  TpdPublicKey server_key;

  /* Who signed. */
  gboolean has_issuer_key;
  TpdPublicKey issuer_key;
  TpdSignatureState signature;
  /* The documents behind the PL lead from ISSUER to the server key (CLC). */
  gboolean chain_linked;

  /* The sealed content key. */
  TpdSealType seal_type;
  char *seal_type_name;
  guint8 *sealed;
  gsize sealed_len;
  char *principals; /* surface text of ISSUEDPRINCIPALS, for the hash */
  gsize principals_len;

  /* Encrypted rights data, decoded from base64; NULL if absent. */
  guint8 *erd;
  gsize erd_len;

  gboolean double_key; /* signs of DKE in the clear text */

  char **warnings; /* sentences */

  int ref_count; /* atomic */
} TpdLicense;

/*
 * Parses the bytes a container stored. The first document of type
 * "Microsoft Rights Label" is the publishing license. Errors:
 * TPD_ERROR_DAMAGED (no PL, bad XML, DOCTYPE, no usable server principal),
 * TPD_ERROR_UNSUPPORTED (JSON license). (transfer full)
 */
TpdLicense *tpd_license_parse (const guint8 *data, gsize len, GError **error);
/* As much of it as tells which key it needs, with the same errors: signature
 * and certificates are not looked at, and count as unknown. (transfer full) */
TpdLicense *tpd_license_parse_brief (const guint8 *data, gsize len, GError **error);
/* The key that a license as servers write it is sealed to, much faster: FALSE
 * says only that this one has to be parsed. */
gboolean tpd_license_peek_key (const guint8 *data, gsize len, TpdPublicKey *out);
TpdLicense *tpd_license_ref (TpdLicense *license);
void tpd_license_unref (TpdLicense *license);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdLicense, tpd_license_unref)

/* The name in `lcid`, else in 1033, else the first; NULL if there is none. */
const char *tpd_license_name (const TpdLicense *license, guint lcid);

/* Words for JSON: "good", "bad", ... Static strings. */
const char *tpd_signature_word (TpdSignatureState state);

/* --- Descriptors ------------------------------------------------------ */

/* Parses "LCID n:NAME a:DESCRIPTION b;..." into TpdDescriptorName entries;
 * names may hold ':' and ';'. Never NULL. (transfer full) */
GPtrArray *tpd_descriptor_parse (const char *text);

/* A rights template out of a TPD: id and names. FALSE if it is none. */
typedef struct {
  char *guid;
  char *issued;
  GPtrArray *names; /* of TpdDescriptorName */
} TpdTemplate;

TpdTemplate *tpd_template_parse (const char *xrml, GError **error);
void tpd_template_free (TpdTemplate *template);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdTemplate, tpd_template_free)

/* --- Opening ---------------------------------------------------------- */

/*
 * Whether the server key of `license` is loaded: TPD_VERDICT_KEY_HELD, or
 * TPD_ERROR_NO_KEY whose message says GUID, bits, fingerprint, tenant and URL,
 * and a hint when a loaded key has the same GUID but another modulus or is
 * keyless. `keyring` may be NULL (no keys).
 */
const TpdKeyInfo *tpd_license_match_key (const TpdLicense *license, const TpdKeyring *keyring, GError **error);

/*
 * Unwraps the content key. Errors: TPD_ERROR_NO_KEY as above,
 * TPD_ERROR_DOUBLE_KEY, TPD_ERROR_DAMAGED (sealed key refused),
 * TPD_ERROR_AGENT. `*trace` (may be NULL) gets the agent's lines when
 * `purpose` asks. (transfer full)
 */
TpdContentKey *tpd_license_unwrap (const TpdLicense *license, const TpdKeyring *keyring, TpdUnwrapper *unwrapper,
                                   TpdPurpose purpose, char **trace, GError **error);
/* The same in two halves, for who asks for several at once: the request, which
 * points into `license`, or FALSE with TPD_ERROR_NO_KEY; and what the reply
 * comes to. */
gboolean tpd_license_request (const TpdLicense *license, const TpdKeyring *keyring, TpdPurpose purpose,
                              TpdUnwrapRequest *request, GError **error);
TpdContentKey *tpd_license_take_reply (const TpdLicense *license, const TpdKeyring *keyring,
                                       const TpdUnwrapReply *reply, GError **error);
