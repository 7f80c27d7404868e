/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 7512, section 2.3: see crypto/pkcs11_uri.h. */
#include "crypto/pkcs11_uri.h"

#include <string.h>

#include "base/error.h"
#include "base/text.h"

#define SCHEME "pkcs11:"
/* Far more than any token can store. */
#define URI_MAX 4096
#define VALUE_MAX 1024

static gboolean G_GNUC_PRINTF (2, 3) refuse (GError **error, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  g_autofree char *text = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error_literal (error, TPD_ERROR, TPD_ERROR_USAGE, text);
  return FALSE;
}

/* NULL if the percent-encoding is wrong or the value too long. */
static GByteArray *
decode (const char *text)
{
  g_autoptr (GByteArray) out = g_byte_array_new ();

  for (const char *at = text; *at; at++)
    {
      guint8 byte = (guint8) *at;
      if (byte == '%')
        {
          int high = g_ascii_xdigit_value (at[1]);
          int low = high >= 0 ? g_ascii_xdigit_value (at[2]) : -1;
          if (low < 0)
            return NULL;
          byte = (guint8) (high << 4 | low);
          at += 2;
        }
      g_byte_array_append (out, &byte, 1);
    }
  return out->len <= VALUE_MAX ? g_steal_pointer (&out) : NULL;
}

static gboolean
take_text (const char *name, const GByteArray *value, char **out, GError **error)
{
  if (!g_utf8_validate ((const char *) value->data, value->len, NULL))
    return refuse (error, "has %s= with a value that is not UTF-8 text", name);
  if (value->len == 0)
    return refuse (error, "has %s= without a value", name);
  *out = g_strndup ((const char *) value->data, value->len);
  return TRUE;
}

static gboolean
take_slot_id (const char *name, const GByteArray *value, gint64 *out, GError **error)
{
  g_autofree char *text = NULL;
  guint64 number = 0;

  if (!take_text (name, value, &text, error))
    return FALSE;
  if (!tpd_number_parse (text, 10, 0, G_MAXUINT32, &number))
    return refuse (error, "has slot-id=, which must be a decimal number");
  *out = (gint64) number;
  return TRUE;
}

/* The path of `pin-source`: a path or a file: URI, not a program. */
static gboolean
take_pin_source (const char *name, const GByteArray *value, char **out, GError **error)
{
  g_autofree char *text = NULL;

  if (!take_text (name, value, &text, error))
    return FALSE;
  const char *path = g_str_has_prefix (text, "file://") ? text + strlen ("file://")
                     : g_str_has_prefix (text, "file:") ? text + strlen ("file:")
                                                        : text;
  if (path[0] != '/')
    return refuse (error, "has pin-source=, which can only be the absolute path of a file; other sources of the PIN "
                          "are named with pin-file=, credential= or password-fd=");
  *out = g_strdup (path);
  return TRUE;
}

static gboolean
take_attribute (TpdPkcs11Uri *uri, gboolean query, const char *name, const GByteArray *value, GError **error)
{
  const struct {
    const char *name;
    gboolean query;
    char **out;
  } texts[] = {
    { "token", FALSE, &uri->token },
    { "serial", FALSE, &uri->serial },
    { "manufacturer", FALSE, &uri->manufacturer },
    { "model", FALSE, &uri->model },
    { "slot-description", FALSE, &uri->slot_description },
    { "slot-manufacturer", FALSE, &uri->slot_manufacturer },
    { "object", FALSE, &uri->object },
    { "module-path", TRUE, &uri->module_path },
  };

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    if (query == texts[i].query && strcmp (name, texts[i].name) == 0)
      return take_text (name, value, texts[i].out, error);
  if (query && strcmp (name, "pin-source") == 0)
    return take_pin_source (name, value, &uri->pin_file, error);
  if (query && strcmp (name, "pin-value") == 0)
    return refuse (error,
                   "holds a PIN (pin-value), which would be shown wherever the key is named; take it out, change "
                   "the PIN, and name a file that holds it with pin-file=");
  if (!query && strcmp (name, "slot-id") == 0)
    return take_slot_id (name, value, &uri->slot_id, error);
  if (!query && strcmp (name, "id") == 0)
    {
      if (value->len == 0)
        return refuse (error, "has id= without a value");
      uri->id = g_bytes_new (value->data, value->len);
      return TRUE;
    }
  if (!query && strcmp (name, "type") == 0)
    return (value->len == strlen ("private") && memcmp (value->data, "private", value->len) == 0)
           || refuse (error, "has a type= that is not \"private\": a private key is needed");
  return refuse (error, "has the attribute %s=, which is not known here", name);
}

static gboolean
take_part (TpdPkcs11Uri *uri, gboolean query, const char *part, GHashTable *seen, GError **error)
{
  g_auto (GStrv) attributes = g_strsplit (part, query ? "&" : ";", -1);

  for (guint i = 0; attributes[i]; i++)
    {
      char *equals = strchr (attributes[i], '=');
      if (attributes[i][0] == '\0')
        continue;
      if (!equals)
        return refuse (error, "has \"%s\", which has no value", attributes[i]);
      g_autofree char *name = g_strndup (attributes[i], (gsize) (equals - attributes[i]));
      g_autoptr (GByteArray) value = decode (equals + 1);
      if (!value)
        return refuse (error, "has %s= with a value that is wrongly encoded (%% and two hex digits) or too long", name);
      if (!g_hash_table_add (seen, g_strdup (name)))
        return refuse (error, "has %s= twice", name);
      if (!take_attribute (uri, query, name, value, error))
        return FALSE;
    }
  return TRUE;
}

TpdPkcs11Uri *
tpd_pkcs11_uri_parse (const char *text, GError **error)
{
  g_autoptr (TpdPkcs11Uri) uri = g_new0 (TpdPkcs11Uri, 1);
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);

  uri->slot_id = -1;
  if (g_ascii_strncasecmp (text, SCHEME, strlen (SCHEME)) != 0)
    {
      refuse (error, "must begin with " SCHEME);
      return NULL;
    }
  if (strlen (text) > URI_MAX)
    {
      refuse (error, "is too long");
      return NULL;
    }
  g_auto (GStrv) parts = g_strsplit (text + strlen (SCHEME), "?", 2);
  if (parts[0] && !take_part (uri, FALSE, parts[0], seen, error))
    return NULL;
  if (parts[0] && parts[1] && !take_part (uri, TRUE, parts[1], seen, error))
    return NULL;
  return g_steal_pointer (&uri);
}

void
tpd_pkcs11_uri_free (TpdPkcs11Uri *uri)
{
  if (!uri)
    return;
  g_free (uri->token);
  g_free (uri->serial);
  g_free (uri->manufacturer);
  g_free (uri->model);
  g_free (uri->slot_description);
  g_free (uri->slot_manufacturer);
  g_free (uri->object);
  g_clear_pointer (&uri->id, g_bytes_unref);
  g_free (uri->module_path);
  g_free (uri->pin_file);
  g_free (uri);
}

char *
tpd_pkcs11_uri_display (const char *text)
{
  return g_strndup (text, strcspn (text, "?"));
}
