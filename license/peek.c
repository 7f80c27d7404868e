/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key that a license is sealed to, in one pass and without a tree: a mount
 * asks that of every protected file that is listed. Only licenses as servers
 * write them are understood; all others, and all that could be read in two
 * ways, are left to tpd_license_parse().
 */
#include <string.h>

#include "base/text.h"
#include "license/license.h"
#include "license/scan.h"
#include "license/text.h"
#include "license/xrml.h"

#define MAX_DEPTH 32
#define MAX_ATTRIBUTES 32

typedef enum {
  OUTSIDE,
  OTHER,
  XRML,
  BODY,
  PRINCIPALS,
  PRINCIPAL,
  PUBLIC_KEY,
  MODULUS,
  EXPONENT,
  ENABLING_BITS,
  MODULUS_VALUE,
  EXPONENT_VALUE,
  SEALED_VALUE,
  N_PLACES
} Place;

/* What leads to the key: an element `name` in `parent`. It may have the
 * attribute only with that value; each place may be met once. */
static const struct {
  Place parent;
  const char *name, *attribute, *value;
  gboolean must; /* the attribute may not be missing */
  Place place;
} ways[] = {
  { OUTSIDE, "XrML", NULL, NULL, FALSE, XRML },
  { XRML, "BODY", "type", TPD_XRML_LABEL, TRUE, BODY },
  { BODY, "ISSUEDPRINCIPALS", NULL, NULL, FALSE, PRINCIPALS },
  { PRINCIPALS, "PRINCIPAL", "internal-id", "1", FALSE, PRINCIPAL },
  { PRINCIPAL, "PUBLICKEY", NULL, NULL, FALSE, PUBLIC_KEY },
  { PRINCIPAL, "ENABLINGBITS", NULL, NULL, FALSE, ENABLING_BITS },
  { PUBLIC_KEY, "PARAMETER", "name", "modulus", TRUE, MODULUS },
  { PUBLIC_KEY, "PARAMETER", "name", "public-exponent", TRUE, EXPONENT },
  { MODULUS, "VALUE", NULL, NULL, FALSE, MODULUS_VALUE },
  { EXPONENT, "VALUE", NULL, NULL, FALSE, EXPONENT_VALUE },
  { ENABLING_BITS, "VALUE", NULL, NULL, FALSE, SEALED_VALUE },
};

typedef struct {
  const char *text;
  gsize len;
} Span;

typedef struct {
  const char *text;
  gsize len, at;
  struct {
    Span name;
    Place place;
  } open[MAX_DEPTH];
  guint depth;
  Span values[N_PLACES]; /* content; `text` is set once the place was met */
} Walk;

static gboolean
span_is (const Span *span, const char *word)
{
  return span->len == strlen (word) && memcmp (span->text, word, span->len) == 0;
}

static gboolean
is_name_char (char c)
{
  return g_ascii_isalnum (c) || c == '-' || c == '_' || c == '.';
}

/* A name without a prefix, which would make it another one. */
static gboolean
take_name (Walk *walk, Span *name)
{
  gsize start = walk->at;

  while (walk->at < walk->len && is_name_char (walk->text[walk->at]))
    walk->at++;
  *name = (Span){ walk->text + start, walk->at - start };
  return name->len > 0;
}

static void
skip_space (Walk *walk)
{
  while (walk->at < walk->len && tpd_is_space ((guchar) walk->text[walk->at]))
    walk->at++;
}

/* `name="value"`; FALSE: something else follows. */
static gboolean
take_attribute (Walk *walk, Span *name, Span *value)
{
  const char *end;
  char quote;

  if (!take_name (walk, name) || walk->len - walk->at < 2 || walk->text[walk->at] != '=')
    return FALSE;
  quote = walk->text[walk->at + 1];
  walk->at += 2;
  if (quote != '"' && quote != '\'')
    return FALSE;
  end = memchr (walk->text + walk->at, quote, walk->len - walk->at);
  if (end == NULL)
    return FALSE;
  *value = (Span){ walk->text + walk->at, (gsize) (end - walk->text) - walk->at };
  walk->at += value->len + 1;
  return memchr (value->text, '<', value->len) == NULL;
}

/* Where `name` in the place at hand leads; FALSE: it is not as it should be. */
static gboolean
find_place (Walk *walk, const Span *name, const Span *names, const Span *values, guint n, Place *place)
{
  Place parent = walk->depth > 0 ? walk->open[walk->depth - 1].place : OUTSIDE;
  gboolean similar = FALSE;

  *place = OTHER;
  for (guint i = 0; i < G_N_ELEMENTS (ways); i++)
    {
      gboolean met = FALSE, fits = TRUE;

      if (ways[i].parent != parent || !span_is (name, ways[i].name))
        continue;
      for (guint j = 0; ways[i].attribute != NULL && j < n; j++)
        if (span_is (&names[j], ways[i].attribute))
          {
            fits = fits && !met && span_is (&values[j], ways[i].value);
            met = TRUE;
          }
      similar = TRUE;
      if (!fits || (ways[i].must && !met))
        continue;
      *place = ways[i].place;
      if (walk->values[*place].text != NULL)
        return FALSE;
      walk->values[*place].text = walk->text + walk->at;
      return TRUE;
    }
  return !similar;
}

/* Behind the "<" of a start tag. */
static gboolean
take_start (Walk *walk)
{
  Span name, names[MAX_ATTRIBUTES], values[MAX_ATTRIBUTES];
  gboolean closed;
  guint n = 0;
  Place place;

  if (!take_name (walk, &name))
    return FALSE;
  for (;;)
    {
      gsize before = walk->at;

      skip_space (walk);
      closed = tpd_scan_at (walk->text, walk->len, walk->at, "/>");
      if (closed || tpd_scan_at (walk->text, walk->len, walk->at, ">"))
        break;
      if (walk->at == before || n >= MAX_ATTRIBUTES || !take_attribute (walk, &names[n], &values[n]))
        return FALSE;
      n++;
    }
  walk->at += closed ? 2 : 1;
  if (!find_place (walk, &name, names, values, n, &place))
    return FALSE;
  if (closed)
    return place == OTHER && walk->depth > 0;
  if (walk->depth >= MAX_DEPTH)
    return FALSE;
  walk->open[walk->depth].name = name;
  walk->open[walk->depth].place = place;
  walk->depth++;
  return TRUE;
}

/* Behind the "</" that stands at `start`. */
static gboolean
take_end (Walk *walk, gsize start)
{
  Span name, *open, *value;

  if (walk->depth == 0 || !take_name (walk, &name) || walk->at >= walk->len || walk->text[walk->at] != '>')
    return FALSE;
  walk->at++;
  walk->depth--;
  open = &walk->open[walk->depth].name;
  if (name.len != open->len || memcmp (name.text, open->text, name.len) != 0)
    return FALSE;
  value = &walk->values[walk->open[walk->depth].place];
  if (value->text != NULL)
    value->len = (gsize) (walk->text + start - value->text);
  return TRUE;
}

/* Over the first document, from its "<XrML" on. */
static gboolean
walk_document (Walk *walk)
{
  do
    {
      const char *tag = memchr (walk->text + walk->at, '<', walk->len - walk->at);
      gsize start;

      if (tag == NULL)
        return FALSE;
      start = (gsize) (tag - walk->text);
      walk->at = start + 1;
      if (walk->at < walk->len && walk->text[walk->at] == '/')
        {
          walk->at++;
          if (!take_end (walk, start))
            return FALSE;
        }
      else if (!take_start (walk))
        return FALSE;
  } while (walk->depth > 0);
  return TRUE;
}

/* To the first document: there may be an XML declaration before it. */
static gboolean
find_document (Walk *walk)
{
  skip_space (walk);
  if (tpd_scan_at (walk->text, walk->len, walk->at, "<?xml "))
    {
      gsize start = walk->at + 1;

      /* One that does not end before the document hides the document. */
      if (!tpd_scan_find (walk->text, walk->len, &walk->at, "?>")
          || memchr (walk->text + start, '<', walk->at - start) != NULL)
        return FALSE;
      walk->at += 2;
      skip_space (walk);
    }
  return tpd_scan_at (walk->text, walk->len, walk->at, "<XrML");
}

static guint8 *
decode (const Span *value, gsize max, gsize *len)
{
  return value->text != NULL ? tpd_base64_decode (value->text, value->len, max, len) : NULL;
}

static gboolean
read_exponent (const Span *value, guint32 *out)
{
  char digits[12];
  guint64 exponent = 65537;

  if (value->len >= sizeof digits)
    return FALSE;
  if (value->text != NULL)
    {
      memcpy (digits, value->text, value->len);
      digits[value->len] = '\0';
      if (!tpd_number_parse (digits, 10, 3, G_MAXUINT32, &exponent) || exponent % 2 == 0)
        return FALSE;
    }
  *out = (guint32) exponent;
  return TRUE;
}

gboolean
tpd_license_peek_key (const guint8 *data, gsize len, TpdPublicKey *out)
{
  g_autoptr (TpdLicenseText) text = tpd_license_text_decode (data, len, NULL);
  g_autofree guint8 *modulus = NULL, *sealed = NULL;
  gsize modulus_len, sealed_len;
  guint32 exponent;
  Walk walk = { 0 };

  if (text == NULL)
    return FALSE;
  walk.text = text->text;
  walk.len = text->len;
  if (!find_document (&walk) || !walk_document (&walk))
    return FALSE;
  modulus = decode (&walk.values[MODULUS_VALUE], TPD_RSA_MAX_BYTES + 8, &modulus_len);
  sealed = decode (&walk.values[SEALED_VALUE], TPD_SEALED_MAX, &sealed_len);
  return modulus != NULL && sealed != NULL && sealed_len > 0 && read_exponent (&walk.values[EXPONENT_VALUE], &exponent)
         && tpd_public_key_from_le (out, modulus, modulus_len, exponent);
}
