/* SPDX-License-Identifier: Apache-2.0 */
/* The user's language as a Windows language id: see language.h. */
#include "tools/language.h"

#include <string.h>

#define LCID_ENGLISH 1033

/* [MS-LCID]: the languages templates are commonly written in. A language with
 * a territory stands before the language alone. */
static const struct {
  const char *locale;
  guint lcid;
} languages[] = {
  { "ar", 1025 },       { "bg", 1026 }, { "ca", 1027 }, { "zh_TW", 1028 }, { "zh_HK", 3076 }, { "zh", 2052 },
  { "cs", 1029 },       { "da", 1030 }, { "de", 1031 }, { "el", 1032 },    { "en_GB", 2057 }, { "en", 1033 },
  { "fi", 1035 },       { "fr", 1036 }, { "he", 1037 }, { "hu", 1038 },    { "it", 1040 },    { "ja", 1041 },
  { "ko", 1042 },       { "nl", 1043 }, { "nb", 1044 }, { "no", 1044 },    { "pl", 1045 },    { "pt_BR", 1046 },
  { "ro", 1048 },       { "ru", 1049 }, { "hr", 1050 }, { "sk", 1051 },    { "sv", 1053 },    { "th", 1054 },
  { "tr", 1055 },       { "id", 1057 }, { "uk", 1058 }, { "sl", 1060 },    { "et", 1061 },    { "lv", 1062 },
  { "lt", 1063 },       { "vi", 1066 }, { "eu", 1069 }, { "hi", 1081 },    { "kk", 1087 },    { "gl", 1110 },
  { "sr@latin", 2074 }, { "sr", 3098 }, { "pt", 2070 }, { "es", 3082 },
};

guint
tpd_language_lcid (void)
{
  const char *const *wanted = g_get_language_names ();

  for (gsize i = 0; wanted[i] != NULL; i++)
    {
      for (gsize j = 0; j < G_N_ELEMENTS (languages); j++)
        {
          if (strcmp (wanted[i], languages[j].locale) == 0)
            return languages[j].lcid;
        }
    }
  return LCID_ENGLISH;
}

static const TpdDescriptorName *
find_name (const GPtrArray *names, guint lcid)
{
  for (guint i = 0; i < names->len; i++)
    {
      const TpdDescriptorName *name = g_ptr_array_index (names, i);
      if (name->lcid == lcid)
        return name;
    }
  return NULL;
}

const TpdDescriptorName *
tpd_language_pick (const GPtrArray *names)
{
  const TpdDescriptorName *name;

  if (names == NULL || names->len == 0)
    return NULL;
  name = find_name (names, tpd_language_lcid ());
  if (name == NULL)
    name = find_name (names, LCID_ENGLISH);
  return name != NULL ? name : g_ptr_array_index (names, 0);
}
