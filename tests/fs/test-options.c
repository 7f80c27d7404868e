/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of tpdfs: what fstab, mount(8), systemd and people write. */
#include <string.h>

#include "base/error.h"
#include "fs/options.h"

static TpdFsOptions *
parse_line (const char *line, GError **error)
{
  g_auto (GStrv) argv = NULL;
  int argc;

  g_assert_true (g_shell_parse_argv (line, &argc, &argv, NULL));
  return tpd_fs_options_parse (argc, argv, error);
}

static TpdFsOptions *
parse_good (const char *line)
{
  g_autoptr (GError) error = NULL;
  TpdFsOptions *options = parse_line (line, &error);

  g_assert_no_error (error);
  g_assert_nonnull (options);
  return options;
}

/* `line` is refused as usage, with a message that holds `part`. */
static void
assert_refused (const char *line, const char *part)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdFsOptions) options = parse_line (line, &error);

  g_assert_null (options);
  g_assert_error (error, TPD_ERROR, TPD_ERROR_USAGE);
  if (strstr (error->message, part) == NULL)
    g_error ("\"%s\" gives \"%s\", without \"%s\"", line, error->message, part);
}

static void
test_defaults (void)
{
  g_autoptr (TpdFsOptions) options = parse_good ("tpdfs /src /mnt");

  g_assert_cmpstr (options->source, ==, "/src");
  g_assert_cmpstr (options->mountpoint, ==, "/mnt");
  g_assert_false (options->foreground);
  g_assert_false (options->allow_other);
  g_assert_cmpint (options->names, ==, TPD_NAMES_PLAIN);
  g_assert_cmpint (options->cache, ==, TPD_CACHE_AUTO);
  g_assert_cmpint (options->probe, ==, TPD_PROBE_AUTO);
  g_assert_cmpint (options->unreadable, ==, TPD_UNREADABLE_DENY);
  g_assert_cmpint (options->errors, ==, TPD_ERRORS_VERDICT);
  g_assert_cmpint (options->iv, ==, TPD_IV_AUTO);
  g_assert_cmpuint (options->fmask, ==, TPD_NO_MASK);
  g_assert_cmpuint (options->dmask, ==, TPD_NO_MASK);
  g_assert_cmpuint (options->threads, >=, 2);
  g_assert_cmpuint (options->threads, <=, 16);
  g_assert_cmpuint (options->keys->specs->len, ==, 0);
  g_assert_null (options->name_rules.words[0]);
}

/* The line of fstab(5) in the manual, as mount.fuse3(8) passes it on. */
static void
test_fstab (void)
{
  g_autoptr (TpdFsOptions) options = parse_good (
      "tpdfs /srv/archive /mnt/readable -o "
      "rw,keyring=/etc/tpdfs/keyring.conf,allow_other,gid=0,fmask=0337,dmask=0227,nofail,noauto,"
      "_netdev,user,user=joe,noexec,nosuid,nodev,relatime,x-systemd.automount,x-gvfs-name=share,comment=hello");

  g_assert_true (options->allow_other);
  g_assert_true (options->has_gid);
  g_assert_cmpuint (options->gid, ==, 0);
  g_assert_cmpuint (options->fmask, ==, 0337);
  g_assert_cmpuint (options->dmask, ==, 0227);
  g_assert_true (options->asked_rw);
  g_assert_true (options->noexec);
  g_assert_cmpuint (options->keyrings->len, ==, 1);
  g_assert_cmpstr (options->keyrings->pdata[0], ==, "/etc/tpdfs/keyring.conf");
}

static void
test_order (void)
{
  static const char *const lines[] = {
    "tpdfs -f -o names=source,cache=never /src /mnt",
    "tpdfs /src /mnt -f -o names=source -o cache=never",
    "tpdfs /src -onames=source --cache never /mnt --foreground",
    "tpdfs --names=source --cache=never -f -- /src /mnt",
  };

  for (gsize i = 0; i < G_N_ELEMENTS (lines); i++)
    {
      g_autoptr (TpdFsOptions) options = parse_good (lines[i]);

      g_assert_cmpstr (options->source, ==, "/src");
      g_assert_cmpstr (options->mountpoint, ==, "/mnt");
      g_assert_true (options->foreground);
      g_assert_cmpint (options->names, ==, TPD_NAMES_SOURCE);
      g_assert_cmpint (options->cache, ==, TPD_CACHE_NEVER);
    }
}

static void
test_long_spelling (void)
{
  g_autoptr (TpdFsOptions) options =
      parse_good ("tpdfs --one-file-system --allow_other --errors eacces --iv=offset --threads 3 --debug a b");

  g_assert_true (options->one_file_system);
  g_assert_true (options->allow_other);
  g_assert_cmpint (options->errors, ==, TPD_ERRORS_EACCES);
  g_assert_cmpint (options->iv, ==, TPD_IV_FORCE_OFFSET);
  g_assert_cmpuint (options->threads, ==, 3);
  g_assert_true (options->debug && options->foreground);
}

static void
test_passwords_follow_keys (void)
{
  g_autoptr (TpdFsOptions) options = parse_good ("tpdfs --key a.xml --password-file a.txt --key b.xml "
                                                 "-o key=c.xml,password_fd=7 /src /mnt");
  const TpdKeySpec *const *specs = (const TpdKeySpec *const *) options->keys->specs->pdata;

  g_assert_cmpuint (options->keys->specs->len, ==, 3);
  g_assert_cmpstr (specs[0]->file, ==, "a.xml");
  g_assert_cmpint (specs[0]->password_kind, ==, TPD_PASSWORD_FILE);
  g_assert_cmpstr (specs[0]->password_source, ==, "a.txt");
  g_assert_cmpint (specs[1]->password_kind, ==, TPD_PASSWORD_PROMPT);
  g_assert_cmpint (specs[2]->password_kind, ==, TPD_PASSWORD_FD);
  g_assert_cmpint (specs[2]->password_fd, ==, 7);
  assert_refused ("tpdfs --password-file a.txt --key a.xml /src /mnt", "--key");
}

static void
test_commas (void)
{
  g_autoptr (TpdFsOptions) options =
      parse_good ("tpdfs -o 'key=/keys/a\\,b\\\\c.xml,pext=dwg:.CAD,pext=*,,' /src /mnt");
  const TpdKeySpec *spec = options->keys->specs->pdata[0];

  g_assert_cmpstr (spec->file, ==, "/keys/a,b\\c.xml");
  g_assert_cmpstr (options->name_rules.words[0], ==, "dwg");
  g_assert_cmpstr (options->name_rules.words[1], ==, "cad");
  g_assert_cmpstr (options->name_rules.words[2], ==, "*");
  g_assert_null (options->name_rules.words[3]);
}

static void
test_decoding (void)
{
  static const struct {
    const char *words;
    guint64 budget;
  } sizes[] = {
    { "decode_budget=4096", 4096 },  { "decode_budget=64k", 64 << 10 },
    { "decode_budget=3M", 3 << 20 }, { "decode_budget=2G", G_GUINT64_CONSTANT (2) << 30 },
    { "mail=eml", 256 << 20 },
  };
  static const char *const bad[] = {
    "mail=pst",        "nested=9",         "nested=-1",        "nested=x",          "decode_budget=0",
    "decode_budget=M", "decode_budget=1T", "decode_budget=-1", "decode_budget=1.5", "decode_budget=99999999999G"
  };

  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autofree char *line = g_strdup_printf ("tpdfs -o %s,nested=8,mail=msg,threads=5 /src /mnt", sizes[i].words);
      g_autoptr (TpdFsOptions) options = parse_good (line);

      g_assert_cmpuint (options->decode_budget, ==, sizes[i].budget);
      g_assert_cmpuint (options->nested, ==, 8);
      g_assert_cmpint (options->mail, ==, TPD_MAIL_MSG);
      g_assert_cmpint (options->name_rules.mail, ==, TPD_MAIL_MSG);
      g_assert_cmpuint (tpd_fs_options_decoders (options), ==, 2);
    }
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autofree char *line = g_strdup_printf ("tpdfs -o %s /src /mnt", bad[i]);

      assert_refused (line, "=");
    }
}

static void
test_index (void)
{
  g_autofree char *here = g_get_current_dir (), *beside = g_build_filename (here, "x.sqlite", NULL);
  static const struct {
    const char *words;
    gboolean off;
    const char *path; /* "": here */
  } lines[] = {
    { "tpdfs /src /mnt", FALSE, NULL },
    { "tpdfs --index=auto /src /mnt", FALSE, NULL },
    { "tpdfs --index=off /src /mnt", TRUE, NULL },
    { "tpdfs -o index=/var/i.sqlite /src /mnt", FALSE, "/var/i.sqlite" },
    { "tpdfs --index=x.sqlite /src /mnt", FALSE, "" },
    { "tpdfs -o index=/var/i.sqlite,index=off /src /mnt", TRUE, NULL },
    { "tpdfs -o index=off,index=/var/i.sqlite /src /mnt", FALSE, "/var/i.sqlite" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (lines); i++)
    {
      g_autoptr (TpdFsOptions) options = parse_good (lines[i].words);

      g_assert_nonnull (options);
      g_assert_cmpint (options->no_index, ==, lines[i].off);
      g_assert_cmpstr (options->index, ==, g_strcmp0 (lines[i].path, "") == 0 ? beside : lines[i].path);
    }
}

static void
test_later_words (void)
{
  static const char *const words[] = {
    "audit=on", "audit_log=/x", "identities=/x", "superusers=g",  "labels=strip",
    "spill",    "export",       "setuid=nobody", "policy=rights",
  };

  for (gsize i = 0; i < G_N_ELEMENTS (words); i++)
    {
      g_autofree char *line = g_strdup_printf ("tpdfs -o %s /src /mnt", words[i]);

      assert_refused (line, "is not available in this version");
    }
  g_autoptr (TpdFsOptions) options = parse_good ("tpdfs -o policy=all /src /mnt");
}

static void
test_refused (void)
{
  assert_refused ("tpdfs /src", "MOUNTPOINT");
  assert_refused ("tpdfs", "SOURCE");
  assert_refused ("tpdfs /src /mnt /more", "/more");
  assert_refused ("tpdfs /src ''", "empty");
  assert_refused ("tpdfs -o frobnicate /src /mnt", "frobnicate");
  assert_refused ("tpdfs --frobnicate=1 /src /mnt", "frobnicate");
  assert_refused ("tpdfs -x /src /mnt", "-x");
  assert_refused ("tpdfs /src /mnt -o", "-o");
  assert_refused ("tpdfs -o cache=sometimes /src /mnt", "auto|always|never");
  assert_refused ("tpdfs -o cache /src /mnt", "needs a value");
  assert_refused ("tpdfs -o cache= /src /mnt", "needs a value");
  assert_refused ("tpdfs -o allow_other=1 /src /mnt", "takes no value");
  assert_refused ("tpdfs -o fmask=999 /src /mnt", "octal");
  assert_refused ("tpdfs -o fmask=7777 /src /mnt", "octal");
  assert_refused ("tpdfs -o threads=0 /src /mnt", "1 to");
  assert_refused ("tpdfs -o threads=100000 /src /mnt", "1 to");
  assert_refused ("tpdfs -o uid=no-such-user-here /src /mnt", "no such user");
  assert_refused ("tpdfs -o gid=4294967295 /src /mnt", "no such group");
  assert_refused ("tpdfs -o acl=enforce /src /mnt", "acl=ignore");
  assert_refused ("tpdfs -o pext=a/b /src /mnt", "pext");
  assert_refused ("tpdfs --key k --password-fd=-1 /src /mnt", "descriptor");
}

static void
test_help_names_every_word (void)
{
  static const char *const words[] = { "key",         "password_file",
                                       "keyring",     "names",
                                       "pext",        "iv",
                                       "cache",       "probe",
                                       "unreadable",  "errors",
                                       "uid",         "gid",
                                       "fmask",       "dmask",
                                       "acl",         "one_file_system",
                                       "allow_other", "allow_insecure_files",
                                       "debug",       "threads",
                                       "version",     "help",
                                       "password_fd" };
  g_autofree char *help = tpd_fs_options_help ();
  g_autoptr (TpdFsOptions) options = parse_good ("tpdfs --help");

  g_assert_true (options->help);
  for (gsize i = 0; i < G_N_ELEMENTS (words); i++)
    {
      g_autofree char *start = g_strdup_printf ("\n  %s", words[i]);

      if (strstr (help, start) == NULL)
        g_error ("--help says nothing of %s", words[i]);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/options/defaults", test_defaults);
  g_test_add_func ("/options/fstab-line-of-the-manual", test_fstab);
  g_test_add_func ("/options/any-order", test_order);
  g_test_add_func ("/options/long-options-take-dash-or-underscore", test_long_spelling);
  g_test_add_func ("/options/password-belongs-to-the-key-before", test_passwords_follow_keys);
  g_test_add_func ("/options/escaped-commas-and-lists", test_commas);
  g_test_add_func ("/options/mail-nested-and-budget", test_decoding);
  g_test_add_func ("/options/where-the-index-is", test_index);
  g_test_add_func ("/options/later-words-are-refused-by-name", test_later_words);
  g_test_add_func ("/options/mistakes-are-refused-and-named", test_refused);
  g_test_add_func ("/options/help-names-every-word", test_help_names_every_word);
  return g_test_run ();
}
