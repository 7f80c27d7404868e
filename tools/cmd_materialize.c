/* SPDX-License-Identifier: Apache-2.0 */
/* tpd materialize: plaintext copies of a tree, or plaintext in its place. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "tools/common.h"
#include "tools/copy.h"

#define MAX_SHARDS 100000
#define MAX_JOBS 256

static const TpdCommandHelp help = {
  "SRC DST",
  "Makes DST a tree of plaintext: what is protected in SRC and opens is decrypted,\n"
  "everything else is copied. A manifest tells what was made of what.",
};

typedef struct {
  TpdCopyOptions copy;
  gboolean in_place;
  char *originals, *hold, *shard, *pext, *unreadable;
  int jobs;
  TpdCopy *opened;
} Arguments;

static void
arguments_clear (Arguments *arguments)
{
  g_clear_pointer (&arguments->opened, tpd_copy_free);
  tpd_filter_clear (&arguments->copy.tree.filter);
  g_clear_pointer (&arguments->copy.hold, g_hash_table_unref);
  g_clear_pointer (&arguments->copy.names.words, g_strfreev);
  g_free (arguments->originals);
  g_free (arguments->hold);
  g_free (arguments->shard);
  g_free (arguments->pext);
  g_free (arguments->unreadable);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Arguments, arguments_clear)

static gboolean
usage (GError **error, const char *message)
{
  g_set_error_literal (error, TPD_ERROR, TPD_ERROR_USAGE, message);
  return FALSE;
}

static gboolean
parse_shard (Arguments *arguments, GError **error)
{
  g_auto (GStrv) parts = NULL;
  guint64 shard, shards;

  arguments->copy.shard = arguments->copy.shards = 1;
  if (arguments->shard == NULL)
    return TRUE;
  parts = g_strsplit (arguments->shard, "/", 3);
  if (g_strv_length (parts) != 2 || !tpd_number_parse (parts[1], 10, 1, MAX_SHARDS, &shards)
      || !tpd_number_parse (parts[0], 10, 1, shards, &shard))
    return usage (error, "--shard is I/N, like 1/4");
  arguments->copy.shard = (guint) shard;
  arguments->copy.shards = (guint) shards;
  return TRUE;
}

/* "dwg,cad" or "*", as the mount has it. */
static gboolean
parse_pext (Arguments *arguments, GError **error)
{
  if (arguments->pext == NULL)
    return TRUE;
  arguments->copy.names.words = g_strsplit (arguments->pext, ",", -1);
  for (char **word = arguments->copy.names.words; *word != NULL; word++)
    {
      char *lower = g_ascii_strdown (*word, -1);

      g_free (*word);
      *word = lower;
      if (lower[0] == '\0' || strpbrk (lower, "./") != NULL)
        return usage (error, "--pext is a list of extensions without dots, like dwg,cad, or *");
    }
  return TRUE;
}

static gboolean
parse_unreadable (Arguments *arguments, GError **error)
{
  if (arguments->unreadable == NULL || strcmp (arguments->unreadable, "skip") == 0)
    return TRUE;
  if (strcmp (arguments->unreadable, "copy") != 0)
    return usage (error, "--unreadable is skip or copy");
  arguments->copy.copy_unreadable = TRUE;
  return TRUE;
}

static gboolean
check_files (Arguments *arguments, const TpdCommon *common, GError **error)
{
  guint n = g_strv_length (common->files);

  if (arguments->in_place && (n != 1 || arguments->originals == NULL))
    return usage (error, "--in-place takes one directory, and --originals DIR for what was there");
  if (!arguments->in_place && n != 2)
    return usage (error, "two directories must be named: the source and that of the copies");
  if (!arguments->in_place && (arguments->originals != NULL || arguments->copy.remove_originals))
    return usage (error, "--originals and --remove-originals go with --in-place");
  if (arguments->copy.link_plain && (arguments->in_place || arguments->copy.only_protected))
    return usage (error, "--link-plain does not go with --in-place or --only-protected");
  if (arguments->in_place && arguments->copy.copy_unreadable)
    return usage (error, "--unreadable copy does not go with --in-place");
  arguments->copy.source = common->files[0];
  arguments->copy.target = arguments->in_place ? NULL : common->files[1];
  arguments->copy.originals = arguments->originals;
  return TRUE;
}

static gboolean
check (Arguments *arguments, TpdCommon *common, GError **error)
{
  if (!check_files (arguments, common, error) || !parse_shard (arguments, error) || !parse_pext (arguments, error)
      || !parse_unreadable (arguments, error))
    return FALSE;
  if (arguments->jobs < 0 || arguments->jobs > MAX_JOBS)
    return usage (error, "--jobs is a number from 1 to 256");
  /* Two more than processors: one may wait for the disk. */
  common->jobs = arguments->jobs > 0 ? (guint) arguments->jobs : MIN (g_get_num_processors () + 2, MAX_JOBS);
  arguments->copy.jobs = common->jobs;
  arguments->copy.json = common->json;
  arguments->copy.open = common->open;
  arguments->copy.names.mail = common->open.mail;
  if (arguments->hold != NULL)
    arguments->copy.hold = tpd_copy_read_hold (arguments->hold, arguments->copy.source, error);
  return arguments->hold == NULL || arguments->copy.hold != NULL;
}

static gboolean
open_copy (TpdConfinement *reach, gpointer data, GError **error)
{
  Arguments *arguments = data;

  arguments->opened = tpd_copy_open (&arguments->copy, reach, error);
  return arguments->opened != NULL;
}

static void
tell_count (const char *what, guint64 count)
{
  g_autofree char *number = tpd_progress_number (count);

  if (count > 0)
    printf ("%-22s %s\n", what, number);
}

static void
tell (const TpdCopyOptions *options, const TpdCopyResult *result)
{
  const TpdCopyCounts *counts = &result->counts;
  g_autofree char *bytes = tpd_progress_bytes (counts->bytes);

  if (options->dry_run)
    puts ("Nothing was written. It would be:");
  tell_count ("Decrypted:", counts->decrypted);
  tell_count ("Copied:", counts->plain);
  tell_count ("Copied protected:", counts->raw);
  tell_count ("Archives rewritten:", counts->archives);
  tell_count ("Decrypted in archives:", counts->members);
  tell_count ("Protected in archives:", counts->shut_members);
  tell_count ("Archives partly seen:", counts->partly);
  tell_count ("Symbolic links:", counts->symlinks);
  tell_count ("Further hard links:", counts->links);
  printf ("%-22s %s\n", "Bytes:", bytes);
  tell_count ("Finished before:", counts->finished);
  tell_count ("Left out:", counts->left);
  tell_count ("Held:", counts->held);
  tell_count ("Special files left:", counts->special);
  tell_count ("Directories excluded:", counts->excluded_dirs);
  tell_count ("Snapshots left:", counts->snapshot_dirs);
  tell_count ("File systems left:", counts->foreign_dirs);
  tell_count ("Originals removed:", counts->removed);
  tell_count ("With attributes lost:", counts->lost);
  tell_count ("Failed:", counts->failed);
  if (result->manifest != NULL)
    {
      printf ("%-22s %s\n", "Manifest:", result->manifest);
      printf ("%-22s %s\n", "SHA-256 of it:", result->sha256);
    }
}

static TpdExit
materialize (Arguments *arguments, const TpdCommon *common, const TpdSession *session)
{
  g_autoptr (GError) error = NULL;
  g_auto (TpdCopyResult) result = { 0 };
  TpdProgress progress;
  gboolean good;

  tpd_progress_init (&progress, "materialize", common->quiet);
  tpd_interrupt_defer ();
  good = tpd_copy_run (arguments->opened, session, &progress, &result, &error);
  tpd_progress_clear (&progress);
  if (!good)
    {
      tpd_error ("%s", error->message);
      return g_error_matches (error, TPD_ERROR, TPD_ERROR_USAGE) ? TPD_EXIT_USAGE : TPD_EXIT_FAILED;
    }
  if (result.interrupted)
    {
      tpd_info ("interrupted; what is finished stays, and the same command goes on from there");
      return TPD_EXIT_INTERRUPTED;
    }
  if (!common->json && !common->quiet)
    tell (&arguments->copy, &result);
  return tpd_output_finish (result.counts.failed > 0 ? TPD_EXIT_FAILED : TPD_EXIT_OK);
}

TpdExit
tpd_cmd_materialize (int argc, char **argv)
{
  g_auto (TpdCommon) common = { 0 };
  g_auto (TpdSession) session = { 0 };
  g_auto (Arguments) arguments = { 0 };
  TpdCopyOptions *copy = &arguments.copy;
  g_autoptr (GError) error = NULL;
  const GOptionEntry entries[] = {
    { "in-place", 0, 0, G_OPTION_ARG_NONE, &arguments.in_place, "Put plaintext in place of what is protected in SRC",
      NULL },
    { "originals", 0, 0, G_OPTION_ARG_FILENAME, &arguments.originals, "In place: keep the originals in DIR", "DIR" },
    { "remove-originals", 0, 0, G_OPTION_ARG_NONE, &copy->remove_originals,
      "In place: do not keep originals whose plaintext is proven", NULL },
    { "hold", 0, 0, G_OPTION_ARG_FILENAME, &arguments.hold, "Never write or remove the paths in this file", "FILE" },
    { "unreadable", 0, 0, G_OPTION_ARG_STRING, &arguments.unreadable,
      "What does not open: skip (default), or copy it as it is", "WHAT" },
    { "only-protected", 0, 0, G_OPTION_ARG_NONE, &copy->only_protected, "Leave out what is not protected", NULL },
    { "containers", 0, 0, G_OPTION_ARG_NONE, &copy->containers, "Also decrypt what is protected inside zip archives",
      NULL },
    { "link-plain", 0, 0, G_OPTION_ARG_NONE, &copy->link_plain, "Hard-link what is not protected", NULL },
    { "check", 0, 0, G_OPTION_ARG_NONE, &copy->check, "Read every copy again before it gets its name", NULL },
    { "dry-run", 'n', 0, G_OPTION_ARG_NONE, &copy->dry_run, "Only tell what would be done", NULL },
    { "shard", 0, 0, G_OPTION_ARG_STRING, &arguments.shard, "Do the I-th of N parts", "I/N" },
    TPD_TREE_ENTRIES (copy->tree, "SRC"),
    { "pext", 0, 0, G_OPTION_ARG_STRING, &arguments.pext, "More protected extensions: dwg for .pdwg, or *", "LIST" },
    { "jobs", 'j', 0, G_OPTION_ARG_INT, &arguments.jobs, "Work on N files at a time", "N" },
    { NULL },
  };
  const TpdCommonFlags flags = TPD_COMMON_KEYS | TPD_COMMON_JSON | TPD_COMMON_OPEN | TPD_COMMON_FILES;
  TpdExit status;

  if (!tpd_common_parse (&common, flags, &help, entries, argc, argv, &status))
    return status;
  if (!check (&arguments, &common, &error))
    {
      tpd_error ("%s; see tpd materialize --help", error->message);
      return TPD_EXIT_USAGE;
    }
  common.reach = open_copy;
  common.reach_data = &arguments;
  if (!tpd_session_start (&session, &common, TPD_AGENT_DEFAULT, &status))
    return status;
  return materialize (&arguments, &common, &session);
}
