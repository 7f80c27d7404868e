/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the fuzz targets share. Each fuzz-NAME.c defines
 * LLVMFuzzerTestOneInput(): libFuzzer or AFL++ calls it with mutated inputs,
 * main.c with those of a directory, as an ordinary test.
 *
 * A target may abort for a broken promise only; g_assert() is for those.
 */
#pragma once

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

#include "format/document.h"

int LLVMFuzzerInitialize (int *argc, char ***argv);
int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

/* --- Documents (document.c) ------------------------------------------- */

/* Input bytes as a source, which is read as a file is. (transfer full) */
TpdSource *fuzz_source (const uint8_t *data, size_t size);
/* As one whose bytes may be looked at where they lie. (transfer full) */
TpdSource *fuzz_memory (const uint8_t *data, size_t size);
/* Sources with the same bytes. */
void fuzz_check_same (TpdSource *a, TpdSource *b);

/*
 * Reads all of `source`, up to a limit, and then parts of it again, which must
 * give the same bytes, also across its end.
 */
void fuzz_check_source (TpdSource *source);

/*
 * An unwrapper that never refuses without need, so that fuzzing gets behind
 * the key: with TPD_FIXTURES set the fixtures' keys open what is sealed to
 * them; anything else has a key and a mode that follow from the sealed bytes.
 * Made once. (transfer none)
 */
TpdUnwrapper *fuzz_unwrapper (void);

/* A keyring that holds the server key of `license`. (transfer full) */
TpdKeyring *fuzz_keyring (const TpdLicense *license);

/* Probes, opens and reads `source` to `depth` layers, checking the promises of
 * format/document.h. */
void fuzz_check_document (TpdSource *source, guint depth);
