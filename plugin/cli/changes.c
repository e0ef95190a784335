/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "changes.h"

#include <stdio.h>
#include <string.h>

#include "colour.h"
#include "one-line.h"
#include "policy-xml.h"
#include "watch.h"

#define CELL_CHARACTERS 1000

/* @rows, @nodes: as they were told last; no nodes where the table is drawn; @context: what they were read
 * from */
typedef struct {
  const VvHost *host;
  const VvListing *listing;
  const VvStyle *style;
  gboolean json;
  gboolean terminal;
  VvContext *context;
  GPtrArray *rows;
  GHashTable *nodes;
} Follow;

/* --- what changed --- */

/* Returns: (element-type utf8 JsonNode): what is told of each device, by its address */
static GHashTable *
nodes_of (const GPtrArray *rows)
{
  GHashTable *nodes =
      g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify)json_node_unref);

  for (guint i = 0; i < rows->len; i++) {
    const VvRow *row = rows->pdata[i];
    g_autoptr (JsonBuilder) builder = json_builder_new ();
    vv_row_json (row, builder);
    g_hash_table_insert (nodes, g_strdup (row->device->address), json_builder_get_root (builder));
  }
  return nodes;
}

static void
tell_json (JsonNode *node, const char *event)
{
  g_autoptr (JsonBuilder) b = json_builder_new ();

  json_builder_begin_object (b);
  vv_json_number (b, "time", g_get_real_time ());
  vv_json_string (b, "event", event);
  json_builder_set_member_name (b, "device");
  json_builder_add_value (b, json_node_ref (node));
  json_builder_end_object (b);
  vv_json_print_line (b);
}

static void
tell_line (const VvRow *row, const char *event, const GArray *columns)
{
  g_autoptr (GDateTime) now = g_date_time_new_now_local ();
  g_autofree char *time = g_date_time_format (now, "%Y-%m-%dT%H:%M:%S%z");

  printf ("%s %-7s", time, event);
  for (guint i = 0; i < columns->len; i++) {
    g_autofree char *text = vv_row_text (row, g_array_index (columns, VvColumn, i));
    g_autofree char *safe = vv_printable (text, CELL_CHARACTERS);
    printf (" %s", safe ? safe : "-");
  }
  putchar ('\n');
}

static void
tell (const Follow *f, GHashTable *nodes, const VvRow *row, const char *event)
{
  if (f->json)
    tell_json (g_hash_table_lookup (nodes, row->device->address), event);
  else
    tell_line (row, event, f->style->columns);
}

static void
tell_changes (const Follow *f, const GPtrArray *rows, GHashTable *nodes)
{
  for (guint i = 0; f->rows && i < f->rows->len; i++) {
    const VvRow *before = f->rows->pdata[i];
    if (!g_hash_table_contains (nodes, before->device->address))
      tell (f, f->nodes, before, "removed");
  }
  for (guint i = 0; i < rows->len; i++) {
    const VvRow *row = rows->pdata[i];
    const char *address = row->device->address;
    JsonNode *before = f->nodes ? g_hash_table_lookup (f->nodes, address) : NULL;
    if (!before)
      tell (f, nodes, row, f->nodes ? "added" : "listed");
    else if (!json_node_equal (before, g_hash_table_lookup (nodes, address)))
      tell (f, nodes, row, "changed");
  }
}

/* --- telling it --- */

/* Named devices may have gone. */
static GPtrArray *
rows_now (const Follow *f, VvContext *context)
{
  VvListing listing = *f->listing;
  g_autoptr (GPtrArray) present = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 0; listing.named && i < listing.named->len; i++) {
    g_autofree char *path = g_build_filename ("bus/pci/devices", listing.named->pdata[i], NULL);
    if (vv_io_exists (context->host->sys, path))
      g_ptr_array_add (present, g_strdup (listing.named->pdata[i]));
  }
  if (listing.named)
    listing.named = present;
  return vv_rows_read (context, &listing, FALSE);
}

static void
forget (Follow *f)
{
  g_clear_pointer (&f->rows, g_ptr_array_unref);
  g_clear_pointer (&f->nodes, g_hash_table_unref);
  g_clear_pointer (&f->context, vv_context_free);
}

/* Journal, policy and modules may all have become other ones. */
static gboolean
look (gpointer data)
{
  Follow *f = data;
  g_autoptr (GError) error = NULL;
  VvContext *context = vv_context_new (NULL, f->host->release, FALSE, &error);

  if (!context) {
    vv_warning ("%s", error->message);
    return TRUE;
  }
  vv_context_set_policy (context, vv_policy_read (context->host));
  GPtrArray *rows = rows_now (f, context);
  GHashTable *nodes = f->terminal ? NULL : nodes_of (rows);
  if (f->terminal) {
    fputs ("\033[H\033[J", stdout); /* from the top; what was there before goes */
    vv_rows_print (rows, f->style);
  } else {
    tell_changes (f, rows, nodes);
  }
  forget (f);
  f->rows = rows;
  f->nodes = nodes;
  f->context = context;
  return fflush (stdout) == 0;
}

int
vv_changes_follow (const VvContext *context, const VvListing *listing, const VvStyle *style, gboolean json)
{
  Follow f = {context->host, listing, style, json, !json && vv_colour_is_terminal (), NULL, NULL, NULL};
  g_autoptr (GError) error = NULL;
  gboolean begun = vv_watch (context->host, look, &f, &error);

  forget (&f);
  return begun ? VV_EXIT_DONE : vv_print_error (error);
}
