/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tpd cat: the plaintext of files on standard output, with its exact size.
 * Each block is written only after it was read without error from a source
 * that has not changed, so that nothing wrong follows what is right.
 */
#include <errno.h>
#include <unistd.h>

#include "base/error.h"
#include "base/io.h"
#include "base/log.h"
#include "crypto/secret.h"
#include "tools/common.h"
#include "tools/input.h"

static const TpdCommandHelp help = {
  "FILE...",
  "Writes the plaintext of each FILE to standard output. Files that are not\n"
  "protected are written as they are.",
};

static gboolean
write_all (const guint8 *data, gsize len, GError **error)
{
  if (tpd_write_all (STDOUT_FILENO, data, len))
    return TRUE;
  tpd_error_set_errno (error, errno, "cannot write standard output");
  return FALSE;
}

/* `stamp` NULL: a plain file, which may grow while it is read, as with cat(1). */
static gboolean
copy_out (TpdSource *from, TpdSource *file, const TpdStamp *stamp, guint8 *block, GError **error)
{
  guint64 off = 0;
  gssize n;

  while ((n = tpd_source_pread (from, block, TPD_INPUT_BLOCK, off, error)) > 0)
    {
      if (stamp != NULL && !tpd_input_check_unchanged (file, stamp, error))
        return FALSE;
      if (!write_all (block, (gsize) n, error))
        return FALSE;
      off += (guint64) n;
    }
  return n == 0;
}

static gboolean
cat_protected (TpdSource *file, const TpdStamp *stamp, const TpdProbe *probe, const TpdSession *session,
               const TpdOpenOptions *options, guint8 *block, GError **error)
{
  g_autoptr (TpdDocument) document = NULL;
  g_autoptr (TpdSource) plain = NULL;

  document = tpd_document_open (file, probe, session->keyring, session->unwrapper, options, NULL, error);
  if (document == NULL)
    return FALSE;
  plain = tpd_source_new_document (document);
  return copy_out (plain, file, stamp, block, error);
}

static TpdError
error_code_of (TpdVerdict verdict)
{
  switch (verdict)
    {
    case TPD_VERDICT_UNSUPPORTED:
      return TPD_ERROR_UNSUPPORTED;
    case TPD_VERDICT_TOO_LARGE:
      return TPD_ERROR_TOO_LARGE;
    case TPD_VERDICT_IO_ERROR:
      return TPD_ERROR_ERRNO;
    default:
      return TPD_ERROR_DAMAGED;
    }
}

static gboolean
cat_file (const char *path, const TpdSession *session, const TpdOpenOptions *options, guint8 *block, GError **error)
{
  TpdStamp stamp;
  g_autoptr (TpdSource) file = NULL;
  g_autoptr (TpdProbe) probe = NULL;

  file = tpd_input_open (path, &stamp, error);
  if (file == NULL)
    return FALSE;
  probe = tpd_probe (file, NULL);
  if (options->mail == TPD_MAIL_SOURCE && tpd_kind_is_mail (probe->kind))
    return copy_out (file, file, &stamp, block, error);
  switch (probe->verdict)
    {
    case TPD_VERDICT_OK:
      return cat_protected (file, &stamp, probe, session, options, block, error);
    case TPD_VERDICT_NOT_PROTECTED:
      for (char **warning = probe->warnings; warning != NULL && *warning != NULL; warning++)
        tpd_warning ("%s: %s", path, *warning);
      return copy_out (file, file, NULL, block, error);
    case TPD_VERDICT_OFFLINE:
      return copy_out (file, file, NULL, block, error);
    default:
      g_set_error_literal (error, TPD_ERROR, (int) error_code_of (probe->verdict), probe->message);
      return FALSE;
    }
}

/* The reader of a pipe that went away knows it. */
static gboolean
tell (const char *path, const GError *error)
{
  if (tpd_error_get_errno (error) == EPIPE)
    return FALSE;
  tpd_error ("%s: %s: %s", path, tpd_verdict_word (tpd_verdict_from_error (error)), error->message);
  return TRUE;
}

static TpdExit
cat_files (const TpdCommon *common, const TpdSession *session)
{
  TpdExit status = TPD_EXIT_OK;
  guint8 *block = g_malloc (TPD_INPUT_BLOCK);

  for (char **file = common->files; *file != NULL; file++)
    {
      g_autoptr (GError) error = NULL;
      if (cat_file (*file, session, &common->open, block, &error))
        continue;
      status = TPD_EXIT_FAILED;
      if (!tell (*file, error))
        break;
    }
  tpd_wipe (block, TPD_INPUT_BLOCK);
  g_free (block);
  return status;
}

TpdExit
tpd_cmd_cat (int argc, char **argv)
{
  g_auto (TpdCommon) common = { 0 };
  g_auto (TpdSession) session = { 0 };
  const TpdCommonFlags flags = TPD_COMMON_KEYS | TPD_COMMON_OPEN | TPD_COMMON_FILES;
  TpdExit status;

  if (!tpd_common_parse (&common, flags, &help, NULL, argc, argv, &status)
      || !tpd_session_start (&session, &common, TPD_AGENT_DEFAULT, &status))
    return status;
  return cat_files (&common, &session);
}
