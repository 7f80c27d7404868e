/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Header fields that describe a part (RFC 2045, 2183), as they are met: with
 * comments, names in pieces (RFC 2231), in encoded words (RFC 2047), and what
 * no standard allows. See eml_mime.h.
 */
#include <string.h>

#include "format/eml_mime.h"
#include "format/mail.h"

/* A file name, in bytes. */
#define FILE_NAME_MAX 1024
/* The same in encoded words. */
#define ENCODED_NAME_MAX (4 * FILE_NAME_MAX)
/* Pieces of one name. */
#define PIECES_MAX 64
#define NAME_END ".rpmsg"

gboolean
tpd_mime_is_field (const char *line, gsize len, gsize *name_len)
{
  gsize n = 0;

  while (n < len && line[n] > ' ' && line[n] < 0x7f && line[n] != ':')
    n++;
  *name_len = n;
  /* Blanks before the colon are obsolete but met. */
  while (n < len && (line[n] == ' ' || line[n] == '\t'))
    n++;
  return *name_len > 0 && n < len && line[n] == ':';
}

/* Behind the comment that begins at `at`; NULL if it does not end. */
static const char *
skip_comment (const char *at)
{
  guint depth = 0;

  for (; *at != '\0'; at++)
    {
      if (*at == '\\' && at[1] != '\0')
        at++;
      else if (*at == '(')
        depth++;
      else if (*at == ')' && --depth == 0)
        return at + 1;
    }
  return NULL;
}

/* Takes comments out, where they stand apart: a name that is not quoted may have
 * parentheses too. */
static void
strip_comments (char *value)
{
  gboolean quoted = FALSE, apart = TRUE, broken = FALSE;
  char *out = value;

  for (const char *at = value; *at != '\0';)
    {
      gboolean begins = *at == '(' && apart && !quoted && !broken;
      const char *end = begins ? skip_comment (at) : NULL;

      if (end != NULL)
        {
          at = end;
          continue;
        }
      /* Looking for the end once is enough. */
      broken |= begins;
      if (quoted && *at == '\\' && at[1] != '\0')
        *out++ = *at++;
      else if (*at == '"')
        quoted = !quoted;
      apart = *at == ' ' || *at == '\t' || *at == ';' || *at == '/' || *at == '=';
      *out++ = *at++;
    }
  *out = '\0';
}

char *
tpd_mime_field_value (const char *fields, const char *name)
{
  gsize name_len = strlen (name);

  for (const char *line = fields; *line != '\0';)
    {
      const char *end = strchrnul (line, '\n');
      gsize n;

      if (tpd_mime_is_field (line, (gsize) (end - line), &n) && n == name_len
          && g_ascii_strncasecmp (line, name, n) == 0)
        {
          const char *colon = memchr (line, ':', (gsize) (end - line));
          char *value = g_strndup (colon + 1, (gsize) (end - colon - 1));

          if (strchr (value, '(') != NULL)
            strip_comments (value);
          return g_strstrip (value);
        }
      line = *end == '\0' ? end : end + 1;
    }
  return NULL;
}

gboolean
tpd_mime_is_type (const char *value, const char *major, const char *minor)
{
  gsize n = strlen (major);

  while (*value == '"' || *value == ' ' || *value == '\t')
    value++;
  if (g_ascii_strncasecmp (value, major, n) != 0)
    return FALSE;
  value += n;
  while (*value == ' ' || *value == '\t')
    value++;
  if (*value++ != '/')
    return FALSE;
  while (*value == ' ' || *value == '\t')
    value++;
  return minor == NULL || g_ascii_strncasecmp (value, minor, strlen (minor)) == 0;
}

/* --- Parameters --------------------------------------------------------- */

/* One parameter behind `*at`, which stands on a ';' or at the end; the value
 * without its quotes. FALSE at the end. */
static gboolean
next_parameter (const char **at, GString *name, GString *value)
{
  const char *p = *at;

  g_string_truncate (name, 0);
  g_string_truncate (value, 0);
  while (*p == ';' || g_ascii_isspace (*p))
    p++;
  if (*p == '\0')
    return FALSE;
  while (*p != '\0' && *p != '=' && *p != ';')
    g_string_append_c (name, g_ascii_tolower (*p++));
  if (*p == '=')
    p++;
  while (*p == ' ' || *p == '\t')
    p++;
  if (*p == '"')
    {
      for (p++; *p != '\0' && *p != '"'; p++)
        {
          if (*p == '\\' && p[1] != '\0')
            p++;
          g_string_append_c (value, *p);
        }
      while (*p != '\0' && *p != ';')
        p++;
    }
  else
    while (*p != '\0' && *p != ';')
      g_string_append_c (value, *p++);
  *at = p;
  g_strstrip (name->str);
  g_strchomp (value->str);
  value->len = strlen (value->str);
  return TRUE;
}

/* What a parameter says in its three forms; each NULL if it is not there. */
typedef struct {
  char *plain;    /* name=... */
  char *extended; /* name*=charset'language'... */
  char *pieces[PIECES_MAX];
} Parameter;

static void
parameter_clear (Parameter *parameter)
{
  g_free (parameter->plain);
  g_free (parameter->extended);
  for (guint i = 0; i < PIECES_MAX; i++)
    g_free (parameter->pieces[i]);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Parameter, parameter_clear)

/* Undoes %XX in place. */
static void
unescape (char *text)
{
  char *out = text;

  for (const char *at = text; *at != '\0';)
    if (at[0] == '%' && g_ascii_isxdigit (at[1]) && g_ascii_isxdigit (at[2]))
      {
        char c = (char) (g_ascii_xdigit_value (at[1]) << 4 | g_ascii_xdigit_value (at[2]));

        *out++ = c != '\0' ? c : '?';
        at += 3;
      }
    else
      *out++ = *at++;
  *out = '\0';
}

/* Without charset and language, which say nothing of the letters that matter. */
static char *
decode_extended (const char *value, gboolean first)
{
  const char *quote = first ? strchr (value, '\'') : NULL;
  const char *second = quote != NULL ? strchr (quote + 1, '\'') : NULL;
  char *text = g_strdup (second != NULL ? second + 1 : value);

  unescape (text);
  return text;
}

/* `rest`: what follows the name of the parameter: "", "*", "*0", "*0*". */
static void
take_value (Parameter *parameter, const char *rest, const char *value)
{
  guint number = 0;

  if (*rest == '\0' && parameter->plain == NULL)
    parameter->plain = g_strdup (value);
  else if (strcmp (rest, "*") == 0 && parameter->extended == NULL)
    parameter->extended = decode_extended (value, TRUE);
  if (*rest != '*' || !g_ascii_isdigit (rest[1]))
    return;
  for (rest++; g_ascii_isdigit (*rest) && number < PIECES_MAX; rest++)
    number = number * 10 + (guint) (*rest - '0');
  if (number < PIECES_MAX && parameter->pieces[number] == NULL)
    parameter->pieces[number] = *rest == '*' ? decode_extended (value, number == 0) : g_strdup (value);
}

/* (transfer full), NULL if there are none. */
static char *
join_pieces (const Parameter *parameter)
{
  GString *text;

  if (parameter->pieces[0] == NULL)
    return NULL;
  text = g_string_new (NULL);
  for (guint i = 0; i < PIECES_MAX && parameter->pieces[i] != NULL; i++)
    g_string_append (text, parameter->pieces[i]);
  return g_string_free (text, FALSE);
}

/* What `field` says of `wanted`. */
static void
read_parameter (const char *field, const char *wanted, Parameter *parameter)
{
  g_autoptr (GString) name = g_string_new (NULL);
  g_autoptr (GString) value = g_string_new (NULL);
  const char *at = strchrnul (field, ';');

  while (next_parameter (&at, name, value))
    if (g_str_has_prefix (name->str, wanted))
      take_value (parameter, name->str + strlen (wanted), value->str);
}

char *
tpd_mime_parameter (const char *field, const char *wanted)
{
  g_auto (Parameter) parameter = { 0 };

  read_parameter (field, wanted, &parameter);
  if (parameter.plain != NULL)
    return g_steal_pointer (&parameter.plain);
  if (parameter.extended != NULL)
    return g_steal_pointer (&parameter.extended);
  return join_pieces (&parameter);
}

/* --- Names of files ------------------------------------------------------ */

static gboolean
ends_in_rpmsg (const char *name)
{
  gsize len = strlen (name);

  while (len > 0 && (name[len - 1] == ' ' || name[len - 1] == '.' || name[len - 1] == '"' || name[len - 1] == '\''))
    len--;
  return len >= strlen (NAME_END)
         && g_ascii_strncasecmp (name + len - strlen (NAME_END), NAME_END, strlen (NAME_END)) == 0;
}

static gboolean
is_rpmsg_name (const char *name)
{
  g_autofree char *words = NULL;

  if (name == NULL)
    return FALSE;
  if (ends_in_rpmsg (name))
    return TRUE;
  if (strstr (name, "=?") == NULL || strlen (name) > ENCODED_NAME_MAX)
    return FALSE;
  words = tpd_mail_decode_words (name);
  return words != NULL && ends_in_rpmsg (words);
}

TpdMimeName
tpd_mime_name (const char *field)
{
  static const char *const wanted[] = { "name", "filename" };
  TpdMimeName result = TPD_MIME_NO_NAME;

  for (guint i = 0; i < G_N_ELEMENTS (wanted); i++)
    {
      g_auto (Parameter) parameter = { 0 };
      g_autofree char *joined = NULL;

      read_parameter (field, wanted[i], &parameter);
      joined = join_pieces (&parameter);
      if (is_rpmsg_name (parameter.plain) || is_rpmsg_name (parameter.extended) || is_rpmsg_name (joined))
        return TPD_MIME_RPMSG_NAME;
      if (parameter.plain != NULL || parameter.extended != NULL || joined != NULL)
        result = TPD_MIME_OTHER_NAME;
    }
  return result;
}

char *
tpd_mime_file_name (const char *type, const char *disposition)
{
  g_autofree char *name = disposition != NULL ? tpd_mime_parameter (disposition, "filename") : NULL;

  if (name == NULL && type != NULL)
    name = tpd_mime_parameter (type, "name");
  if (name == NULL || *name == '\0' || strlen (name) > FILE_NAME_MAX)
    return NULL;
  return strstr (name, "=?") != NULL ? tpd_mail_decode_words (name) : g_utf8_make_valid (name, -1);
}
