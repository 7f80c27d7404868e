/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How an administrator names key files and passwords: --key on the command
 * line, or a keyring file, tpdfs-keyring.conf(5). A mistake here could cost
 * somebody the only copy of a key without his noticing, so nothing is
 * skipped: an unknown or repeated word is an error that names it.
 */
#include "crypto/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "crypto/pkcs11_uri.h"

#define KEYRING_FILE_MAX (1024 * 1024)
#define SYSTEM_KEYRING "/etc/tpdfs/keyring.conf"

/* Where an error in a keyring file is. */
typedef struct {
  const char *path;
  const char *group;
} Place;

static void
key_spec_free (TpdKeySpec *spec)
{
  g_free (spec->name);
  g_free (spec->file);
  g_free (spec->uri);
  g_free (spec->module);
  g_free (spec->licensor);
  g_free (spec->licensor_password_file);
  g_free (spec->password_source);
  g_free (spec);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdKeySpec, key_spec_free)

static TpdKeySpec *
key_spec_new (const char *name)
{
  TpdKeySpec *spec = g_new0 (TpdKeySpec, 1);
  spec->name = g_strdup (name);
  spec->password_kind = TPD_PASSWORD_PROMPT;
  spec->password_fd = -1;
  return spec;
}

TpdKeyConfig *
tpd_key_config_new (void)
{
  TpdKeyConfig *config = g_new0 (TpdKeyConfig, 1);
  config->specs = g_ptr_array_new_with_free_func ((GDestroyNotify) key_spec_free);
  return config;
}

void
tpd_key_config_free (TpdKeyConfig *config)
{
  if (!config)
    return;
  g_ptr_array_unref (config->specs);
  g_free (config);
}

void
tpd_key_config_add_file (TpdKeyConfig *config, const char *file)
{
  g_autofree char *name = g_path_get_basename (file);
  TpdKeySpec *spec = key_spec_new (name);
  spec->file = g_strdup (file);
  g_ptr_array_add (config->specs, spec);
  config->given = TRUE;
  config->last_file = spec;
}

/* A descriptor can be read once only. */
static gboolean
fd_is_taken (const TpdKeyConfig *config, int fd)
{
  for (guint i = 0; i < config->specs->len; i++)
    {
      const TpdKeySpec *spec = g_ptr_array_index (config->specs, i);
      if (spec->password_kind == TPD_PASSWORD_FD && spec->password_fd == fd)
        return TRUE;
    }
  return FALSE;
}

static TpdKeySpec *
spec_for_password (TpdKeyConfig *config, const char *option, GError **error)
{
  if (!config->last_file)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE, "%s belongs to the --key before it, and there is none", option);
      return NULL;
    }
  if (config->last_file->password_kind != TPD_PASSWORD_PROMPT)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE, "%s: the key file %s was already given a password source", option,
                   config->last_file->file);
      return NULL;
    }
  return config->last_file;
}

gboolean
tpd_key_config_set_password_file (TpdKeyConfig *config, const char *file, GError **error)
{
  TpdKeySpec *spec = spec_for_password (config, "--password-file", error);
  if (!spec)
    return FALSE;
  spec->password_kind = TPD_PASSWORD_FILE;
  spec->password_source = g_strdup (file);
  return TRUE;
}

gboolean
tpd_key_config_set_password_fd (TpdKeyConfig *config, int fd, GError **error)
{
  TpdKeySpec *spec = spec_for_password (config, "--password-fd", error);
  if (!spec)
    return FALSE;
  if (fd < 0 || fd_is_taken (config, fd))
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE, "--password-fd %d: %s", fd,
                   fd < 0 ? "not a file descriptor" : "another key reads its password from it");
      return FALSE;
    }
  spec->password_kind = TPD_PASSWORD_FD;
  spec->password_fd = fd;
  return TRUE;
}

/* Who can write a keyring file decides which keys are trusted. */
static gboolean
check_writers (const char *path, const struct stat *st, GError **error)
{
  g_autofree char *quoted = g_shell_quote (path);

  if (st->st_uid != 0 && st->st_uid != geteuid ())
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_INSECURE_FILE,
                   "The keyring file %s belongs to another user, who could change it; mend it with: chown %lu %s", path,
                   (gulong) geteuid (), quoted);
      return FALSE;
    }
  if (st->st_mode & (S_IWGRP | S_IWOTH))
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_INSECURE_FILE,
                   "The keyring file %s can be changed by other users (mode %04o); mend it with: chmod go-w %s", path,
                   (guint) (st->st_mode & 07777), quoted);
      return FALSE;
    }
  return TRUE;
}

/* Reads the file whose descriptor was checked, so that it cannot be swapped
 * in between. */
static char *
keyring_text (const char *path, gboolean allow_insecure, gsize *len, GError **error)
{
  struct stat st;
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

  if (fd < 0 || fstat (fd, &st) != 0)
    {
      tpd_error_set_errno (error, errno, "The keyring file %s cannot be opened", path);
      if (fd >= 0)
        close (fd);
      return NULL;
    }
  if (!S_ISREG (st.st_mode) || st.st_size > KEYRING_FILE_MAX)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE, "The keyring file %s is %s", path,
                   S_ISREG (st.st_mode) ? "too large to be one" : "not a regular file");
      close (fd);
      return NULL;
    }
  if (!allow_insecure && !check_writers (path, &st, error))
    {
      close (fd);
      return NULL;
    }

  g_autofree char *text = g_malloc0 ((gsize) st.st_size + 1);
  gsize done = 0;
  while (done < (gsize) st.st_size)
    {
      gssize n = read (fd, text + done, (gsize) st.st_size - done);
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        {
          tpd_error_set_errno (error, errno, "The keyring file %s cannot be read", path);
          close (fd);
          return NULL;
        }
      if (n == 0)
        break;
      done += (gsize) n;
    }
  close (fd);
  if (memchr (text, '\0', done))
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE, "The keyring file %s is not a text file", path);
      return NULL;
    }
  /* Editors on Windows put a byte-order mark in front. */
  if (g_str_has_prefix (text, "\xef\xbb\xbf"))
    {
      done -= 3;
      memmove (text, text + 3, done + 1);
    }
  *len = done;
  return g_steal_pointer (&text);
}

/* GKeyFile joins groups of one name and keeps the last of two equal words:
 * a key would be lost without a word. */
static gboolean
check_repeats (const char *path, const char *text, gsize len, GError **error)
{
  g_autofree char *copy = g_strndup (text, len);
  g_auto (GStrv) lines = g_strsplit (copy, "\n", -1);
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autofree char *group = g_strdup ("");

  for (guint i = 0; lines[i]; i++)
    {
      char *line = g_strstrip (lines[i]);
      if (line[0] == '#' || line[0] == '\0')
        continue;
      if (line[0] == '[')
        {
          g_free (group);
          group = g_strdup (line);
          if (!g_hash_table_add (seen, g_strdup (group)))
            {
              g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE, "%s, line %u: the group %s is there twice", path, i + 1,
                           group);
              return FALSE;
            }
          continue;
        }
      char *equals = strchr (line, '=');
      if (!equals)
        continue;
      *equals = '\0';
      if (!g_hash_table_add (seen, g_strdup_printf ("%s\n%s", group, g_strchomp (line))))
        {
          g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE, "%s, line %u: %s has \"%s\" twice", path, i + 1, group, line);
          return FALSE;
        }
    }
  return TRUE;
}

static gboolean G_GNUC_PRINTF (4, 5)
    usage (GError **error, const Place *place, const char *word, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *text = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE, "%s, [%s]: \"%s\" %s", place->path, place->group, word, text);
  return FALSE;
}

static char *
resolve (const Place *place, const char *value)
{
  g_autofree char *folder = g_path_get_dirname (place->path);
  return g_path_is_absolute (value) ? g_strdup (value) : g_build_filename (folder, value, NULL);
}

static gboolean
set_password (TpdKeySpec *spec, TpdPasswordKind kind, const char *source, const Place *place, const char *word,
              GError **error)
{
  if (spec->password_kind != TPD_PASSWORD_PROMPT)
    return usage (error, place, word, "is a second source of the password; give one only");
  spec->password_kind = kind;
  spec->password_source = g_strdup (source);
  return TRUE;
}

static gboolean
set_password_fd (TpdKeyConfig *config, TpdKeySpec *spec, const char *value, const Place *place, const char *word,
                 GError **error)
{
  guint64 fd = 0;
  if (!tpd_number_parse (value, 10, 0, G_MAXINT, &fd))
    return usage (error, place, word, "must be the number of a file descriptor");
  if (fd_is_taken (config, (int) fd))
    return usage (error, place, word, "names a descriptor that another key reads its password from");
  if (!set_password (spec, TPD_PASSWORD_FD, NULL, place, word, error))
    return FALSE;
  spec->password_fd = (int) fd;
  return TRUE;
}

static gboolean
set_uri (TpdKeySpec *spec, const char *value, const Place *place, const char *word, GError **error)
{
  g_autoptr (GError) bad = NULL;
  g_autoptr (TpdPkcs11Uri) uri = tpd_pkcs11_uri_parse (value, &bad);

  if (!uri)
    return usage (error, place, word, "%s", bad->message);
  spec->uri = g_strdup (value);
  return !uri->pin_file || set_password (spec, TPD_PASSWORD_FILE, uri->pin_file, place, word, error);
}

static gboolean
apply_word (TpdKeyConfig *config, TpdKeySpec *spec, gboolean in_token, const char *word, const char *value,
            const Place *place, GError **error)
{
  g_autofree char *path = resolve (place, value);

  if (strcmp (word, "file") == 0)
    spec->file = g_steal_pointer (&path);
  else if (strcmp (word, "uri") == 0)
    return set_uri (spec, value, place, word, error);
  else if (strcmp (word, "module") == 0)
    spec->module = g_strdup (value);
  else if (strcmp (word, "licensor") == 0)
    spec->licensor = g_steal_pointer (&path);
  else if (strcmp (word, "password-file") == 0 && in_token)
    spec->licensor_password_file = g_steal_pointer (&path);
  else if (strcmp (word, "password-file") == 0 || strcmp (word, "pin-file") == 0)
    return set_password (spec, TPD_PASSWORD_FILE, path, place, word, error);
  else if (strcmp (word, "credential") == 0)
    {
      if (strchr (value, '/') || strcmp (value, ".") == 0 || strcmp (value, "..") == 0)
        return usage (error, place, word, "must be the name of a credential, not a path");
      return set_password (spec, TPD_PASSWORD_CREDENTIAL, value, place, word, error);
    }
  else if (strcmp (word, "password-fd") == 0)
    return set_password_fd (config, spec, value, place, word, error);
  else
    return usage (error, place, word, "is not a known word");
  return TRUE;
}

static gboolean
check_spec (const TpdKeySpec *spec, GKeyFile *file, const Place *place, GError **error)
{
  if (spec->file && spec->uri)
    return usage (error, place, "uri", "and \"file\" exclude each other");
  if (!spec->file && !spec->uri)
    return usage (error, place, "file", "is missing (or \"uri\", for a key in a token)");
  if (spec->file && g_key_file_has_key (file, place->group, "pin-file", NULL))
    return usage (error, place, "pin-file", "goes with \"uri\"; for a key file the word is \"password-file\"");
  if (spec->uri && spec->licensor_password_file && !spec->licensor)
    return usage (error, place, "password-file",
                  "goes with \"file\" or \"licensor\"; for a token the word is \"pin-file\"");
  if (spec->module && !spec->uri)
    return usage (error, place, "module", "goes with \"uri\"");
  return TRUE;
}

static TpdKeySpec *
spec_from_group (TpdKeyConfig *config, GKeyFile *file, const Place *place, GError **error)
{
  g_autoptr (TpdKeySpec) spec = key_spec_new (place->group);
  g_auto (GStrv) words = g_key_file_get_keys (file, place->group, NULL, NULL);
  const gboolean in_token = g_key_file_has_key (file, place->group, "uri", NULL);

  for (guint i = 0; words && words[i]; i++)
    {
      g_autoptr (GError) bad = NULL;
      g_autofree char *raw = g_key_file_get_value (file, place->group, words[i], NULL);
      g_autofree char *value = g_key_file_get_string (file, place->group, words[i], &bad);
      if (!value || value[0] == '\0')
        {
          usage (error, place, words[i], "has %s", value ? "no value" : "a value that is not UTF-8 text");
          return NULL;
        }
      if (raw && (strstr (raw, " #") || strstr (raw, "\t#")))
        {
          usage (error, place, words[i],
                 "is followed by a comment on the same line; comments need a line of their own "
                 "(a blank before # in a name is written \\s)");
          return NULL;
        }
      if (!apply_word (config, spec, in_token, words[i], value, place, error))
        return NULL;
    }
  return check_spec (spec, file, place, error) ? g_steal_pointer (&spec) : NULL;
}

static gboolean
load_keyring (TpdKeyConfig *config, const char *path, GError **error)
{
  g_autoptr (GError) bad = NULL;
  g_autoptr (GKeyFile) file = g_key_file_new ();
  gsize len = 0;
  g_autofree char *text = keyring_text (path, config->allow_insecure_files, &len, error);

  if (!text || !check_repeats (path, text, len, error))
    return FALSE;
  if (!g_key_file_load_from_data (file, text, len, G_KEY_FILE_KEEP_TRANSLATIONS, &bad))
    {
      /* An empty file is an empty keyring. */
      if (len == 0)
        return TRUE;
      g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE, "The keyring file %s cannot be understood: %s", path,
                   bad->message);
      return FALSE;
    }

  g_auto (GStrv) groups = g_key_file_get_groups (file, NULL);
  for (guint i = 0; groups[i]; i++)
    {
      const Place place = { path, groups[i] };
      TpdKeySpec *spec = spec_from_group (config, file, &place, error);
      if (!spec)
        return FALSE;
      g_ptr_array_add (config->specs, spec);
    }
  config->last_file = NULL;
  return TRUE;
}

gboolean
tpd_key_config_load (TpdKeyConfig *config, const char *path, GError **error)
{
  g_autoptr (GError) failed = NULL;

  config->given = TRUE;
  if (load_keyring (config, path, &failed))
    return TRUE;
  /* One that was named must be there: a wrong option, not an I/O error. */
  if (tpd_error_get_errno (failed) != 0)
    failed->code = TPD_ERROR_USAGE;
  g_propagate_error (error, g_steal_pointer (&failed));
  return FALSE;
}

gboolean
tpd_key_config_load_default (TpdKeyConfig *config, GError **error)
{
  g_autofree char *own = g_build_filename (g_get_user_config_dir (), "tpdfs", "keyring.conf", NULL);
  const char *const candidates[] = { own, SYSTEM_KEYRING };

  for (guint i = 0; i < G_N_ELEMENTS (candidates); i++)
    {
      g_autoptr (GError) failed = NULL;
      if (load_keyring (config, candidates[i], &failed))
        return TRUE;
      int errnum = tpd_error_get_errno (failed);
      if (errnum != ENOENT && errnum != ENOTDIR)
        {
          g_propagate_error (error, g_steal_pointer (&failed));
          return FALSE;
        }
    }
  return TRUE;
}
