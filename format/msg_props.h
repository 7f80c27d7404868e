/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Properties of Outlook items ([MS-OXMSG]): each object (item, recipient,
 * attachment) is a storage with a table of its properties, and a stream for
 * each value that does not fit into the table. Private to format/.
 */
#pragma once

#include "format/cfb_writer.h"

#define TPD_MSG_PROPERTIES "__properties_version1.0"
#define TPD_MSG_NAMEID "__nameid_version1.0"
#define TPD_MSG_SUBSTG "__substg1.0_"
#define TPD_MSG_ATTACH "__attach_version1.0_#"
#define TPD_MSG_RECIP "__recip_version1.0_#"

/* Recipients or attachments of one item. */
#define TPD_MSG_MAX_OBJECTS 10000
#define TPD_MSG_MAX_TABLE (1024 * 1024)
/* A text property other than a body. */
#define TPD_MSG_MAX_TEXT (1024 * 1024)

/* [MS-OXCDATA] 2.11.1 */
enum {
  TPD_MSG_LONG = 0x0003,
  TPD_MSG_BOOLEAN = 0x000b,
  TPD_MSG_OBJECT = 0x000d,
  TPD_MSG_STRING8 = 0x001e,
  TPD_MSG_UNICODE = 0x001f,
  TPD_MSG_TIME = 0x0040,
  TPD_MSG_BINARY = 0x0102,
};

/* [MS-OXPROPS]: the property ids that are read or written here. */
enum {
  TPD_MSG_MESSAGE_CLASS = 0x001a,
  TPD_MSG_SUBJECT = 0x0037,
  TPD_MSG_SUBMIT_TIME = 0x0039,
  TPD_MSG_SUBJECT_PREFIX = 0x003d,
  TPD_MSG_REPRESENTING_NAME = 0x0042,
  TPD_MSG_REPRESENTING_TYPE = 0x0064,
  TPD_MSG_REPRESENTING_ADDRESS = 0x0065,
  TPD_MSG_TRANSPORT_HEADERS = 0x007d,
  TPD_MSG_RECIPIENT_TYPE = 0x0c15,
  TPD_MSG_SENDER_NAME = 0x0c1a,
  TPD_MSG_SENDER_TYPE = 0x0c1e,
  TPD_MSG_SENDER_ADDRESS = 0x0c1f,
  TPD_MSG_DISPLAY_BCC = 0x0e02,
  TPD_MSG_DISPLAY_CC = 0x0e03,
  TPD_MSG_DISPLAY_TO = 0x0e04,
  TPD_MSG_DELIVERY_TIME = 0x0e06,
  TPD_MSG_FLAGS = 0x0e07,
  TPD_MSG_HAS_ATTACHMENTS = 0x0e1b,
  TPD_MSG_NORMALIZED_SUBJECT = 0x0e1d,
  TPD_MSG_RTF_IN_SYNC = 0x0e1f,
  TPD_MSG_ATTACH_SIZE = 0x0e20,
  TPD_MSG_ATTACH_NUMBER = 0x0e21,
  TPD_MSG_OBJECT_TYPE = 0x0ffe,
  TPD_MSG_BODY = 0x1000,
  TPD_MSG_RTF_COMPRESSED = 0x1009,
  TPD_MSG_HTML = 0x1013,
  TPD_MSG_NATIVE_BODY = 0x1016,
  TPD_MSG_MESSAGE_ID = 0x1035,
  TPD_MSG_REFERENCES = 0x1039,
  TPD_MSG_IN_REPLY_TO = 0x1042,
  TPD_MSG_ROW_ID = 0x3000,
  TPD_MSG_DISPLAY_NAME = 0x3001,
  TPD_MSG_ADDRESS_TYPE = 0x3002,
  TPD_MSG_ADDRESS = 0x3003,
  TPD_MSG_CREATED = 0x3007,
  TPD_MSG_MODIFIED = 0x3008,
  TPD_MSG_STORE_SUPPORT = 0x340d,
  TPD_MSG_ATTACH_DATA = 0x3701,
  TPD_MSG_ATTACH_EXTENSION = 0x3703,
  TPD_MSG_ATTACH_SHORT_NAME = 0x3704,
  TPD_MSG_ATTACH_METHOD = 0x3705,
  TPD_MSG_ATTACH_LONG_NAME = 0x3707,
  TPD_MSG_RENDERING_POSITION = 0x370b,
  TPD_MSG_ATTACH_MIME = 0x370e,
  TPD_MSG_ATTACH_CONTENT_ID = 0x3712,
  TPD_MSG_ATTACH_LOCATION = 0x3713,
  TPD_MSG_ATTACH_FLAGS = 0x3714,
  TPD_MSG_SMTP_ADDRESS = 0x39fe,
  TPD_MSG_INTERNET_CODE_PAGE = 0x3fde,
  TPD_MSG_MESSAGE_CODE_PAGE = 0x3ffd,
  TPD_MSG_SENDER_SMTP = 0x5d01,
  TPD_MSG_REPRESENTING_SMTP = 0x5d02,
  TPD_MSG_ATTACH_HIDDEN = 0x7ffe,
  TPD_MSG_FIRST_NAMED = 0x8000,
};

#define TPD_MSG_TAG(id, type) ((guint32) (id) << 16 | (type))
#define TPD_MSG_ID(tag) ((guint16) ((tag) >> 16))
#define TPD_MSG_TYPE(tag) ((guint16) (tag))

/* In PidTagStoreSupportMask: texts are in Unicode. */
#define TPD_MSG_STORE_UNICODE 0x00040000u

/* Bytes before the first entry of a table, [MS-OXMSG] 2.4.1. */
enum {
  TPD_MSG_HEADER_ITEM = 32,
  TPD_MSG_HEADER_EMBEDDED = 24,
  TPD_MSG_HEADER_PART = 8, /* recipient, attachment */
};

/* --- The table --------------------------------------------------------- */

typedef struct {
  guint32 tag, flags;
  guint64 value; /* or, for values in a stream: size, and type of object above it */
} TpdMsgProperty;

typedef struct {
  guint8 header[TPD_MSG_HEADER_ITEM]; /* zeros behind what is stored */
  GArray *list;                       /* of TpdMsgProperty */
} TpdMsgTable;

void tpd_msg_table_clear (TpdMsgTable *table);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TpdMsgTable, tpd_msg_table_clear)

void tpd_msg_table_init (TpdMsgTable *table);
/*
 * The table of the object in `storage`. Items have either header: the size of
 * the table tells. A piece of an entry at the end is ignored, and a recipient
 * or attachment may have no table. Errors: TPD_ERROR_DAMAGED (an item without,
 * or with less than its header), TPD_ERROR_TOO_LARGE.
 */
gboolean tpd_msg_table_read (TpdMsgTable *table, TpdCfb *cfb, const TpdCfbEntry *storage, gboolean item,
                             GError **error);
/* NULL if there is none. */
const TpdMsgProperty *tpd_msg_table_find (const TpdMsgTable *table, guint32 tag);
gboolean tpd_msg_table_has_id (const TpdMsgTable *table, guint16 id);
/* The value, or `otherwise`. */
guint64 tpd_msg_table_get (const TpdMsgTable *table, guint32 tag, guint64 otherwise);
/* Whatever types it has. */
void tpd_msg_table_remove (TpdMsgTable *table, guint16 id);
/* Replaces what the id had. */
void tpd_msg_table_set (TpdMsgTable *table, guint32 tag, guint64 value);
/* Next ids and counts of recipients and attachments. */
void tpd_msg_table_set_counts (TpdMsgTable *table, guint32 recipients, guint32 attachments);
/* Writes the table, in the order of tags, into `storage`. */
gboolean tpd_msg_table_write (TpdMsgTable *table, gsize header_size, TpdCfbWriter *writer, guint32 storage,
                              GError **error);

/* Code page of the 8-bit texts of an item. */
guint tpd_msg_code_page (const TpdMsgTable *item);
/* Whether the texts of an item are in Unicode. */
gboolean tpd_msg_is_unicode (const TpdMsgTable *item);

/* --- Values in streams -------------------------------------------------- */

/* "__substg1.0_" and the tag. */
#define TPD_MSG_STREAM_NAME_SIZE 24
void tpd_msg_stream_name (guint32 tag, char name[TPD_MSG_STREAM_NAME_SIZE]);
/* The id in the name of a stream that holds (a part of) a value; 0 if it is none. */
guint16 tpd_msg_stream_id (const char *name);

/* The text property `id` of the object in `storage` as UTF-8: NULL if it has
 * none, is empty or has more than `max` bytes. (transfer full) */
gboolean tpd_msg_read_text (TpdCfb *cfb, const TpdCfbEntry *storage, guint16 id, guint code_page, gsize max,
                            char **text, GError **error);

/* --- Writing an object -------------------------------------------------- */

typedef struct {
  TpdCfbWriter *writer; /* borrowed */
  guint32 storage;
  TpdMsgTable table;
  gboolean unicode;
  guint code_page; /* of 8-bit texts */
} TpdMsgObject;

/* A text in the form of the object; in Unicode all the same if the code page
 * has not all of its characters. `text` may be NULL: nothing is written. */
gboolean tpd_msg_put_text (TpdMsgObject *object, guint16 id, const char *text, GError **error);
/* A value of bytes, TPD_MSG_BINARY. */
gboolean tpd_msg_put_source (TpdMsgObject *object, guint16 id, TpdSource *source, GError **error);
gboolean tpd_msg_put_bytes (TpdMsgObject *object, guint16 id, const void *data, gsize len, GError **error);
