/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of Outlook items share: items made for a test, and the second
 * reader, read_msg.py. */
#pragma once

#include <glib/gstdio.h>

#include "format/msg_item.h"
#include "mail-support.h"

#define ITEM_TAG(id, type) TPD_MSG_TAG (TPD_MSG_##id, TPD_MSG_##type)

static inline TpdSource *
writer_finish (TpdCfbWriter *writer)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdSink) sink = tpd_sink_new (NULL, &error);
  TpdSource *source;

  tpd_cfb_writer_finish (writer, sink, &error);
  g_assert_no_error (error);
  source = tpd_sink_to_source (g_steal_pointer (&sink), &error);
  g_assert_no_error (error);
  return source;
}

static inline TpdCfb *
cfb_reopen (TpdSource *source)
{
  g_autoptr (GError) error = NULL;
  TpdCfb *cfb = tpd_cfb_open (source, &error);

  g_assert_no_error (error);
  return cfb;
}

/* --- Items made for a test -------------------------------------------------- */

typedef struct {
  TpdCfbWriter *writer;
  TpdMsgObject item;
  TpdMsgNames *names; /* NULL: what the test writes itself */
  guint n_recipients, n_attachments;
} MadeItem;

static inline MadeItem *
item_new (gboolean unicode, guint code_page)
{
  MadeItem *made = g_new0 (MadeItem, 1);

  made->writer = tpd_cfb_writer_new (3);
  made->names = tpd_msg_names_new ();
  made->item = (TpdMsgObject){ .writer = made->writer, .unicode = unicode, .code_page = code_page };
  tpd_msg_table_init (&made->item.table);
  tpd_cfb_writer_set_clsid (made->writer, 0, tpd_msg_clsid);
  return made;
}

static inline void
item_text (TpdMsgObject *object, guint16 id, const char *text)
{
  g_assert_true (tpd_msg_put_text (object, id, text, NULL));
}

static inline void
item_value (TpdMsgObject *object, guint32 tag, guint64 value)
{
  tpd_msg_table_set (&object->table, tag, value);
}

/* Starts a recipient or attachment; item_end_part() ends it. */
static inline TpdMsgObject
item_part (MadeItem *made, const char *prefix, guint number)
{
  g_autofree char *name = g_strdup_printf ("%s%08X", prefix, number);
  TpdMsgObject part = made->item;

  g_assert_true (tpd_cfb_writer_add_storage (made->writer, 0, name, &part.storage, NULL));
  tpd_msg_table_init (&part.table);
  return part;
}

static inline void
item_end_part (TpdMsgObject *part)
{
  g_assert_true (tpd_msg_table_write (&part->table, TPD_MSG_HEADER_PART, part->writer, part->storage, NULL));
  tpd_msg_table_clear (&part->table);
}

static inline void
item_recipient (MadeItem *made, guint32 type, const char *name, const char *address_type, const char *address)
{
  TpdMsgObject part = item_part (made, TPD_MSG_RECIP, made->n_recipients++);

  item_value (&part, ITEM_TAG (RECIPIENT_TYPE, LONG), type);
  item_text (&part, TPD_MSG_DISPLAY_NAME, name);
  item_text (&part, TPD_MSG_ADDRESS_TYPE, address_type);
  item_text (&part, TPD_MSG_ADDRESS, address);
  item_end_part (&part);
}

static inline void
item_file (MadeItem *made, const char *name, const char *mime, const void *data, gsize len)
{
  TpdMsgObject part = item_part (made, TPD_MSG_ATTACH, made->n_attachments++);

  item_text (&part, TPD_MSG_ATTACH_LONG_NAME, name);
  item_text (&part, TPD_MSG_ATTACH_MIME, mime);
  item_value (&part, ITEM_TAG (ATTACH_METHOD, LONG), 1);
  g_assert_true (tpd_msg_put_bytes (&part, TPD_MSG_ATTACH_DATA, data, len, NULL));
  item_end_part (&part);
}

/* The .msg; frees `made`. */
static inline TpdSource *
item_finish (MadeItem *made)
{
  TpdSource *source;

  tpd_msg_table_set_counts (&made->item.table, made->n_recipients, made->n_attachments);
  g_assert_true (tpd_msg_table_write (&made->item.table, TPD_MSG_HEADER_ITEM, made->writer, 0, NULL));
  if (made->names != NULL)
    g_assert_true (tpd_msg_names_write (made->names, made->writer, 0, NULL));
  source = writer_finish (made->writer);
  tpd_msg_table_clear (&made->item.table);
  tpd_msg_names_free (made->names);
  tpd_cfb_writer_free (made->writer);
  g_free (made);
  return source;
}

/* --- A map of named properties, by hand ----------------------------------------- */

typedef struct {
  const guint8 *guid;
  const char *text; /* or NULL: */
  guint32 number;
} MadeName;

/* Writes __nameid_version1.0 with the names at 0x8000, 0x8001, ... */
static inline void
item_names (TpdCfbWriter *writer, guint32 item, const MadeName *names, guint n)
{
  g_autoptr (GByteArray) guids = g_byte_array_new (), entries = g_byte_array_new (), texts = g_byte_array_new ();
  guint32 storage;

  for (guint i = 0; i < n; i++)
    {
      add_u32 (entries, names[i].text != NULL ? texts->len : names[i].number);
      add_u16 (entries, (guint16) ((guids->len / 16 + 3) << 1 | (names[i].text != NULL)));
      add_u16 (entries, (guint16) i);
      g_byte_array_append (guids, names[i].guid, 16);
      if (names[i].text == NULL)
        continue;
      add_u32 (texts, (guint32) strlen (names[i].text) * 2);
      for (const char *p = names[i].text; *p != '\0'; p++)
        add_u16 (texts, (guint8) *p);
      if (texts->len % 4 != 0)
        add_u16 (texts, 0);
    }
  g_assert_true (tpd_cfb_writer_add_storage (writer, item, TPD_MSG_NAMEID, &storage, NULL));
  g_assert_true (tpd_cfb_writer_add_bytes (writer, storage, "__substg1.0_00020102", guids->data, guids->len, NULL));
  g_assert_true (tpd_cfb_writer_add_bytes (writer, storage, "__substg1.0_00030102", entries->data, entries->len, NULL));
  g_assert_true (tpd_cfb_writer_add_bytes (writer, storage, "__substg1.0_00040102", texts->data, texts->len, NULL));
}

/* PS_INTERNET_HEADERS and PSETID_Common */
static const guint8 guid_headers[16] = { 0x86, 3, 2, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46 };
static const guint8 guid_common[16] = { 8, 0x20, 6, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46 };

/* --- The second reader ------------------------------------------------------------ */

/* Runs read_msg.py over `result`, and over the original where there is one. */
static inline void
second_reader (TpdSource *result, JsonObject *entry, const char *original)
{
  g_autofree char *python = g_find_program_in_path ("python3");
  g_autofree char *script = g_build_filename (g_getenv ("TPD_SOURCE_ROOT"), "tests/format/read_msg.py", NULL);
  g_autofree char *dir = g_dir_make_tmp ("tpd-msg-XXXXXX", NULL);
  g_autofree char *msg = g_build_filename (dir, "result.msg", NULL);
  g_autofree char *json = g_build_filename (dir, "entry.json", NULL);
  g_autofree char *out = NULL, *err = NULL, *text = NULL;
  g_autoptr (GBytes) bytes = source_read_all (result);
  g_autoptr (JsonNode) node = json_node_init_object (json_node_alloc (), entry);
  const char *argv[] = { python, script, msg, json, original, NULL };
  int status = -1;

  text = json_to_string (node, FALSE);
  g_assert_true (g_file_set_contents (msg, g_bytes_get_data (bytes, NULL), (gssize) g_bytes_get_size (bytes), NULL));
  g_assert_true (g_file_set_contents (json, text, -1, NULL));
  g_assert_nonnull (python);
  g_assert_true (g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, &out, &err, &status, NULL));
  if (status != 0)
    g_error ("%s%s", out, err);
  g_unlink (msg);
  g_unlink (json);
  g_rmdir (dir);
}
