/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line of tpdfs: see fs/options.h. One table holds every word with
 * its kind and help; mount(8) and systemd add words of their own, which are
 * accepted and, where the kernel does not need them, forgotten.
 */
#include "fs/options.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"

#define MAX_THREADS 64
#define DEFAULT_DECODE_BUDGET (G_GUINT64_CONSTANT (256) << 20)

typedef enum {
  FLAG,   /* gboolean at `offset` */
  CHOICE, /* int at `offset`, index into `values` */
  UINT,   /* guint at `offset` */
  MASK,   /* guint at `offset`, octal */
  OTHER,  /* see set_other() */
} Kind;

typedef struct {
  const char *word;
  Kind kind;
  gsize offset;
  const char *value;  /* name of the value in --help; NULL: takes none */
  const char *values; /* of CHOICE: "auto|always|never" */
  const char *help;
} Word;

#define AT(field) G_STRUCT_OFFSET (TpdFsOptions, field)

static const Word words[] = {
  { "key", OTHER, 0, "FILE", NULL, "key file (TPD, PEM, PKCS#12, ...); repeatable" },
  { "password_file", OTHER, 0, "FILE", NULL, "password of the key before" },
  { "password_fd", OTHER, 0, "N", NULL, "read the password of the key before from descriptor N" },
  { "keyring", OTHER, 0, "FILE", NULL, "keyring file, tpdfs-keyring.conf(5); repeatable" },
  { "allow_insecure_files", OTHER, 0, NULL, NULL, "accept key and password files that others can read" },
  { "names", CHOICE, AT (names), "WORD", "plain|source", "names shown: plain (default) or as in the source" },
  { "pext", OTHER, 0, "EXT:...", NULL, "more extensions with a leading p to look at (dwg for .pdwg), * for all" },
  { "mail", CHOICE, AT (mail), "WORD", "native|eml|msg|source",
    "protected mail: in its own format (default), as .eml, as .msg, or left protected" },
  { "nested", OTHER, 0, "N", NULL, "layers of protection to remove below the first (default: 0)" },
  { "unreadable", CHOICE, AT (unreadable), "WORD", "deny|raw",
    "protected files that cannot be opened: refuse (default), or their ciphertext under the source name" },
  { "errors", CHOICE, AT (errors), "WORD", "verdict|eacces",
    "error of a refused open: one for each verdict (default), or always EACCES" },
  { "iv", CHOICE, AT (iv), "WORD", "auto|index|offset",
    "initialisation vectors of AES-CBC without padding: proved from each file (default) or forced" },
  { "index", OTHER, 0, "FILE", NULL, "index of tpd scan, saves looking into files: auto (default), off, or a file" },
  { "probe", CHOICE, AT (probe), "WORD", "auto|always|never",
    "look into files: all but offline stubs (default), all, or none" },
  { "cache", CHOICE, AT (cache), "WORD", "auto|always|never",
    "kernel caching: checked after 1 s (default), for archives that never change, or none" },
  { "passthrough", CHOICE, AT (passthrough), "WORD", "auto|always|off",
    "let the kernel read large plain and decoded files itself where it can (default), all, or none" },
  { "snapshots", FLAG, AT (snapshots), NULL, NULL, "list .snapshot, ~snapshot and .zfs" },
  { "one_file_system", FLAG, AT (one_file_system), NULL, NULL, "stay on the file system of SOURCE" },
  { "allow_other", FLAG, AT (allow_other), NULL, NULL, "let other users in, as far as modes and ACLs allow" },
  { "acl", OTHER, 0, "ignore", NULL, "with allow_other: access by mode bits alone, ACLs of the source do not count" },
  { "uid", OTHER, 0, "USER", NULL, "show USER as the owner of everything" },
  { "gid", OTHER, 0, "GROUP", NULL, "show GROUP as the group of everything" },
  { "fmask", MASK, AT (fmask), "OCTAL", NULL, "show files with all permissions but these" },
  { "dmask", MASK, AT (dmask), "OCTAL", NULL, "show directories with all permissions but these" },
  { "decode_budget", OTHER, 0, "BYTES", NULL, "memory for decoded mail and PDF, K, M or G (default: 256M)" },
  { "threads", UINT, AT (threads), "N", NULL, "worker threads (default: 2 for each processor, 2 to 16)" },
  { "foreground", FLAG, AT (foreground), NULL, NULL, "stay in the foreground, log to stderr (-f)" },
  { "debug", FLAG, AT (debug), NULL, NULL, "foreground, and trace every request (-d)" },
  { "verbose", FLAG, AT (verbose), NULL, NULL, "log more (-v)" },
  { "help", FLAG, AT (help), NULL, NULL, "this text (-h)" },
  { "version", FLAG, AT (version), NULL, NULL, "the version (-V)" },
};

/* Designed, and refused by name until they are there. */
static const char *const later[] = {
  "audit", "audit_log", "identities", "superusers", "labels", "spill", "export", "setuid",
};

/* What mount(8), fstab(5) and systemd.mount(5) may add. A trailing = takes any value. */
static const char *const foreign[] = {
  "ro",          "nofail",     "_netdev",       "_rnetdev", "noauto",     "auto",    "user",     "nouser",
  "users",       "nousers",    "owner",         "noowner",  "group",      "nogroup", "defaults", "suid",
  "nosuid",      "dev",        "nodev",         "exec",     "atime",      "noatime", "diratime", "nodiratime",
  "relatime",    "norelatime", "strictatime",   "lazytime", "nolazytime", "sync",    "async",    "dirsync",
  "mand",        "nomand",     "nostrictatime", "iversion", "noiversion", "silent",  "loud",     "symfollow",
  "nosymfollow", "fsname=",    "subtype=",      "comment=", "uhelper=",   "helper=", "user=",    "default_permissions",
};

static gboolean usage (GError **error, const char *format, ...) G_GNUC_PRINTF (2, 3);

static gboolean
usage (GError **error, const char *format, ...)
{
  va_list args;
  g_autofree char *text = NULL;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error_literal (error, TPD_ERROR, TPD_ERROR_USAGE, text);
  return FALSE;
}

static gboolean
parse_number (const char *text, guint base, guint max, guint *out)
{
  guint64 value;

  if (!tpd_number_parse (text, base, 0, max, &value))
    return FALSE;
  *out = (guint) value;
  return TRUE;
}

static gboolean
parse_user (TpdFsOptions *options, const char *value, GError **error)
{
  const struct passwd *entry;
  guint number;

  if (parse_number (value, 10, G_MAXUINT - 1, &number))
    options->uid = number;
  else if ((entry = getpwnam (value)) != NULL)
    options->uid = entry->pw_uid;
  else
    return usage (error, "uid=%s: there is no such user", value);
  options->has_uid = TRUE;
  return TRUE;
}

static gboolean
parse_group (TpdFsOptions *options, const char *value, GError **error)
{
  const struct group *entry;
  guint number;

  if (parse_number (value, 10, G_MAXUINT - 1, &number))
    options->gid = number;
  else if ((entry = getgrnam (value)) != NULL)
    options->gid = entry->gr_gid;
  else
    return usage (error, "gid=%s: there is no such group", value);
  options->has_gid = TRUE;
  return TRUE;
}

/* Extensions come with commas where the shell's -o lets them, else colons. */
static gboolean
parse_pext (TpdFsOptions *options, const char *value, GError **error)
{
  g_auto (GStrv) extensions = g_strsplit_set (value, ",:", -1);

  for (char **extension = extensions; *extension != NULL; extension++)
    {
      const char *word = **extension == '.' ? *extension + 1 : *extension;

      if (*word == '\0' || strchr (word, '/') != NULL)
        return usage (error, "pext=%s: expected extensions such as dwg, or *", value);
      g_ptr_array_add (options->pext, g_utf8_strdown (word, -1));
    }
  return TRUE;
}

static gboolean
parse_bytes (const char *word, const char *value, guint64 *bytes, GError **error)
{
  static const char units[] = "KMG";
  gsize len = strlen (value);
  const char *unit = len > 1 ? strchr (units, g_ascii_toupper (value[len - 1])) : NULL;
  guint shift = unit != NULL ? 10 * (guint) (unit - units + 1) : 0;
  g_autofree char *digits = g_strndup (value, unit != NULL ? len - 1 : len);
  guint64 number;

  if (!tpd_number_parse (digits, 10, 1, G_MAXINT64 >> shift, &number))
    return usage (error, "%s=%s: expected a number of bytes such as 512M", word, value);
  *bytes = number << shift;
  return TRUE;
}

/* The daemon has another working directory. */
static void
set_index (TpdFsOptions *options, const char *value)
{
  options->no_index = strcmp (value, "off") == 0;
  g_clear_pointer (&options->index, g_free);
  if (!options->no_index && strcmp (value, "auto") != 0)
    options->index = g_canonicalize_filename (value, NULL);
}

static gboolean
set_other (TpdFsOptions *options, const char *word, const char *value, GError **error)
{
  guint number;

  if (strcmp (word, "key") == 0)
    tpd_key_config_add_file (options->keys, value);
  else if (strcmp (word, "password_file") == 0)
    return tpd_key_config_set_password_file (options->keys, value, error);
  else if (strcmp (word, "password_fd") == 0)
    {
      if (!parse_number (value, 10, G_MAXINT, &number))
        return usage (error, "password_fd=%s: expected the number of a descriptor", value);
      return tpd_key_config_set_password_fd (options->keys, (int) number, error);
    }
  else if (strcmp (word, "keyring") == 0)
    g_ptr_array_add (options->keyrings, g_strdup (value));
  else if (strcmp (word, "allow_insecure_files") == 0)
    options->keys->allow_insecure_files = TRUE;
  else if (strcmp (word, "index") == 0)
    set_index (options, value);
  else if (strcmp (word, "pext") == 0)
    return parse_pext (options, value, error);
  else if (strcmp (word, "nested") == 0)
    {
      if (!parse_number (value, 10, TPD_MAX_NESTED, &options->nested))
        return usage (error, "nested=%s: expected a number up to %d", value, TPD_MAX_NESTED);
    }
  else if (strcmp (word, "decode_budget") == 0)
    return parse_bytes (word, value, &options->decode_budget, error);
  else if (strcmp (word, "uid") == 0)
    return parse_user (options, value, error);
  else if (strcmp (word, "gid") == 0)
    return parse_group (options, value, error);
  else if (strcmp (word, "acl") == 0)
    {
      if (strcmp (value, "ignore") != 0)
        return usage (error, "acl=%s: the only choice is acl=ignore", value);
      options->acl_ignore = TRUE;
    }
  return TRUE;
}

static gboolean
set_choice (TpdFsOptions *options, const Word *word, const char *value, GError **error)
{
  g_auto (GStrv) values = g_strsplit (word->values, "|", -1);

  for (int i = 0; values[i] != NULL; i++)
    if (strcmp (values[i], value) == 0)
      {
        G_STRUCT_MEMBER (int, options, word->offset) = i;
        return TRUE;
      }
  return usage (error, "%s=%s: choose one of %s", word->word, value, word->values);
}

static gboolean
set_word (TpdFsOptions *options, const Word *word, const char *value, GError **error)
{
  guint *number = &G_STRUCT_MEMBER (guint, options, word->offset);

  switch (word->kind)
    {
    case FLAG:
      G_STRUCT_MEMBER (gboolean, options, word->offset) = TRUE;
      return TRUE;
    case CHOICE:
      return set_choice (options, word, value, error);
    case UINT:
      if (!parse_number (value, 10, MAX_THREADS, number) || *number == 0)
        return usage (error, "%s=%s: expected a number from 1 to %d", word->word, value, MAX_THREADS);
      return TRUE;
    case MASK:
      if (!parse_number (value, 8, 0777, number))
        return usage (error, "%s=%s: expected an octal number such as 0227", word->word, value);
      return TRUE;
    case OTHER:
    default:
      return set_other (options, word->word, value, error);
    }
}

static const Word *
find_word (const char *name)
{
  for (gsize i = 0; i < G_N_ELEMENTS (words); i++)
    if (strcmp (words[i].word, name) == 0)
      return &words[i];
  return NULL;
}

/* Words that are not ours: TRUE when `name` is accepted all the same. */
static gboolean
accept_foreign (TpdFsOptions *options, const char *name, const char *value)
{
  g_autofree char *with_value = value != NULL ? g_strconcat (name, "=", NULL) : NULL;

  if (g_str_has_prefix (name, "x-") || g_str_has_prefix (name, "X-"))
    return TRUE;
  if (strcmp (name, "rw") == 0)
    return options->asked_rw = TRUE;
  if (strcmp (name, "noexec") == 0)
    return options->noexec = TRUE;
  for (gsize i = 0; i < G_N_ELEMENTS (foreign); i++)
    if (strcmp (foreign[i], with_value != NULL ? with_value : name) == 0)
      return TRUE;
  return FALSE;
}

static gboolean
apply (TpdFsOptions *options, const char *name, const char *value, GError **error)
{
  const Word *word = find_word (name);

  if (word != NULL && word->value != NULL && (value == NULL || *value == '\0'))
    return usage (error, "option %s needs a value: %s=%s", name, name, word->value);
  if (word != NULL && word->value == NULL && value != NULL)
    return usage (error, "option %s takes no value", name);
  if (word != NULL)
    return set_word (options, word, value, error);
  if (strcmp (name, "policy") == 0 && g_strcmp0 (value, "all") == 0)
    return TRUE;
  if (strcmp (name, "policy") == 0)
    return usage (error, "option policy=%s is not available in this version", value != NULL ? value : "");
  for (gsize i = 0; i < G_N_ELEMENTS (later); i++)
    if (strcmp (later[i], name) == 0)
      return usage (error, "option %s is not available in this version", name);
  if (accept_foreign (options, name, value))
    return TRUE;
  return usage (error, "unknown option %s; see tpdfs --help", name);
}

/* One word of -o, "name" or "name=value". */
static gboolean
apply_word (TpdFsOptions *options, const char *text, GError **error)
{
  const char *equals = strchr (text, '=');
  g_autofree char *name = equals != NULL ? g_strndup (text, (gsize) (equals - text)) : g_strdup (text);

  return apply (options, name, equals != NULL ? equals + 1 : NULL, error);
}

/* Words are separated by commas; a backslash takes the next character as it is. */
static gboolean
apply_list (TpdFsOptions *options, const char *list, GError **error)
{
  g_autoptr (GString) word = g_string_new (NULL);

  for (const char *p = list;; p++)
    {
      if (*p == ',' || *p == '\0')
        {
          if (word->len > 0 && !apply_word (options, word->str, error))
            return FALSE;
          if (*p == '\0')
            return TRUE;
          g_string_truncate (word, 0);
          continue;
        }
      if (*p == '\\' && p[1] != '\0')
        p++;
      g_string_append_c (word, *p);
    }
}

/* "--word", "--word=value" or "--word" "value"; - and _ are the same. */
static gboolean
apply_long (TpdFsOptions *options, const char *text, const char *next, gboolean *took_next, GError **error)
{
  const char *equals = strchr (text, '=');
  g_autofree char *name = equals != NULL ? g_strndup (text, (gsize) (equals - text)) : g_strdup (text);
  const char *value = equals != NULL ? equals + 1 : NULL;
  const Word *word;

  if (!g_str_has_prefix (name, "x-") && !g_str_has_prefix (name, "X-"))
    g_strdelimit (name, "-", '_');
  word = find_word (name);
  if (word != NULL && word->value != NULL && value == NULL && next != NULL)
    {
      value = next;
      *took_next = TRUE;
    }
  return apply (options, name, value, error);
}

static gboolean
apply_short (TpdFsOptions *options, const char *text, GError **error)
{
  static const struct {
    char letter;
    const char *word;
  } shorts[] = { { 'f', "foreground" }, { 'd', "debug" }, { 'v', "verbose" }, { 'h', "help" }, { 'V', "version" } };

  for (const char *p = text; *p != '\0'; p++)
    {
      const char *word = NULL;

      for (gsize i = 0; i < G_N_ELEMENTS (shorts); i++)
        if (shorts[i].letter == *p)
          word = shorts[i].word;
      if (word == NULL)
        return usage (error, "unknown option -%c; see tpdfs --help", *p);
      if (!apply (options, word, NULL, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
apply_positional (TpdFsOptions *options, const char *text, GError **error)
{
  char **place = options->source == NULL ? &options->source : &options->mountpoint;

  if (*text == '\0')
    return usage (error, "SOURCE and MOUNTPOINT must not be empty");
  if (*place != NULL)
    return usage (error, "one argument too many: %s", text);
  *place = g_strdup (text);
  return TRUE;
}

static gboolean
apply_all (TpdFsOptions *options, int argc, char **argv, GError **error)
{
  gboolean only_positionals = FALSE;

  for (int i = 1; i < argc; i++)
    {
      const char *text = argv[i], *next = i + 1 < argc ? argv[i + 1] : NULL;
      gboolean took_next = FALSE, fine;

      if (only_positionals || text[0] != '-' || text[1] == '\0')
        fine = apply_positional (options, text, error);
      else if (strcmp (text, "--") == 0)
        fine = only_positionals = TRUE;
      else if (strcmp (text, "-o") == 0 && next == NULL)
        fine = usage (error, "-o needs a list of words");
      else if (strcmp (text, "-o") == 0)
        {
          fine = apply_list (options, next, error);
          took_next = TRUE;
        }
      else if (g_str_has_prefix (text, "-o"))
        fine = apply_list (options, text + 2, error);
      else if (g_str_has_prefix (text, "--"))
        fine = apply_long (options, text + 2, next, &took_next, error);
      else
        fine = apply_short (options, text + 1, error);
      if (!fine)
        return FALSE;
      i += took_next;
    }
  return TRUE;
}

static guint
default_threads (void)
{
  return CLAMP (2 * g_get_num_processors (), 2, 16);
}

TpdFsOptions *
tpd_fs_options_parse (int argc, char **argv, GError **error)
{
  g_autoptr (TpdFsOptions) options = g_new0 (TpdFsOptions, 1);

  options->keys = tpd_key_config_new ();
  options->keyrings = g_ptr_array_new_with_free_func (g_free);
  options->pext = g_ptr_array_new_with_free_func (g_free);
  options->fmask = options->dmask = TPD_NO_MASK;
  options->threads = default_threads ();
  options->decode_budget = DEFAULT_DECODE_BUDGET;
  if (!apply_all (options, argc, argv, error))
    return NULL;
  options->foreground = options->foreground || options->debug;
  g_ptr_array_add (options->pext, NULL);
  options->name_rules.words = (char **) options->pext->pdata;
  options->name_rules.mail = (TpdMailForm) options->mail;
  if (!options->help && !options->version && options->mountpoint == NULL)
    {
      usage (error, "SOURCE and MOUNTPOINT are needed; see tpdfs --help");
      return NULL;
    }
  return g_steal_pointer (&options);
}

guint
tpd_fs_options_decoders (const TpdFsOptions *options)
{
  return MAX (1, options->threads / 2);
}

void
tpd_fs_options_free (TpdFsOptions *options)
{
  g_free (options->source);
  g_free (options->mountpoint);
  tpd_key_config_free (options->keys);
  g_ptr_array_unref (options->keyrings);
  g_ptr_array_unref (options->pext);
  g_free (options->index);
  g_free (options);
}

char *
tpd_fs_options_help (void)
{
  g_autoptr (GString) text =
      g_string_new ("Usage: tpdfs [OPTIONS] SOURCE MOUNTPOINT\n"
                    "\n"
                    "Mounts SOURCE read-only on MOUNTPOINT; documents protected by Microsoft RMS\n"
                    "whose tenant key is given read as plain documents.\n"
                    "\n"
                    "Each word below is given as --word, or in a list: -o word,word=value. A comma\n"
                    "in a value is written \\, there. Words that mount(8) and fstab(5) add are accepted.\n"
                    "\n");

  for (gsize i = 0; i < G_N_ELEMENTS (words); i++)
    {
      const Word *word = &words[i];
      const char *value = word->values != NULL ? word->values : word->value;
      g_autofree char *head = value != NULL ? g_strdup_printf ("%s=%s", word->word, value) : g_strdup (word->word);

      g_string_append_printf (text, strlen (head) < 26 ? "  %-26s%s\n" : "  %s\n                            %s\n", head,
                              word->help);
    }
  g_string_append (text, "\n"
                         "Without key and keyring: $XDG_CONFIG_HOME/tpdfs/keyring.conf, else\n"
                         "/etc/tpdfs/keyring.conf. Having no key at all is fine: what is protected is\n"
                         "then listed but cannot be read.\n"
                         "\n"
                         "Exit status: 0 mounted (or, in the foreground, unmounted), 1 the mount failed,\n"
                         "2 usage, 3 a key cannot be used. Unmount with fusermount3 -u or umount.\n");
  return g_string_free (g_steal_pointer (&text), FALSE);
}
