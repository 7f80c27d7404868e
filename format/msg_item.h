/* SPDX-License-Identifier: Apache-2.0 */
/* Outlook items inside Outlook items ([MS-OXMSG] 2.2.2.1). Private to format/. */
#pragma once

#include "format/msg_names.h"

/* CLSID of the root of a .msg: {00020D0B-0000-0000-C000-000000000046}. */
extern const guint8 tpd_msg_clsid[16];

/*
 * Copies the item `msg`, a whole .msg, into the empty `storage` of another
 * one. Its named properties get the ids that `names`, the map of the outer
 * file, has for them; names that are missing there are added to it.
 */
gboolean tpd_msg_embed (TpdCfbWriter *writer, guint32 storage, TpdSource *msg, TpdMsgNames *names, GError **error);
