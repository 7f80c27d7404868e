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
tpd_facts_is_left (const TpdFs *fs, const TpdFacts *facts)
{
  return fs->options->mail == TPD_MAIL_SOURCE && tpd_kind_is_mail ((TpdKind) facts->kind);
}

gboolean
tpd_facts_decodes (const TpdFs *fs, const TpdFacts *facts)
{
  return fs->options->nested > 0 || facts->kind == TPD_KIND_PDF || tpd_kind_is_mail ((TpdKind) facts->kind);
}

gboolean
tpd_facts_passes (const TpdFs *fs, const TpdFacts *facts)
{
  if (facts->verdict == TPD_VERDICT_NOT_PROTECTED || facts->verdict == TPD_VERDICT_OFFLINE
      || tpd_facts_is_left (fs, facts))
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
  const TpdKeyInfo *info;
  TpdPublicKey key;

  if (bytes == NULL)
    return FALSE;
  if (fs->keyring != NULL && tpd_license_peek_key (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), &key))
    {
      info = tpd_keyring_find (fs->keyring, &key.fingerprint);
      if (info != NULL && info->state == TPD_KEY_HELD)
        return TRUE;
    }
  license = tpd_license_parse_brief (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), error);
  return license != NULL && tpd_license_match_key (license, fs->keyring, error) != NULL;
}

/* Whether the verdict and the size can be had without opening it. With
 * unreadable=raw the name and the content depend on the verdict, so it has to
 * be final. */
static gboolean
may_stay_closed (const TpdFs *fs, const TpdProbe *probe, const TpdOpenOptions *options)
{
  return tpd_probe_size_class (probe, options) == TPD_SIZE_EXACT && fs->options->unreadable == TPD_UNREADABLE_DENY;
}

/*
 * Whether it opens, and how large it then is. The size in clear is published
 * when the key is held; without it, or when only opening can tell, the
 * document is opened here, and given as `*document` if that is asked for.
 */
static void
judge (TpdFs *fs, TpdSource *source, const TpdProbe *probe, const TpdStamp *stamp, gboolean closed, TpdBudget *budget,
       TpdFacts *facts, TpdDocument **document, GError **error)
{
  const TpdOpenOptions options = tpd_fs_open_options (fs);
  g_autoptr (TpdDocument) opened = NULL;
  g_autoptr (GError) why = NULL;

  if (closed && key_is_held (fs, source, probe, &why))
    {
      facts->verdict = TPD_VERDICT_KEY_HELD;
      facts->size = probe->plain_size;
      return;
    }
  if (!closed)
    opened = tpd_document_open (source, probe, fs->keyring, fs->unwrapper, &options, budget, &why);
  if (opened != NULL && opened->memory_size > fs->options->decode_budget)
    {
      g_set_error (&why, TPD_ERROR, TPD_ERROR_TOO_LARGE,
                   "it needs %" G_GUINT64_FORMAT " bytes of memory, and decode_budget allows %" G_GUINT64_FORMAT,
                   opened->memory_size, fs->options->decode_budget);
      g_clear_pointer (&opened, tpd_document_unref);
    }
  if (opened == NULL)
    {
      tpd_facts_fail (facts, stamp, why);
      if (error != NULL)
        *error = g_steal_pointer (&why);
      return;
    }
  tpd_facts_opened (facts, opened);
  if (document != NULL)
    *document = g_steal_pointer (&opened);
}

/* The facts that the probe alone tells. */
static void
facts_from_probe (const TpdProbe *probe, const TpdStamp *stamp, TpdFacts *facts)
{
  *facts = (TpdFacts){
    .size = stamp->size,
    .known = TRUE,
    .kind = (guint8) probe->kind,
    .verdict = (guint8) probe->verdict,
  };
  if (probe->verdict == TPD_VERDICT_IO_ERROR)
    {
      facts->known = FALSE;
      facts->io_errno = (guint8) (probe->io_errno > 0 && probe->io_errno <= G_MAXUINT8 ? probe->io_errno : EIO);
    }
}

static TpdProbe *
probe_source (TpdFs *fs, TpdSource *source, const TpdStamp *stamp, TpdFacts *facts)
{
  TpdProbe *probe = tpd_probe (source, NULL);

  tpd_fs_count (fs, TPD_COUNT_PROBES, 1);
  facts_from_probe (probe, stamp, facts);
  return probe;
}

/*
 * The verdict on a PDF file whose license is near: within what a probe may
 * read, and inflate. FALSE: it is not, and finding it takes time.
 */
static gboolean
judge_near (TpdFs *fs, TpdSource *source, const TpdProbe *probe, const TpdStamp *stamp, TpdFacts *facts)
{
  g_autoptr (TpdSource) budgeted = NULL;
  g_autoptr (GError) why = NULL;
  TpdBudget budget;

  if (probe->kind != TPD_KIND_PDF || (probe->version_major > 1 && probe->plain_size > TPD_PROBE_MAX_BYTES))
    return FALSE;
  tpd_budget_init_probe (&budget);
  budgeted = tpd_source_new_budgeted (source, &budget);
  if (key_is_held (fs, budgeted, probe, &why))
    {
      facts->verdict = TPD_VERDICT_KEY_HELD;
      facts->size = probe->plain_size;
      return TRUE;
    }
  if (budget.used_reads >= budget.max_reads)
    return FALSE;
  tpd_facts_fail (facts, stamp, why);
  return TRUE;
}

int
tpd_look_at_source (TpdFs *fs, TpdSource *source, const struct stat *st, TpdFacts *facts, TpdWait *wait)
{
  const TpdOpenOptions options = tpd_fs_open_options (fs);
  g_autoptr (TpdProbe) probe = NULL;
  g_auto (TpdDecoded) decoded = { 0 };
  TpdStamp stamp;
  gboolean closed;

  tpd_stamp_from_stat (&stamp, st);
  probe = probe_source (fs, source, &stamp, facts);
  if (probe->verdict != TPD_VERDICT_OK || tpd_facts_is_left (fs, facts))
    return 0;
  closed = may_stay_closed (fs, probe, &options);
  if (!tpd_probe_decodes (probe, &options))
    {
      judge (fs, source, probe, &stamp, closed, NULL, facts, NULL, NULL);
      return 0;
    }
  if (tpd_decoder_find (fs->decoder, &stamp, TPD_DECODE_VERDICT, &decoded))
    {
      *facts = decoded.facts;
      return 0;
    }
  if (closed && judge_near (fs, source, probe, &stamp, facts))
    return 0;
  return tpd_wait_for (wait, source, &stamp, closed ? TPD_DECODE_VERDICT : TPD_DECODE_SIZE);
}

gboolean
tpd_look_is_plain (TpdFs *fs, TpdSource *source, const struct stat *st)
{
  g_autoptr (TpdProbe) probe = NULL;
  TpdFacts facts;
  TpdStamp stamp;

  if (st->st_size == 0 || fs->options->probe == TPD_PROBE_NEVER)
    return TRUE;
  tpd_stamp_from_stat (&stamp, st);
  probe = probe_source (fs, source, &stamp, &facts);
  return probe->verdict == TPD_VERDICT_NOT_PROTECTED;
}

/* What decoding may cost: the steps of a mail hold about four copies of it. */
static void
limit_budget (const TpdFs *fs, const TpdSource *source, TpdBudget *budget)
{
  const guint64 limit = fs->options->decode_budget;
  TpdBudget of_file;

  tpd_budget_init_decode (&of_file, source->size);
  budget->max_bytes = MIN (of_file.max_bytes, limit > G_MAXUINT64 / 4 ? G_MAXUINT64 : limit * 4);
}

/* The sentence for a probe that did not find a sound protected file. */
static void
probe_error (const TpdProbe *probe, GError **error)
{
  static const TpdError codes[TPD_N_VERDICTS] = {
    [TPD_VERDICT_NOT_PROTECTED] = TPD_ERROR_STALE,     [TPD_VERDICT_DAMAGED] = TPD_ERROR_DAMAGED,
    [TPD_VERDICT_UNSUPPORTED] = TPD_ERROR_UNSUPPORTED, [TPD_VERDICT_TOO_LARGE] = TPD_ERROR_TOO_LARGE,
    [TPD_VERDICT_AMBIGUOUS] = TPD_ERROR_AMBIGUOUS,     [TPD_VERDICT_OFFLINE] = TPD_ERROR_OFFLINE,
  };

  if (probe->verdict == TPD_VERDICT_IO_ERROR)
    tpd_error_set_errno (error, probe->io_errno > 0 ? probe->io_errno : EIO, "it cannot be read");
  else
    g_set_error_literal (error, TPD_ERROR, codes[probe->verdict],
                         probe->message != NULL ? probe->message : "it is not sound");
}

void
tpd_look_open (TpdFs *fs, TpdSource *source, const TpdStamp *stamp, TpdDecodeWant want, TpdBudget *budget,
               TpdDecoded *out)
{
  const TpdOpenOptions options = tpd_fs_open_options (fs);
  g_autoptr (TpdProbe) probe = probe_source (fs, source, stamp, &out->facts);
  gboolean closed = want == TPD_DECODE_VERDICT && may_stay_closed (fs, probe, &options);
  /* Reading ends when it is cancelled. Documents that read from the source
   * later on must not come by a budget that has gone then. */
  gboolean whole = options.nested == 0 && tpd_probe_decodes (probe, &options);
  g_autoptr (TpdSource) budgeted = tpd_source_new_budgeted (source, whole ? budget : NULL);

  if (probe->verdict != TPD_VERDICT_OK)
    probe_error (probe, &out->error);
  else
    judge (fs, budgeted, probe, stamp, closed, budget, &out->facts, &out->document, &out->error);
}

void
tpd_look_decode (gpointer data, TpdSource *source, const TpdStamp *stamp, TpdDecodeWant want, TpdBudget *budget,
                 TpdDecoded *out)
{
  TpdFs *fs = data;
  TpdStamp after;

  limit_budget (fs, source, budget);
  if (want > TPD_DECODE_VERDICT)
    tpd_fs_count (fs, TPD_COUNT_DECODES, 1);
  tpd_look_open (fs, source, stamp, want, budget, out);
  if (tpd_source_stamp (source, &after, NULL) && tpd_stamp_same_content (&after, stamp))
    return;
  /* Nothing of this is about any one version of the file. */
  tpd_decoded_clear (out);
  g_set_error_literal (&out->error, TPD_ERROR, TPD_ERROR_STALE, "the file was changed while it was decoded");
  out->facts = (TpdFacts){ .size = stamp->size };
  tpd_facts_fail (&out->facts, stamp, out->error);
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

/* Whether attributes alone tell all there is to tell; fills `facts`. */
static gboolean
is_plain_to_see (TpdFs *fs, int dirfd, const char *name, const struct stat *st, TpdFacts *facts)
{
  *facts = (TpdFacts){
    .size = (guint64) st->st_size,
    .known = TRUE,
    .kind = TPD_KIND_PLAIN,
    .verdict = TPD_VERDICT_NOT_PROTECTED,
  };
  if (!S_ISREG (st->st_mode) || st->st_size == 0 || fs->options->probe == TPD_PROBE_NEVER)
    return TRUE;
  if (!is_stub (fs, dirfd, name, st))
    return FALSE;
  facts->verdict = TPD_VERDICT_OFFLINE;
  return TRUE;
}

/* Most files are plain, and show it at once: without a probe and all it takes.
 * `facts` are those of a plain file then. */
static gboolean
starts_plain (TpdFs *fs, int fd, const struct stat *st)
{
  guint8 head[TPD_PROBE_FIRST];
  gsize len;

  if (!tpd_probe_starts_plain_fd (fd, (guint64) st->st_size, head, &len))
    return FALSE;
  tpd_fs_count (fs, TPD_COUNT_PROBES, 1);
  return TRUE;
}

/* Opens what is worth a look. 0 and `*fd`, or -1 and the facts that it cannot
 * be read; or ESTALE. */
static int
open_file (int dirfd, const char *name, struct stat *st, TpdFacts *facts, int *out)
{
  struct stat opened;
  int fd;

  *out = -1;
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
  *out = fd;
  return 0;
}

/* Takes `fd`; `facts` are those of a plain file. */
static int
look_at_file (TpdFs *fs, int fd, const struct stat *st, TpdFacts *facts, TpdWait *wait)
{
  g_autoptr (TpdSource) source = NULL;

  if (starts_plain (fs, fd, st))
    {
      close (fd);
      return 0;
    }
  source = tpd_source_new_file (fd, st);
  return tpd_look_at_source (fs, source, st, facts, wait);
}

int
tpd_look (TpdFs *fs, guint64 dir, int dirfd, const char *name, struct stat *st, TpdFacts *facts, TpdWait *wait)
{
  TpdFacts known;
  int errnum, fd;

  if (is_plain_to_see (fs, dirfd, name, st, facts))
    return 0;
  if (tpd_known_facts (fs, dir, name, st, &known))
    {
      *facts = known;
      return 0;
    }
  errnum = open_file (dirfd, name, st, facts, &fd);
  if (errnum == 0 && fd >= 0)
    errnum = look_at_file (fs, fd, st, facts, wait);
  return errnum;
}

int
tpd_look_opened (TpdFs *fs, int dirfd, const char *name, int fd, const struct stat *st, TpdFacts *facts, TpdWait *wait)
{
  if (!is_plain_to_see (fs, dirfd, name, st, facts))
    return look_at_file (fs, fd, st, facts, wait);
  close (fd);
  return 0;
}

/* With unreadable=raw: whether the file is one of those that open. Decoding
 * each mail of a folder would take too long; its key has to do. */
static gboolean
opens (TpdFs *fs, TpdSource *source, const TpdProbe *probe, const TpdStamp *stamp, TpdFacts *facts)
{
  const TpdOpenOptions options = tpd_fs_open_options (fs);

  if (probe->verdict != TPD_VERDICT_OK)
    return FALSE;
  if (tpd_probe_decodes (probe, &options))
    return key_is_held (fs, source, probe, NULL);
  judge (fs, source, probe, stamp, FALSE, NULL, facts, NULL, NULL);
  return tpd_facts_decrypts (facts);
}

gboolean
tpd_look_for_name (gpointer data, guint64 dir, int dirfd, const char *name, struct stat *st, char **extension)
{
  TpdFs *fs = data;
  g_autoptr (TpdSource) source = NULL;
  g_autoptr (TpdProbe) probe = NULL;
  gboolean plain;
  TpdFacts facts;
  TpdStamp stamp;
  int fd;

  if (is_plain_to_see (fs, dirfd, name, st, &facts))
    return FALSE;
  if (tpd_known_name (fs, dir, name, st, &plain, extension))
    return plain;
  if (open_file (dirfd, name, st, &facts, &fd) != 0 || fd < 0)
    return FALSE;
  source = tpd_source_new_file (fd, st);
  tpd_stamp_from_stat (&stamp, st);
  probe = probe_source (fs, source, &stamp, &facts);
  *extension = g_strdup (probe->extension);
  return tpd_name_fits (name, probe->kind, &fs->options->name_rules)
         && (fs->options->unreadable == TPD_UNREADABLE_DENY || opens (fs, source, probe, &stamp, &facts));
}
