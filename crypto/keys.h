/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the document process may know of the loaded keys (TpdKeyInfo,
 * TpdKeyring: public parts only), and how an administrator names key files
 * and passwords (TpdKeySpec, TpdKeyConfig).
 */
#pragma once

#include <glib.h>

#include "crypto/digest.h"

/* --- The loaded keys, public parts ----------------------------------- */

typedef enum {
  TPD_KEY_HELD,    /* private key present */
  TPD_KEY_KEYLESS, /* TPD without its private key: not usable alone */
} TpdKeyState;

/* One key. Immutable after the keyring is built. Strings are UTF-8. */
typedef struct {
  TpdKeyState state;
  TpdPublicKey public_key;
  char *guid;          /* 36 characters, or NULL (bare private key) */
  char *name;          /* section of the keyring file, or the file's base name */
  char *path;          /* file it came from */
  char *origin;        /* "tpd", "pem", "pkcs12", ... */
  guint kdf;           /* TPD: 2, or 1 for the RMS 1.0 derivation; else 0 */
  char *licensor_name; /* NAME of the server principal, may be NULL */
  char *tenant_id;     /* Tenant-ID level of the principal, may be NULL */
  char **urls;         /* server address and distribution points, NULL terminated */
  char *csp_name;      /* keyless: where the key is said to be, may be NULL */
  char *key_container; /* likewise */
  char **certificates; /* XrML texts of the licensor certificate chain, leaf first */
  char **templates;    /* XrML texts of the rights templates */
  char **warnings;     /* sentences for the person */
} TpdKeyInfo;

void tpd_key_info_free (TpdKeyInfo *info);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdKeyInfo, tpd_key_info_free)

/* All loaded keys; immutable, counted, shared by threads. */
typedef struct {
  GPtrArray *keys; /* of TpdKeyInfo */
  int ref_count;   /* atomic */
} TpdKeyring;

/* Takes ownership of `keys` (with free function). (transfer full) */
TpdKeyring *tpd_keyring_new (GPtrArray *keys);
TpdKeyring *tpd_keyring_ref (TpdKeyring *keyring);
void tpd_keyring_unref (TpdKeyring *keyring);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdKeyring, tpd_keyring_unref)

/* The key of that modulus, or NULL. */
const TpdKeyInfo *tpd_keyring_find (const TpdKeyring *keyring, const TpdFingerprint *fingerprint);
/* A key of that GUID (36 lower-case characters), whatever its modulus, or NULL. */
const TpdKeyInfo *tpd_keyring_find_guid (const TpdKeyring *keyring, const char *guid);

/* A number for the set of keys that are held, in whatever order; never 0. */
guint64 tpd_keyring_held_mark (const TpdKeyring *keyring);

/* The keyring as one byte string for the agent's socket, and back; the second
 * checks everything (TPD_ERROR_AGENT). */
GBytes *tpd_keyring_serialize (const TpdKeyring *keyring);
TpdKeyring *tpd_keyring_deserialize (GBytes *bytes, GError **error);

/* --- How keys are named ---------------------------------------------- */

typedef enum {
  TPD_PASSWORD_PROMPT, /* ask on /dev/tty when one is needed */
  TPD_PASSWORD_FILE,
  TPD_PASSWORD_FD,
  TPD_PASSWORD_CREDENTIAL, /* systemd: a file of $CREDENTIALS_DIRECTORY */
} TpdPasswordKind;

typedef struct {
  char *name;     /* shown in messages */
  char *file;     /* key file; NULL with `uri` */
  char *uri;      /* pkcs11: URI (RFC 7512); NULL with `file` */
  char *module;   /* with `uri`: path of the PKCS#11 module; NULL: as the URI says, else p11-kit's proxy */
  char *licensor; /* keyless TPD that gives GUID and certificate, may be NULL */
  char *licensor_password_file; /* with `uri` and `licensor`, may be NULL; else the password is the key file's */
  /* The password of the key file, or the PIN of the token. */
  TpdPasswordKind password_kind;
  char *password_source; /* path or credential name */
  int password_fd;       /* TPD_PASSWORD_FD */
} TpdKeySpec;

typedef struct {
  GPtrArray *specs; /* of TpdKeySpec */
  gboolean allow_insecure_files;
  gboolean given; /* by --key or --keyring, not by default */
  /*< private >*/
  TpdKeySpec *last_file; /* the --key that --password-file applies to, or NULL */
} TpdKeyConfig;

TpdKeyConfig *tpd_key_config_new (void);
void tpd_key_config_free (TpdKeyConfig *config);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdKeyConfig, tpd_key_config_free)

/* --key FILE; --password-file and --password-fd then apply to the last one
 * (TPD_ERROR_USAGE when there is none). */
void tpd_key_config_add_file (TpdKeyConfig *config, const char *file);
gboolean tpd_key_config_set_password_file (TpdKeyConfig *config, const char *file, GError **error);
gboolean tpd_key_config_set_password_fd (TpdKeyConfig *config, int fd, GError **error);

/*
 * Adds the keys of a keyring file, tpdfs-keyring.conf(5). Unknown groups' keys
 * and contradictions are TPD_ERROR_USAGE and name file, group and word. A
 * keyring file that others can write is TPD_ERROR_INSECURE_FILE. Relative
 * paths are relative to the keyring file.
 */
gboolean tpd_key_config_load (TpdKeyConfig *config, const char *path, GError **error);
/*
 * When nothing was given: $XDG_CONFIG_HOME/tpdfs/keyring.conf, else
 * /etc/tpdfs/keyring.conf; having neither is fine (no keys).
 */
gboolean tpd_key_config_load_default (TpdKeyConfig *config, GError **error);
