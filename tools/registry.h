/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries of the Windows registry that clients of rights management read
 * (docs/formats.md, "Registry"), and their text forms.
 */
#pragma once

#include <glib.h>

typedef struct _TpdRegistry TpdRegistry;

/* `redirect_to`: address of the AD RMS, NULL: no redirection. NULL if it is no
 * such address. (transfer full) */
TpdRegistry *tpd_registry_new (const char *redirect_to);
void tpd_registry_free (TpdRegistry *registry);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdRegistry, tpd_registry_free)

/* Redirects the licensing service of `url`; once, in whatever form it is
 * named. FALSE: it is no address. */
gboolean tpd_registry_redirect (TpdRegistry *registry, const char *url);
guint tpd_registry_n_redirected (const TpdRegistry *registry);
void tpd_registry_disable_creation (TpdRegistry *registry);

/* A .reg file: UTF-16LE with byte order mark, CRLF. (transfer full) */
GByteArray *tpd_registry_reg (const TpdRegistry *registry);
void tpd_registry_print_text (const TpdRegistry *registry);
void tpd_registry_print_json (const TpdRegistry *registry);
