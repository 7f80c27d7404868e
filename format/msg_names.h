/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Named properties of Outlook items ([MS-OXMSG] 2.2.3): which name a property
 * id above 0x8000 stands for. There is one such map in a file, at its top;
 * items inside use it too. Private to format/.
 */
#pragma once

#include "format/msg_props.h"

/* Ids above 0x8000; a few less than there are, so that GUIDs can be numbered. */
#define TPD_MSG_MAX_NAMES 0x7ff0

typedef struct _TpdMsgNames TpdMsgNames;

TpdMsgNames *tpd_msg_names_new (void);
/* The map in `item`; empty if it has none. Entries that make no sense are left
 * out. Errors: those of the compound file. (transfer full) */
TpdMsgNames *tpd_msg_names_read (TpdCfb *cfb, const TpdCfbEntry *item, GError **error);
void tpd_msg_names_free (TpdMsgNames *names);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdMsgNames, tpd_msg_names_free)

/* The id of content-class among the Internet headers, 0 if it has none. */
guint16 tpd_msg_names_content_class (const TpdMsgNames *names);

/* Makes all names of `from` known to `names`. Gives an array of guint16: the new
 * id of id 0x8000 + i, 0 where `from` has no name. TPD_ERROR_TOO_LARGE when
 * there are too many. (transfer full) */
GArray *tpd_msg_names_merge (TpdMsgNames *names, const TpdMsgNames *from, GError **error);

/* Whether names were merged into it since it was made. */
gboolean tpd_msg_names_changed (const TpdMsgNames *names);

/* Writes the map into the storage `item`. */
gboolean tpd_msg_names_write (const TpdMsgNames *names, TpdCfbWriter *writer, guint32 item, GError **error);
