/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Passwords: their sources and the forms that key files need. All
 * conversions are made here by hand, because GLib's would leave copies in
 * memory that is neither locked nor wiped.
 */
#include "crypto/password.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "crypto/pkcs11_uri.h"
#include "crypto/prompt.h"

#define PASSWORD_MAX (64 * 1024)

static char *
spec_target (const TpdKeySpec *spec)
{
  if (spec->uri)
    return tpd_pkcs11_uri_display (spec->uri);
  return g_strdup (spec->file ? spec->file : spec->name);
}

/* UTF-8 of one character; returns its length. */
static gsize
put_utf8 (guint8 *out, guint32 c)
{
  if (c < 0x80)
    {
      out[0] = (guint8) c;
      return 1;
    }
  if (c < 0x800)
    {
      out[0] = (guint8) (0xc0 | c >> 6);
      out[1] = (guint8) (0x80 | (c & 0x3f));
      return 2;
    }
  if (c < 0x10000)
    {
      out[0] = (guint8) (0xe0 | c >> 12);
      out[1] = (guint8) (0x80 | (c >> 6 & 0x3f));
      out[2] = (guint8) (0x80 | (c & 0x3f));
      return 3;
    }
  out[0] = (guint8) (0xf0 | c >> 18);
  out[1] = (guint8) (0x80 | (c >> 12 & 0x3f));
  out[2] = (guint8) (0x80 | (c >> 6 & 0x3f));
  out[3] = (guint8) (0x80 | (c & 0x3f));
  return 4;
}

/* NULL if `text` is not UTF-16LE; one unit gives at most three bytes. */
static TpdSecret *
utf8_from_utf16 (const guint8 *text, gsize len)
{
  g_autoptr (TpdSecret) out = tpd_secret_new (NULL, len / 2 * 3);
  gsize done = 0;

  if (len % 2 != 0)
    return NULL;
  for (gsize i = 0; i < len; i += 2)
    {
      guint32 c = (guint32) (text[i] | text[i + 1] << 8);
      if (c >= 0xdc00 && c < 0xe000)
        return NULL;
      if (c >= 0xd800 && c < 0xdc00)
        {
          if (len - i < 4)
            return NULL;
          guint32 low = (guint32) (text[i + 2] | text[i + 3] << 8);
          if (low < 0xdc00 || low >= 0xe000)
            return NULL;
          c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
          i += 2;
        }
      done += put_utf8 (out->data + done, c);
    }
  out->len = done;
  return g_steal_pointer (&out);
}

/* The form that files, descriptors and credentials share: byte-order marks
 * of UTF-8 and UTF-16LE, and one line end, which editors add. */
static TpdSecret *
password_from_text (const TpdSecret *raw, const char *where, GError **error)
{
  g_autoptr (TpdSecret) text = NULL;

  if (raw->len >= 2 && raw->data[0] == 0xff && raw->data[1] == 0xfe)
    text = utf8_from_utf16 (raw->data + 2, raw->len - 2);
  else if (raw->len >= 3 && memcmp (raw->data, "\xef\xbb\xbf", 3) == 0)
    text = tpd_secret_new (raw->data + 3, raw->len - 3);
  else
    text = tpd_secret_new (raw->data, raw->len);

  /* g_utf8_validate() also refuses NUL, a sign of UTF-16 without its mark. */
  if (!text || !g_utf8_validate ((const char *) text->data, (gssize) text->len, NULL))
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_PASSWORD,
                   "The password from %s is not UTF-8 text; store it as UTF-8, or as UTF-16LE with a byte-order mark",
                   where);
      return NULL;
    }
  if (text->len > 0 && text->data[text->len - 1] == '\n')
    {
      text->len--;
      if (text->len > 0 && text->data[text->len - 1] == '\r')
        text->len--;
    }
  return tpd_secret_new (text->data, text->len);
}

static TpdSecret *
read_fd (int fd, const char *where, GError **error)
{
  g_autoptr (TpdSecret) raw = tpd_secret_new (NULL, PASSWORD_MAX + 1);
  gsize done = 0;

  for (;;)
    {
      gssize n = read (fd, raw->data + done, raw->len - done);
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        {
          g_set_error (error, TPD_ERROR, TPD_ERROR_PASSWORD, "No password can be read from %s: %s", where,
                       g_strerror (errno));
          return NULL;
        }
      done += (gsize) n;
      if (n == 0)
        break;
      if (done > PASSWORD_MAX)
        {
          g_set_error (error, TPD_ERROR, TPD_ERROR_PASSWORD, "What comes from %s is too long for a password", where);
          return NULL;
        }
    }
  raw->len = done;
  return g_steal_pointer (&raw);
}

static TpdSecret *
password_from_fd (int fd, GError **error)
{
  g_autofree char *where = g_strdup_printf ("file descriptor %d", fd);
  g_autoptr (TpdSecret) raw = read_fd (fd, where, error);

  if (fd > STDERR_FILENO)
    close (fd);
  return raw ? password_from_text (raw, where, error) : NULL;
}

static TpdSecret *
password_from_file (const char *path, gboolean allow_insecure, GError **error)
{
  g_autoptr (TpdSecret) raw = tpd_secret_file_read (path, PASSWORD_MAX, allow_insecure, error);
  return raw ? password_from_text (raw, path, error) : NULL;
}

static TpdSecret *
password_from_credential (const char *name, gboolean allow_insecure, GError **error)
{
  const char *folder = g_getenv ("CREDENTIALS_DIRECTORY");

  if (!folder || !g_path_is_absolute (folder))
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_PASSWORD,
                   "The credential \"%s\" is not there: it comes from systemd, which must start this program with "
                   "LoadCredential= or LoadCredentialEncrypted=",
                   name);
      return NULL;
    }
  if (name[0] == '\0' || strchr (name, '/') || strcmp (name, ".") == 0 || strcmp (name, "..") == 0)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE, "\"%s\" is not the name of a credential", name);
      return NULL;
    }
  g_autofree char *path = g_build_filename (folder, name, NULL);
  return password_from_file (path, allow_insecure, error);
}

static TpdSecret *
password_from_prompt (const TpdKeySpec *spec, GError **error)
{
  g_autofree char *plain = spec_target (spec);
  g_autofree char *target = tpd_display (plain);
  g_autofree char *text = g_strdup_printf (spec->uri ? "PIN for %s: " : "Password for key file %s: ", target);
  g_autoptr (GError) failed = NULL;
  g_autoptr (TpdSecret) typed = tpd_password_prompt (text, &failed);

  if (!typed && g_error_matches (failed, TPD_ERROR, TPD_ERROR_PASSWORD))
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_PASSWORD,
                   spec->uri
                       ? "No PIN: %s; give it with pin-file=, credential= or password-fd= in the keyring file"
                       : "No password: %s; give it with --password-file or --password-fd, or with password-file=, "
                         "credential= or password-fd= in the keyring file",
                   failed->message);
      return NULL;
    }
  if (!typed)
    {
      g_propagate_error (error, g_steal_pointer (&failed));
      return NULL;
    }
  if (!g_utf8_validate ((const char *) typed->data, (gssize) typed->len, NULL))
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_PASSWORD,
                   "The password typed for %s is not UTF-8 text; use a terminal that is set to UTF-8", plain);
      return NULL;
    }
  return g_steal_pointer (&typed);
}

TpdSecret *
tpd_password_get (const TpdKeySpec *spec, gboolean allow_insecure, GError **error)
{
  switch (spec->password_kind)
    {
    case TPD_PASSWORD_FILE:
      return password_from_file (spec->password_source, allow_insecure, error);
    case TPD_PASSWORD_FD:
      return password_from_fd (spec->password_fd, error);
    case TPD_PASSWORD_CREDENTIAL:
      return password_from_credential (spec->password_source, allow_insecure, error);
    case TPD_PASSWORD_PROMPT:
    default:
      return password_from_prompt (spec, error);
    }
}

TpdSecret *
tpd_password_utf16 (const TpdSecret *utf8)
{
  const char *text = (const char *) utf8->data;

  if (!g_utf8_validate (text, (gssize) utf8->len, NULL))
    return NULL;

  /* A UTF-8 byte gives at most one unit. */
  g_autoptr (TpdSecret) out = tpd_secret_new (NULL, utf8->len * 2);
  gsize done = 0;
  for (const char *p = text; p < text + utf8->len; p = g_utf8_next_char (p))
    {
      gunichar c = g_utf8_get_char (p);
      guint16 units[2] = { (guint16) c, 0 };
      guint n = 1;
      if (c >= 0x10000)
        {
          units[0] = (guint16) (0xd800 + ((c - 0x10000) >> 10));
          units[1] = (guint16) (0xdc00 + ((c - 0x10000) & 0x3ff));
          n = 2;
        }
      for (guint i = 0; i < n; i++)
        {
          out->data[done++] = (guint8) (units[i] & 0xff);
          out->data[done++] = (guint8) (units[i] >> 8);
        }
      tpd_wipe (units, sizeof units);
    }
  out->len = done;
  return g_steal_pointer (&out);
}
