/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates and what is known of them: see license/certificate.h.
 *
 * The table is one for the process, under one lock, which is held for a
 * comparison of bytes only. It finds entries by a hash that anybody could
 * collide, and then compares all of the text; when it is full it is emptied:
 * what is in use comes back with the next documents.
 */
#include "license/certificate.h"

#include <string.h>

#include "base/hash.h"
#include "license/signature.h"
#include "license/xrml.h"

#define MAX_ENTRIES 512
/* Larger ones are rare, and are read each time. */
#define MAX_TEXT (32 * 1024)
#define MAX_TOTAL (4 * 1024 * 1024)

/* --- Reading ---------------------------------------------------------- */

char *
tpd_certificate_type (const TpdXml *doc)
{
  const TpdXmlNode *body = tpd_xml_child (tpd_xml_root (doc), "BODY");
  g_autofree char *type = tpd_xml_attribute (body, "type");
  g_autofree char *descriptor = tpd_xml_attribute (tpd_xml_path (body, "DESCRIPTOR/OBJECT"), "type");

  if (type == NULL)
    return g_strdup ("unknown");
  return descriptor == NULL ? g_steal_pointer (&type) : g_strdup_printf ("%s (%s)", type, descriptor);
}

static gboolean
read_link (const char *text, const TpdXrmlSlice *slice, const TpdXml *doc, TpdCertificate *out)
{
  const TpdXmlNode *body = tpd_xrml_body (doc, "LICENSE");
  const TpdXmlNode *principal = tpd_xrml_first_principal (body);
  TpdPublicKey issuer, subject;
  TpdSignatureState state;
  const char *why;

  if (body == NULL
      || !tpd_xml_attribute_is (tpd_xml_path (body, "DESCRIPTOR/OBJECT"), "type", "Client-Licensor-Certificate")
      || !tpd_xrml_public_key (tpd_xml_path (body, "ISSUER/PUBLICKEY"), &issuer, NULL, &why)
      || !tpd_xrml_public_key (tpd_xml_child (principal, "PUBLICKEY"), &subject, NULL, &why))
    return FALSE;
  state = tpd_signature_check (text, slice, doc, &issuer, NULL);
  out->issuer = issuer.fingerprint;
  out->subject = subject.fingerprint;
  return state == TPD_SIGNATURE_GOOD || state == TPD_SIGNATURE_REPAIRED;
}

static void
read_new (const char *text, const TpdXrmlSlice *slice, TpdCertificate *out)
{
  g_autoptr (TpdXml) doc = tpd_xml_parse (text + slice->start, slice->len, "certificate", NULL);

  memset (out, 0, sizeof *out);
  if (doc == NULL)
    return;
  out->type = tpd_certificate_type (doc);
  out->links = read_link (text, slice, doc, out);
}

/* --- The table -------------------------------------------------------- */

typedef struct {
  guint64 hash; /* first: it is the key of the table */
  char *text;
  gsize len;
  TpdCertificate certificate;
} Entry;

static GMutex lock;
static GHashTable *entries; /* set of Entry, under lock */
static gsize total;         /* bytes of their texts, under lock */

static void
entry_free (gpointer data)
{
  Entry *entry = data;

  g_free (entry->text);
  g_free (entry->certificate.type);
  g_free (entry);
}

static gboolean
find (guint64 hash, const char *text, gsize len, TpdCertificate *out)
{
  const Entry *entry;
  gboolean found;

  g_mutex_lock (&lock);
  entry = entries != NULL ? g_hash_table_lookup (entries, &hash) : NULL;
  found = entry != NULL && entry->len == len && memcmp (entry->text, text, len) == 0;
  if (found)
    {
      *out = entry->certificate;
      out->type = g_strdup (entry->certificate.type);
    }
  g_mutex_unlock (&lock);
  return found;
}

static void
remember (guint64 hash, const char *text, gsize len, const TpdCertificate *certificate)
{
  Entry *entry = g_new (Entry, 1);

  *entry = (Entry){ hash, g_strndup (text, len), len, *certificate };
  entry->certificate.type = g_strdup (certificate->type);
  g_mutex_lock (&lock);
  if (entries == NULL)
    entries = g_hash_table_new_full (g_int64_hash, g_int64_equal, entry_free, NULL);
  if (g_hash_table_size (entries) >= MAX_ENTRIES || total + len > MAX_TOTAL)
    {
      g_hash_table_remove_all (entries);
      total = 0;
    }
  if (g_hash_table_contains (entries, &hash))
    entry_free (entry);
  else
    {
      g_hash_table_add (entries, entry);
      total += len;
    }
  g_mutex_unlock (&lock);
}

void
tpd_certificate_read (const char *text, const TpdXrmlSlice *slice, TpdCertificate *out)
{
  const char *own = text + slice->start;
  guint64 hash;

  if (slice->len > MAX_TEXT)
    {
      read_new (text, slice, out);
      return;
    }
  hash = tpd_hash64_sample (own, slice->len);
  if (find (hash, own, slice->len, out))
    return;
  read_new (text, slice, out);
  remember (hash, own, slice->len, out);
}
