/* SPDX-License-Identifier: Apache-2.0 */
/* Steps of writing an Outlook item. Private to the mail part of format/. */
#pragma once

#include "format/mail.h"
#include "format/msg_props.h"

/* Properties and recipients of a new item, from the headers of an Internet
 * message; `headers` may be NULL (msg_new.c). */
gboolean tpd_msg_put_headers (TpdMsgObject *item, const TpdMailHeaders *headers, guint32 *n_recipients, GError **error);
