/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the mail tests share: the mails of the sample share, and protected
 * mails made for a test: a compound file of the test's own, encrypted under
 * the license and content key of a sample, in the framing of message.rpmsg.
 */
#pragma once

#include <zlib.h>

#include "../license/helper.h"
#include "cfb-image.h"
#include "format/cfb_writer.h"
#include "format/mail.h"
#include "format/mail_content.h"
#include "support.h"

/* A mail in ECB with an easy key, whose license the made mails use. */
#define SAMPLE_LICENSE "HR Department/2019/見積書 434.rpmsg"

static inline JsonObject *
find_sample (const char *path)
{
  JsonArray *files = fixture_files ();

  for (guint i = 0; i < json_array_get_length (files); i++)
    {
      JsonObject *entry = json_array_get_object_element (files, i);
      if (strcmp (json_word (entry, "path"), path) == 0)
        return entry;
    }
  g_error ("no sample %s", path);
  return NULL;
}

static inline TpdSource *
sample_source (const char *path)
{
  g_autofree char *relative = g_build_filename ("share", path, NULL);
  g_autofree char *full = fixture_path (relative);

  return source_open (full);
}

static inline char *
sha256_hex (const void *data, gsize len)
{
  return g_compute_checksum_for_data (G_CHECKSUM_SHA256, data, len);
}

static inline GBytes *
source_read_all (TpdSource *source)
{
  g_autoptr (GError) error = NULL;
  GBytes *bytes = tpd_source_read_bytes (source, 0, source->size, &error);

  g_assert_no_error (error);
  return bytes;
}

static inline TpdContentKey *
unwrap_sample (FixtureKeys *keys, GBytes *stored)
{
  g_autoptr (TpdLicense) license = parse_good (stored, "mail");
  g_autoptr (GError) error = NULL;
  TpdContentKey *key = tpd_license_unwrap (license, keys->keyring, keys->unwrapper, TPD_PURPOSE_READ, NULL, &error);

  g_assert_no_error (error);
  return key;
}

/* --- Bytes ------------------------------------------------------------ */

static inline void
add_u16 (GByteArray *out, guint16 value)
{
  guint8 raw[2];
  put_u16 (raw, value);
  g_byte_array_append (out, raw, 2);
}

static inline void
add_u32 (GByteArray *out, guint32 value)
{
  guint8 raw[4];
  put_u32 (raw, value);
  g_byte_array_append (out, raw, 4);
}

/* A length-prefixed Unicode string of the attachment streams. */
static inline void
add_wide (GByteArray *out, const char *text)
{
  glong units = 0;
  g_autofree gunichar2 *utf16 = g_utf8_to_utf16 (text, -1, NULL, &units, NULL);
  guint8 small = units < 0xff ? (guint8) units : 0xff;

  g_byte_array_append (out, &small, 1);
  if (units >= 0xff)
    add_u16 (out, (guint16) units);
  for (glong i = 0; i < units; i++)
    add_u16 (out, utf16[i]);
}

/* --- A mail as compound file ------------------------------------------ */

typedef struct {
  TpdCfbWriter *writer;
  guint32 list; /* storage of the attachments, 0 before the first */
  guint count;
  GString *names;
  TpdBodyFormat format;
} MadeMail;

static inline MadeMail *
mail_new (TpdBodyFormat format, guint32 code_page, const void *body, gsize len)
{
  MadeMail *mail = g_new0 (MadeMail, 1);
  g_autoptr (GByteArray) info = g_byte_array_new ();

  mail->writer = tpd_cfb_writer_new (3);
  mail->names = g_string_new (NULL);
  mail->format = format;
  add_u16 (info, (guint16) format);
  add_u32 (info, code_page);
  g_assert_true (tpd_cfb_writer_add_bytes (mail->writer, 0, "OutlookBodyStreamInfo", info->data, info->len, NULL));
  g_assert_true (tpd_cfb_writer_add_bytes (mail->writer, 0, "BodyPT-HTML", body, len, NULL));
  return mail;
}

static inline guint32
mail_attachment_storage (MadeMail *mail)
{
  g_autofree char *name = g_strdup_printf ("MailAttachment %u", mail->count++);
  guint32 storage;

  if (mail->list == 0)
    g_assert_true (tpd_cfb_writer_add_storage (mail->writer, 0, "Attachment List", &mail->list, NULL));
  g_assert_true (tpd_cfb_writer_add_storage (mail->writer, mail->list, name, &storage, NULL));
  g_string_append_printf (mail->names, "%s|", name);
  return storage;
}

static inline void
mail_add_file (MadeMail *mail, const char *long_name, const char *content_id, gboolean hidden, const void *data,
               gsize len)
{
  guint32 storage = mail_attachment_storage (mail);
  g_autoptr (GByteArray) desc = g_byte_array_new ();
  const guint8 none[16] = { 0 };

  add_u16 (desc, 0x0203);
  g_byte_array_append (desc, none, 6);
  g_byte_array_append (desc, none, 16);
  add_u32 (desc, 1);
  add_wide (desc, content_id);
  for (int i = 0; i < 4; i++)
    add_wide (desc, "");
  add_wide (desc, long_name);
  for (int i = 0; i < 5; i++)
    add_wide (desc, "");
  add_u32 (desc, hidden);
  add_u32 (desc, 0);
  g_assert_true (tpd_cfb_writer_add_bytes (mail->writer, storage, "AttachDesc", desc->data, desc->len, NULL));
  g_assert_true (tpd_cfb_writer_add_bytes (mail->writer, storage, "AttachContents", data, len, NULL));
}

/* The compound file; frees `mail`. `claimed`: the count that the list states,
 * -1 for the truth. */
static inline GBytes *
mail_finish (MadeMail *mail, gint64 claimed)
{
  g_autoptr (GByteArray) info = g_byte_array_new ();
  g_autoptr (TpdSink) sink = tpd_sink_new (NULL, NULL);
  g_autoptr (TpdSource) source = NULL;
  g_autoptr (GError) error = NULL;

  if (mail->list != 0)
    {
      add_u32 (info, claimed < 0 ? mail->count : (guint32) claimed);
      add_wide (info, mail->names->str);
      g_assert_true (
          tpd_cfb_writer_add_bytes (mail->writer, mail->list, "Attachment Info", info->data, info->len, NULL));
    }
  g_assert_true (tpd_cfb_writer_finish (mail->writer, sink, &error));
  g_assert_no_error (error);
  tpd_cfb_writer_free (mail->writer);
  g_string_free (mail->names, TRUE);
  g_free (mail);
  source = tpd_sink_to_source (g_steal_pointer (&sink), &error);
  g_assert_no_error (error);
  return source_read_all (source);
}

/* --- Framing ---------------------------------------------------------- */

static inline void
frame_header (GByteArray *out, guint32 word, guint32 inflated, guint32 deflated)
{
  add_u32 (out, word);
  add_u32 (out, inflated);
  add_u32 (out, deflated);
}

static const guint8 rpmsg_magic[8] = { 0x76, 0xe8, 0x04, 0x60, 0xc4, 0x11, 0xe3, 0x86 };

/* `data` in blocks of `block` bytes, one stream with a sync flush behind each. */
static inline GBytes *
frame (const guint8 *data, gsize len, gsize block)
{
  GByteArray *out = g_byte_array_new ();
  g_autofree guint8 *buffer = g_malloc (block * 2 + 1024);
  z_stream z = { 0 };

  g_assert_cmpint (deflateInit (&z, 9), ==, Z_OK);
  g_byte_array_append (out, rpmsg_magic, sizeof rpmsg_magic);
  for (gsize off = 0; off < len; off += block)
    {
      gsize n = MIN (block, len - off);

      z.next_in = (guint8 *) data + off;
      z.avail_in = (uInt) n;
      z.next_out = buffer;
      z.avail_out = (uInt) (block * 2 + 1024);
      g_assert_cmpint (deflate (&z, Z_SYNC_FLUSH), ==, Z_OK);
      frame_header (out, 0x0fa0, (guint32) n, (guint32) (block * 2 + 1024 - z.avail_out));
      g_byte_array_append (out, buffer, (guint) (block * 2 + 1024 - z.avail_out));
    }
  deflateEnd (&z);
  return g_byte_array_free_to_bytes (out);
}

/* --- Protecting ------------------------------------------------------- */

/* A license of the sample share with its content key. */
typedef struct {
  FixtureKeys keys;
  GBytes *license;
  TpdContentKey *key;
  GBytes *compound; /* of the sample: its data spaces are copied */
} Protector;

static inline void
protector_init (Protector *self)
{
  g_autoptr (TpdSource) sample = sample_source (SAMPLE_LICENSE);
  g_autoptr (TpdSource) inner = NULL;
  g_autoptr (GError) error = NULL;

  fixture_keys_load (&self->keys);
  self->license = tpd_rpmsg_read_license (sample, NULL, &error);
  g_assert_no_error (error);
  self->key = unwrap_sample (&self->keys, self->license);
  inner = tpd_rpmsg_inflate (sample, NULL, &error);
  g_assert_no_error (error);
  self->compound = source_read_all (inner);
}

static inline void
protector_clear (Protector *self)
{
  g_bytes_unref (self->license);
  g_bytes_unref (self->compound);
  tpd_content_key_unref (self->key);
  fixture_keys_clear (&self->keys);
}

/* The compound file `plain` as a message.rpmsg in blocks of `block` bytes, with
 * `surplus` bytes of noise behind the ciphertext. */
static inline GBytes *
protect_longer (Protector *self, GBytes *plain, gsize surplus, gsize block)
{
  g_autofree guint8 *noise = make_noise (surplus, 31);
  g_autoptr (TpdSource) sample = tpd_source_new_bytes (self->compound);
  g_autoptr (TpdCfb) cfb = tpd_cfb_open (sample, NULL);
  g_autoptr (TpdCfbWriter) writer = tpd_cfb_writer_new (3);
  g_autoptr (TpdSink) sink = tpd_sink_new (NULL, NULL);
  g_autoptr (GByteArray) content = g_byte_array_new ();
  g_autoptr (GBytes) body = NULL;
  g_autoptr (GBytes) whole = NULL;
  g_autoptr (TpdSource) outer = NULL;
  const TpdCfbEntry *spaces = NULL;
  guint32 storage;
  gsize len;
  guint8 prefix[8];

  g_assert_true (tpd_cfb_find (cfb, NULL, "\006DataSpaces", &spaces, NULL));
  g_assert_true (tpd_cfb_writer_add_storage (writer, 0, "\006DataSpaces", &storage, NULL));
  g_assert_true (tpd_cfb_writer_copy_storage (writer, storage, cfb, spaces, NULL));
  body = encrypt_body (self->key->key->data, self->key->key->len, TPD_CIPHER_ECB, TPD_IV_INDEX, FALSE,
                       g_bytes_get_data (plain, NULL), g_bytes_get_size (plain));
  put_u64 (prefix, g_bytes_get_size (plain));
  g_byte_array_append (content, prefix, 8);
  g_byte_array_append (content, g_bytes_get_data (body, NULL), (guint) g_bytes_get_size (body));
  g_byte_array_append (content, noise, (guint) surplus);
  g_assert_true (tpd_cfb_writer_add_bytes (writer, 0, "\011DRMContent", content->data, content->len, NULL));
  g_assert_true (tpd_cfb_writer_finish (writer, sink, NULL));
  outer = tpd_sink_to_source (g_steal_pointer (&sink), NULL);
  whole = source_read_all (outer);
  return frame (g_bytes_get_data (whole, &len), g_bytes_get_size (whole), block);
}

/* The same as it is written. */
static inline GBytes *
protect (Protector *self, GBytes *plain)
{
  return protect_longer (self, plain, 0, 4096);
}

static inline gboolean
has_warning (const TpdDocument *document, const char *start)
{
  for (guint i = 0; document->warnings != NULL && document->warnings[i] != NULL; i++)
    if (g_str_has_prefix (document->warnings[i], start))
      return TRUE;
  return FALSE;
}
