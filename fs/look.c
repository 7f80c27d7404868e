/* SPDX-License-Identifier: Apache-2.0 */
/* Looking into files: see fs/look.h. */
#include "fs/look.h"

#include <errno.h>
#include <unistd.h>

#include "base/error.h"
#include "license/license.h"

/* Below this, file systems may keep the content in the inode, with st_blocks 0. */
#define STUB_MIN_SIZE 4096
#define MAX_CIPHER_WORDS 255

static GMutex cipher_lock;
static const char *cipher_words[MAX_CIPHER_WORDS]; /* under cipher_lock */

/* Names of ciphers are few and static; a node keeps the index. */
static guint8
cipher_word (const char *name)
{
  guint8 word = 0;

  if (name == NULL)
    return 0;
  g_mutex_lock (&cipher_lock);
  for (guint8 i = 0; i < MAX_CIPHER_WORDS && word == 0; i++)
    {
      if (cipher_words[i] == NULL)
        cipher_words[i] = name;
      if (g_str_equal (cipher_words[i], name))
        word = i + 1;
    }
  g_mutex_unlock (&cipher_lock);
  return word;
}

const char *
tpd_cipher_word_name (guint8 word)
{
  const char *name;

  if (word == 0)
    return NULL;
  g_mutex_lock (&cipher_lock);
  name = cipher_words[word - 1];
  g_mutex_unlock (&cipher_lock);
  return name;
}

gboolean
tpd_facts_decrypts (const TpdFacts *facts)
{
  return facts->verdict == TPD_VERDICT_OK || facts->verdict == TPD_VERDICT_KEY_HELD;
}

gboolean
tpd_facts_passes (const TpdFs *fs, const TpdFacts *facts)
{
  if (facts->verdict == TPD_VERDICT_NOT_PROTECTED || facts->verdict == TPD_VERDICT_OFFLINE)
    return TRUE;
  return fs->options->unreadable == TPD_UNREADABLE_RAW && facts->known && !tpd_facts_decrypts (facts);
}

void
tpd_facts_fail (TpdFacts *facts, const TpdStamp *stamp, const GError *error)
{
  int errnum = tpd_error_get_errno (error);

  facts->verdict = (guint8) tpd_verdict_from_error (error);
  facts->size = stamp->size;
  if (facts->verdict == TPD_VERDICT_IO_ERROR)
    {
      facts->known = FALSE;
      facts->io_errno = (guint8) (errnum > 0 && errnum <= G_MAXUINT8 ? errnum : EIO);
    }
}

void
tpd_facts_opened (TpdFacts *facts, const TpdDocument *document)
{
  facts->verdict = TPD_VERDICT_OK;
  facts->kind = (guint8) document->kind;
  facts->size = document->plain_size;
  facts->cipher = cipher_word (document->cipher);
  facts->proof = (guint8) document->proof;
}

static gboolean
key_is_held (TpdFs *fs, TpdSource *source, const TpdProbe *probe, GError **error)
{
  g_autoptr (GBytes) bytes = tpd_probe_read_license (probe, source, error);
  g_autoptr (TpdLicense) license = NULL;

  if (bytes == NULL)
    return FALSE;
  license = tpd_license_parse (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), error);
  return license != NULL && tpd_license_match_key (license, fs->keyring, error) != NULL;
}

/*
 * Whether it opens, and how large it then is. The size in clear is published
 * when the key is held; without it, or when only opening can tell, the
 * document is opened here. With unreadable=raw the name and the content
 * depend on the verdict, so it has to be final.
 */
static void
judge (TpdFs *fs, TpdSource *source, const TpdProbe *probe, const TpdStamp *stamp, TpdFacts *facts)
{
  g_autoptr (GError) error = NULL;

  if (probe->size_class == TPD_SIZE_EXACT && fs->options->unreadable == TPD_UNREADABLE_DENY)
    {
      if (key_is_held (fs, source, probe, &error))
        {
          facts->verdict = TPD_VERDICT_KEY_HELD;
          facts->size = probe->plain_size;
          return;
        }
    }
  else
    {
      const TpdOpenOptions options = { .iv = (TpdIvChoice) fs->options->iv };
      g_autoptr (TpdDocument) document =
          tpd_document_open (source, probe, fs->keyring, fs->unwrapper, &options, NULL, &error);

      if (document != NULL)
        {
          tpd_facts_opened (facts, document);
          return;
        }
    }
  tpd_facts_fail (facts, stamp, error);
}

/* `judged` FALSE leaves the verdict of the probe: kind and extension are all
 * that is wanted. */
static void
look_at_source (TpdFs *fs, TpdSource *source, const struct stat *st, gboolean judged, TpdFacts *facts, char **extension)
{
  g_autoptr (TpdProbe) probe = tpd_probe (source, NULL);
  TpdStamp stamp;

  tpd_fs_count (fs, TPD_COUNT_PROBES, 1);
  tpd_stamp_from_stat (&stamp, st);
  *facts = (TpdFacts){ .size = stamp.size, .known = TRUE, .kind = (guint8) probe->kind };
  facts->verdict = (guint8) probe->verdict;
  if (extension != NULL)
    *extension = g_strdup (probe->extension);
  if (probe->verdict == TPD_VERDICT_IO_ERROR)
    {
      facts->known = FALSE;
      facts->io_errno = (guint8) (probe->io_errno > 0 && probe->io_errno <= G_MAXUINT8 ? probe->io_errno : EIO);
    }
  else if (probe->verdict == TPD_VERDICT_OK && judged)
    judge (fs, source, probe, &stamp, facts);
}

void
tpd_look_at_source (TpdFs *fs, TpdSource *source, const struct stat *st, TpdFacts *facts)
{
  look_at_source (fs, source, st, TRUE, facts, NULL);
}

/* A file of a hierarchical store that lies on tape: reading would recall it. */
static gboolean
is_stub (TpdFs *fs, int dirfd, const char *name, const struct stat *st)
{
  TpdDevice device;

  if (st->st_blocks != 0 || st->st_size <= STUB_MIN_SIZE || fs->options->probe != TPD_PROBE_AUTO)
    return FALSE;
  tpd_devices_get (fs->devices, st->st_dev, dirfd, name, &device);
  return device.blocks_tell;
}

gboolean
tpd_look_again (const TpdFacts *facts, const struct stat *st)
{
  return facts->verdict == TPD_VERDICT_OFFLINE && st->st_blocks != 0;
}

static int
look (TpdFs *fs, int dirfd, const char *name, struct stat *st, gboolean judged, TpdFacts *facts, char **extension)
{
  g_autoptr (TpdSource) source = NULL;
  struct stat opened;
  int fd;

  *facts = (TpdFacts){
    .size = (guint64) st->st_size,
    .known = TRUE,
    .kind = TPD_KIND_PLAIN,
    .verdict = TPD_VERDICT_NOT_PROTECTED,
  };
  if (!S_ISREG (st->st_mode) || st->st_size == 0 || fs->options->probe == TPD_PROBE_NEVER)
    return 0;
  if (is_stub (fs, dirfd, name, st))
    {
      facts->verdict = TPD_VERDICT_OFFLINE;
      return 0;
    }
  fd = tpd_open_regular (dirfd, name, &opened);
  if (fd == -ESTALE)
    return ESTALE;
  if (fd < 0)
    {
      facts->verdict = TPD_VERDICT_IO_ERROR;
      facts->io_errno = (guint8) -fd;
      facts->known = FALSE;
      return 0;
    }
  if (opened.st_dev != st->st_dev || opened.st_ino != st->st_ino)
    {
      close (fd);
      return ESTALE;
    }
  *st = opened;
  facts->size = (guint64) st->st_size;
  source = tpd_source_new_fd (fd, NULL);
  if (source == NULL)
    {
      facts->verdict = TPD_VERDICT_IO_ERROR;
      facts->io_errno = EIO;
      facts->known = FALSE;
      return 0;
    }
  look_at_source (fs, source, st, judged, facts, extension);
  return 0;
}

int
tpd_look (TpdFs *fs, int dirfd, const char *name, struct stat *st, TpdFacts *facts)
{
  return look (fs, dirfd, name, st, TRUE, facts, NULL);
}

gboolean
tpd_look_for_name (gpointer data, int dirfd, const char *name, struct stat *st, char **extension)
{
  TpdFs *fs = data;
  gboolean raw = fs->options->unreadable == TPD_UNREADABLE_RAW;
  TpdFacts facts;

  if (look (fs, dirfd, name, st, raw, &facts, extension) != 0 || facts.kind != TPD_KIND_PFILE)
    return FALSE;
  return !raw || tpd_facts_decrypts (&facts);
}
