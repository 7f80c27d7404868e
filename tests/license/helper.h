/* SPDX-License-Identifier: Apache-2.0 */
/* Licenses out of the fixtures, read without any code of format/. */
#pragma once

#include <glib.h>
#include <json-glib/json-glib.h>

#include "crypto/keyfile.h"
#include "license/license.h"

/* A path below the fixtures. (transfer full) */
char *fixture_path (const char *relative);
/* The `files` of manifest.json. */
JsonArray *fixture_files (void);
/* "" if absent or null. */
const char *json_word (JsonObject *object, const char *member);

/* The license a pfile's header points at, as far as the file goes; NULL if
 * there is no header or no such place. (transfer full) */
GBytes *pfile_license (const char *path);
/* The same of a fixture in share/. */
GBytes *fixture_license (JsonObject *entry);

/* Parses; fails the test if that fails. `name` is for the message. */
TpdLicense *parse_good (GBytes *bytes, const char *name);

/* All key files that the fixtures say to load, in this process. */
typedef struct {
  TpdKeyring *keyring;
  TpdUnwrapper *unwrapper;
} FixtureKeys;

void fixture_keys_load (FixtureKeys *keys);
void fixture_keys_clear (FixtureKeys *keys);
