/* SPDX-License-Identifier: Apache-2.0 */
/* Registry entries: see registry.h. */
#include "tools/registry.h"

#include <stdio.h>
#include <string.h>

#include "tools/json.h"
#include "tools/report.h"

#define MAX_URL 1024
#define MAX_REDIRECTED 1000
#define SERVICE "\\Microsoft\\MSIPC\\ServiceLocation\\"
#define POLICY "HKEY_CURRENT_USER\\Software\\Policies\\Microsoft\\Office\\16.0\\Common\\DRM"
#define HEAD "Windows Registry Editor Version 5.00"

/* Where 64-bit and 32-bit programs on 64-bit Windows look. */
static const char *const branches[] = { "HKEY_LOCAL_MACHINE\\SOFTWARE", "HKEY_LOCAL_MACHINE\\SOFTWARE\\Wow6432Node" };

struct _TpdRegistry {
  char *base;     /* ".../_wmcs" of the new server, or NULL */
  GPtrArray *old; /* licensing URLs */
  gboolean disable_creation;
};

/* One value; `name` NULL: the default value; `data` NULL: the number 1. */
typedef struct {
  const char *path, *name, *data;
} Value;

typedef void (*EachValue) (gpointer user_data, const Value *value, gboolean first_of_key);

/* --- Addresses ---------------------------------------------------------- */

/* Printable ASCII without what would end a string or a line of a .reg. */
static gboolean
is_url (const char *url)
{
  gsize len = strlen (url);
  const char *host = strstr (url, "://");

  if (len > MAX_URL || host == NULL
      || (g_ascii_strncasecmp (url, "http://", 7) != 0 && g_ascii_strncasecmp (url, "https://", 8) != 0))
    return FALSE;
  for (const char *p = url; *p != '\0'; p++)
    if (*p <= ' ' || *p > '~' || strchr ("\"\\<>^`{}|@?#", *p) != NULL)
      return FALSE;
  return g_ascii_isalnum (host[3]) || host[3] == '[';
}

/* Up to and with "/_wmcs", which is added if need be; NULL if `url` leads
 * elsewhere. (transfer full) */
static char *
service_base (const char *url)
{
  const char *path, *wmcs;
  gsize len;

  if (!is_url (url))
    return NULL;
  path = strchr (strstr (url, "://") + 3, '/');
  if (path == NULL || strcmp (path, "/") == 0)
    return g_strdup_printf ("%.*s/_wmcs", (int) (path != NULL ? (gsize) (path - url) : strlen (url)), url);
  wmcs = strcasestr (path, "/_wmcs");
  if (wmcs == NULL)
    return NULL;
  len = (gsize) (wmcs - url) + strlen ("/_wmcs");
  if (url[len] != '\0' && url[len] != '/')
    return NULL;
  return g_strndup (url, len);
}

/* As licenses write it: scheme and host in small letters, no usual port. */
static char *
usual_form (const char *url)
{
  const char *host = strstr (url, "://") + 3, *path = host + strcspn (host, "/");
  gboolean secure = g_ascii_strncasecmp (url, "https", 5) == 0;
  g_autofree char *front = g_ascii_strdown (url, path - url);
  const char *port = secure ? ":443" : ":80";

  if (g_str_has_suffix (front, port))
    front[strlen (front) - strlen (port)] = '\0';
  return g_strconcat (front, path, NULL);
}

/* Names of values are compared without case. */
static void
add_old (TpdRegistry *registry, const char *url)
{
  for (guint i = 0; i < registry->old->len; i++)
    if (g_ascii_strcasecmp (g_ptr_array_index (registry->old, i), url) == 0)
      return;
  if (registry->old->len < MAX_REDIRECTED)
    g_ptr_array_add (registry->old, g_strdup (url));
}

TpdRegistry *
tpd_registry_new (const char *redirect_to)
{
  g_autoptr (TpdRegistry) registry = g_new0 (TpdRegistry, 1);

  registry->old = g_ptr_array_new_with_free_func (g_free);
  if (redirect_to != NULL)
    registry->base = service_base (redirect_to);
  return redirect_to == NULL || registry->base != NULL ? g_steal_pointer (&registry) : NULL;
}

void
tpd_registry_free (TpdRegistry *registry)
{
  if (registry == NULL)
    return;
  g_ptr_array_unref (registry->old);
  g_free (registry->base);
  g_free (registry);
}

gboolean
tpd_registry_redirect (TpdRegistry *registry, const char *url)
{
  g_autofree char *base = service_base (url), *old = NULL, *usual = NULL;

  if (base == NULL)
    return FALSE;
  old = g_strconcat (base, "/licensing", NULL);
  usual = usual_form (old);
  add_old (registry, old);
  add_old (registry, usual);
  return TRUE;
}

guint
tpd_registry_n_redirected (const TpdRegistry *registry)
{
  return registry->old->len;
}

void
tpd_registry_disable_creation (TpdRegistry *registry)
{
  registry->disable_creation = TRUE;
}

/* --- Values ------------------------------------------------------------- */

static void
each_redirection (const TpdRegistry *registry, EachValue each, gpointer user_data)
{
  g_autofree char *licensing = g_strconcat (registry->base, "/licensing", NULL);
  g_autofree char *certification = g_strconcat (registry->base, "/certification", NULL);

  for (gsize i = 0; i < G_N_ELEMENTS (branches); i++)
    {
      g_autofree char *certify = g_strconcat (branches[i], SERVICE "EnterpriseCertification", NULL);
      g_autofree char *publish = g_strconcat (branches[i], SERVICE "EnterprisePublishing", NULL);
      g_autofree char *redirect = g_strconcat (branches[i], SERVICE "LicensingRedirection", NULL);

      each (user_data, &(Value){ certify, NULL, certification }, TRUE);
      each (user_data, &(Value){ publish, NULL, licensing }, TRUE);
      for (guint j = 0; j < registry->old->len; j++)
        each (user_data, &(Value){ redirect, g_ptr_array_index (registry->old, j), licensing }, j == 0);
    }
}

static void
each_value (const TpdRegistry *registry, EachValue each, gpointer user_data)
{
  if (registry->base != NULL)
    each_redirection (registry, each, user_data);
  if (registry->disable_creation)
    each (user_data, &(Value){ POLICY, "DisableCreation", NULL }, TRUE);
}

/* --- Forms -------------------------------------------------------------- */

/* All is ASCII. */
static void
append_wide (GByteArray *bytes, const char *text)
{
  for (; *text != '\0'; text++)
    g_byte_array_append (bytes, (const guint8[]){ (guint8) *text, 0 }, 2);
}

/* In quotes; backslash and quote are escaped, though no address has them. */
static void
append_quoted (GByteArray *bytes, const char *text)
{
  append_wide (bytes, "\"");
  for (; *text != '\0'; text++)
    {
      if (*text == '"' || *text == '\\')
        append_wide (bytes, "\\");
      append_wide (bytes, (const char[]){ *text, '\0' });
    }
  append_wide (bytes, "\"");
}

static void
append_value (gpointer user_data, const Value *value, gboolean first_of_key)
{
  GByteArray *bytes = user_data;

  if (first_of_key)
    {
      append_wide (bytes, "\r\n[");
      append_wide (bytes, value->path);
      append_wide (bytes, "]\r\n");
    }
  if (value->name != NULL)
    append_quoted (bytes, value->name);
  else
    append_wide (bytes, "@");
  append_wide (bytes, "=");
  if (value->data != NULL)
    append_quoted (bytes, value->data);
  else
    append_wide (bytes, "dword:00000001");
  append_wide (bytes, "\r\n");
}

GByteArray *
tpd_registry_reg (const TpdRegistry *registry)
{
  GByteArray *bytes = g_byte_array_new ();

  g_byte_array_append (bytes, (const guint8[]){ 0xff, 0xfe }, 2);
  append_wide (bytes, HEAD "\r\n");
  each_value (registry, append_value, bytes);
  append_wide (bytes, "\r\n");
  return bytes;
}

static void
print_value (gpointer user_data, const Value *value, gboolean first_of_key)
{
  if (first_of_key)
    printf ("%s%s\n", *(gboolean *) user_data ? "" : "\n", value->path);
  *(gboolean *) user_data = FALSE;
  printf ("    %s = %s\n", value->name != NULL ? value->name : "(Default)",
          value->data != NULL ? value->data : "1 (DWORD)");
}

void
tpd_registry_print_text (const TpdRegistry *registry)
{
  gboolean first = TRUE;

  each_value (registry, print_value, &first);
}

static void
print_json (gpointer user_data, const Value *value, gboolean first_of_key)
{
  g_auto (TpdJson) json = { 0 };

  tpd_json_init (&json);
  tpd_json_begin_object (&json, NULL);
  tpd_json_uint (&json, "schema", TPD_REPORT_SCHEMA);
  tpd_json_string (&json, "path", value->path);
  tpd_json_string (&json, "name", value->name);
  tpd_json_string (&json, "type", value->data != NULL ? "REG_SZ" : "REG_DWORD");
  if (value->data != NULL)
    tpd_json_string (&json, "data", value->data);
  else
    tpd_json_uint (&json, "data", 1);
  tpd_json_end_object (&json);
  tpd_json_print (&json);
}

void
tpd_registry_print_json (const TpdRegistry *registry)
{
  each_value (registry, print_json, NULL);
}
