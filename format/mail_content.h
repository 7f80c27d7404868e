/* SPDX-License-Identifier: Apache-2.0 */
/* Filling a TpdMailContent: the steps of tpd_rpmsg_decode(). Private to the
 * mail part of format/. */
#pragma once

#include "format/mail.h"

/* Empty, with empty lists. (transfer full) */
TpdMailContent *tpd_mail_content_new (void);

/* Takes the decrypted compound file `plain` apart: bodies and attachments as
 * they are stored, named. Errors: those of tpd_rpmsg_decode(). */
gboolean tpd_mail_content_read (TpdMailContent *content, TpdSource *plain, TpdBudget *budget, GError **error);

/*
 * Opens the attachments that are protected themselves: with `key` where the
 * license is byte for byte `license`, else through the keyring and unwrapper
 * of `options`. One that does not open stays, with a warning that starts with
 * "nested-" and the word of the verdict. Errors: those that end the whole
 * work: budget used up, cancelled, source gone.
 */
gboolean tpd_mail_open_nested (TpdMailContent *content, GBytes *license, TpdContentKey *key,
                               const TpdOpenOptions *options, TpdBudget *budget, GError **error);

/* Takes over fallbacks and warnings of `document`; `name` (may be NULL) goes
 * before each warning. */
void tpd_mail_content_add_notes (TpdMailContent *content, const char *name, const TpdDocument *document);
void tpd_mail_content_warn (TpdMailContent *content, const char *format, ...) G_GNUC_PRINTF (2, 3);
