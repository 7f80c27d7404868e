/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The user.tpdfs.* attributes: see fs/doc_xattr.h. getfattr asks for the names
 * and then for one value after the other, so the last files asked for are
 * kept, with the stamp they had. Cached tables are immutable and shared.
 */
#include "fs/doc_xattr.h"

#include <errno.h>
#include <fcntl.h>

#include "base/text.h"
#include "format/label.h"
#include "fs/fs.h"
#include "fs/look.h"
#include "license/license.h"

#define N_SLOTS 32

typedef struct {
  guint64 id;
  TpdStamp stamp;
  GHashTable *values; /* of what the file itself says; NULL: free slot */
} Slot;

struct _TpdDocXattrs {
  GMutex lock;
  Slot slots[N_SLOTS]; /* under lock; by node id modulo */
};

TpdDocXattrs *
tpd_doc_xattrs_new (void)
{
  TpdDocXattrs *xattrs = g_new0 (TpdDocXattrs, 1);

  g_mutex_init (&xattrs->lock);
  return xattrs;
}

void
tpd_doc_xattrs_free (TpdDocXattrs *xattrs)
{
  for (guint i = 0; i < N_SLOTS; i++)
    g_clear_pointer (&xattrs->slots[i].values, g_hash_table_unref);
  g_mutex_clear (&xattrs->lock);
  g_free (xattrs);
}

static void
put (GHashTable *table, const char *name, const char *value)
{
  if (value != NULL && *value != '\0')
    g_hash_table_insert (table, g_strconcat (TPD_XATTR_PREFIX, name, NULL), g_strdup (value));
}

static void
put_license (GHashTable *table, const TpdLicense *license)
{
  g_autofree char *fingerprint =
      tpd_hex (license->server_key.fingerprint.bytes, sizeof license->server_key.fingerprint.bytes);

  put (table, "content_id", license->content_id);
  put (table, "rms_owner", license->rms_owner);
  put (table, "key", license->server_guid != NULL ? license->server_guid : fingerprint);
  put (table, "template", tpd_license_name (license, 1033));
  put (table, "issued", license->issued);
}

/* Probes the file and parses its license. */
static GHashTable *
read_values (TpdFs *fs, TpdNode *node, const TpdStamp *stamp, int *errnum)
{
  g_autoptr (GHashTable) table = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  g_autoptr (TpdSource) source = NULL;
  g_autoptr (TpdProbe) probe = NULL;
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (TpdLicense) license = NULL;
  g_autoptr (TpdLabel) label = NULL;
  g_autofree char *size = NULL;
  struct stat st;
  TpdStamp now;
  int fd;

  *errnum = tpd_dirs_open (fs->dirs, node, O_RDONLY, &fd, &st);
  if (*errnum != 0)
    return NULL;
  source = tpd_source_new_fd (fd, NULL);
  tpd_stamp_from_stat (&now, &st);
  if (source == NULL || !tpd_stamp_same_content (&now, stamp))
    {
      *errnum = ESTALE;
      return NULL;
    }
  probe = tpd_probe (source, NULL);
  put (table, "kind", tpd_kind_word (probe->kind));
  size = g_strdup_printf ("%" G_GUINT64_FORMAT, stamp->size);
  put (table, "source_size", size);
  if (probe->verdict == TPD_VERDICT_OK)
    bytes = tpd_probe_read_license (probe, source, NULL);
  if (bytes != NULL)
    license = tpd_license_parse (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), NULL);
  if (license != NULL)
    put_license (table, license);
  label = tpd_label_known (probe, license);
  if (label != NULL)
    put (table, "label", label->name != NULL ? label->name : label->id);
  return g_steal_pointer (&table);
}

static GHashTable *
cached_values (TpdFs *fs, TpdNode *node, const TpdStamp *stamp, int *errnum)
{
  TpdDocXattrs *xattrs = fs->xattrs;
  Slot *slot = &xattrs->slots[node->id % N_SLOTS];
  GHashTable *values = NULL, *old;

  g_mutex_lock (&xattrs->lock);
  if (slot->values != NULL && slot->id == node->id && tpd_stamp_same_content (&slot->stamp, stamp))
    values = g_hash_table_ref (slot->values);
  g_mutex_unlock (&xattrs->lock);
  if (values != NULL)
    return values;

  values = read_values (fs, node, stamp, errnum);
  if (values == NULL)
    return NULL;
  g_mutex_lock (&xattrs->lock);
  old = slot->values;
  *slot = (Slot){ node->id, *stamp, g_hash_table_ref (values) };
  g_mutex_unlock (&xattrs->lock);
  if (old != NULL)
    g_hash_table_unref (old);
  return values;
}

GHashTable *
tpd_doc_xattrs_get (TpdFs *fs, TpdNode *node, int *errnum)
{
  g_autoptr (GHashTable) values = NULL;
  g_autoptr (GHashTable) all = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  GHashTableIter iter;
  gpointer name, value;
  TpdStamp stamp;
  TpdFacts facts;

  *errnum = 0;
  tpd_node_get_published (node, &stamp, &facts);
  if (node->type != S_IFREG >> 12 || !facts.known || facts.verdict == TPD_VERDICT_NOT_PROTECTED
      || facts.verdict == TPD_VERDICT_OFFLINE)
    return g_steal_pointer (&all);
  values = cached_values (fs, node, &stamp, errnum);
  if (values == NULL)
    return NULL;
  g_hash_table_iter_init (&iter, values);
  while (g_hash_table_iter_next (&iter, &name, &value))
    g_hash_table_insert (all, g_strdup (name), g_strdup (value));

  /* What the mount knows of the file by now. */
  if (!tpd_facts_is_left (fs, &facts))
    put (all, "verdict", tpd_verdict_word ((TpdVerdict) facts.verdict));
  if (facts.cipher != 0)
    {
      put (all, "cipher", tpd_cipher_word_name (facts.cipher));
      put (all, "proof", tpd_proof_word ((TpdProof) facts.proof));
    }
  TpdNode *parent;
  g_autofree char *source_name = NULL;
  if (tpd_node_way (node, &parent, &source_name))
    {
      tpd_node_unref (fs->inodes, parent);
      put (all, "source_name", source_name);
    }
  return g_steal_pointer (&all);
}
