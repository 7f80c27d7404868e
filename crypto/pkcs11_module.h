/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PKCS#11 modules: which may be loaded, and what their errors mean. A module
 * is foreign code; tpd_pkcs11_module_load() is for the helper process only.
 */
#pragma once

#include <glib.h>
#include <p11-kit/pkcs11.h>

/*
 * The path of the module that `named` (of the keyring file or the URI; NULL
 * for the default, p11-kit's proxy) means: it must lie in one of the
 * directories for modules, and only root may be able to change it. Errors:
 * TPD_ERROR_USAGE, a sentence. (transfer full)
 */
char *tpd_pkcs11_module_find (const char *named, GError **error);

/* Whether `folder` is a directory for modules. */
gboolean tpd_pkcs11_module_folder (const char *folder);

/* Loads and checks a module; it stays loaded. Errors: TPD_ERROR_KEY_UNUSABLE. */
CK_FUNCTION_LIST *tpd_pkcs11_module_load (const char *path, GError **error);

/* What a return value means for the person, as a clause. (transfer full) */
char *tpd_pkcs11_words (CK_RV rv);

/* Sets `error`: a sentence that the token (or the module, when `token` is
 * NULL) cannot be `doing`, and why. Returns `rv`. */
CK_RV tpd_pkcs11_failed (CK_RV rv, const char *token, const char *doing, GError **error);

/* The TpdError that goes with it. */
int tpd_pkcs11_error_code (CK_RV rv);
