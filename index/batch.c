/* SPDX-License-Identifier: Apache-2.0 */
/* News of one directory, on their way from the thread that found them to the
 * one that writes. Everything is copied, so that the finder may go on. */
#include <string.h>

#include "index/private.h"

#define STRINGS_BLOCK 4096

TpdIndexBatch *
tpd_index_batch_new (const char *dir, gint64 id)
{
  TpdIndexBatch *batch = g_new0 (TpdIndexBatch, 1);

  batch->dir = g_strdup (dir);
  batch->id = id;
  batch->bytes = sizeof *batch + strlen (dir);
  return batch;
}

void
tpd_index_batch_free (TpdIndexBatch *batch)
{
  if (batch == NULL)
    return;
  g_clear_pointer (&batch->items, g_array_unref);
  g_clear_pointer (&batch->documents, g_ptr_array_unref);
  g_clear_pointer (&batch->strings, g_string_chunk_free);
  g_free (batch->error);
  g_free (batch->dir);
  g_free (batch);
}

static const char *
keep (TpdIndexBatch *batch, const char *text)
{
  if (text == NULL)
    return NULL;
  batch->bytes += strlen (text) + 1;
  return g_string_chunk_insert (batch->strings, text);
}

/* A fresh item; valid until the next. */
static TpdIndexItem *
add_item (TpdIndexBatch *batch, TpdIndexOperation operation, const char *name)
{
  TpdIndexItem item = { .operation = operation };

  if (batch->items == NULL)
    {
      batch->items = g_array_new (FALSE, FALSE, sizeof (TpdIndexItem));
      batch->strings = g_string_chunk_new (STRINGS_BLOCK);
    }
  item.row.name = keep (batch, name);
  batch->bytes += sizeof item;
  g_array_append_val (batch->items, item);
  return &g_array_index (batch->items, TpdIndexItem, batch->items->len - 1);
}

static const TpdIndexDocument *
keep_document (TpdIndexBatch *batch, const TpdIndexDocument *document)
{
  TpdIndexDocument *copy = g_new (TpdIndexDocument, 1);

  *copy = *document;
  copy->key.guid = keep (batch, document->key.guid);
  copy->key.tenant = keep (batch, document->key.tenant);
  copy->key.url = keep (batch, document->key.url);
  copy->message = keep (batch, document->message);
  copy->content_id = keep (batch, document->content_id);
  copy->policy_id = keep (batch, document->policy_id);
  copy->rms_owner = keep (batch, document->rms_owner);
  copy->author = keep (batch, document->author);
  copy->issued = keep (batch, document->issued);
  copy->template_id = keep (batch, document->template_id);
  copy->template_name = keep (batch, document->template_name);
  copy->cipher = keep (batch, document->cipher);
  copy->proof = keep (batch, document->proof);
  copy->signature = keep (batch, document->signature);
  copy->expires = keep (batch, document->expires);
  copy->json = keep (batch, document->json);
  if (batch->documents == NULL)
    batch->documents = g_ptr_array_new_with_free_func (g_free);
  g_ptr_array_add (batch->documents, copy);
  batch->bytes += sizeof *copy;
  return copy;
}

void
tpd_index_batch_put (TpdIndexBatch *batch, const TpdIndexRow *row, const TpdIndexDocument *document, guint64 link)
{
  TpdIndexItem *item = add_item (batch, TPD_INDEX_PUT, row->name);
  const char *name = item->row.name;

  item->row = *row;
  item->row.name = name;
  item->row.extension = keep (batch, row->extension);
  item->row.archive = keep (batch, row->archive);
  item->link = link;
  if (document != NULL)
    item->document = keep_document (batch, document);
}

void
tpd_index_batch_remove (TpdIndexBatch *batch, const char *name)
{
  add_item (batch, TPD_INDEX_REMOVE, name);
}

void
tpd_index_batch_remove_members (TpdIndexBatch *batch, const char *name)
{
  add_item (batch, TPD_INDEX_REMOVE_MEMBERS, name);
}

void
tpd_index_batch_set_error (TpdIndexBatch *batch, const char *message)
{
  g_free (batch->error);
  batch->error = g_strdup (message);
  batch->has_error = TRUE;
}

/* --- Copies of documents ---------------------------------------------- */

TpdIndexDocument *
tpd_index_document_copy (const TpdIndexDocument *document)
{
  TpdIndexDocument *copy = g_new (TpdIndexDocument, 1);

  *copy = *document;
  copy->key.guid = g_strdup (document->key.guid);
  copy->key.tenant = g_strdup (document->key.tenant);
  copy->key.url = g_strdup (document->key.url);
  copy->message = g_strdup (document->message);
  copy->content_id = g_strdup (document->content_id);
  copy->policy_id = g_strdup (document->policy_id);
  copy->rms_owner = g_strdup (document->rms_owner);
  copy->author = g_strdup (document->author);
  copy->issued = g_strdup (document->issued);
  copy->template_id = g_strdup (document->template_id);
  copy->template_name = g_strdup (document->template_name);
  copy->cipher = g_strdup (document->cipher);
  copy->proof = g_strdup (document->proof);
  copy->signature = g_strdup (document->signature);
  copy->expires = g_strdup (document->expires);
  copy->json = g_strdup (document->json);
  return copy;
}

void
tpd_index_document_free (TpdIndexDocument *document)
{
  if (document == NULL)
    return;
  g_free ((char *) document->key.guid);
  g_free ((char *) document->key.tenant);
  g_free ((char *) document->key.url);
  g_free ((char *) document->message);
  g_free ((char *) document->content_id);
  g_free ((char *) document->policy_id);
  g_free ((char *) document->rms_owner);
  g_free ((char *) document->author);
  g_free ((char *) document->issued);
  g_free ((char *) document->template_id);
  g_free ((char *) document->template_name);
  g_free ((char *) document->cipher);
  g_free ((char *) document->proof);
  g_free ((char *) document->signature);
  g_free ((char *) document->expires);
  g_free ((char *) document->json);
  g_free (document);
}
