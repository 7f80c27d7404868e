/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Archives: looked into to their depth, and written anew, with other content
 * for some members, out of which the same members must come again.
 */
#include <string.h>

#include "format/container.h"
#include "format/zip_writer.h"
#include "fuzz.h"
#include "tools/copy_zip.h"

#define CONTENT "another content"
#define BLOCK 1024

static gboolean
check_member (gpointer data, const char *path, TpdSource *source, const TpdProbe *probe, GError **error)
{
  guint8 last;

  g_assert (path[0] == '!');
  g_assert (strchr (path, '/') != NULL);
  g_assert (probe->kind != TPD_KIND_PLAIN);
  g_assert (source->size > 0);
  (void) tpd_source_pread (source, &last, 1, source->size - 1, NULL);
  return TRUE;
}

static void
look (TpdSource *source)
{
  TpdContainerWork work;
  TpdContainerLook found;
  g_autoptr (GError) error = NULL;

  tpd_container_work_init (&work, NULL, source->size);
  /* Memory can always be read. */
  if (!tpd_container_look (source, &work, check_member, NULL, &found, &error))
    g_error ("%s", error->message);
  g_assert (found.complete || found.opaque != TPD_OPAQUE_NONE);
}

static gboolean
put (gpointer data, const void *bytes, gsize len, GError **error)
{
  g_byte_array_append (data, bytes, (guint) len);
  return TRUE;
}

/* Every third gets another content, as if it had been a protected file, and
 * every fifth is left out. */
static gboolean
is_changed (guint i)
{
  return i % 3 == 1;
}

static gboolean
is_dropped (guint i)
{
  return i % 5 == 4;
}

/* FALSE: what is changed is not where the directory says. */
static gboolean
write_all (TpdContainer *container, const TpdZipCopyPlan *plans, TpdZipWriter *writer)
{
  const gsize len = strlen (CONTENT);
  guint64 size;

  for (guint at = 0; at < container->n; at++)
    {
      guint i = container->in_order[at];

      if (is_dropped (i))
        continue;
      if (!is_changed (i) ? !tpd_zip_writer_copy (writer, i, NULL)
                          : !tpd_zip_writer_begin (writer, i, plans[i].name, len, tpd_zip_crc (0, CONTENT, len), NULL)
                                || !tpd_zip_writer_data (writer, CONTENT, len, NULL))
        return FALSE;
    }
  return tpd_zip_writer_finish (writer, &size, NULL);
}

static void
check_changed (TpdContainer *again, guint i)
{
  char content[sizeof CONTENT] = "";
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdSource) source = NULL;

  if (again->members[i].kind != TPD_MEMBER_FILE)
    return;
  source = tpd_container_member_source (again, i, &error);
  g_assert_no_error (error);
  g_assert (source->size == strlen (CONTENT));
  g_assert (tpd_source_read_exact (source, content, strlen (CONTENT), 0, NULL));
  g_assert_cmpstr (content, ==, CONTENT);
}

static void
check_written (const TpdContainer *container, GByteArray *written)
{
  g_autoptr (TpdSource) source = fuzz_source (written->data, written->len);
  TpdContainerWork work;
  g_autoptr (TpdContainer) again = NULL;
  g_autoptr (GError) error = NULL;
  guint j = 0;

  tpd_container_work_init (&work, NULL, source->size);
  again = tpd_container_open (source, &work, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < container->n; i++)
    {
      const TpdZipMember *old = tpd_container_zip_member (container, i), *new;

      if (is_dropped (i))
        continue;
      g_assert (j < again->n);
      new = tpd_container_zip_member (again, j);
      if (is_changed (i))
        check_changed (again, j);
      else
        g_assert (new->size == old->size &&new->packed == old->packed &&new->crc == old->crc &&new->flags
                  == old->flags &&new->name_len == old->name_len &&memcmp (new->name, old->name, old->name_len) == 0);
      g_assert (new->attributes == old->attributes &&new->comment_len == old->comment_len);
      j++;
    }
  g_assert (j == again->n);
}

static TpdZipCopyPlan *
make_plans (const TpdContainer *container)
{
  const TpdNameRules rules = { 0 };
  TpdZipCopyPlan *plans = g_new0 (TpdZipCopyPlan, MAX (container->n, 1));

  for (guint i = 0; i < container->n; i++)
    if (is_changed (i))
      plans[i] = (TpdZipCopyPlan){ TPD_ZIP_COPY_PROTECTED, TPD_KIND_PFILE, g_strdup (".txt"), NULL };
  tpd_zip_copy_names (container, plans, &rules);
  for (guint i = 0; i < container->n; i++)
    g_assert (is_changed (i) || plans[i].name == NULL);
  return plans;
}

static void
rewrite (TpdSource *source)
{
  TpdContainerWork work;
  g_autoptr (TpdContainer) container = NULL;
  g_autoptr (TpdZipWriter) writer = NULL;
  g_autoptr (GByteArray) written = g_byte_array_new ();
  TpdZipCopyPlan *plans;
  guint8 block[BLOCK];

  tpd_container_work_init (&work, NULL, source->size);
  container = tpd_container_open (source, &work, NULL);
  if (container == NULL)
    return;
  plans = make_plans (container);
  writer = tpd_zip_writer_new (container, put, written, block, sizeof block);
  if (write_all (container, plans, writer))
    check_written (container, written);
  for (guint i = 0; i < container->n; i++)
    {
      g_free (plans[i].extension);
      g_free (plans[i].name);
    }
  g_free (plans);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (TpdSource) source = fuzz_source (data, size);

  look (source);
  rewrite (source);
  return 0;
}
