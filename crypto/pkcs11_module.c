/* SPDX-License-Identifier: Apache-2.0 */
/* PKCS#11 modules and their errors: see crypto/pkcs11_module.h. */
#include "crypto/pkcs11_module.h"

#include <dlfcn.h>
#include <errno.h>
#include <fnmatch.h>
#include <glob.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"

/* Where distributions and makers of hardware put modules. One that is
 * elsewhere is linked into one of these: only root can do that. */
static const char *const folders[] = {
  "/usr/lib*/pkcs11",       "/usr/lib/*/pkcs11",       "/usr/lib*/softhsm",       "/usr/lib/*/softhsm",
  "/usr/local/lib*/pkcs11", "/usr/local/lib/*/pkcs11", "/usr/local/lib*/softhsm", "/opt/nfast/toolkits/pkcs11",
};

/* The proxy is the library of p11-kit itself; the first name comes with its
 * tools. It opens the modules that the system is configured to have. */
static const char *const proxies[] = {
  "/usr/lib/*/p11-kit-proxy.so",
  "/usr/lib*/p11-kit-proxy.so",
  "/usr/lib/*/libp11-kit.so.0",
  "/usr/lib*/libp11-kit.so.0",
};

gboolean
tpd_pkcs11_module_folder (const char *folder)
{
  for (guint i = 0; i < G_N_ELEMENTS (folders); i++)
    if (fnmatch (folders[i], folder, FNM_PATHNAME | FNM_PERIOD) == 0)
      return TRUE;
  return FALSE;
}

static gboolean
only_root_changes (const char *path, mode_t kind)
{
  struct stat st;

  return stat (path, &st) == 0 && (st.st_mode & S_IFMT) == kind && st.st_uid == 0
         && (st.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

/* Also for what a link leads to, since that file is what runs; and for the
 * directories, since what was checked must be what is loaded. */
static gboolean
check_owner (const char *path, GError **error)
{
  g_autofree char *folder = g_path_get_dirname (path);
  char real[PATH_MAX];

  if (!realpath (path, real))
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE, "The PKCS#11 module %s cannot be used: %s", path,
                   g_strerror (errno));
      return FALSE;
    }
  g_autofree char *real_folder = g_path_get_dirname (real);
  if (only_root_changes (folder, S_IFDIR) && only_root_changes (real_folder, S_IFDIR)
      && only_root_changes (real, S_IFREG))
    return TRUE;
  g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE,
               "The PKCS#11 module %s cannot be used: it and its directory must belong to root, and nobody else may be "
               "able to change them",
               path);
  return FALSE;
}

static char *
default_module (GError **error)
{
  for (guint i = 0; i < G_N_ELEMENTS (proxies); i++)
    {
      glob_t found = { 0 };
      char *path = NULL;
      if (glob (proxies[i], 0, NULL, &found) == 0)
        path = g_strdup (found.gl_pathv[0]);
      globfree (&found);
      if (path && check_owner (path, NULL))
        return path;
      g_free (path);
    }
  g_set_error_literal (error, TPD_ERROR, TPD_ERROR_USAGE,
                       "No PKCS#11 module is named and p11-kit is not installed: name the module of the token with "
                       "module= in the keyring file");
  return NULL;
}

char *
tpd_pkcs11_module_find (const char *named, GError **error)
{
  if (!named)
    return default_module (error);
  g_autofree char *folder = g_path_get_dirname (named);
  if (!g_path_is_absolute (named) || strstr (named, "/../") || strstr (named, "/./") || strstr (named, "//")
      || !tpd_pkcs11_module_folder (folder))
    {
      g_autofree char *quoted = g_shell_quote (named);
      g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE,
                   "The PKCS#11 module %s is in none of the directories that modules are loaded from "
                   "(/usr/lib/pkcs11, /usr/local/lib/pkcs11 and others, tpdfs-keyring.conf(5)); as root: ln -s %s "
                   "/usr/local/lib/pkcs11/",
                   named, quoted);
      return NULL;
    }
  return check_owner (named, error) ? g_strdup (named) : NULL;
}

CK_FUNCTION_LIST *
tpd_pkcs11_module_load (const char *path, GError **error)
{
  CK_FUNCTION_LIST *functions = NULL;
  CK_C_GetFunctionList get = NULL;
  void *module = dlopen (path, RTLD_NOW | RTLD_LOCAL);
  void *symbol = module ? dlsym (module, "C_GetFunctionList") : NULL;

  if (symbol)
    memcpy (&get, &symbol, sizeof get);
  if (!get)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_KEY_UNUSABLE, "The PKCS#11 module %s cannot be loaded: %s", path,
                   module ? "it is no PKCS#11 module" : dlerror ());
      return NULL;
    }
  CK_RV rv = get (&functions);
  if (rv != CKR_OK || !functions || functions->version.major < 2)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_KEY_UNUSABLE, "The PKCS#11 module %s does not work (0x%lx)", path, rv);
      return NULL;
    }
  return functions;
}

static const struct {
  CK_RV rv;
  const char *words;
} meanings[] = {
  { CKR_PIN_INCORRECT, "the PIN is wrong; do not try often, the token locks itself after a few" },
  { CKR_PIN_INVALID, "the PIN has characters that the token does not take" },
  { CKR_PIN_LEN_RANGE, "the PIN is too short or too long for the token" },
  { CKR_PIN_EXPIRED, "the PIN has expired: set a new one with the tools of the token" },
  { CKR_PIN_LOCKED, "the PIN is locked after too many wrong ones: unlock it with the tools of the token and the PIN of "
                    "its security officer" },
  { CKR_USER_PIN_NOT_INITIALIZED, "the token has no user PIN yet: set one with the tools of the token" },
  { CKR_USER_NOT_LOGGED_IN, "the token wants a PIN and got none" },
  { CKR_MECHANISM_INVALID, "the token does not offer this way of RSA decryption; in FIPS mode many do not allow "
                           "PKCS#1 v1.5 or keys of 1024 bits" },
  { CKR_MECHANISM_PARAM_INVALID, "the token does not offer this way of RSA decryption with these parameters" },
  { CKR_KEY_FUNCTION_NOT_PERMITTED,
    "the key may not be used to decrypt: allow that (CKA_DECRYPT, or the access list of "
    "the key) with the tools of the token" },
  { CKR_KEY_TYPE_INCONSISTENT, "the key is not of a kind that can decrypt this" },
  { CKR_KEY_SIZE_RANGE, "the token does not work with keys of this size" },
  { CKR_KEY_HANDLE_INVALID, "the key is not in the token any more" },
  { CKR_OBJECT_HANDLE_INVALID, "the key is not in the token any more" },
  { CKR_TOKEN_NOT_PRESENT, "the token is not there: was it removed, is the device off?" },
  { CKR_TOKEN_NOT_RECOGNIZED, "the module does not know this kind of token" },
  { CKR_SLOT_ID_INVALID, "the slot of the token is not there any more" },
  { CKR_DEVICE_REMOVED, "the token was removed" },
  { CKR_DEVICE_ERROR, "the token has a fault" },
  { CKR_DEVICE_MEMORY, "the token is out of memory" },
  { CKR_HOST_MEMORY, "the module is out of memory" },
  { CKR_SESSION_COUNT, "the token has no more sessions: end other programs that use it" },
  { CKR_SESSION_CLOSED, "the token closed the session" },
  { CKR_SESSION_HANDLE_INVALID, "the token closed the session" },
  { CKR_CRYPTOKI_NOT_INITIALIZED, "the module lost its state" },
  { CKR_GENERAL_ERROR, "the module failed and does not say why" },
  { CKR_FUNCTION_FAILED, "the module failed and does not say why" },
  { CKR_FUNCTION_NOT_SUPPORTED, "the module cannot do this" },
  { CKR_ARGUMENTS_BAD, "the module does not take these parameters" },
};

char *
tpd_pkcs11_words (CK_RV rv)
{
  for (guint i = 0; i < G_N_ELEMENTS (meanings); i++)
    if (meanings[i].rv == rv)
      return g_strdup (meanings[i].words);
  return g_strdup_printf ("the PKCS#11 module answers 0x%lx, see CKR_ in its manual", rv);
}

int
tpd_pkcs11_error_code (CK_RV rv)
{
  switch (rv)
    {
    case CKR_PIN_INCORRECT:
    case CKR_PIN_INVALID:
    case CKR_PIN_LEN_RANGE:
    case CKR_PIN_EXPIRED:
    case CKR_PIN_LOCKED:
    case CKR_USER_PIN_NOT_INITIALIZED:
    case CKR_USER_NOT_LOGGED_IN:
      return TPD_ERROR_PASSWORD;
    default:
      return TPD_ERROR_KEY_UNUSABLE;
    }
}

CK_RV
tpd_pkcs11_failed (CK_RV rv, const char *token, const char *doing, GError **error)
{
  g_autofree char *words = tpd_pkcs11_words (rv);

  if (token)
    g_set_error (error, TPD_ERROR, tpd_pkcs11_error_code (rv), "The token \"%s\" cannot be %s: %s", token, doing,
                 words);
  else
    g_set_error (error, TPD_ERROR, tpd_pkcs11_error_code (rv), "The PKCS#11 module cannot be %s: %s", doing, words);
  return rv;
}
