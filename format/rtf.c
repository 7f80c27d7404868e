/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compressed RTF, [MS-OXRTFCP]: an LZ77 with a dictionary of 4096 bytes that
 * starts with words common in RTF.
 *
 * The compressed form carries a checksum. A wrong one means that some byte of
 * the mail is wrong, so it is damaged and not shown in part.
 */
#include "format/rtf.h"

#include <string.h>
#include <zlib.h>

#include "base/bytes.h"
#include "base/error.h"
#include "format/mail.h"

#define HEADER_SIZE 16
#define TYPE_COMPRESSED 0x75465a4cu /* "LZFu" */
#define TYPE_STORED 0x414c454du     /* "MELA" */
#define DICTIONARY_SIZE 4096
/* Eight references of two bytes behind a control byte give 8 * 17 bytes. */
#define MAX_RATIO 8

/* [MS-OXRTFCP] 2.1.2.1 */
static const char initial[] = "{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}"
                              "{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \\fdecor MS Sans SerifSymbolArial"
                              "Times New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par "
                              "\\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx";

G_STATIC_ASSERT (sizeof initial - 1 == 207);

guint32
tpd_rtf_crc (const guint8 *data, gsize len)
{
  /* That of zlib without the inversion before and after. */
  return ~(guint32) crc32_z (0xffffffffu, data, len);
}

static void
set_damaged (GError **error, const char *what)
{
  g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED, "The text of the mail is damaged: its compressed RTF %s.", what);
}

/* [MS-OXRTFCP] 2.2.2.1; `out` holds `raw_size` bytes. FALSE if it does not come out even. */
static gboolean
expand (TpdBytes *in, guint8 *out, gsize raw_size)
{
  guint8 dictionary[DICTIONARY_SIZE] = { 0 };
  guint at = sizeof initial - 1;
  gsize done = 0;
  guint8 control, byte, low;

  memcpy (dictionary, initial, sizeof initial - 1);
  while (tpd_bytes_take_u8 (in, &control))
    for (guint bit = 0; bit < 8; bit++)
      {
        if (!tpd_bytes_take_u8 (in, &byte))
          return done == raw_size;
        if (control & 1u << bit)
          {
            guint from, len;

            if (!tpd_bytes_take_u8 (in, &low))
              return FALSE;
            from = (guint) byte << 4 | low >> 4;
            len = (low & 0xfu) + 2;
            /* A reference to the place that is written next marks the end. */
            if (from == at)
              return done == raw_size;
            if (len > raw_size - done)
              return FALSE;
            for (guint i = 0; i < len; i++)
              {
                guint8 c = dictionary[(from + i) % DICTIONARY_SIZE];

                out[done++] = c;
                dictionary[at] = c;
                at = (at + 1) % DICTIONARY_SIZE;
              }
            continue;
          }
        if (done == raw_size)
          return FALSE;
        out[done++] = byte;
        dictionary[at] = byte;
        at = (at + 1) % DICTIONARY_SIZE;
      }
  return done == raw_size;
}

static GBytes *
fail_too_large (gsize max, GError **error)
{
  g_set_error (error, TPD_ERROR, TPD_ERROR_TOO_LARGE,
               "The text of the mail has more than %" G_GSIZE_FORMAT " MiB, the limit for one.", max >> 20);
  return NULL;
}

GBytes *
tpd_rtf_decompress (const guint8 *data, gsize len, gsize max, GError **error)
{
  TpdBytes bytes = tpd_bytes (data, len), contents;
  guint32 comp_size = 0, raw_size = 0, type = 0, crc = 0;
  g_autofree guint8 *out = NULL;

  if (len >= 5 && memcmp (data, "{\\rtf", 5) == 0)
    return len <= max ? g_bytes_new (data, len) : fail_too_large (max, error);
  if (!tpd_bytes_take_u32le (&bytes, &comp_size) || !tpd_bytes_take_u32le (&bytes, &raw_size)
      || !tpd_bytes_take_u32le (&bytes, &type) || !tpd_bytes_take_u32le (&bytes, &crc)
      || (type != TYPE_COMPRESSED && type != TYPE_STORED))
    {
      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_DAMAGED,
                           "The text of the mail is damaged: it is neither RTF nor compressed RTF.");
      return NULL;
    }
  if (raw_size > max)
    return fail_too_large (max, error);
  if (comp_size < HEADER_SIZE - 4 || !tpd_bytes_slice (&bytes, HEADER_SIZE, comp_size - (HEADER_SIZE - 4), &contents))
    {
      set_damaged (error, "is cut off");
      return NULL;
    }
  if (type == TYPE_STORED)
    {
      if (raw_size <= contents.len)
        return g_bytes_new (contents.data, raw_size);
      set_damaged (error, "is cut off");
      return NULL;
    }
  if (tpd_rtf_crc (contents.data, contents.len) != crc)
    {
      set_damaged (error, "has a wrong checksum");
      return NULL;
    }
  if (raw_size / MAX_RATIO > contents.len)
    {
      set_damaged (error, "is shorter than it says");
      return NULL;
    }
  out = g_malloc (raw_size);
  if (!expand (&contents, out, raw_size))
    {
      set_damaged (error, "does not have the length that it says");
      return NULL;
    }
  return g_bytes_new_take (g_steal_pointer (&out), raw_size);
}

static void
store_u32 (guint8 *at, guint32 value)
{
  for (guint i = 0; i < 4; i++)
    at[i] = (guint8) (value >> 8 * i);
}

GBytes *
tpd_rtf_store (const guint8 *rtf, gsize len)
{
  guint8 *out = g_malloc (HEADER_SIZE + len);

  store_u32 (out, (guint32) len + HEADER_SIZE - 4);
  store_u32 (out + 4, (guint32) len);
  store_u32 (out + 8, TYPE_STORED);
  store_u32 (out + 12, 0);
  if (len > 0)
    memcpy (out + HEADER_SIZE, rtf, len);
  return g_bytes_new_take (out, HEADER_SIZE + len);
}
