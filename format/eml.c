/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Internet messages (.eml) that carry a protected one: [MS-OXORMMS] 2.2;
 * docs/formats.md, "Mail". Exchange marks them with the Content-Class
 * rpmsg.message and the type application/x-microsoft-rpmsg-message; message
 * encryption sends application/octet-stream named message_v4.rpmsg and marks
 * nothing else. What counts in the end is the magic of the part.
 *
 * Ordinary mail must stay cheap: stage 1 wants a header block
 * (format/eml_head.h), stage 2 reads no more than WINDOW bytes, and takes apart
 * only what has a hint in it of something protected. A protected mail in a form
 * that is not read is refused; one that lies inside an ordinary mail is told
 * (TpdProbe.carries_mail).
 */
#include <string.h>

#include "base/error.h"
#include "format/eml_head.h"
#include "format/eml_mime.h"
#include "format/format.h"
#include "format/mail_content.h"

#define STEP (64 * 1024)
/* How far into a message its protected part must start, unless the message is
 * marked as protected. Writers put it behind one text of a few KiB. What lies
 * behind is searched by tpd_eml_search(), for those who must know. */
#define WINDOW TPD_EML_WINDOW
/* How much of the content of a part has to be seen to tell what it is. */
#define SEEN 64

#define NOT_FOUND "The mail says that it is protected, but its part message.rpmsg is missing or damaged."
/* What stands behind would be lost. */
#define PARTS_MAX_WORD G_STRINGIFY (TPD_MIME_PARTS_MAX)
#define TOO_MANY                                                                                                      \
  "The protected mail is in a wrapper of more than " PARTS_MAX_WORD " parts: save message.rpmsg with a mail program," \
  " and open it by itself."

/* --- What a mail carries ---------------------------------------------- */

/* TpdProbe.layout, if the probe saw all of the message: where its parts are.
 * Valid for the same file. */
typedef struct {
  TpdMimePart rpmsg;
  guint64 headers_off, headers_len; /* begin and end */
  gboolean marked;                  /* as protected, by its class or the part's type */
  guint others;                     /* files beside the rpmsg */
} Layout;

static void
lay_out (const TpdMimeMessage *message, const TpdMimePart *found, Layout *layout)
{
  *layout = (Layout){
    .rpmsg = *found,
    .headers_off = message->headers_off,
    .headers_len = message->headers_len,
    .marked = message->is_rpmsg_class || found->is_rpmsg_type,
  };
  layout->rpmsg.name = NULL;
  for (guint i = 0; i < message->parts->len; i++)
    {
      const TpdMimePart *part = &g_array_index (message->parts, TpdMimePart, i);

      layout->others += part != found && part->is_file;
    }
}

static gboolean
has_visible_beside (const TpdMimeMessage *message, const TpdMimePart *part)
{
  for (guint i = 0; i < message->parts->len; i++)
    {
      const TpdMimePart *other = &g_array_index (message->parts, TpdMimePart, i);

      if (other != part && other->is_visible)
        return TRUE;
    }
  return FALSE;
}

/* The first part that says it is a message.rpmsg, NULL if there is none. */
static const TpdMimePart *
find_stated (const TpdMimeMessage *message)
{
  for (guint i = 0; i < message->parts->len; i++)
    {
      const TpdMimePart *part = &g_array_index (message->parts, TpdMimePart, i);

      if (part->is_rpmsg_type || part->is_rpmsg_named)
        return part;
    }
  return NULL;
}

/*
 * Whether the mail is an ordinary one that somebody attached the protected one
 * in `part` to: without the class, and with other attachments. Its text is no
 * placeholder then, and is not to be lost. As in format/msg.c.
 */
static gboolean
is_ordinary (const TpdMimeMessage *message, const TpdMimePart *part)
{
  return !message->is_rpmsg_class && has_visible_beside (message, part);
}

/* Whether it is taken for a protected mail. `part`: what is or says it; NULL if
 * there is none among those that were looked at. */
static gboolean
is_wrapper (const TpdMimeMessage *message, const TpdMimePart *part)
{
  return part != NULL ? !is_ordinary (message, part) : message->is_rpmsg_class;
}

/* --- Stage 2 ---------------------------------------------------------- */

/* The start of a message. */
typedef struct {
  GByteArray *raw;
  TpdEmlForm form;
  GByteArray *text; /* NULL: `raw` is */
  gboolean all;     /* it is the whole message */
} Window;

static void
window_clear (Window *window)
{
  g_byte_array_unref (window->raw);
  if (window->text != NULL)
    g_byte_array_unref (window->text);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Window, window_clear)

static gboolean
read_on (TpdSource *source, gsize size, Window *window, GError **error)
{
  gsize off = window->raw->len;

  g_byte_array_set_size (window->raw, (guint) size);
  if (!tpd_source_read_exact (source, window->raw->data + off, size - off, off, error))
    return FALSE;
  window->form = tpd_eml_form (window->raw->data, MIN (size, (gsize) TPD_HEAD_SIZE));
  window->all = size == source->size;
  if (window->form != TPD_EML_UTF16 && window->form != TPD_EML_CR)
    return TRUE;
  if (window->text == NULL)
    window->text = g_byte_array_new ();
  g_byte_array_set_size (window->text, (guint) size);
  size = tpd_eml_view (window->form, window->raw->data, size, (char *) window->text->data);
  g_byte_array_set_size (window->text, (guint) size);
  return TRUE;
}

static const GByteArray *
text_of (const Window *window)
{
  return window->text != NULL ? window->text : window->raw;
}

/* As long as `window` is not read on. (transfer full) */
static TpdSource *
source_of (const Window *window)
{
  g_autoptr (GBytes) bytes = g_bytes_new_static (text_of (window)->data, text_of (window)->len);

  return tpd_source_new_bytes (bytes);
}

/* Whether there are parts in it though the type does not say so. */
static gboolean
is_parted (const Window *window, const TpdMimeMessage *message)
{
  const GByteArray *text = text_of (window);
  gsize off = (gsize) MIN (message->headers_len, (guint64) text->len);

  return tpd_eml_is_parted ((const char *) text->data + off, text->len - off);
}

/*
 * Reads what is worth to be looked at. TRUE: something in it hints at a
 * protected part. FALSE without error: nothing does; `*goes_on` then says
 * whether that is known only of the window.
 */
static gboolean
read_window (TpdSource *source, Window *window, gboolean *goes_on, GError **error)
{
  gsize size = (gsize) MIN (source->size, (guint64) WINDOW);

  *goes_on = FALSE;
  if (!read_on (source, MIN (size, (gsize) STEP), window, error))
    return FALSE;
  if (!window->all)
    {
      g_autoptr (TpdSource) first = source_of (window);
      g_autoptr (TpdMimeMessage) message = tpd_mime_scan (first, error);

      if (message == NULL)
        return FALSE;
      /* What has no end of a header block, and no fields of mail, is none. */
      *goes_on = message->headers_whole
                     ? message->has_parts || is_parted (window, message)
                     : tpd_eml_has_fields ((const char *) text_of (window)->data, text_of (window)->len);
      if (*goes_on && !read_on (source, size, window, error))
        return FALSE;
      *goes_on &= !window->all;
    }
  return tpd_eml_hints ((const char *) text_of (window)->data, text_of (window)->len);
}

/* A plain mail with a protected one in it. */
static void
tell_carried (TpdProbe *probe, const TpdMimeMessage *message)
{
  tpd_probe_tell_carried (probe, message->is_followed ? TPD_EML_MAILBOX : NULL);
}

static void
fail (TpdProbe *probe, TpdVerdict verdict, const char *sentence)
{
  probe->kind = TPD_KIND_EML;
  tpd_probe_fail (probe, verdict, "%s", sentence);
}

/* (transfer full) */
static char *
encoding_sentence (const TpdMimePart *part)
{
  return g_strdup_printf ("The mail's part message.rpmsg has the encoding \"%s\", which is not decoded here: save the"
                          " part with a mail program, and open it by itself.",
                          part->encoding_word);
}

/* A protected mail in a form that is not read. */
static void
fail_form (TpdProbe *probe, TpdEmlForm form)
{
  static const char *const sentences[] = {
    [TPD_EML_BYTES] = NULL,
    [TPD_EML_UTF16] = "The protected mail is stored in UTF-16: convert it to plain bytes (iconv -f UTF-16 -t"
                      " ISO-8859-1).",
    [TPD_EML_CR] = "The lines of the protected mail end in CR alone: change them to LF (tr '\\r' '\\n').",
    [TPD_EML_EMLX] = "The protected mail is in a file of Apple Mail (.emlx): export it as .eml.",
  };

  fail (probe, TPD_VERDICT_UNSUPPORTED, sentences[form]);
}

/* A part says that it is a message.rpmsg, and is not seen to be one. */
static void
judge_stated (const Window *window, const TpdMimeMessage *message, const TpdMimePart *stated, TpdProbe *probe)
{
  /* Its fields are in the window, its content is not. */
  const gboolean cut = !window->all && stated->end == text_of (window)->len && stated->end - stated->content < SEEN;

  if (is_ordinary (message, stated))
    tell_carried (probe, message);
  else if (stated->encoding == TPD_MIME_OTHER)
    {
      g_autofree char *sentence = encoding_sentence (stated);

      fail (probe, TPD_VERDICT_UNSUPPORTED, sentence);
    }
  else if (cut)
    probe->kind = TPD_KIND_EML;
  else
    fail (probe, TPD_VERDICT_DAMAGED,
          "The mail says that it is protected, but its part message.rpmsg is damaged or empty.");
}

/* No part says or is it. */
static void
judge_unstated (const Window *window, const TpdMimeMessage *message, gboolean goes_on, TpdProbe *probe)
{
  const GByteArray *text = text_of (window);
  gboolean mentioned = tpd_eml_mentions ((const char *) text->data, text->len, 0);

  if (message->is_rpmsg_class && !window->all)
    probe->kind = TPD_KIND_EML;
  else if (message->is_rpmsg_class && mentioned && !message->is_followed)
    fail (probe, TPD_VERDICT_DAMAGED, NOT_FOUND);
  else if (mentioned)
    tell_carried (probe, message);
  else if (message->is_rpmsg_class)
    {
      /* Exchange may have packed it into a winmail.dat. */
      probe->carries_mail = has_visible_beside (message, NULL);
      tpd_probe_warn (
          probe, "The mail says that it is protected, but has no message.rpmsg: that has been taken out, or is inside"
                 " an attachment of another kind.");
    }
  else
    probe->mail_goes_on = goes_on;
}

/* What the start of the message shows. */
static void
judge_window (const Window *window, gboolean goes_on, TpdProbe *probe, GError **error)
{
  g_autoptr (TpdSource) text = source_of (window);
  g_autoptr (TpdMimeMessage) message = tpd_mime_scan (text, error);
  const TpdMimePart *found, *stated;

  if (message == NULL || !tpd_mime_find_rpmsg (text, message, &found, error))
    return;
  stated = find_stated (message);
  if (found != NULL ? is_ordinary (message, found) : stated != NULL && message->is_followed)
    tell_carried (probe, message);
  else if (message->too_many && is_wrapper (message, found != NULL ? found : stated))
    fail (probe, TPD_VERDICT_TOO_LARGE, TOO_MANY);
  else if (found != NULL && message->is_followed)
    fail (probe, TPD_VERDICT_UNSUPPORTED, TPD_EML_MAILBOX);
  else if (found != NULL)
    probe->kind = TPD_KIND_EML;
  else if (stated != NULL)
    judge_stated (window, message, stated, probe);
  else
    judge_unstated (window, message, goes_on, probe);
  if (probe->kind == TPD_KIND_PLAIN || probe->verdict != TPD_VERDICT_NOT_PROTECTED)
    return;
  if (window->form != TPD_EML_BYTES)
    {
      fail_form (probe, window->form);
      return;
    }
  probe->verdict = TPD_VERDICT_OK;
  probe->size_class = TPD_SIZE_NEEDS_DECODING;
  probe->extension = g_strdup (".eml");
  if (found != NULL && window->all)
    {
      Layout *layout = g_new (Layout, 1);

      lay_out (message, found, layout);
      probe->layout = layout;
    }
}

static void
eml_probe (TpdSource *source, const guint8 *head, gsize len, TpdProbe *probe)
{
  g_auto (Window) window = { .raw = g_byte_array_new () };
  g_autoptr (GError) error = NULL;
  gboolean goes_on;

  if (read_window (source, &window, &goes_on, &error))
    judge_window (&window, goes_on, probe, &error);
  else
    probe->mail_goes_on = goes_on;
  if (error != NULL)
    tpd_probe_fail_error (probe, error);
}

/* --- Opening ---------------------------------------------------------- */

static gboolean
find_layout (TpdSource *source, Layout *layout, GError **error)
{
  g_autoptr (TpdMimeMessage) message = tpd_mime_scan (source, error);
  const TpdMimePart *found, *stated;

  if (message == NULL || !tpd_mime_find_rpmsg (source, message, &found, error))
    return FALSE;
  stated = find_stated (message);
  if (message->is_followed)
    g_set_error_literal (error, TPD_ERROR, TPD_ERROR_UNSUPPORTED, TPD_EML_MAILBOX);
  else if (found != NULL && is_ordinary (message, found))
    g_set_error_literal (error, TPD_ERROR, TPD_ERROR_UNSUPPORTED,
                         "The mail carries a protected one beside other attachments, and does not say that it is"
                         " protected itself: save message.rpmsg with a mail program, and open it by itself.");
  else if (message->too_many)
    g_set_error_literal (error, TPD_ERROR, TPD_ERROR_TOO_LARGE, TOO_MANY);
  else if (found == NULL && stated != NULL && stated->encoding == TPD_MIME_OTHER)
    {
      g_autofree char *sentence = encoding_sentence (stated);

      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_UNSUPPORTED, sentence);
    }
  else if (found == NULL)
    g_set_error_literal (error, TPD_ERROR, TPD_ERROR_DAMAGED, NOT_FOUND);
  else
    {
      lay_out (message, found, layout);
      return TRUE;
    }
  return FALSE;
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

/* What a gateway or a list added beside the protected mail is kept beside what is in
 * that. */
static gboolean
add_others (TpdMailContent *content, TpdSource *source, const TpdMimePart *rpmsg, TpdBudget *budget, GError **error)
{
  g_autoptr (TpdSource) budgeted = tpd_source_new_budgeted (source, budget);
  g_autoptr (TpdMimeMessage) message = tpd_mime_scan (budgeted, error);
  guint n = 0;

  if (message == NULL)
    return FALSE;
  for (guint i = 0; i < message->parts->len; i++)
    {
      const TpdMimePart *part = &g_array_index (message->parts, TpdMimePart, i);
      TpdMailAttachment *attachment;
      g_autoptr (TpdSource) decoded = NULL;

      if (!part->is_file || part->content == rpmsg->content)
        continue;
      if (part->encoding == TPD_MIME_OTHER)
        {
          tpd_mail_content_warn (content,
                                 "An attachment of the wrapper was left out: its encoding \"%s\" is not decoded here.",
                                 part->encoding_word);
          continue;
        }
      decoded = tpd_mime_decode (source, part, budget, error);
      if (decoded == NULL)
        return FALSE;
      attachment = tpd_mail_content_add (content, TPD_ATTACH_FILE);
      attachment->long_name = g_strdup (part->name);
      attachment->source = g_steal_pointer (&decoded);
      n++;
    }
  if (n > 0)
    tpd_mail_content_warn (content, "The wrapper has %u more attachments, which stand behind those of the mail.", n);
  tpd_mail_name_attachments (content);
  return TRUE;
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
  headers = tpd_source_read_bytes (source, layout.headers_off,
                                   (gsize) MIN (layout.headers_len - layout.headers_off, TPD_MAIL_MAX_HEADERS), error);
  if (headers == NULL)
    return NULL;
  content = tpd_rpmsg_decode (rpmsg, content_key, options, budget, error);
  if (content == NULL || (sink = tpd_sink_new (budget, error)) == NULL)
    return NULL;
  if (!layout.marked)
    g_ptr_array_add (content->warnings, g_strdup ("The mail is not marked as protected; it was taken for a wrapper"
                                                  " because it carries a protected message, and its own text was"
                                                  " left out."));
  if (layout.others > 0 && !add_others (content, source, &layout.rpmsg, budget, error))
    return NULL;
  if (options->mail == TPD_MAIL_MSG ? !write_as_msg (content, headers, sink, error)
                                    : !tpd_mail_write_eml (content, headers, sink, error))
    return NULL;
  return tpd_mail_content_to_document (content, TPD_KIND_EML, g_steal_pointer (&sink), error);
}

const TpdFormat tpd_format_eml = {
  .name = "eml",
  .candidate = tpd_eml_candidate,
  .may_become = tpd_eml_may_become,
  .probe = eml_probe,
  .read_license = eml_read_license,
  .open = eml_open,
  .free_layout = g_free,
};
