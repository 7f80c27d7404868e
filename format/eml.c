/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Internet messages (.eml) that carry a protected one: [MS-OXORMMS] 2.2;
 * docs/formats.md, "Mail". Exchange marks them with the Content-Class
 * rpmsg.message and the type application/x-microsoft-rpmsg-message; message
 * encryption sends application/octet-stream named message_v4.rpmsg and marks
 * nothing else. What counts in the end is the magic of the part.
 *
 * Ordinary mail must stay cheap: stage 1 wants a header block, stage 2 reads
 * no more than WINDOW bytes, and on only while the message is one that could
 * carry a part and something in it spells rpmsg.
 */
#include <string.h>

#include "base/error.h"
#include "format/eml_mime.h"
#include "format/format.h"
#include "format/mail.h"

#define STEP (64 * 1024)
/* How far into a message its protected part must start, unless the message is
 * marked as protected. Writers put it behind one text of a few KiB. */
#define WINDOW (256 * 1024)
/* Places of the text that are looked at together. */
#define PLACES 64

/* --- Stage 1 ---------------------------------------------------------- */

/* Whether one of PLACES places shows the first three letters of `word`, and
 * perhaps other bytes that differ from them in one bit. The compiler makes
 * this a few steps. */
static gboolean
may_begin (const char *data, const char *word)
{
  guint8 found = 0;

  for (gsize i = 0; i < PLACES; i++)
    found |= (guint8) (((data[i] | 0x20) == word[0]) & ((data[i + 1] | 0x20) == word[1])
                       & ((data[i + 2] | 0x20) == word[2]));
  return found != 0;
}

/* Whether `data` holds `word`, which is in lower case and begins with three
 * letters. Mail is searched to no avail as a rule. */
static gboolean
contains_folded (const char *data, gsize len, const char *word)
{
  gsize n = strlen (word);

  for (gsize at = 0; at + n <= len; at += PLACES)
    {
      gsize places = MIN ((gsize) PLACES, len - n + 1 - at);

      if (places == PLACES && !may_begin (data + at, word))
        continue;
      for (gsize i = at; i < at + places; i++)
        if ((data[i] | 0x20) == word[0] && g_ascii_strncasecmp (data + i, word, n) == 0)
          return TRUE;
    }
  return FALSE;
}

/* Whether a field of that name is one that mail has and other text has not. */
static gboolean
is_mail_field (const char *line, gsize name_len)
{
  static const char *const names[] = {
    "From",
    "To",
    "Subject",
    "Date",
    "Received",
    "Return-Path",
    "Message-ID",
    "MIME-Version",
    "Content-Type",
    "Content-Class",
    "Delivered-To",
    "DKIM-Signature",
    "ARC-Seal",
    "Received-SPF",
    "Thread-Topic",
    "Thread-Index",
    "X-Sender",
    "X-MS-Has-Attach",
    "ARC-Message-Signature",
    "ARC-Authentication-Results",
    "Authentication-Results",
  };

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    if (strlen (names[i]) == name_len && g_ascii_strncasecmp (line, names[i], name_len) == 0)
      return TRUE;
  return FALSE;
}

/* Whether `head` starts with the header block of a mail, or is part of one;
 * `*whole` tells which; `*known` counts the fields that only mail has. */
static gboolean
reads_as_headers (const char *head, gsize len, gboolean *whole, guint *known)
{
  *whole = FALSE;
  *known = 0;
  for (gsize at = 0; at < len;)
    {
      const char *line = head + at;
      const char *end = memchr (line, '\n', len - at);
      gsize line_len = end != NULL ? (gsize) (end - line) : len - at;
      gsize name_len;

      if (end != NULL && (line_len == 0 || (line_len == 1 && line[0] == '\r')))
        {
          *whole = TRUE;
          break;
        }
      if (tpd_mime_is_field (line, line_len, &name_len))
        *known += is_mail_field (line, name_len);
      else if (end == NULL ? at == 0 : at > 0 && line[0] != ' ' && line[0] != '\t')
        return FALSE;
      else if (at == 0 && (line_len < 5 || memcmp (line, "From ", 5) != 0))
        return FALSE;
      at += line_len + 1;
    }
  return TRUE;
}

static gboolean
eml_candidate (const guint8 *head, gsize len, guint64 size)
{
  const char *text = (const char *) head;
  gboolean whole;
  guint known;

  if (len == 0 || !g_ascii_isalpha (head[0]) || !reads_as_headers (text, len, &whole, &known) || known < 2)
    return FALSE;
  return !whole || contains_folded (text, len, "rpmsg") || contains_folded (text, len, "multipart/");
}

/* Of the lines that are whole: the last one may go on. */
static gboolean
eml_may_become (const guint8 *head, gsize len)
{
  const guint8 *end = len > 0 && g_ascii_isalpha (head[0]) ? memrchr (head, '\n', len) : head;
  gboolean whole;
  guint known;

  if (end == NULL)
    return TRUE;
  if (end == head || !reads_as_headers ((const char *) head, (gsize) (end + 1 - head), &whole, &known))
    return FALSE;
  return !whole || known >= 2;
}

/* --- What a mail carries ---------------------------------------------- */

/* TpdProbe.layout, if the probe saw all of the message: where its parts are.
 * Valid for the same file. */
typedef struct {
  TpdMimePart rpmsg;
  guint64 headers_len;
  gboolean marked; /* as protected, by its class or the part's type */
  guint others;    /* attachments beside the rpmsg */
} Layout;

static void
lay_out (const TpdMimeMessage *message, const TpdMimePart *found, Layout *layout)
{
  *layout = (Layout){
    .rpmsg = *found,
    .headers_len = message->headers_len,
    .marked = message->is_rpmsg_class || found->is_rpmsg_type,
  };
  for (guint i = 0; i < message->parts->len; i++)
    {
      const TpdMimePart *part = &g_array_index (message->parts, TpdMimePart, i);

      layout->others += part != found && part->is_attachment;
    }
}

/* --- Stage 2 ---------------------------------------------------------- */

/* The start of the message as far as it is worth to look at; NULL without
 * error if it is not worth anything. */
static TpdSource *
read_window (TpdSource *source, GError **error)
{
  gsize size = (gsize) MIN (source->size, (guint64) WINDOW);
  g_autoptr (GByteArray) window = g_byte_array_new ();
  g_autoptr (GBytes) bytes = NULL;
  gboolean mentioned = FALSE;

  while (window->len < size)
    {
      gsize off = window->len;
      gsize want = MIN ((gsize) STEP, size - off);
      gsize overlap = MIN (off, 16);

      g_byte_array_set_size (window, (guint) (off + want));
      if (!tpd_source_read_exact (source, window->data + off, want, off, error))
        return NULL;
      mentioned = mentioned || contains_folded ((const char *) window->data + off - overlap, want + overlap, "rpmsg")
                  || contains_folded ((const char *) window->data + off - overlap, want + overlap, "dugeymqr44");
      if (off == 0 && !mentioned)
        {
          g_autoptr (GBytes) first = g_bytes_new_static (window->data, window->len);
          g_autoptr (TpdSource) memory = tpd_source_new_bytes (first);
          g_autoptr (TpdMimeMessage) message = tpd_mime_scan (memory, error);

          if (message == NULL || (message->headers_whole && !message->is_mixed))
            return NULL;
        }
    }
  if (!mentioned)
    return NULL;
  bytes = g_byte_array_free_to_bytes (g_steal_pointer (&window));
  return tpd_source_new_bytes (bytes);
}

/* What the start of the message shows. */
static void
judge_window (TpdSource *window, gboolean all, TpdProbe *probe, GError **error)
{
  g_autoptr (TpdMimeMessage) message = tpd_mime_scan (window, error);
  const TpdMimePart *found;
  gboolean stated = FALSE, cut;

  if (message == NULL || !tpd_mime_find_rpmsg (window, message, &found, error))
    return;
  for (guint i = 0; i < message->parts->len; i++)
    {
      const TpdMimePart *part = &g_array_index (message->parts, TpdMimePart, i);

      stated |= part->is_rpmsg_type || (message->is_rpmsg_class && part->is_rpmsg_named);
      /* Its fields are in the window, its content is not. */
      cut = !all && (part->is_rpmsg_named || part->is_rpmsg_type) && part->end == window->size
            && part->end - part->content < 64;
      if (found == NULL && cut)
        found = part;
    }
  if (found != NULL || (message->is_rpmsg_class && !all && !stated))
    {
      probe->kind = TPD_KIND_EML;
      probe->verdict = TPD_VERDICT_OK;
      probe->size_class = TPD_SIZE_NEEDS_DECODING;
      probe->extension = g_strdup (".eml");
      if (found != NULL && all)
        {
          Layout *layout = g_new (Layout, 1);

          lay_out (message, found, layout);
          probe->layout = layout;
        }
    }
  else if (stated)
    {
      probe->kind = TPD_KIND_EML;
      tpd_probe_fail (probe, TPD_VERDICT_DAMAGED,
                      "The mail says that it is protected, but its part message.rpmsg is damaged or empty.");
    }
}

static void
eml_probe (TpdSource *source, const guint8 *head, gsize len, TpdProbe *probe)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdSource) window = read_window (source, &error);

  if (window != NULL)
    judge_window (window, window->size == source->size, probe, &error);
  if (error != NULL)
    tpd_probe_fail_error (probe, error);
}

/* --- Opening ---------------------------------------------------------- */

static gboolean
find_layout (TpdSource *source, Layout *layout, GError **error)
{
  g_autoptr (TpdMimeMessage) message = tpd_mime_scan (source, error);
  const TpdMimePart *found;

  if (message == NULL || !tpd_mime_find_rpmsg (source, message, &found, error))
    return FALSE;
  if (found == NULL)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED,
                   "The mail says that it is protected, but its part message.rpmsg is missing or damaged.");
      return FALSE;
    }
  lay_out (message, found, layout);
  return TRUE;
}

/* The message.rpmsg that the mail carries. */
static TpdSource *
take_out (const TpdProbe *probe, TpdSource *source, TpdBudget *budget, Layout *layout, GError **error)
{
  const Layout *known = probe->layout;
  g_autoptr (TpdSource) budgeted = NULL;

  if (known != NULL && known->rpmsg.end <= source->size)
    *layout = *known;
  else
    {
      budgeted = tpd_source_new_budgeted (source, budget);
      if (!find_layout (budgeted, layout, error))
        return NULL;
    }
  return tpd_mime_decode (source, &layout->rpmsg, budget, error);
}

static GBytes *
eml_read_license (const TpdProbe *probe, TpdSource *source, GError **error)
{
  g_autoptr (TpdSource) rpmsg = NULL;
  Layout layout;
  TpdBudget budget;

  tpd_budget_init_decode (&budget, source->size);
  rpmsg = take_out (probe, source, &budget, &layout, error);
  return rpmsg != NULL ? tpd_rpmsg_read_license (rpmsg, &budget, error) : NULL;
}

static gboolean
write_as_msg (const TpdMailContent *content, GBytes *block, TpdSink *sink, GError **error)
{
  g_autoptr (TpdMailHeaders) headers = tpd_mail_headers_parse (block);

  return tpd_mail_write_msg (content, NULL, headers, sink, error);
}

static TpdDocument *
eml_open (TpdSource *source, const TpdProbe *probe, TpdContentKey *content_key, const TpdOpenOptions *options,
          TpdBudget *budget, GError **error)
{
  g_autoptr (TpdSource) rpmsg = NULL;
  g_autoptr (GBytes) headers = NULL;
  g_autoptr (TpdMailContent) content = NULL;
  g_autoptr (TpdSink) sink = NULL;
  Layout layout;

  if ((rpmsg = take_out (probe, source, budget, &layout, error)) == NULL)
    return NULL;
  /* tpd_mime_scan() looks no further than that for the end of the headers. */
  headers = tpd_source_read_bytes (source, 0, (gsize) MIN (layout.headers_len, TPD_MAIL_MAX_HEADERS), error);
  if (headers == NULL)
    return NULL;
  content = tpd_rpmsg_decode (rpmsg, content_key, options, budget, error);
  if (content == NULL || (sink = tpd_sink_new (budget, error)) == NULL)
    return NULL;
  if (!layout.marked)
    g_ptr_array_add (content->warnings, g_strdup ("The mail is not marked as protected; it was taken for a wrapper"
                                                  " because it carries a protected message, and its own text was"
                                                  " left out."));
  if (layout.others > 0)
    g_ptr_array_add (content->warnings,
                     g_strdup_printf ("The wrapper has %u more attachments, which were left out.", layout.others));
  if (options->mail == TPD_MAIL_MSG ? !write_as_msg (content, headers, sink, error)
                                    : !tpd_mail_write_eml (content, headers, sink, error))
    return NULL;
  return tpd_mail_content_to_document (content, TPD_KIND_EML, g_steal_pointer (&sink), error);
}

const TpdFormat tpd_format_eml = {
  .name = "eml",
  .candidate = eml_candidate,
  .may_become = eml_may_become,
  .probe = eml_probe,
  .read_license = eml_read_license,
  .open = eml_open,
  .free_layout = g_free,
};
