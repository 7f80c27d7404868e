/* SPDX-License-Identifier: Apache-2.0 */
/* See rules.h. */
#include "rules.h"

#include <errno.h>
#include <fnmatch.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_RULES 64

typedef struct {
  char operation[16], glob[256];
  Fault fault;
  long skip, times; /* times < 0: always */
} Rule;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *rules_path;
static struct stat loaded;
static Rule rules[MAX_RULES];
static int n_rules;

void
rules_init (const char *path)
{
  rules_path = path;
}

static int
errno_of (const char *word)
{
  static const struct {
    const char *word;
    int errnum;
  } known[] = { { "EIO", EIO },       { "ESTALE", ESTALE },   { "EACCES", EACCES }, { "ENOSPC", ENOSPC },
                { "EDQUOT", EDQUOT }, { "EPERM", EPERM },     { "ENOENT", ENOENT }, { "EROFS", EROFS },
                { "EINVAL", EINVAL }, { "ENOTSUP", ENOTSUP }, { "EMLINK", EMLINK }, { "EXDEV", EXDEV } };

  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
    if (strcmp (known[i].word, word) == 0)
      return known[i].errnum;
  return 0;
}

static void
parse (char *line)
{
  Rule *rule = &rules[n_rules];
  char action[32];
  int used = 0;

  *rule = (Rule){ .times = -1 };
  if (n_rules == MAX_RULES || sscanf (line, "%15s %255s %31s%n", rule->operation, rule->glob, action, &used) != 3)
    return;
  rule->fault.errnum = errno_of (action);
  if (rule->fault.errnum == 0)
    strcpy (rule->fault.action, action);
  for (char *save = NULL, *word = strtok_r (line + used, " \n", &save); word != NULL;
       word = strtok_r (NULL, " \n", &save))
    {
      if (strncmp (word, "from=", 5) == 0)
        rule->fault.from = (off_t) atoll (word + 5);
      else if (strncmp (word, "skip=", 5) == 0)
        rule->skip = atol (word + 5);
      else if (strncmp (word, "times=", 6) == 0)
        rule->times = atol (word + 6);
    }
  n_rules++;
}

/* With the lock held. */
static void
load (void)
{
  struct stat st;
  char line[512];
  FILE *file;

  if (stat (rules_path, &st) != 0)
    {
      n_rules = 0;
      loaded = (struct stat){ 0 };
      return;
    }
  if (st.st_ino == loaded.st_ino && st.st_mtim.tv_sec == loaded.st_mtim.tv_sec
      && st.st_mtim.tv_nsec == loaded.st_mtim.tv_nsec)
    return;
  loaded = st;
  n_rules = 0;
  file = fopen (rules_path, "re");
  while (file != NULL && fgets (line, sizeof line, file) != NULL)
    parse (line);
  if (file != NULL)
    fclose (file);
}

bool
rules_find (const char *operation, const char *path, off_t off, off_t end, Fault *fault)
{
  bool found = false;

  if (path == NULL)
    return false; /* it has no name any more */
  pthread_mutex_lock (&lock);
  load ();
  for (int i = 0; !found && i < n_rules; i++)
    {
      Rule *rule = &rules[i];

      if (strcmp (rule->operation, operation) != 0 || fnmatch (rule->glob, path, 0) != 0
          || (end > off && end <= rule->fault.from) || rule->times == 0)
        continue;
      if (rule->skip > 0)
        {
          rule->skip--;
          continue;
        }
      if (rule->times > 0)
        rule->times--;
      *fault = rule->fault;
      found = true;
    }
  pthread_mutex_unlock (&lock);
  return found;
}

int
rules_errno (const char *operation, const char *path)
{
  Fault fault;

  return rules_find (operation, path, 0, 0, &fault) ? -fault.errnum : 0;
}
