/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message.rpmsg ([MS-OXORMMS] 2.2; docs/formats.md, "Mail"): a magic, then
 * blocks {u32 0x0FA0, u32 inflated, u32 deflated, data}. One zlib stream runs
 * through all blocks; each ends in a sync flush, and the stream is never
 * finished. Inside is a compound file with the same data spaces as an Office
 * document, and the stream that these protect is a compound file again, the
 * mail (format/mail_content.c).
 *
 * The blocks depend on each other, so everything is inflated from the start
 * whenever something is needed; nothing of it is kept between the calls.
 */
#include <string.h>
#include <zlib.h>

#include "base/bytes.h"
#include "base/error.h"
#include "format/dataspaces.h"
#include "format/format.h"
#include "format/mail.h"
#include "format/mail_content.h"
#include "format/mode.h"

#define BLOCK_HEADER 12
#define BLOCK_MAGIC 0x0fa0
#define BLOCK_MAX (1024 * 1024)
#define PIECE (64 * 1024)
#define PREFIX_SIZE 8
#define AES_BLOCK 16

static const guint8 magic[TPD_RPMSG_MAGIC_SIZE] = { 0x76, 0xe8, 0x04, 0x60, 0xc4, 0x11, 0xe3, 0x86 };

gboolean
tpd_rpmsg_magic (const guint8 *head, gsize len)
{
  return len >= sizeof magic && memcmp (head, magic, sizeof magic) == 0;
}

/* --- Outer framing ---------------------------------------------------- */

static gboolean
set_damaged (GError **error, const char *what)
{
  g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED, "The protected message is damaged: %s.", what);
  return FALSE;
}

/* A buffered reader of the blocks, and the one inflater behind them. */
typedef struct {
  TpdSource *source;
  guint64 off; /* of the byte behind `data` */
  guint8 *data;
  gsize len, pos;
  z_stream z;
  guint8 *out;
} Inflater;

static void
inflater_clear (Inflater *self)
{
  inflateEnd (&self->z);
  g_free (self->data);
  g_free (self->out);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Inflater, inflater_clear)

static gboolean
inflater_init (Inflater *self, TpdSource *source, GError **error)
{
  *self = (Inflater){ .source = source };
  if (inflateInit (&self->z) != Z_OK)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_ERRNO + ENOMEM, "Cannot get memory to inflate the message.");
      return FALSE;
    }
  self->data = g_malloc (PIECE);
  self->out = g_malloc (PIECE);
  return TRUE;
}

/* Bytes that are not yet taken, buffered or not. */
static guint64
inflater_left (const Inflater *self)
{
  return self->len - self->pos + (self->source->size - self->off);
}

/* Makes some bytes available unless the source is at its end. */
static gboolean
inflater_fill (Inflater *self, GError **error)
{
  gsize want;

  if (self->pos < self->len || self->off >= self->source->size)
    return TRUE;
  want = (gsize) MIN ((guint64) PIECE, self->source->size - self->off);
  if (!tpd_source_read_exact (self->source, self->data, want, self->off, error))
    return FALSE;
  self->off += want;
  self->len = want;
  self->pos = 0;
  return TRUE;
}

static gboolean
inflater_take (Inflater *self, guint8 *out, gsize len, GError **error)
{
  while (len > 0)
    {
      gsize n;

      if (!inflater_fill (self, error))
        return FALSE;
      n = MIN (len, self->len - self->pos);
      if (n == 0)
        return set_damaged (error, "it ends in the middle of a block");
      memcpy (out, self->data + self->pos, n);
      self->pos += n;
      out += n;
      len -= n;
    }
  return TRUE;
}

/* Gets what one inflated piece is for; a caller's own. */
typedef gboolean (*PieceFunc) (const guint8 *data, gsize len, gpointer user_data, GError **error);

/* Inflates what lies in the buffer, at most `left` bytes of the block. */
static gboolean
inflate_buffered (Inflater *self, guint32 *left, guint32 expected, guint32 *produced, PieceFunc func,
                  gpointer user_data, GError **error)
{
  gsize n = MIN ((gsize) *left, self->len - self->pos);
  int result;

  self->z.next_in = self->data + self->pos;
  self->z.avail_in = (uInt) n;
  do
    {
      gsize got;

      self->z.next_out = self->out;
      self->z.avail_out = PIECE;
      result = inflate (&self->z, Z_SYNC_FLUSH);
      got = PIECE - self->z.avail_out;
      if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
        return set_damaged (error, "its compressed data is broken");
      if (got > expected - *produced)
        return set_damaged (error, "a block holds more than it says");
      *produced += (guint32) got;
      if (got > 0 && !func (self->out, got, user_data, error))
        return FALSE;
  } while (result == Z_OK && (self->z.avail_in > 0 || self->z.avail_out == 0));
  if (self->z.avail_in > 0)
    return set_damaged (error, "its compressed data ends before the block does");
  self->pos += n;
  *left -= (guint32) n;
  return TRUE;
}

static gboolean
inflate_block (Inflater *self, PieceFunc func, gpointer user_data, GError **error)
{
  guint8 header[BLOCK_HEADER];
  TpdBytes bytes = tpd_bytes (header, sizeof header);
  guint32 word = 0, inflated = 0, deflated = 0, produced = 0;

  if (!inflater_take (self, header, sizeof header, error))
    return FALSE;
  tpd_bytes_take_u32le (&bytes, &word);
  tpd_bytes_take_u32le (&bytes, &inflated);
  tpd_bytes_take_u32le (&bytes, &deflated);
  if (word != BLOCK_MAGIC || inflated == 0 || inflated > BLOCK_MAX || deflated == 0 || deflated > BLOCK_MAX)
    return set_damaged (error, "a block does not start as it must");
  if (deflated > inflater_left (self))
    return set_damaged (error, "it is cut off in the middle of a block");
  while (deflated > 0)
    {
      if (!inflater_fill (self, error))
        return FALSE;
      if (!inflate_buffered (self, &deflated, inflated, &produced, func, user_data, error))
        return FALSE;
    }
  if (produced != inflated)
    return set_damaged (error, "a block holds less than it says");
  return TRUE;
}

static gboolean
take_magic (Inflater *self, GError **error)
{
  guint8 start[TPD_RPMSG_MAGIC_SIZE];

  if (!inflater_take (self, start, sizeof start, error))
    return FALSE;
  return tpd_rpmsg_magic (start, sizeof start) || set_damaged (error, "it does not start as it must");
}

/* --- Its first block -------------------------------------------------- */

typedef struct {
  guint8 data[8];
  gsize len;
} Start;

static gboolean
keep_start (const guint8 *data, gsize len, gpointer user_data, GError **error)
{
  Start *start = user_data;
  gsize n = MIN (len, sizeof start->data - start->len);

  memcpy (start->data + start->len, data, n);
  start->len += n;
  return TRUE;
}

gboolean
tpd_rpmsg_check (TpdSource *rpmsg, GError **error)
{
  g_auto (Inflater) self = { 0 };
  Start start = { .len = 0 };

  if (!inflater_init (&self, rpmsg, error) || !take_magic (&self, error)
      || !inflate_block (&self, keep_start, &start, error))
    return FALSE;
  return tpd_cfb_magic (start.data, start.len) || set_damaged (error, "what it holds is no compound file");
}

/* --- All of it -------------------------------------------------------- */

static gboolean
append_piece (const guint8 *data, gsize len, gpointer user_data, GError **error)
{
  return tpd_sink_append (user_data, data, len, error);
}

TpdSource *
tpd_rpmsg_inflate (TpdSource *rpmsg, TpdBudget *budget, GError **error)
{
  g_autoptr (TpdSink) sink = NULL;
  g_auto (Inflater) self = { 0 };

  if (!inflater_init (&self, rpmsg, error) || !take_magic (&self, error))
    return NULL;
  /* Compressed or not, the content in it is still encrypted. */
  sink = tpd_sink_new_public (budget);
  do
    if (!inflate_block (&self, append_piece, sink, error))
      return NULL;
  while (inflater_left (&self) > 0);
  return tpd_sink_to_source (g_steal_pointer (&sink), error);
}

/* --- The protected stream --------------------------------------------- */

/* What is missing inside is damage here: nothing but protected mail is an rpmsg. */
static gboolean
read_spaces (TpdCfb *cfb, TpdDataSpaces *spaces, GError **error)
{
  g_autoptr (GError) own = NULL;

  if (!tpd_dataspaces_read (cfb, spaces, &own))
    {
      if (g_error_matches (own, TPD_ERROR, TPD_ERROR_NOT_PROTECTED))
        return set_damaged (error, "it holds no protected content");
      g_propagate_error (error, g_steal_pointer (&own));
      return FALSE;
    }
  if (!spaces->compressed)
    return TRUE;
  g_set_error (error, TPD_ERROR, TPD_ERROR_UNSUPPORTED,
               "The protected message holds its content compressed a second time, which is not supported.");
  return FALSE;
}

static GBytes *
read_license (TpdCfb *cfb, const TpdDataSpaces *spaces, GError **error)
{
  g_autoptr (TpdSource) primary = tpd_cfb_stream_new (cfb, &spaces->primary, error);

  if (primary == NULL)
    return NULL;
  return tpd_source_read_bytes (primary, spaces->license_off, spaces->license_len, error);
}

GBytes *
tpd_rpmsg_read_license (TpdSource *rpmsg, TpdBudget *budget, GError **error)
{
  TpdBudget own;
  g_autoptr (TpdSource) compound = NULL;
  g_autoptr (TpdCfb) cfb = NULL;
  g_auto (TpdDataSpaces) spaces = { 0 };

  if (budget == NULL)
    {
      tpd_budget_init_decode (&own, rpmsg->size);
      budget = &own;
    }
  compound = tpd_rpmsg_inflate (rpmsg, budget, error);
  if (compound == NULL || (cfb = tpd_cfb_open (compound, error)) == NULL || !read_spaces (cfb, &spaces, error))
    return NULL;
  return read_license (cfb, &spaces, error);
}

/* The plain size and the ciphertext of the protected stream. */
static TpdSource *
open_body (TpdCfb *cfb, const TpdDataSpaces *spaces, guint64 *plain_size, GError **error)
{
  g_autoptr (TpdSource) stream = tpd_cfb_stream_new (cfb, &spaces->content, error);
  guint8 prefix[PREFIX_SIZE];
  TpdBytes bytes = tpd_bytes (prefix, sizeof prefix);
  guint64 size;

  if (stream == NULL || !tpd_source_read_exact (stream, prefix, sizeof prefix, 0, error))
    return NULL;
  tpd_bytes_take_u64le (&bytes, plain_size);
  size = (stream->size - PREFIX_SIZE) / AES_BLOCK * AES_BLOCK;
  if (*plain_size > size)
    {
      set_damaged (error, "it is shorter than it says");
      return NULL;
    }
  return tpd_source_new_range (stream, PREFIX_SIZE, size);
}

/* The mail as a compound file, decrypted as it is read. */
static TpdSource *
decrypt (TpdSource *compound, TpdContentKey *key, const TpdOpenOptions *options, GBytes **license,
         TpdMailContent *content, GError **error)
{
  g_autoptr (TpdCfb) cfb = tpd_cfb_open (compound, error);
  g_auto (TpdDataSpaces) spaces = { 0 };
  g_autoptr (TpdSource) body = NULL;
  g_autoptr (TpdDocument) document = NULL;
  g_auto (TpdModeAnswer) answer = { 0 };
  guint64 plain_size;

  if (cfb == NULL || !read_spaces (cfb, &spaces, error) || (*license = read_license (cfb, &spaces, error)) == NULL)
    return NULL;
  body = open_body (cfb, &spaces, &plain_size, error);
  if (body == NULL
      || !tpd_mode_decide (&(TpdModeQuestion){ .body = body, .stored_size = plain_size, .iv = options->iv }, key,
                           &answer, error))
    return NULL;
  document = tpd_mode_answer_to_document (&answer, TPD_KIND_OLE, body);
  content->cipher = document->cipher;
  content->proof = document->proof;
  tpd_mail_content_add_notes (content, NULL, document);
  return tpd_source_new_document (document);
}

static TpdMailContent *
decode (TpdSource *rpmsg, TpdContentKey *key, const TpdOpenOptions *options, TpdBudget *budget, GError **error)
{
  g_autoptr (TpdMailContent) content = tpd_mail_content_new ();
  g_autoptr (TpdSource) compound = tpd_rpmsg_inflate (rpmsg, budget, error);
  g_autoptr (TpdSource) plain = NULL;
  g_autoptr (GBytes) license = NULL;

  if (compound == NULL || (plain = decrypt (compound, key, options, &license, content, error)) == NULL)
    return NULL;
  if (!tpd_mail_content_read (content, plain, budget, error)
      || !tpd_mail_open_nested (content, license, key, options, budget, error))
    return NULL;
  return g_steal_pointer (&content);
}

TpdMailContent *
tpd_rpmsg_decode (TpdSource *rpmsg, TpdContentKey *key, const TpdOpenOptions *options, TpdBudget *budget,
                  GError **error)
{
  TpdBudget own;

  if (budget != NULL)
    return decode (rpmsg, key, options, budget, error);
  tpd_budget_init_decode (&own, rpmsg->size);
  return decode (rpmsg, key, options, &own, error);
}

/* --- A bare message.rpmsg --------------------------------------------- */

static gboolean
rpmsg_candidate (const guint8 *head, gsize len, guint64 size)
{
  return tpd_rpmsg_magic (head, len);
}

static void
rpmsg_probe (TpdSource *source, const guint8 *head, gsize len, TpdProbe *probe)
{
  g_autoptr (GError) error = NULL;

  probe->kind = TPD_KIND_RPMSG;
  probe->verdict = TPD_VERDICT_OK;
  probe->size_class = TPD_SIZE_NEEDS_DECODING;
  probe->extension = g_strdup (".eml");
  if (!tpd_rpmsg_check (source, &error))
    tpd_probe_fail_error (probe, error);
}

static GBytes *
rpmsg_read_license (const TpdProbe *probe, TpdSource *source, GError **error)
{
  return tpd_rpmsg_read_license (source, NULL, error);
}

static TpdDocument *
rpmsg_open (TpdSource *source, const TpdProbe *probe, TpdContentKey *content_key, const TpdOpenOptions *options,
            TpdBudget *budget, GError **error)
{
  g_autoptr (TpdMailContent) content = tpd_rpmsg_decode (source, content_key, options, budget, error);
  g_autoptr (TpdSink) sink = NULL;

  if (content == NULL || (sink = tpd_sink_new (budget, error)) == NULL)
    return NULL;
  if (options->mail == TPD_MAIL_MSG ? !tpd_mail_write_msg (content, NULL, NULL, sink, error)
                                    : !tpd_mail_write_eml (content, NULL, sink, error))
    return NULL;
  return tpd_mail_content_to_document (content, TPD_KIND_RPMSG, g_steal_pointer (&sink), error);
}

const TpdFormat tpd_format_rpmsg = {
  .name = "rpmsg",
  .candidate = rpmsg_candidate,
  .probe = rpmsg_probe,
  .read_license = rpmsg_read_license,
  .open = rpmsg_open,
  .free_layout = g_free,
};
