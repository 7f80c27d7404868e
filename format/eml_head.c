/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The beginning of an Internet message: see format/eml_head.h.
 *
 * Each file of a share comes by here, so that text which is no mail has to be
 * told by its first lines. A header block begins the file, but for what
 * programs put in front of it. Where the block ends within what is at hand, it
 * has to have fields that only mail has, and something that can be a protected
 * part. Where it goes on, nothing is known yet: servers add many long fields
 * before those that people know. That costs little, for ordinary text of "name:
 * value" has some other line within 4 KiB as a rule.
 */
#include "format/eml_head.h"

#include <string.h>

#include "format/eml_mime.h"
#include "format/format.h"

/* Places of the text that are looked at together. */
#define PLACES 64
/* A name of a file, and of a header field. */
#define NAME_LEN_MAX 64
/* The line that begins uuencode. */
#define UUENCODE_MAX 100

/* --- Searching text ----------------------------------------------------- */

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

/* Where `word` stands in `data` from `at` on, `len` if it does not. It is in
 * lower case and begins with three letters, or a dot. Mail is searched to no
 * avail as a rule. */
static gsize
find_folded (const char *data, gsize len, gsize at, const char *word)
{
  gsize n = strlen (word);

  for (; at + n <= len; at += PLACES)
    {
      gsize places = MIN ((gsize) PLACES, len - n + 1 - at);

      if (places == PLACES && !may_begin (data + at, word))
        continue;
      for (gsize i = at; i < at + places; i++)
        if ((data[i] | 0x20) == word[0] && g_ascii_strncasecmp (data + i, word, n) == 0)
          return i;
    }
  return len;
}

/* The first bytes of message.rpmsg in base64. */
#define MAGIC_FOLDED "dugeymqr44"

/* Whether one of PLACES places begins one of the words that has_hint() knows. */
static gboolean
may_hint (const char *data)
{
  guint8 found = 0;

  for (gsize i = 0; i < PLACES; i++)
    {
      const char a = data[i] | 0x20, b = data[i + 1] | 0x20, c = data[i + 2] | 0x20;

      found |= (guint8) (((a == 'r') & (b == 'p') & (c == 'm')) | ((a == 'd') & (b == 'u') & (c == 'g'))
                         | ((a == 'n') & (b == 'a') & (c == 'm')));
    }
  return found != 0;
}

/* Whether "name" at the begin of `text` is a parameter that has its value encoded:
 * name*=..., name="=?...". */
static gboolean
encodes_name (const char *text, gsize len)
{
  gsize at = strlen ("name");

  if (at < len && text[at] == '*')
    return TRUE;
  while (at < len && (text[at] == '=' || text[at] == '"' || text[at] == ' '))
    if (text[at++] == '=' && at < len && text[at] == '?')
      return TRUE;
  return FALSE;
}

static gboolean
starts_folded (const char *text, gsize len, const char *word)
{
  return len >= strlen (word) && g_ascii_strncasecmp (text, word, strlen (word)) == 0;
}

enum { HINT_WORD = 1, HINT_MAGIC = 2, HINT_NAME = 4 };

static guint
hint_at (const char *text, gsize len)
{
  if ((*text | 0x20) == 'r')
    return starts_folded (text, len, "rpmsg") ? HINT_WORD : 0;
  if ((*text | 0x20) == 'd')
    return starts_folded (text, len, MAGIC_FOLDED) ? HINT_MAGIC : 0;
  if ((*text | 0x20) == 'n')
    return starts_folded (text, len, "name") && encodes_name (text, len) ? HINT_NAME : 0;
  return 0;
}

/* Which of `wanted` are in `text`, at least one if there are any. */
static guint
find_hints (const char *text, gsize len, guint wanted)
{
  for (gsize at = 0; at < len; at += PLACES)
    {
      gsize places = MIN ((gsize) PLACES, len - at);
      guint found = 0;

      if (len - at >= PLACES + 2 && !may_hint (text + at))
        continue;
      for (gsize i = at; i < at + places; i++)
        found |= hint_at (text + i, len - i);
      if ((found & wanted) != 0)
        return found & wanted;
    }
  return 0;
}

gboolean
tpd_eml_hints (const char *text, gsize len)
{
  return find_hints (text, len, HINT_WORD | HINT_MAGIC | HINT_NAME) != 0;
}

gboolean
tpd_eml_is_parted (const char *text, gsize len)
{
  const char *end = text + len;

  while (text < end && (text = memchr (text, '\n', (gsize) (end - text))) != NULL)
    if (++text < end && (*text | 0x20) == 'c' && starts_folded (text, (gsize) (end - text), "content-t"))
      return TRUE;
  return FALSE;
}

/* Whether the ".rpmsg" at `at` ends the value of a parameter. */
static gboolean
ends_name (const char *text, gsize len, gsize at)
{
  gsize end = at + strlen (".rpmsg"), start = at;

  if (end < len && text[end] != '"' && text[end] != ';' && !g_ascii_isspace (text[end]))
    return FALSE;
  while (start > 0 && at - start < NAME_LEN_MAX && (g_ascii_isalnum (text[start - 1]) || text[start - 1] == '_'))
    start--;
  if (start > 0 && text[start - 1] == '"')
    start--;
  return start > 0 && (text[start - 1] == '=' || text[start - 1] == '\'');
}

gboolean
tpd_eml_begins_uuencode (const char *line, gsize len)
{
  static const char start[] = "begin ", end[] = ".rpmsg";
  gsize at = sizeof start - 1;

  if (len < sizeof start || memcmp (line, start, at) != 0)
    return FALSE;
  while (at < len && line[at] >= '0' && line[at] <= '7')
    at++;
  if (at < sizeof start + 2 || at >= len || line[at] != ' ')
    return FALSE;
  while (len > at && g_ascii_isspace (line[len - 1]))
    len--;
  return len - at > sizeof end && g_ascii_strncasecmp (line + len - (sizeof end - 1), end, sizeof end - 1) == 0;
}

/* The begin of the line of `at`, at `from` or behind. */
static gsize
line_begin (const char *text, gsize from, gsize at)
{
  while (at > from && text[at - 1] != '\n' && text[at - 1] != '\r')
    at--;
  return at;
}

/* Whether `at` is in a field of a part: Content-Type, Content-Disposition ...;
 * TRUE also where the line, or those before that it goes on, are too long to know.
 * `seen`: a place before it that is in none, 0 if there is none. */
static gboolean
is_in_field (const char *text, gsize len, gsize at, gsize seen)
{
  static const char start[] = "content-";
  const gsize from = MAX (at > TPD_EML_BEFORE ? at - TPD_EML_BEFORE : 0, seen);
  gsize begin = line_begin (text, from, at);

  while (begin > from && (text[begin] == ' ' || text[begin] == '\t'))
    {
      gsize end = begin - 1;

      while (end > from && text[end - 1] == '\r')
        end--;
      begin = line_begin (text, from, end);
    }
  if (begin == from && from > 0)
    return from > seen;
  return starts_folded (text + begin, len - begin, start);
}

/* Whether the name that ends at `at` stands where uuencode begins. */
static gboolean
is_uuencoded (const char *text, gsize len, gsize at)
{
  const gsize begin = line_begin (text, at > UUENCODE_MAX ? at - UUENCODE_MAX : 0, at);
  const gsize most = at + MIN (len - at, (gsize) UUENCODE_MAX);
  const char *end = memchr (text + at, '\n', most - at);

  return tpd_eml_begins_uuencode (text + begin, (end != NULL ? (gsize) (end - text) : most) - begin);
}

/* Whether `word`, in a field of a part, stands in `text` from `at` on. */
static gboolean
names_rpmsg (const char *text, gsize len, gsize at, const char *word, gboolean is_name)
{
  for (gsize seen = 0; (at = find_folded (text, len, at, word)) < len; at++)
    {
      if (is_name && is_uuencoded (text, len, at))
        return TRUE;
      if (is_name && !ends_name (text, len, at))
        continue;
      if (is_in_field (text, len, at, seen))
        return TRUE;
      seen = at;
    }
  return FALSE;
}

gboolean
tpd_eml_mentions (const char *text, gsize len, gsize from)
{
  guint found = find_hints (text + from, len - from, HINT_WORD | HINT_MAGIC);

  if (found != HINT_WORD)
    return found != 0;
  return find_folded (text, len, from, MAGIC_FOLDED) < len || names_rpmsg (text, len, from, ".rpmsg", TRUE)
         || names_rpmsg (text, len, from, "x-microsoft-rpmsg-message", FALSE);
}

/* --- What stands in front ----------------------------------------------- */

static gboolean
starts_with (const char *text, gsize len, const char *start)
{
  gsize n = strlen (start);

  return len >= n && memcmp (text, start, n) == 0;
}

/* Behind the line at `at`. */
static gsize
skip_line (const char *text, gsize len, gsize at)
{
  const char *end = memchr (text + at, '\n', len - at);

  return end != NULL ? (gsize) (end + 1 - text) : len;
}

/* Behind the empty lines at `at`. */
static gsize
skip_empty (const char *text, gsize len, gsize at)
{
  for (gsize i = at; i < len; i++)
    if (text[i] == '\n')
      at = i + 1;
    else if (text[i] != '\r' && text[i] != ' ' && text[i] != '\t')
      break;
  return at;
}

static gboolean
is_number_line (const char *text, gsize len)
{
  gsize n = 0;

  while (n < len && n < 12 && g_ascii_isdigit (text[n]))
    n++;
  if (n == 0)
    return FALSE;
  while (n < len && n < 24 && (text[n] == ' ' || text[n] == '\r'))
    n++;
  return n < len && text[n] == '\n';
}

void
tpd_eml_lead (const char *text, gsize len, TpdEmlLead *lead)
{
  gsize at = starts_with (text, len, "\xef\xbb\xbf") ? 3 : 0;

  *lead = (TpdEmlLead){ 0 };
  at = skip_empty (text, len, at);
  lead->is_mbox = starts_with (text + at, len - at, "From ") || starts_with (text + at, len - at, ">From ");
  lead->is_emlx = is_number_line (text + at, len - at);
  lead->len = lead->is_mbox || lead->is_emlx ? skip_line (text, len, at) : at;
}

/* --- How it is stored ------------------------------------------------------ */

/* Whether the bytes are characters of two, in the order that `low` says. */
static gboolean
is_wide (const guint8 *head, gsize len, guint low)
{
  return len >= 8 && head[1 - low] == 0 && head[3 - low] == 0 && head[5 - low] == 0 && g_ascii_isalpha (head[low])
         && head[2 + low] != 0;
}

TpdEmlForm
tpd_eml_form (const guint8 *head, gsize len)
{
  TpdEmlLead lead;

  if (len >= 2 && ((head[0] == 0xff && head[1] == 0xfe) || (head[0] == 0xfe && head[1] == 0xff)))
    return TPD_EML_UTF16;
  if (is_wide (head, len, 0) || is_wide (head, len, 1))
    return TPD_EML_UTF16;
  if (memchr (head, '\n', len) == NULL && memchr (head, '\r', len) != NULL)
    return TPD_EML_CR;
  tpd_eml_lead ((const char *) head, len, &lead);
  return lead.is_emlx ? TPD_EML_EMLX : TPD_EML_BYTES;
}

static gsize
view_wide (const guint8 *data, gsize len, char *out)
{
  gboolean marked = len >= 2 && (data[0] == 0xff || data[0] == 0xfe);
  guint low = marked ? data[0] == 0xfe : len >= 2 && data[0] == 0;
  gsize n = 0;

  for (gsize i = marked ? 2 : 0; i + 1 < len; i += 2)
    out[n++] = data[i + 1 - low] == 0 ? (char) data[i + low] : '?';
  return n;
}

gsize
tpd_eml_view (TpdEmlForm form, const guint8 *data, gsize len, char *out)
{
  if (form == TPD_EML_UTF16)
    return view_wide (data, len, out);
  memcpy (out, data, len);
  for (gsize i = 0; form == TPD_EML_CR && i < len; i++)
    if (out[i] == '\r')
      out[i] = '\n';
  return len;
}

/* --- Header fields ---------------------------------------------------------- */

typedef struct {
  gboolean whole;    /* the block ends in it */
  gsize end;         /* where it does */
  guint known;       /* fields that mail has and other text has not */
  guint likely;      /* fields whose names are made like those of mail */
  gboolean content;  /* it has a Content- field */
  gboolean odd_type; /* the type is not seen to be text */
} Fields;

/* Two for a name that text of people has not either, one for the others of mail. */
static guint
weigh_field (const char *line, gsize name_len)
{
  static const struct {
    const char *name;
    gsize len;
    guint weight;
  } names[] = {
#define NAME(text, weight) { text, sizeof text - 1, weight }
    NAME ("To", 1),
    NAME ("Cc", 1),
    NAME ("Bcc", 1),
    NAME ("From", 1),
    NAME ("Date", 1),
    NAME ("Sender", 1),
    NAME ("Subject", 1),
    NAME ("Received", 2),
    NAME ("Reply-To", 2),
    NAME ("X-Sender", 2),
    NAME ("ARC-Seal", 2),
    NAME ("References", 1),
    NAME ("Message-ID", 2),
    NAME ("Return-Path", 2),
    NAME ("In-Reply-To", 2),
    NAME ("MIME-Version", 2),
    NAME ("Content-Type", 2),
    NAME ("Delivered-To", 2),
    NAME ("Thread-Topic", 2),
    NAME ("Thread-Index", 2),
    NAME ("Received-SPF", 2),
    NAME ("Content-Class", 2),
    NAME ("DKIM-Signature", 2),
    NAME ("X-MS-Has-Attach", 2),
    NAME ("Content-Disposition", 2),
    NAME ("ARC-Message-Signature", 2),
    NAME ("Authentication-Results", 2),
    NAME ("Content-Transfer-Encoding", 2),
    NAME ("ARC-Authentication-Results", 2),
#undef NAME
  };

  for (gsize i = 0; i < G_N_ELEMENTS (names) && names[i].len <= name_len; i++)
    if (names[i].len == name_len && g_ascii_strncasecmp (line, names[i].name, name_len) == 0)
      return names[i].weight;
  return 0;
}

/* Two words and a hyphen, as most fields of mail are called that servers add. */
static gboolean
is_likely_field (const char *line, gsize name_len)
{
  gboolean hyphen = FALSE;

  for (gsize i = 0; i < name_len; i++)
    if (line[i] == '-')
      hyphen = i > 0 && i + 1 < name_len;
    else if (!g_ascii_isalnum (line[i]))
      return FALSE;
  return hyphen && g_ascii_isalpha (line[0]) && name_len <= NAME_LEN_MAX;
}

static gboolean
is_odd_type (const char *value, gsize len)
{
  while (len > 0 && (*value == ' ' || *value == '\t'))
    value++, len--;
  return len < 5 || g_ascii_strncasecmp (value, "text/", 5) != 0;
}

static void
take_field (const char *line, gsize line_len, gsize name_len, Fields *fields)
{
  const char *colon;

  fields->known += weigh_field (line, name_len);
  fields->likely += is_likely_field (line, name_len);
  if (name_len < 8 || g_ascii_strncasecmp (line, "Content-", 8) != 0)
    return;
  fields->content = TRUE;
  colon = memchr (line, ':', line_len);
  if (name_len == strlen ("Content-Type") && g_ascii_strncasecmp (line, "Content-Type", name_len) == 0)
    fields->odd_type |= is_odd_type (colon + 1, line_len - (gsize) (colon + 1 - line));
}

/* Whether `text` is a header block, or begins with one, or is the first part
 * of one. Where there are fields of mail already a line that is none is
 * overlooked: fields that were folded badly. */
static gboolean
read_fields (const char *text, gsize len, Fields *fields)
{
  *fields = (Fields){ 0 };
  for (gsize at = 0; at < len;)
    {
      const char *line = text + at;
      const char *end = memchr (line, '\n', len - at);
      gsize line_len = end != NULL ? (gsize) (end - line) : len - at;
      gsize name_len;

      if (end != NULL && (line_len == 0 || (line_len == 1 && line[0] == '\r')))
        {
          fields->whole = TRUE;
          fields->end = at;
          break;
        }
      if (tpd_mime_is_field (line, line_len, &name_len))
        take_field (line, line_len, name_len, fields);
      else if (at == 0 || (end != NULL && line[0] != ' ' && line[0] != '\t' && fields->known < 2))
        return FALSE;
      at += line_len + 1;
    }
  return TRUE;
}

gboolean
tpd_eml_has_fields (const char *text, gsize len)
{
  TpdEmlLead lead;
  Fields fields;

  tpd_eml_lead (text, len, &lead);
  return read_fields (text + lead.len, len - lead.len, &fields) && (fields.known > 0 || fields.likely > 1);
}

gboolean
tpd_eml_is_mbox (const char *text, gsize len)
{
  TpdEmlLead lead;

  tpd_eml_lead (text, len, &lead);
  return lead.is_mbox && tpd_eml_has_fields (text, len);
}

gboolean
tpd_eml_may_be_mbox (const char *text, gsize len)
{
  TpdEmlLead lead;

  tpd_eml_lead (text, len, &lead);
  return lead.is_mbox || (len >= TPD_PROBE_FIRST && len - lead.len < strlen (">From "));
}

/* --- Stage 1 ---------------------------------------------------------------- */

/* Whether what is no letter can be in front of a mail. */
static gboolean
can_lead (guint8 first)
{
  return first == '\n' || first == '\r' || first == ' ' || first == '\t' || first == '>' || first == 0xef
         || first == 0xff || first == 0xfe || first == 0 || g_ascii_isdigit (first);
}

/* What `*text`, of `*len` bytes, is seen to begin with; they become those behind
 * the lead, in `room` where they are stored otherwise. */
static gboolean
read_head (const char **text, gsize *len, char *room, Fields *fields)
{
  TpdEmlForm form = TPD_EML_BYTES;
  const guint8 *head = (const guint8 *) *text;
  TpdEmlLead lead = { 0 };

  if (*len == 0 || (!g_ascii_isalpha (head[0]) && !can_lead (head[0])))
    return FALSE;
  if (head[0] == 0 || head[0] >= 0xfe || (*len > 1 && head[1] == 0) || memchr (head, '\n', *len) == NULL)
    form = tpd_eml_form (head, *len);
  if (form == TPD_EML_UTF16 || form == TPD_EML_CR)
    {
      *len = tpd_eml_view (form, head, *len, room);
      *text = room;
    }
  if (!g_ascii_isalpha (**text) || **text == 'F')
    tpd_eml_lead (*text, *len, &lead);
  *text += lead.len;
  *len -= lead.len;
  return *len > 0 && g_ascii_isalpha (**text) && read_fields (*text, *len, fields);
}

gboolean
tpd_eml_candidate (const guint8 *head, gsize len, guint64 size)
{
  const char *text = (const char *) head;
  gsize text_len = len;
  char room[TPD_HEAD_SIZE];
  Fields fields;

  if (!read_head (&text, &text_len, room, &fields))
    return FALSE;
  if (!fields.whole && len < size)
    return TRUE;
  if (fields.known < 2 && !fields.content)
    return FALSE;
  if (fields.odd_type || find_hints (text, text_len, HINT_WORD | HINT_MAGIC) != 0)
    return TRUE;
  /* The type may have been lost, or the mail quotes another. */
  return fields.whole && tpd_eml_is_parted (text + fields.end, text_len - fields.end);
}

/* Whether there is nothing but blanks. */
static gboolean
is_blank (const char *text, gsize len)
{
  while (len > 0 && (*text == ' ' || *text == '\t' || *text == '\r'))
    text++, len--;
  return len == 0;
}

/* Of the lines that are whole: the last one may go on. */
gboolean
tpd_eml_may_become (const guint8 *head, gsize len)
{
  const char *text = (const char *) head;
  char room[TPD_HEAD_SIZE];
  const char *end;
  TpdEmlLead lead;
  Fields fields;
  gsize name_len;

  if (len < 2 || (!g_ascii_isalpha (head[0]) && !can_lead (head[0])))
    return FALSE;
  if (g_ascii_isdigit (head[0]) && !is_number_line (text, len) && memchr (head, '\n', len) != NULL)
    return FALSE;
  /* The usual text. */
  if (g_ascii_isalpha (head[0]) && head[0] != 'F' && head[1] != 0 && (end = memchr (head, '\n', len)) != NULL
      && !tpd_mime_is_field (text, (gsize) (end - text), &name_len))
    return FALSE;
  if (tpd_eml_form (head, len) == TPD_EML_UTF16)
    {
      len = tpd_eml_view (TPD_EML_UTF16, head, len, room);
      text = room;
    }
  end = memrchr (text, '\n', len);
  if (end == NULL)
    return TRUE;
  tpd_eml_lead (text, len, &lead);
  if (is_blank (text + lead.len, len - lead.len))
    return TRUE;
  if (!g_ascii_isalpha (text[lead.len]))
    return FALSE;
  if (text + lead.len > end)
    return TRUE;
  if (!read_fields (text + lead.len, (gsize) (end + 1 - text) - lead.len, &fields))
    return FALSE;
  return !fields.whole || fields.known >= 2 || fields.content;
}
