/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and reading whatever a probe recognises: see fuzz.h. */
#include <string.h>

#include "base/error.h"
#include "crypto/agent.h"
#include "crypto/keyfile.h"
#include "fuzz.h"

#define MAX_READ (1024 * 1024)

TpdSource *
fuzz_memory (const uint8_t *data, size_t size)
{
  g_autoptr (GBytes) bytes = g_bytes_new (data, size);

  return tpd_source_new_bytes (bytes);
}

typedef struct {
  TpdSource base;
  TpdSource *memory;
} FileSource;

static gssize
file_pread (TpdSource *source, void *buf, gsize len, guint64 off, GError **error)
{
  return tpd_source_pread (((FileSource *) source)->memory, buf, len, off, error);
}

static void
file_free (TpdSource *source)
{
  tpd_source_unref (((FileSource *) source)->memory);
  g_free (source);
}

TpdSource *
fuzz_source (const uint8_t *data, size_t size)
{
  static const TpdSourceClass klass = { file_pread, NULL, file_free };
  FileSource *self = g_new0 (FileSource, 1);

  self->base = (TpdSource){ &klass, size, 1 };
  self->memory = fuzz_memory (data, size);
  return &self->base;
}

void
fuzz_check_same (TpdSource *a, TpdSource *b)
{
  g_autoptr (GBytes) all_a = NULL, all_b = NULL;

  g_assert (a->size == b->size);
  all_a = tpd_source_read_bytes (a, 0, (gsize) a->size, NULL);
  all_b = tpd_source_read_bytes (b, 0, (gsize) b->size, NULL);
  g_assert (all_a != NULL && all_b != NULL && g_bytes_equal (all_a, all_b));
}

/* --- Reading ---------------------------------------------------------- */

/* The two kinds of things with a pread. */
typedef gssize (*ReadFunc) (gpointer object, void *buf, gsize len, guint64 off, GError **error);

static gssize
read_source (gpointer object, void *buf, gsize len, guint64 off, GError **error)
{
  return tpd_source_pread (object, buf, len, off, error);
}

static gssize
read_document (gpointer object, void *buf, gsize len, guint64 off, GError **error)
{
  return tpd_document_pread (object, buf, len, off, error);
}

/* FALSE after an error, which must have been told. */
static gboolean
checked_read (ReadFunc func, gpointer object, void *buf, gsize len, guint64 off, gsize expected)
{
  g_autoptr (GError) error = NULL;
  gssize n = func (object, buf, len, off, &error);

  g_assert ((n < 0) == (error != NULL));
  g_assert (n < 0 || (gsize) n == expected);
  return n >= 0;
}

static void
check_reads (ReadFunc func, gpointer object, guint64 size)
{
  const gsize len = (gsize) MIN (size, MAX_READ);
  const guint64 offsets[] = { 0, 1, 15, 16, 17, 511, 512, 4095, 4096, 4097, size / 3, size / 2, size - MIN (size, 1) };
  /* Exact blocks of memory, so that a byte too many is seen. */
  g_autofree guint8 *all = g_malloc (len);
  guint8 byte;

  if (!checked_read (func, object, all, len, 0, len))
    return;
  for (gsize i = 0; i < G_N_ELEMENTS (offsets); i++)
    {
      const gsize off = (gsize) MIN (offsets[i], len);
      const gsize part_len = MIN (len - off, 1000 + 777 * i);
      g_autofree guint8 *part = g_malloc (part_len);

      if (!checked_read (func, object, part, part_len, off, part_len))
        return;
      g_assert (part_len == 0 || memcmp (part, all + off, part_len) == 0);
    }
  if (len == size)
    {
      g_autofree guint8 *tail = g_malloc (64);
      const gsize tail_len = (gsize) MIN (size, 30);

      if (checked_read (func, object, tail, 64, size - tail_len, tail_len) && tail_len > 0)
        g_assert (memcmp (tail, all + len - tail_len, tail_len) == 0);
    }
  (void) checked_read (func, object, &byte, 1, size, 0);
}

void
fuzz_check_source (TpdSource *source)
{
  check_reads (read_source, source, source->size);
}

/* --- Keys ------------------------------------------------------------- */

/* In front of the fixtures' keys, if there are any. */
typedef struct {
  TpdUnwrapper base;
  TpdUnwrapper *fixtures;
} FuzzUnwrapper;

static TpdContentKey *
invented_key (const TpdUnwrapRequest *request)
{
  static const guint16 words[] = { TPD_MODE_WORD_ECB, TPD_MODE_WORD_CBC4K_NOPAD, TPD_MODE_WORD_CBC4K,
                                   TPD_MODE_WORD_CBC512 };
  const guint choice = request->sealed[0];
  TpdContentKey *key = g_new0 (TpdContentKey, 1);

  key->ref_count = 1;
  key->key = tpd_secret_new (NULL, (choice & 4) != 0 ? 32 : 16);
  memset (key->key->data, (int) choice, key->key->len);
  key->mode_word = words[choice & 3];
  key->size_word = (guint16) key->key->len;
  key->session_key_len = 16;
  return key;
}

static void
fuzz_unwrap (TpdUnwrapper *unwrapper, const TpdUnwrapRequest *request, TpdUnwrapReply *reply)
{
  FuzzUnwrapper *self = (FuzzUnwrapper *) unwrapper;

  if (self->fixtures != NULL)
    {
      tpd_unwrapper_unwrap (self->fixtures, request, reply);
      if (reply->status == TPD_UNWRAP_OK)
        return;
      tpd_unwrap_reply_clear (reply);
    }
  *reply = (TpdUnwrapReply){ .status = TPD_UNWRAP_REFUSED };
  if (request->sealed_len > 0)
    *reply = (TpdUnwrapReply){ .status = TPD_UNWRAP_OK, .key = invented_key (request) };
}

/* Never called: there is one, and it stays. */
static void
fuzz_unwrapper_free (TpdUnwrapper *unwrapper)
{
  g_assert_not_reached ();
}

static TpdUnwrapper *
fixtures_unwrapper (const char *dir)
{
  static const char *const names[] = { "tpd-cloud", "tpd-cloud-archived", "tpd-onprem", "tpd-mode1-v1compatible" };
  g_autoptr (TpdKeyConfig) config = tpd_key_config_new ();
  g_autoptr (GPtrArray) keys = NULL;
  g_autofree char *pem = g_strconcat (dir, "/keys/tpd-hsm-key.pem", NULL);
  g_autoptr (GError) error = NULL;

  config->allow_insecure_files = TRUE;
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *file = g_strdup_printf ("%s/keys/%s.xml", dir, names[i]);
      g_autofree char *password = g_strdup_printf ("%s/keys/%s.password.txt", dir, names[i]);

      tpd_key_config_add_file (config, file);
      if (!tpd_key_config_set_password_file (config, password, &error))
        g_error ("%s", error->message);
    }
  tpd_key_config_add_file (config, pem);
  keys = tpd_keys_load (config, &error);
  if (keys == NULL)
    g_error ("%s", error->message);
  return tpd_unwrapper_new_in_process (keys);
}

TpdUnwrapper *
fuzz_unwrapper (void)
{
  static const TpdUnwrapperClass klass = { .unwrap = fuzz_unwrap, .free = fuzz_unwrapper_free };
  static FuzzUnwrapper self = { { &klass, 1 }, NULL };
  static TpdUnwrapper *cache;
  const char *dir = g_getenv ("TPD_FIXTURES");

  if (cache != NULL)
    return cache;
  if (dir != NULL)
    self.fixtures = fixtures_unwrapper (dir);
  cache = tpd_unwrap_cache_new (&self.base, 64);
  return cache;
}

TpdKeyring *
fuzz_keyring (const TpdLicense *license)
{
  g_autoptr (GPtrArray) keys = g_ptr_array_new_with_free_func ((GDestroyNotify) tpd_key_info_free);
  TpdKeyInfo *info = g_new0 (TpdKeyInfo, 1);

  info->state = TPD_KEY_HELD;
  info->public_key = license->server_key;
  info->guid = g_strdup (license->server_guid);
  info->name = g_strdup ("fuzz");
  info->path = g_strdup ("fuzz");
  info->origin = g_strdup ("tpd");
  g_ptr_array_add (keys, info);
  return tpd_keyring_new (g_steal_pointer (&keys));
}

/* --- Documents -------------------------------------------------------- */

static void
check_probe (const TpdProbe *probe, const TpdBudget *budget)
{
  /* Refused reads count too: nobody goes on asking. */
  g_assert (budget->used_reads <= 2 * TPD_PROBE_MAX_READS);
  if (probe->verdict == TPD_VERDICT_OK)
    g_assert (probe->format != NULL && probe->kind != TPD_KIND_PLAIN);
  else if (probe->verdict != TPD_VERDICT_NOT_PROTECTED)
    g_assert (probe->message != NULL && g_utf8_validate (probe->message, -1, NULL));
  if (probe->extension != NULL)
    {
      g_assert (g_utf8_validate (probe->extension, -1, NULL));
      g_assert (strchr (probe->extension, '/') == NULL && strlen (probe->extension) < 256);
      g_assert (probe->extension[0] == '\0' || probe->extension[0] == '.');
    }
  if (probe->metadata != NULL)
    g_assert (g_utf8_validate (probe->metadata, -1, NULL));
}

static TpdDocument *
open_document (TpdSource *source, const TpdProbe *probe, TpdBudget *budget, GError **error)
{
  g_autoptr (GBytes) bytes = tpd_probe_read_license (probe, source, error);
  g_autoptr (TpdLicense) license = NULL;
  g_autoptr (TpdKeyring) keyring = NULL;

  if (bytes == NULL)
    return NULL;
  license = tpd_license_parse (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), error);
  if (license == NULL)
    return NULL;
  keyring = fuzz_keyring (license);
  return tpd_document_open (source, probe, keyring, fuzz_unwrapper (), NULL, budget, error);
}

/* What the first bytes show to be plain is. */
static void
check_first_bytes (TpdSource *source, const TpdProbe *probe)
{
  guint8 head[TPD_PROBE_FIRST];
  gsize len = (gsize) MIN (source->size, (guint64) sizeof head);

  if (tpd_source_read_exact (source, head, len, 0, NULL) && tpd_probe_starts_plain (head, len, source->size))
    g_assert (probe->kind == TPD_KIND_PLAIN
              && (probe->verdict == TPD_VERDICT_NOT_PROTECTED || probe->verdict == TPD_VERDICT_IO_ERROR));
}

void
fuzz_check_document (TpdSource *source, guint depth)
{
  TpdBudget budget;
  g_autoptr (TpdProbe) probe = NULL;
  g_autoptr (TpdDocument) document = NULL;
  g_autoptr (TpdSource) plain = NULL;
  g_autoptr (GError) error = NULL;

  tpd_budget_init_probe (&budget);
  probe = tpd_probe (source, &budget);
  check_probe (probe, &budget);
  check_first_bytes (source, probe);
  if (probe->verdict != TPD_VERDICT_OK)
    return;
  document = open_document (source, probe, NULL, &error);
  g_assert ((document == NULL) == (error != NULL));
  if (document == NULL)
    {
      g_assert (error->domain == TPD_ERROR && g_utf8_validate (error->message, -1, NULL));
      return;
    }
  if (probe->size_class == TPD_SIZE_EXACT)
    g_assert (document->plain_size == probe->plain_size);
  g_assert (document->cipher != NULL && document->license != NULL);
  check_reads (read_document, document, document->plain_size);
  if (depth == 0)
    return;
  plain = tpd_source_new_document (document);
  fuzz_check_document (plain, depth - 1);
}
