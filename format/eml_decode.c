/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of a message hold (RFC 2045 6): see eml_mime.h. An encoding
 * that a part states may be wrong, as gateways change it; of one that says it
 * is a message.rpmsg the first bytes decide.
 */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "format/eml_mime.h"
#include "format/mail.h"

#define PIECE (64 * 1024)
/* What is decoded to see the first bytes: of each no more than three characters
 * and a line end. */
#define HEAD_SIZE 128

/* --- Quoted-printable ------------------------------------------------------- */

/* What one piece leaves for the next; all zero before the first. */
typedef struct {
  guint8 held[80]; /* characters that may still turn out to be nothing */
  guint n_held;    /* "=", "=X", "=\r", or blanks */
} Quoted;

static gboolean
is_blank (guint8 c)
{
  return c == ' ' || c == '\t';
}

static gsize
release (Quoted *state, guint8 *out)
{
  gsize n = state->n_held;

  memcpy (out, state->held, n);
  state->n_held = 0;
  return n;
}

/* One character behind a "=" and what else is held. FALSE: it does not belong
 * to that. `*n` bytes are put into `out`. */
static gboolean
take_escaped (Quoted *state, guint8 c, guint8 *out, gsize *n)
{
  guint8 last = state->held[state->n_held - 1];

  if (state->n_held == 2 && g_ascii_isxdigit (last))
    {
      if (!g_ascii_isxdigit ((char) c))
        return FALSE;
      out[(*n)++] = (guint8) (g_ascii_xdigit_value ((char) last) << 4 | g_ascii_xdigit_value ((char) c));
      state->n_held = 0;
      return TRUE;
    }
  if (c == '\n')
    {
      state->n_held = 0;
      return TRUE;
    }
  if (last == '\r' || !(is_blank (c) || c == '\r' || (state->n_held == 1 && g_ascii_isxdigit ((char) c))))
    return FALSE;
  if (state->n_held == sizeof state->held)
    return FALSE;
  state->held[state->n_held++] = c;
  return TRUE;
}

/* `out` has room for `len` bytes and those that are held. Blanks at the end of a
 * line are nothing (RFC 2045 6.7); what is not well formed stays as it is. */
static gsize
quoted_step (Quoted *state, const guint8 *text, gsize len, guint8 *out)
{
  gsize n = 0;

  for (gsize i = 0; i < len; i++)
    {
      guint8 c = text[i];

      if (state->n_held > 0 && state->held[0] == '=')
        {
          if (take_escaped (state, c, out, &n))
            continue;
          n += release (state, out + n);
        }
      if (state->n_held > 0 && (!is_blank (c) || state->n_held == sizeof state->held))
        {
          if (c == '\r' || c == '\n')
            state->n_held = 0;
          n += release (state, out + n);
        }
      if (c == '=' || is_blank (c))
        state->held[state->n_held++] = c;
      else
        out[n++] = c;
    }
  return n;
}

/* --- Parts ------------------------------------------------------------------ */

static gsize
decode_head (TpdMimeEncoding encoding, const guint8 *raw, gsize len, guint8 *plain)
{
  TpdBase64 base64 = { 0 };
  Quoted quoted = { 0 };

  if (encoding == TPD_MIME_BASE64)
    return tpd_base64_step (&base64, (const char *) raw, len, plain);
  if (encoding == TPD_MIME_QUOTED)
    return quoted_step (&quoted, raw, len, plain);
  memcpy (plain, raw, len);
  return len;
}

/* Whether the content of `part` starts with the magic of a message.rpmsg, and
 * in which encoding. */
static gboolean
has_magic (TpdSource *source, TpdMimePart *part, gboolean *result, GError **error)
{
  static const TpdMimeEncoding others[] = { TPD_MIME_BASE64, TPD_MIME_IDENTITY, TPD_MIME_QUOTED };
  guint8 raw[HEAD_SIZE], plain[HEAD_SIZE + sizeof (Quoted)];
  gsize len = (gsize) MIN ((guint64) sizeof raw, part->end - part->content);
  gboolean says = part->is_rpmsg_type || part->is_rpmsg_named;

  *result = FALSE;
  if (len < TPD_RPMSG_MAGIC_SIZE || (part->encoding == TPD_MIME_OTHER && !says))
    return TRUE;
  if (!tpd_source_read_exact (source, raw, len, part->content, error))
    return FALSE;
  if (part->encoding != TPD_MIME_OTHER)
    *result = tpd_rpmsg_magic (plain, decode_head (part->encoding, raw, len, plain));
  for (guint i = 0; says && !*result && i < G_N_ELEMENTS (others); i++)
    {
      *result = tpd_rpmsg_magic (plain, decode_head (others[i], raw, len, plain));
      if (*result)
        part->encoding = others[i];
    }
  return TRUE;
}

/* Line ends that a program added behind the content, which never ends in one: in
 * 00 00 FF FF. In base64 they count for nothing anyhow. */
static gboolean
trim_end (TpdSource *source, TpdMimePart *part, GError **error)
{
  char tail[HEAD_SIZE];
  gsize len = (gsize) MIN ((guint64) sizeof tail, part->end - part->content);

  if (part->encoding == TPD_MIME_BASE64)
    return TRUE;
  if (!tpd_source_read_exact (source, tail, len, part->end - len, error))
    return FALSE;
  for (; len > 0 && (tail[len - 1] == '\n' || tail[len - 1] == '\r'); len--)
    part->end--;
  return TRUE;
}

gboolean
tpd_mime_find_rpmsg (TpdSource *source, TpdMimeMessage *message, const TpdMimePart **found, GError **error)
{
  *found = NULL;
  for (guint i = 0; i < message->parts->len; i++)
    {
      TpdMimePart *part = &g_array_index (message->parts, TpdMimePart, i);
      gboolean is_rpmsg;

      if (!has_magic (source, part, &is_rpmsg, error) || (is_rpmsg && !trim_end (source, part, error)))
        return FALSE;
      if (is_rpmsg && (*found == NULL || part->is_rpmsg_type))
        *found = part;
      if (*found != NULL && (*found)->is_rpmsg_type)
        break;
    }
  return TRUE;
}

static gboolean
decode_base64 (TpdSource *source, const TpdMimePart *part, TpdSink *sink, GError **error)
{
  gsize piece = (gsize) MIN ((guint64) PIECE, part->end - part->content);
  g_autofree char *raw = g_malloc (piece);
  TpdBase64 state = { 0 };

  for (guint64 off = part->content; off < part->end;)
    {
      gsize want = (gsize) MIN ((guint64) piece, part->end - off);
      gsize n;
      guint8 *plain = tpd_sink_room (sink, (want + 3) / 4 * 3, &n);

      /* No more than there is room for. */
      want = MIN (want, n / 3 * 4);
      if (!tpd_source_read_exact (source, raw, want, off, error)
          || !tpd_sink_fill (sink, tpd_base64_step (&state, raw, want, plain), error))
        return FALSE;
      off += want;
    }
  return TRUE;
}

static gboolean
decode_quoted (TpdSource *source, const TpdMimePart *part, TpdSink *sink, GError **error)
{
  gsize piece = (gsize) MIN ((guint64) PIECE, part->end - part->content);
  g_autofree guint8 *raw = g_malloc (piece), *plain = g_malloc (piece + sizeof (Quoted));
  Quoted state = { 0 };

  for (guint64 off = part->content; off < part->end;)
    {
      gsize want = (gsize) MIN ((guint64) piece, part->end - off);

      if (!tpd_source_read_exact (source, raw, want, off, error)
          || !tpd_sink_append (sink, plain, quoted_step (&state, raw, want, plain), error))
        return FALSE;
      off += want;
    }
  return TRUE;
}

TpdSource *
tpd_mime_decode (TpdSource *source, const TpdMimePart *part, TpdBudget *budget, GError **error)
{
  g_autoptr (TpdSink) sink = NULL;

  if (part->encoding == TPD_MIME_IDENTITY)
    return tpd_source_new_range (source, part->content, part->end - part->content);
  if (part->encoding == TPD_MIME_OTHER)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_UNSUPPORTED, "The encoding \"%s\" of a part of the mail is not known.",
                   part->encoding_word);
      return NULL;
    }
  sink = tpd_sink_new_public (budget);
  if (part->encoding == TPD_MIME_BASE64 ? !decode_base64 (source, part, sink, error)
                                        : !decode_quoted (source, part, sink, error))
    return NULL;
  return tpd_sink_to_source (g_steal_pointer (&sink), error);
}
