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
#include "format/drm_stream.h"
#include "format/format.h"
#include "format/mail.h"
#include "format/mail_content.h"

#define BLOCK_HEADER 12
#define BLOCK_MAGIC 0x0fa0
#define BLOCK_MAX (1024 * 1024)
#define PIECE (64 * 1024)
#define ZLIB_HEADER 2
#define ZLIB_TRAILER 4
/* zlib is fast as long as a longest match and some more find room. */
#define ROOM_BEHIND 512
#define BROKEN "its compressed data is broken"

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

/*
 * A buffered reader of the blocks, and the one inflater behind them.
 *
 * The stream is unwrapped from its zlib header and inflated raw: the checksum
 * stands behind the end of a stream, which these have not, and making it for
 * nothing costs a tenth of the time. A stream that ends all the same is held
 * against its checksum then.
 */
typedef struct {
  TpdSource *source;
  guint64 off;        /* of the byte behind what is at hand */
  const guint8 *data; /* what is at hand: `buffer`, or all of the source */
  guint8 *buffer;
  gsize len, pos;
  z_stream z;
  gboolean begun; /* the zlib header was taken */
  gboolean ended; /* the stream is at its end ... */
  guint8 trailer[ZLIB_TRAILER];
  guint n_trailer; /* ... and so much of its checksum was taken */
  TpdSink *sink;
} Inflater;

static void
inflater_clear (Inflater *self)
{
  inflateEnd (&self->z);
  g_free (self->buffer);
  if (self->sink != NULL)
    tpd_sink_free (self->sink);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Inflater, inflater_clear)

static gboolean
inflater_init (Inflater *self, TpdSource *source, TpdBudget *budget, GError **error)
{
  *self = (Inflater){ .source = source };
  if (inflateInit2 (&self->z, -MAX_WBITS) != Z_OK)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_ERRNO + ENOMEM, "Cannot get memory to inflate the message.");
      return FALSE;
    }
  /* Compressed or not, the content in it is still encrypted. */
  self->sink = tpd_sink_new_public (budget);
  self->data = tpd_source_memory (source);
  if (self->data != NULL)
    self->off = self->len = (gsize) source->size;
  else
    self->data = self->buffer = g_malloc (PIECE);
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
  if (!tpd_source_read_exact (self->source, self->buffer, want, self->off, error))
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

/* [RFC 1950] 2.2: deflate, no preset dictionary, and the two bytes fit. */
static gboolean
take_zlib_header (Inflater *self, guint32 *left, GError **error)
{
  guint8 head[ZLIB_HEADER];

  if (*left < sizeof head)
    return set_damaged (error, "a block holds less than it says");
  if (!inflater_take (self, head, sizeof head, error))
    return FALSE;
  *left -= (guint32) sizeof head;
  self->begun = TRUE;
  if ((head[0] << 8 | head[1]) % 31 != 0 || (head[0] & 0x0f) != Z_DEFLATED || head[0] >> 4 > MAX_WBITS - 8
      || (head[1] & 0x20) != 0)
    return set_damaged (error, BROKEN);
  return TRUE;
}

/* The checksum of all that was inflated. */
static gboolean
sum_up (TpdSink *sink, uLong *sum, GError **error)
{
  g_autofree guint8 *piece = g_malloc (PIECE);
  guint64 size = tpd_sink_size (sink);

  *sum = adler32 (0, NULL, 0);
  for (guint64 off = 0; off < size;)
    {
      gsize n = (gsize) MIN ((guint64) PIECE, size - off);

      if (!tpd_sink_pread (sink, piece, n, off, error))
        return FALSE;
      *sum = adler32 (*sum, piece, (uInt) n);
      off += n;
    }
  return TRUE;
}

/* What a block holds behind the end of the stream: its checksum, or the start
 * of that. */
static gboolean
take_trailer (Inflater *self, guint32 *left, GError **error)
{
  uLong sum;

  while (*left > 0 && self->n_trailer < sizeof self->trailer)
    {
      if (!inflater_take (self, &self->trailer[self->n_trailer], 1, error))
        return FALSE;
      self->n_trailer++;
      *left -= 1;
    }
  if (self->n_trailer < sizeof self->trailer)
    return TRUE;
  if (!sum_up (self->sink, &sum, error))
    return FALSE;
  for (guint i = 0; i < sizeof self->trailer; i++)
    if (self->trailer[i] != (guint8) (sum >> (24 - 8 * i)))
      return set_damaged (error, BROKEN);
  return *left == 0 || set_damaged (error, "its compressed data ends before the block does");
}

/* Inflates what lies in the buffer, at most `left` bytes of the block. */
static gboolean
inflate_buffered (Inflater *self, guint32 *left, guint32 expected, guint32 *produced, GError **error)
{
  gsize n = MIN ((gsize) *left, self->len - self->pos);
  int result;

  /* zlib does not write to it. */
  self->z.next_in = (Bytef *) (guintptr) (self->data + self->pos);
  self->z.avail_in = (uInt) n;
  do
    {
      gsize room, got;

      self->z.next_out = tpd_sink_room (self->sink, expected - *produced + ROOM_BEHIND, &room);
      self->z.avail_out = (uInt) room;
      result = inflate (&self->z, Z_SYNC_FLUSH);
      got = room - self->z.avail_out;
      if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
        return set_damaged (error, BROKEN);
      if (got > expected - *produced)
        return set_damaged (error, "a block holds more than it says");
      *produced += (guint32) got;
      if (got > 0 && !tpd_sink_fill (self->sink, got, error))
        return FALSE;
  } while (result == Z_OK && (self->z.avail_in > 0 || self->z.avail_out == 0));
  self->ended = result == Z_STREAM_END;
  if (!self->ended && self->z.avail_in > 0)
    return set_damaged (error, BROKEN);
  n -= self->z.avail_in;
  self->pos += n;
  *left -= (guint32) n;
  return TRUE;
}

static gboolean
inflate_block (Inflater *self, GError **error)
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
  if (!self->begun && !take_zlib_header (self, &deflated, error))
    return FALSE;
  while (deflated > 0)
    {
      if (!inflater_fill (self, error))
        return FALSE;
      if (self->ended ? !take_trailer (self, &deflated, error)
                      : !inflate_buffered (self, &deflated, inflated, &produced, error))
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

gboolean
tpd_rpmsg_check (TpdSource *rpmsg, GError **error)
{
  g_auto (Inflater) self = { 0 };
  guint8 start[8];
  gsize len;

  if (!inflater_init (&self, rpmsg, NULL, error) || !take_magic (&self, error))
    return FALSE;
  /* Blocks hold a byte at least: one is enough but for odd writers. */
  do
    if (!inflate_block (&self, error))
      return FALSE;
  while (tpd_sink_size (self.sink) < sizeof start && inflater_left (&self) > 0);
  len = (gsize) MIN ((guint64) sizeof start, tpd_sink_size (self.sink));
  if (!tpd_sink_pread (self.sink, start, len, 0, error))
    return FALSE;
  return tpd_cfb_magic (start, len) || set_damaged (error, "what it holds is no compound file");
}

TpdSource *
tpd_rpmsg_inflate (TpdSource *rpmsg, TpdBudget *budget, GError **error)
{
  g_auto (Inflater) self = { 0 };

  if (!inflater_init (&self, rpmsg, budget, error) || !take_magic (&self, error))
    return NULL;
  do
    if (!inflate_block (&self, error))
      return NULL;
  while (inflater_left (&self) > 0);
  return tpd_sink_to_source (g_steal_pointer (&self.sink), error);
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

/* The mail as a compound file, decrypted as it is read. */
static TpdSource *
decrypt (TpdSource *compound, TpdContentKey *key, const TpdOpenOptions *options, GBytes **license,
         TpdMailContent *content, GError **error)
{
  g_autoptr (TpdCfb) cfb = tpd_cfb_open (compound, error);
  g_auto (TpdDataSpaces) spaces = { 0 };
  g_autoptr (TpdSource) stream = NULL;
  g_autoptr (TpdDocument) document = NULL;

  if (cfb == NULL || !read_spaces (cfb, &spaces, error) || (*license = read_license (cfb, &spaces, error)) == NULL
      || (stream = tpd_cfb_stream_new (cfb, &spaces.content, error)) == NULL
      || (document = tpd_drm_stream_open (stream, TPD_KIND_OLE, key, options, NULL, error)) == NULL)
    return NULL;
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
