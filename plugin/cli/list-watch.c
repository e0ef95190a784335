/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dir-watch.h"
#include "list.h"
#include "one-line.h"
#include "policy-xml.h"
#include "udev.h"

#define CELL_CHARACTERS 1000

/* @rows: the rows of the last output; @context: the context of @rows; @due: the source of the next update, or
 * 0 */
typedef struct {
  const VvHost *host;
  const VvListing *listing;
  gboolean terminal;
  VvContext *context;
  GPtrArray *rows;
  GMainLoop *loop;
  guint due;
} Watch;

/* --- changes --- */

/* Returns: (nullable): the row of @rows with @address */
static const VvRow *
find_row (const GPtrArray *rows, const char *address)
{
  for (guint i = 0; i < rows->len; i++) {
    const VvRow *row = rows->pdata[i];
    if (strcmp (row->device->address, address) == 0)
      return row;
  }
  return NULL;
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
  g_autofree char *text = vv_json_text (b, FALSE); /* one line, for a program that reads line by line */
  puts (text);
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
tell (const VvListing *listing, const VvRow *row, const char *event)
{
  if (listing->json)
    tell_json (row->told, event);
  else
    tell_line (row, event, listing->columns);
}

/* @before: (nullable): the rows of the last output; NULL: there was none */
static void
tell_changes (const VvListing *listing, const GPtrArray *before, const GPtrArray *rows)
{
  for (guint i = 0; before && i < before->len; i++) {
    const VvRow *row = before->pdata[i];
    if (!find_row (rows, row->device->address))
      tell (listing, row, "removed");
  }
  for (guint i = 0; i < rows->len; i++) {
    const VvRow *row = rows->pdata[i];
    const VvRow *old = before ? find_row (before, row->device->address) : NULL;
    if (!old)
      tell (listing, row, before ? "added" : "listed");
    else if (!json_node_equal (old->told, row->told))
      tell (listing, row, "changed");
  }
}

/* --- output --- */

/* Omits named devices that are no longer present. */
static GPtrArray *
rows_now (const Watch *w, VvContext *context)
{
  VvListing listing = *w->listing;
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
forget (Watch *w)
{
  g_clear_pointer (&w->rows, g_ptr_array_unref);
  g_clear_pointer (&w->context, vv_context_free);
}

/* Reads everything again: the state store, the policy and the modules may have changed. Returns: FALSE if the
 * reader of standard output is gone */
static gboolean
look (Watch *w)
{
  g_autoptr (GError) error = NULL;
  VvContext *context = vv_context_new (NULL, w->host->release, FALSE, &error);

  if (!context) {
    vv_warning ("%s", error->message);
    return TRUE;
  }
  vv_context_set_policy (context, vv_policy_read (context->host));
  GPtrArray *rows = rows_now (w, context);
  if (w->terminal) {
    fputs ("\033[H\033[J", stdout); /* move to the top left, clear the screen */
    vv_rows_print (rows, w->listing);
  } else {
    for (guint i = 0; i < rows->len; i++) {
      g_autoptr (JsonBuilder) builder = json_builder_new ();
      VvRow *row = rows->pdata[i];
      vv_row_json (row, builder);
      row->told = json_builder_get_root (builder);
    }
    tell_changes (w->listing, w->rows, rows);
  }
  forget (w);
  w->rows = rows;
  w->context = context;
  return fflush (stdout) == 0;
}

/* --- events --- */

static gboolean
call (gpointer data)
{
  Watch *w = data;

  w->due = 0;
  if (!look (w))
    g_main_loop_quit (w->loop);
  return G_SOURCE_REMOVE;
}

/* The idle source has a lower priority than events, so events at the same time cause one update. */
static gboolean
something_changed (gpointer data)
{
  Watch *w = data;

  if (!w->due)
    w->due = g_idle_add (call, w);
  return G_SOURCE_CONTINUE;
}

static void
device_event (const char *address, VvUevent what, gpointer data)
{
  (void)address, (void)what;
  something_changed (data);
}

/* vv_io_replace() renames a state file into place, which causes IN_MOVED_TO. */
static void
journal_event (gpointer data)
{
  something_changed (data);
}

static gboolean
end (gpointer data)
{
  g_main_loop_quit (((Watch *)data)->loop);
  return G_SOURCE_CONTINUE;
}

static gboolean
reader_is_gone (int fd, GIOCondition condition, gpointer data)
{
  (void)fd, (void)condition;
  return end (data);
}

/* Uses no timer: the process wakes up for events only. */
int
vv_list_watch (const VvContext *context, const VvListing *listing)
{
  Watch w = {.host = context->host,
             .listing = listing,
             .terminal = !listing->json && vv_colour_is_terminal (),
             .loop = g_main_loop_new (NULL, FALSE)};
  g_autoptr (GError) error = NULL;
  VvUevents *uevents = vv_uevents_new (device_event, &w, &error);
  VvDirWatch *store = uevents ? vv_dir_watch_new (w.host->run_path, IN_CREATE | IN_MOVED_TO | IN_DELETE, NULL,
                                                  journal_event, &w, &error)
                              : NULL;

  if (store) {
    /* Nothing removes these sources or @due: the process ends soon after the loop. */
    g_unix_fd_add (STDOUT_FILENO, G_IO_ERR | G_IO_HUP, reader_is_gone, &w);
    for (const int *number = (const int[]){SIGINT, SIGTERM, SIGHUP, 0}; *number; number++)
      g_unix_signal_add (*number, end, &w);
    g_unix_signal_add (SIGWINCH, something_changed, &w);
    something_changed (&w);
    g_main_loop_run (w.loop);
  }
  vv_uevents_free (uevents);
  vv_dir_watch_free (store);
  forget (&w);
  g_main_loop_unref (w.loop);
  return store ? VV_EXIT_DONE : vv_print_error (error);
}
