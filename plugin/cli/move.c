/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "move.h"

#include <glib/gi18n-lib.h>
#include <stdio.h>
#include <unistd.h>

#include "log.h"

#define MOST_JOBS 256

VvContext *
vv_open_to_move (const VvCommon *common, const char *command, int jobs, gboolean dry_run, int *exit_code)
{
  if (jobs < 1 || jobs > MOST_JOBS) {
    *exit_code = vv_usage_error (command, _ ("--jobs takes a number from 1 to %d"), MOST_JOBS);
    return NULL;
  }
  if (!dry_run)
    vv_speak_english (); /* what goes wrong is logged as well */
  vv_log_to_system ();
  return vv_open_context (common, !dry_run, exit_code);
}

typedef struct {
  const char *address;
  VvChange *change;
  GError *error;
} Result;

typedef struct {
  const VvContext *context;
  VvMoveFunc func;
  gpointer data;
  GAsyncQueue *finished; /* of Result */
} Crew;

static void
work (gpointer result, gpointer crew)
{
  Result *r = result;
  Crew *c = crew;

  r->change = c->func (c->context, r->address, c->data, &r->error);
  g_async_queue_push (c->finished, r);
}

static void
print_result (const Result *r, gboolean dry_run)
{
  if (r->error) {
    fprintf (stderr, "vfio-variant: %s\n", r->error->message);
    return;
  }
  const VvChange *c = r->change;
  for (guint i = 0; dry_run && i < c->steps->len; i++)
    puts (c->steps->pdata[i]);
  if (dry_run && c->steps->len)
    return;
  g_autofree char *failed = vv_change_attempts (c);
  printf ("%s%s: %s -> %s (%s)\n", dry_run ? "# " : "", c->device, c->from ? c->from : _ ("no driver"),
          c->to ? c->to : _ ("no driver"), c->why);
  if (failed)
    vv_warning ("%s: %s", c->device, failed);
}

static void
json_attempts (JsonBuilder *b, const GPtrArray *attempts)
{
  vv_json_begin_array (b, "attempts");
  for (guint i = 0; i < attempts->len; i++) {
    const VvAttempt *a = attempts->pdata[i];
    json_builder_begin_object (b);
    vv_json_string (b, "module", a->module);
    vv_json_string (b, "step", a->step);
    vv_json_string (b, "problem", a->problem);
    json_builder_end_object (b);
  }
  json_builder_end_array (b);
}

static void
json_result (JsonBuilder *b, const Result *r)
{
  const VvChange *c = r->change;

  json_builder_begin_object (b);
  vv_json_string (b, "device", r->address);
  if (c) {
    vv_json_string (b, "operation", vv_operation_name (c->operation));
    vv_json_string (b, "from", c->from);
    vv_json_string (b, "to", c->to);
    vv_json_boolean (b, "changed", c->changed);
    vv_json_string (b, "alias", c->alias);
    vv_json_string (b, "why", c->why);
    json_attempts (b, c->attempts);
    vv_json_strings (b, "steps", (char **)c->steps->pdata, (int)c->steps->len);
    vv_json_number (b, "microseconds", c->usec);
  }
  vv_json_string (b, "error", r->error ? r->error->message : NULL);
  json_builder_end_object (b);
}

static void
print_json (const Result *results, guint n)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  if (n != 1)
    json_builder_begin_array (builder);
  for (guint i = 0; i < n; i++)
    json_result (builder, &results[i]);
  if (n != 1)
    json_builder_end_array (builder);
  vv_json_print (builder);
}

/* A line that is written over: only for a person who waits at a terminal. */
static void
show_progress (guint done, guint all, gboolean last)
{
  if (all < 2 || !isatty (STDERR_FILENO))
    return;
  g_autofree char *text =
      g_strdup_printf (g_dngettext (GETTEXT_PACKAGE, "%u of %u device", "%u of %u devices", all), done, all);
  fprintf (stderr, last ? "\r\033[K" : "\r\033[K%s", text);
  fflush (stderr);
}

int
vv_move_all (const VvContext *context, const GPtrArray *addresses, int jobs, gboolean json, gboolean dry_run,
             VvMoveFunc func, gpointer data)
{
  g_autoptr (GAsyncQueue) finished = g_async_queue_new ();
  Crew crew = {context, func, data, finished};
  g_autofree Result *results = g_new0 (Result, addresses->len);
  GThreadPool *pool = g_thread_pool_new (work, &crew, jobs, FALSE, NULL);
  int code = VV_EXIT_DONE;

  for (guint i = 0; i < addresses->len; i++) {
    results[i].address = addresses->pdata[i];
    g_thread_pool_push (pool, &results[i], NULL);
  }
  for (guint done = 0; done < addresses->len; done++) {
    show_progress (done, addresses->len, FALSE);
    const Result *r = g_async_queue_pop (finished);
    show_progress (done, addresses->len, TRUE);
    if (!json && !dry_run)
      print_result (r, FALSE);
    code = vv_exit_merge (code, r->error);
  }
  g_thread_pool_free (pool, FALSE, TRUE);
  for (guint i = 0; dry_run && !json && i < addresses->len; i++)
    print_result (&results[i], TRUE); /* in the order asked for: it is a script to read */
  if (json)
    print_json (results, addresses->len);
  for (guint i = 0; i < addresses->len; i++) {
    vv_change_free (results[i].change);
    g_clear_error (&results[i].error);
  }
  return code;
}
