/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Outlook items (.msg) that carry a protected mail: [MS-OXORMMS] 2.2.1,
 * [MS-OXMSG]; docs/formats.md, "Mail". The protected mail is the attachment
 * message.rpmsg. Mail that came from Exchange is marked by the content class
 * rpmsg.message; mail that came from outside has only the name or type of the
 * attachment. What counts in the end is the magic of its bytes.
 *
 * Where nothing but the name says it, other attachments must not be visible
 * ones: the body of an ordinary mail that somebody attached a message.rpmsg to
 * is no placeholder, and is not to be lost. Such a mail stays as it is, and is
 * told (TpdProbe.carries_mail). As in format/eml.c.
 */
#include <string.h>

#include "base/error.h"
#include "format/format.h"
#include "format/mail_content.h"
#include "format/msg_names.h"

/* Streams up to this size have their chain followed by the probe. */
#define PROBE_CHAIN_MAX (1024 * 1024)
/* So many attachments of an item, and items inside of it at whatever depth, are
 * looked at; more as long as nothing was found, the reads of a probe last, and there
 * are less than MORE_MAX in all. */
#define ATTACHMENTS_MAX 32
#define ITEMS_MAX 32
#define MORE_MAX 1000
/* Reads before the probe reads in large pieces: an item with thousands of
 * recipients has its directory all over the file. */
#define SMALL_READS 24
#define WIDE_PIECE (1024 * 1024)

#define CONTENT_CLASS "rpmsg.message"
#define VOICE_MAIL_CLASS "IPM.Note.rpmsg."
#define MIME_TYPE "application/x-microsoft-rpmsg-message"
#define NAME_START "message"
#define NAME_END ".rpmsg"
#define SHORT_TEXT 256
/* A name that is kept. */
#define NAME_TEXT 1024

#define MANY_CARRIED                                                                                             \
  "The mail is not protected itself, and has more attachments than are looked at; one of them may be protected:" \
  " save that (message.rpmsg) with a mail program, and open it by itself."

/* TpdProbe.layout: an entry is valid for any TpdCfb of the same file. */
typedef struct {
  TpdCfbEntry data;
  gboolean others; /* visible attachments beside it */
} Layout;

/* --- Few reads ----------------------------------------------------------- */

/* Used by one thread, for one probe. */
typedef struct {
  TpdSource base;
  TpdSource *parent; /* borrowed */
  guint reads;
  guint8 *data;
  guint64 off;
  gsize len;
} WideSource;

static gssize
wide_pread (TpdSource *source, void *buf, gsize len, guint64 off, GError **error)
{
  WideSource *self = (WideSource *) source;
  gssize got;

  if (off >= source->size)
    return 0;
  len = (gsize) MIN ((guint64) len, source->size - off);
  if (off < self->off || off - self->off >= self->len || len > self->len - (gsize) (off - self->off))
    {
      if (self->reads++ < SMALL_READS || len > WIDE_PIECE / 2)
        return tpd_source_pread (self->parent, buf, len, off, error);
      if (self->data == NULL)
        self->data = g_malloc (WIDE_PIECE);
      self->off = off & ~(guint64) (WIDE_PIECE / 2 - 1);
      self->len = 0;
      got = tpd_source_pread (self->parent, self->data, WIDE_PIECE, self->off, error);
      if (got < 0)
        return -1;
      self->len = (gsize) got;
      if (off - self->off >= self->len)
        return 0;
      len = MIN (len, self->len - (gsize) (off - self->off));
    }
  memcpy (buf, self->data + (off - self->off), len);
  return (gssize) len;
}

static void
wide_free (TpdSource *source)
{
  WideSource *self = (WideSource *) source;

  g_free (self->data);
  g_free (self);
}

static TpdSource *
wide_source_new (TpdSource *parent)
{
  static const TpdSourceClass klass = { wide_pread, NULL, wide_free };
  WideSource *self = g_new0 (WideSource, 1);

  self->base = (TpdSource){ &klass, parent->size, 1 };
  self->parent = parent;
  return &self->base;
}

/* --- Signs of protection -------------------------------------------------- */

static gboolean
msg_candidate (const guint8 *head, gsize len, guint64 size)
{
  return tpd_cfb_magic (head, len);
}

/* Whether a file that cannot be followed shows a protected mail near its start. */
static gboolean
search_rpmsg (TpdSource *source)
{
  g_autofree guint8 *data = g_malloc (WIDE_PIECE);
  gssize n = tpd_source_pread (source, data, WIDE_PIECE, 0, NULL);

  /* Streams begin at mini sectors of 64 bytes. */
  for (gssize at = 0; at + TPD_RPMSG_MAGIC_SIZE <= n; at += 64)
    if (tpd_rpmsg_magic (data + at, TPD_RPMSG_MAGIC_SIZE))
      return TRUE;
  return FALSE;
}

static void
fail_unreadable (TpdSource *source, const GError *error, TpdProbe *probe)
{
  if (error->code >= TPD_ERROR_STALE)
    tpd_probe_fail_error (probe, error);
  else if (search_rpmsg (source))
    {
      probe->kind = TPD_KIND_MSG;
      tpd_probe_fail_error (probe, error);
    }
}

static gboolean
is_protected_class (const char *text)
{
  return text != NULL
         && (g_ascii_strcasecmp (text, CONTENT_CLASS) == 0
             || g_ascii_strncasecmp (text, VOICE_MAIL_CLASS, strlen (VOICE_MAIL_CLASS)) == 0);
}

/* Whether the item is marked as a protected mail. */
static gboolean
read_marks (TpdCfb *cfb, const TpdMsgTable *table, gboolean *marked, GError **error)
{
  const TpdCfbEntry *root = tpd_cfb_root (cfb);
  guint code_page = tpd_msg_code_page (table);
  g_autoptr (TpdMsgNames) names = NULL;
  g_autofree char *content_class = NULL, *message_class = NULL;
  guint16 id;

  *marked = FALSE;
  names = tpd_msg_names_read (cfb, root, error);
  if (names == NULL)
    return FALSE;
  id = tpd_msg_names_content_class (names);
  if (id != 0 && !tpd_msg_read_text (cfb, root, id, code_page, SHORT_TEXT, &content_class, error))
    return FALSE;
  *marked = is_protected_class (content_class);
  if (*marked)
    return TRUE;
  if (!tpd_msg_read_text (cfb, root, TPD_MSG_MESSAGE_CLASS, code_page, SHORT_TEXT, &message_class, error))
    return FALSE;
  *marked = is_protected_class (message_class);
  return TRUE;
}

static gboolean
is_rpmsg_name (const char *name)
{
  return name != NULL && g_ascii_strncasecmp (name, NAME_START, strlen (NAME_START)) == 0
         && strlen (name) > strlen (NAME_END)
         && g_ascii_strcasecmp (name + strlen (name) - strlen (NAME_END), NAME_END) == 0;
}

typedef struct {
  const TpdCfbEntry *data; /* NULL if it is no file */
  const TpdCfbEntry *item; /* an item or object; NULL if it is none */
  gboolean says_rpmsg;     /* by name or type */
  gboolean is_rpmsg;       /* by its bytes */
  gboolean visible;        /* not part of the body */
} Attachment;

/* Looks at the attachment in `storage`; its bytes only where there is reason to. */
static gboolean
look (TpdCfb *cfb, const TpdCfbEntry *storage, gboolean marked, Attachment *attachment, GError **error)
{
  static const guint16 ids[] = { TPD_MSG_ATTACH_LONG_NAME, TPD_MSG_DISPLAY_NAME, TPD_MSG_ATTACH_MIME };
  g_auto (TpdMsgTable) table = { 0 };
  char name[TPD_MSG_STREAM_NAME_SIZE];
  guint8 head[TPD_RPMSG_MAGIC_SIZE];

  *attachment = (Attachment){ 0 };
  tpd_msg_stream_name (TPD_MSG_TAG (TPD_MSG_ATTACH_DATA, TPD_MSG_BINARY), name);
  if (!tpd_cfb_find (cfb, storage, name, &attachment->data, error)
      || !tpd_msg_table_read (&table, cfb, storage, FALSE, error))
    return FALSE;
  if (attachment->data != NULL && attachment->data->type != TPD_CFB_STREAM)
    attachment->data = NULL;
  tpd_msg_stream_name (TPD_MSG_TAG (TPD_MSG_ATTACH_DATA, TPD_MSG_OBJECT), name);
  if (attachment->data == NULL && !tpd_cfb_find (cfb, storage, name, &attachment->item, error))
    return FALSE;
  if (attachment->item != NULL && attachment->item->type != TPD_CFB_STORAGE)
    attachment->item = NULL;
  attachment->visible = !tpd_msg_table_get (&table, TPD_MSG_TAG (TPD_MSG_ATTACH_HIDDEN, TPD_MSG_BOOLEAN), 0)
                        && !tpd_msg_table_has_id (&table, TPD_MSG_ATTACH_CONTENT_ID);
  for (gsize i = 0; i < G_N_ELEMENTS (ids) && !attachment->says_rpmsg; i++)
    {
      g_autofree char *text = NULL;

      if (!tpd_msg_read_text (cfb, storage, ids[i], 0, SHORT_TEXT, &text, error))
        return FALSE;
      attachment->says_rpmsg = is_rpmsg_name (text) || (text != NULL && g_ascii_strcasecmp (text, MIME_TYPE) == 0);
    }
  if (attachment->data == NULL || !(marked || attachment->says_rpmsg) || attachment->data->size < sizeof head)
    return TRUE;
  if (!tpd_cfb_stream_peek (cfb, attachment->data, head, sizeof head, error))
    return FALSE;
  attachment->is_rpmsg = tpd_rpmsg_magic (head, sizeof head);
  return TRUE;
}

static gboolean
is_attachment (const TpdCfbEntry *entry)
{
  return entry->type == TPD_CFB_STORAGE
         && g_ascii_strncasecmp (entry->name, TPD_MSG_ATTACH, strlen (TPD_MSG_ATTACH)) == 0;
}

/* What the attachments of an item show. */
typedef struct {
  /* The protected mail, NULL in `data` if there is none; in a marked item also
   * one that only says so. */
  Attachment rpmsg;
  gboolean others;  /* visible ones beside it */
  gboolean carried; /* in an ordinary mail one is a protected mail, or says so */
  gboolean unknown; /* nothing was found, and not all were looked at */
  GPtrArray *items; /* of const TpdCfbEntry: those that are items, or objects */
} Found;

static void
found_clear (Found *found)
{
  g_clear_pointer (&found->items, g_ptr_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Found, found_clear)

/* Whether the next attachment of many is worth a look; takes from `*more`. */
static gboolean
looks_on (Found *found, guint *more)
{
  found->others = TRUE;
  if (found->rpmsg.is_rpmsg || found->carried)
    return FALSE;
  found->unknown = *more == 0;
  *more -= *more > 0;
  return !found->unknown;
}

/* What cannot be followed of many does not undo what was seen before. */
static gboolean
ends_search (gboolean many, Found *found, GError *own, GError **error)
{
  if (!many || own->code >= TPD_ERROR_STALE)
    {
      g_propagate_error (error, own);
      return FALSE;
    }
  g_error_free (own);
  found->unknown = TRUE;
  return TRUE;
}

/* `item`: the root, or an item inside. `*more`: what is left of MORE_MAX. */
static gboolean
find_rpmsg (TpdCfb *cfb, const TpdCfbEntry *item, gboolean marked, guint *more, Found *found, GError **error)
{
  const GPtrArray *list = tpd_cfb_children (cfb, item, error);
  guint n = 0;

  *found = (Found){ .items = g_ptr_array_new () };
  if (list == NULL)
    return FALSE;
  for (guint i = 0; i < list->len && !found->unknown; i++)
    {
      const TpdCfbEntry *entry = g_ptr_array_index (list, i);
      Attachment attachment;
      GError *own = NULL;

      if (!is_attachment (entry))
        continue;
      if (++n > ATTACHMENTS_MAX && !looks_on (found, more))
        break;
      if (!look (cfb, entry, marked && n <= ATTACHMENTS_MAX, &attachment, &own))
        {
          if (!ends_search (n > ATTACHMENTS_MAX, found, own, error))
            return FALSE;
          break;
        }
      if (!found->rpmsg.is_rpmsg && attachment.data != NULL
          && (attachment.is_rpmsg || (marked && attachment.says_rpmsg)))
        found->rpmsg = attachment;
      else
        found->others |= attachment.visible;
      found->carried |= !marked && attachment.data != NULL && attachment.says_rpmsg;
      if (attachment.item != NULL)
        g_ptr_array_add (found->items, (gpointer) attachment.item);
    }
  if (!marked && (found->others || !found->rpmsg.is_rpmsg))
    found->rpmsg = (Attachment){ 0 };
  found->carried &= found->rpmsg.data == NULL;
  return TRUE;
}

/* Whether one of the items that `found` has, or what is inside of them, has a
 * protected mail: sets `found->carried` or `found->unknown`. */
static gboolean
look_into_items (TpdCfb *cfb, guint *more, Found *found, GError **error)
{
  g_autoptr (GPtrArray) waiting = g_ptr_array_new ();

  for (guint i = 0; i < found->items->len; i++)
    g_ptr_array_add (waiting, g_ptr_array_index (found->items, i));
  for (guint i = 0; i < waiting->len && !found->carried && !found->unknown; i++)
    {
      g_auto (Found) inside = { 0 };
      GError *own = NULL;

      if (i >= ITEMS_MAX && !looks_on (found, more))
        break;
      if (!find_rpmsg (cfb, g_ptr_array_index (waiting, i), FALSE, more, &inside, &own))
        return ends_search (i >= ITEMS_MAX, found, own, error);
      found->carried = inside.carried || inside.rpmsg.data != NULL;
      found->unknown = inside.unknown;
      for (guint j = 0; j < inside.items->len; j++)
        g_ptr_array_add (waiting, g_ptr_array_index (inside.items, j));
    }
  return TRUE;
}

/* Whether the ordinary mail has a protected one in it. What cannot be followed
 * is searched. FALSE with error only when it cannot be read. */
static gboolean
carries (TpdSource *source, TpdCfb *cfb, guint *more, Found *found, GError **error)
{
  g_autoptr (GError) own = NULL;

  if (found->carried || look_into_items (cfb, more, found, &own))
    return TRUE;
  if (own->code >= TPD_ERROR_STALE)
    {
      g_propagate_error (error, g_steal_pointer (&own));
      return FALSE;
    }
  found->carried = search_rpmsg (source);
  return TRUE;
}

/* --- The format ------------------------------------------------------------ */

/* The protected mail as far as it can be seen cheaply. */
static void
check_rpmsg (TpdCfb *cfb, const Attachment *rpmsg, TpdProbe *probe)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdSource) stream = NULL;

  if (!rpmsg->is_rpmsg)
    {
      tpd_probe_fail (probe, TPD_VERDICT_DAMAGED,
                      "The protected mail is damaged: its attachment message.rpmsg does not start as it must.");
      return;
    }
  if (rpmsg->data->size > PROBE_CHAIN_MAX)
    return;
  stream = tpd_cfb_stream_new (cfb, rpmsg->data, &error);
  if (stream == NULL || !tpd_rpmsg_check (stream, &error))
    tpd_probe_fail_error (probe, error);
}

static void
msg_probe (TpdSource *source, const guint8 *head, gsize len, TpdProbe *probe)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdSource) wide = wide_source_new (source);
  g_autoptr (TpdCfb) cfb = tpd_cfb_open (wide, &error);
  g_auto (TpdMsgTable) table = { 0 };
  const TpdCfbEntry *properties = NULL;
  guint more = MORE_MAX;
  gboolean marked;
  g_auto (Found) found = { 0 };
  Layout *layout;

  if (cfb == NULL || !tpd_cfb_find (cfb, NULL, TPD_MSG_PROPERTIES, &properties, &error))
    {
      fail_unreadable (wide, error, probe);
      return;
    }
  if (properties == NULL)
    return;
  if (!tpd_msg_table_read (&table, cfb, tpd_cfb_root (cfb), TRUE, &error) || !read_marks (cfb, &table, &marked, &error)
      || !find_rpmsg (cfb, tpd_cfb_root (cfb), marked, &more, &found, &error))
    {
      fail_unreadable (wide, error, probe);
      return;
    }
  if (found.rpmsg.data == NULL)
    {
      if (!carries (wide, cfb, &more, &found, &error))
        tpd_probe_fail_error (probe, error);
      else if (found.carried || found.unknown)
        tpd_probe_tell_carried (probe, found.carried ? NULL : MANY_CARRIED);
      return;
    }
  probe->kind = TPD_KIND_MSG;
  probe->verdict = TPD_VERDICT_OK;
  probe->size_class = TPD_SIZE_NEEDS_DECODING;
  layout = g_new0 (Layout, 1);
  layout->data = *found.rpmsg.data;
  layout->others = found.others;
  probe->layout = layout;
  check_rpmsg (cfb, &found.rpmsg, probe);
}

static TpdSource *
open_rpmsg (const TpdProbe *probe, TpdSource *source, GError **error)
{
  g_autoptr (TpdCfb) cfb = tpd_cfb_open (source, error);

  return cfb != NULL ? tpd_cfb_stream_new (cfb, &((const Layout *) probe->layout)->data, error) : NULL;
}

static GBytes *
msg_read_license (const TpdProbe *probe, TpdSource *source, GError **error)
{
  g_autoptr (TpdSource) rpmsg = open_rpmsg (probe, source, error);

  return rpmsg != NULL ? tpd_rpmsg_read_license (rpmsg, NULL, error) : NULL;
}

static gboolean
write_mail (const TpdMailContent *content, TpdSource *source, TpdMailForm form, TpdSink *sink, GError **error)
{
  g_autoptr (GBytes) headers = NULL;

  if (form != TPD_MAIL_EML)
    return tpd_mail_write_msg (content, source, NULL, sink, error);
  headers = tpd_msg_headers (source, error);
  return headers != NULL && tpd_mail_write_eml (content, headers, sink, error);
}

static gboolean
read_name (TpdCfb *cfb, const TpdCfbEntry *storage, guint code_page, TpdMailAttachment *attachment, GError **error)
{
  return tpd_msg_read_text (cfb, storage, TPD_MSG_ATTACH_LONG_NAME, code_page, NAME_TEXT, &attachment->long_name, error)
         && tpd_msg_read_text (cfb, storage, TPD_MSG_ATTACH_SHORT_NAME, code_page, SHORT_TEXT, &attachment->short_name,
                               error)
         && tpd_msg_read_text (cfb, storage, TPD_MSG_DISPLAY_NAME, code_page, NAME_TEXT, &attachment->display_name,
                               error);
}

/* One that is no file, as a file of its own. */
static TpdSource *
take_item (TpdCfb *cfb, const TpdCfbEntry *item, TpdBudget *budget, TpdAttachMethod *method, GError **error)
{
  const TpdCfbEntry *properties = NULL;

  if (!tpd_cfb_find (cfb, item, TPD_MSG_PROPERTIES, &properties, error))
    return NULL;
  *method = properties != NULL ? TPD_ATTACH_MESSAGE : TPD_ATTACH_OLE;
  return properties != NULL ? tpd_msg_from_storage (cfb, item, budget, error)
                            : tpd_cfb_from_storage (cfb, item, budget, error);
}

static gboolean
add_other (TpdMailContent *content, TpdCfb *cfb, const TpdCfbEntry *storage, const Attachment *other, guint code_page,
           TpdBudget *budget, GError **error)
{
  TpdAttachMethod method = TPD_ATTACH_FILE;
  g_autoptr (TpdSource) source = other->data != NULL ? tpd_cfb_stream_new (cfb, other->data, error)
                                                     : take_item (cfb, other->item, budget, &method, error);
  TpdMailAttachment *attachment;

  if (source == NULL)
    return FALSE;
  attachment = tpd_mail_content_add (content, method);
  attachment->source = g_steal_pointer (&source);
  return read_name (cfb, storage, code_page, attachment, error);
}

/* What somebody added beside the protected mail is kept beside what is in that. */
static gboolean
add_others (TpdMailContent *content, TpdSource *source, const Layout *layout, TpdBudget *budget, GError **error)
{
  g_autoptr (TpdCfb) cfb = tpd_cfb_open (source, error);
  const GPtrArray *list = cfb != NULL ? tpd_cfb_children (cfb, tpd_cfb_root (cfb), error) : NULL;
  g_auto (TpdMsgTable) table = { 0 };
  guint n = 0, empty = 0;

  if (list == NULL || !tpd_msg_table_read (&table, cfb, tpd_cfb_root (cfb), TRUE, error))
    return FALSE;
  for (guint i = 0; i < list->len; i++)
    {
      const TpdCfbEntry *entry = g_ptr_array_index (list, i);
      Attachment other;

      if (!is_attachment (entry))
        continue;
      if (!look (cfb, entry, FALSE, &other, error))
        return FALSE;
      if (!other.visible || (other.data != NULL && other.data->id == layout->data.id))
        continue;
      if (other.data == NULL && other.item == NULL)
        {
          empty++;
          continue;
        }
      if (n == TPD_MSG_MAX_OBJECTS)
        {
          g_set_error (error, TPD_ERROR, TPD_ERROR_TOO_LARGE,
                       "The wrapper has more than %d attachments beside the mail.", TPD_MSG_MAX_OBJECTS);
          return FALSE;
        }
      if (!add_other (content, cfb, entry, &other, tpd_msg_code_page (&table), budget, error))
        return FALSE;
      n++;
    }
  if (n > 0)
    tpd_mail_content_warn (content, "The wrapper has %u more attachments, which stand behind those of the mail.", n);
  if (empty > 0)
    tpd_mail_content_warn (content,
                           "Attachments of the wrapper were left out because they have no content (links to files,"
                           " perhaps): %u.",
                           empty);
  tpd_mail_name_attachments (content);
  return TRUE;
}

static TpdDocument *
msg_open (TpdSource *source, const TpdProbe *probe, TpdContentKey *content_key, const TpdOpenOptions *options,
          TpdBudget *budget, GError **error)
{
  const Layout *layout = probe->layout;
  g_autoptr (TpdSource) budgeted = tpd_source_new_budgeted (source, budget);
  g_autoptr (TpdSource) rpmsg = open_rpmsg (probe, budgeted, error);
  g_autoptr (TpdMailContent) content = NULL;
  g_autoptr (TpdSink) sink = NULL;

  if (rpmsg == NULL || (content = tpd_rpmsg_decode (rpmsg, content_key, options, budget, error)) == NULL
      || (layout->others && !add_others (content, budgeted, layout, budget, error))
      || (sink = tpd_sink_new (budget, error)) == NULL || !write_mail (content, budgeted, options->mail, sink, error))
    return NULL;
  return tpd_mail_content_to_document (content, TPD_KIND_MSG, g_steal_pointer (&sink), error);
}

const TpdFormat tpd_format_msg = {
  .name = "msg",
  .candidate = msg_candidate,
  .probe = msg_probe,
  .read_license = msg_read_license,
  .open = msg_open,
  .free_layout = g_free,
};
