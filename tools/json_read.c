/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See json_read.h. The parser of json-glib recurses; and one that makes immutable
 * nodes ends the program, from 1.10 on, over some texts that are not JSON.
 */
#include "tools/json_read.h"

#define MAX_DEPTH 32

static gboolean
is_shallow (const char *text, gsize len)
{
  gboolean in_string = FALSE;
  guint depth = 0;

  for (gsize i = 0; i < len; i++)
    {
      if (in_string)
        {
          if (text[i] == '\\')
            i++;
          else if (text[i] == '"')
            in_string = FALSE;
        }
      else if (text[i] == '"')
        in_string = TRUE;
      else if (text[i] == '[' || text[i] == '{')
        {
          if (++depth > MAX_DEPTH)
            return FALSE;
        }
      else if ((text[i] == ']' || text[i] == '}') && depth > 0)
        depth--;
    }
  return TRUE;
}

JsonObject *
tpd_json_read_object (const char *text, gsize len)
{
  g_autoptr (JsonParser) parser = NULL;
  JsonNode *root;

  if (len > G_MAXSSIZE || !is_shallow (text, len))
    return NULL;
  parser = json_parser_new ();
  if (!json_parser_load_from_data (parser, text, (gssize) len, NULL))
    return NULL;
  root = json_parser_get_root (parser);
  return root != NULL && JSON_NODE_HOLDS_OBJECT (root) ? json_node_dup_object (root) : NULL;
}

static JsonNode *
value (JsonObject *object, const char *name, GType type)
{
  JsonNode *node = json_object_get_member (object, name);

  return node != NULL && JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == type ? node : NULL;
}

const char *
tpd_json_get_string (JsonObject *object, const char *name)
{
  JsonNode *node = value (object, name, G_TYPE_STRING);

  return node != NULL ? json_node_get_string (node) : NULL;
}

guint64
tpd_json_get_uint (JsonObject *object, const char *name)
{
  JsonNode *node = value (object, name, G_TYPE_INT64);

  return node != NULL && json_node_get_int (node) > 0 ? (guint64) json_node_get_int (node) : 0;
}

gboolean
tpd_json_get_boolean (JsonObject *object, const char *name)
{
  JsonNode *node = value (object, name, G_TYPE_BOOLEAN);

  return node != NULL && json_node_get_boolean (node);
}

JsonObject *
tpd_json_get_object (JsonObject *object, const char *name)
{
  JsonNode *node = json_object_get_member (object, name);

  return node != NULL && JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
}
