/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "counters.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#define NAME "counters"
#define FORMAT 1 /* change this when the bounds of the buckets change */
#define LIMIT 65536
#define DRIVER_LIMIT 255 /* bytes of a file name in sysfs */
#define LOCK_TIMEOUT_MS 1000

static const char *const step_names[VV_COUNTERS_STEPS] = {"load", "driver", "override", "unbind",
                                                          "hook", "bind",   "verify",   "deadline"};
static const VvOperation operations[] = {VV_DETACH, VV_REATTACH};

const char *
vv_counter_step_name (VvCounterStep step)
{
  return step_names[step];
}

static void
row_free (VvCounterRow *row)
{
  g_free (row->driver);
  g_free (row);
}

static VvCounters *
counters_new (void)
{
  VvCounters *counters = g_new0 (VvCounters, 1);

  counters->rows = g_ptr_array_new_with_free_func ((GDestroyNotify)row_free);
  return counters;
}

void
vv_counters_free (VvCounters *counters)
{
  if (!counters)
    return;
  g_ptr_array_unref (counters->rows);
  g_free (counters);
}

static VvCounterRow *
find_row (const VvCounters *counters, VvOperation operation, const char *driver)
{
  for (guint i = 0; i < counters->rows->len; i++) {
    VvCounterRow *row = counters->rows->pdata[i];
    if (row->operation == operation && strcmp (row->driver, driver) == 0)
      return row;
  }
  return NULL;
}

static VvCounterRow *
add_row (VvCounters *counters, VvOperation operation, const char *driver)
{
  VvCounterRow *row = g_new0 (VvCounterRow, 1);

  row->operation = operation;
  row->driver = g_strdup (driver);
  g_ptr_array_add (counters->rows, row);
  return row;
}

/* Reserves a row for VV_COUNTERS_OTHER in each direction. */
static VvCounterRow *
row_for (VvCounters *counters, VvOperation operation, const char *driver)
{
  VvCounterRow *row = find_row (counters, operation, driver);

  if (row)
    return row;
  if (counters->rows->len + G_N_ELEMENTS (operations) < VV_COUNTERS_ROWS)
    return add_row (counters, operation, driver);
  row = find_row (counters, operation, VV_COUNTERS_OTHER);
  return row ? row : add_row (counters, operation, VV_COUNTERS_OTHER);
}

/* --- reading --- */

static gboolean
read_number (GKeyFile *file, const char *group, const char *key, guint64 *number)
{
  g_autofree char *text = g_key_file_get_value (file, group, key, NULL);

  return text && g_ascii_string_to_unsigned (text, 10, 0, VV_COUNT_MAX, number, NULL);
}

/* GLib may return a damaged value together with an error. */
static char *
read_text (GKeyFile *file, const char *group, const char *key)
{
  g_autoptr (GError) damage = NULL;
  g_autofree char *text = g_key_file_get_string (file, group, key, &damage);

  return damage ? NULL : g_steal_pointer (&text);
}

static gboolean
read_row (VvCounters *counters, GKeyFile *file, const char *group)
{
  g_autofree char *driver = read_text (file, group, "driver");
  g_autofree char *name = read_text (file, group, "operation");
  const VvOperation *operation = NULL;

  for (gsize i = 0; name && i < G_N_ELEMENTS (operations); i++)
    if (strcmp (name, vv_operation_name (operations[i])) == 0)
      operation = &operations[i];
  if (!driver || !*driver || strlen (driver) > DRIVER_LIMIT || !operation ||
      find_row (counters, *operation, driver))
    return FALSE;
  VvCounterRow *row = add_row (counters, *operation, driver);
  return read_number (file, group, "done", &row->done) &&
         read_number (file, group, "fell-back", &row->fell_back) &&
         read_number (file, group, "failed", &row->failed);
}

static VvCounters *
counters_from_text (const char *text)
{
  g_autoptr (VvCounters) counters = counters_new ();
  g_autoptr (GKeyFile) file = g_key_file_new ();
  guint64 format = 0;

  if (!g_key_file_load_from_data (file, text, -1, G_KEY_FILE_NONE, NULL) ||
      !read_number (file, NAME, "format", &format) || format != FORMAT)
    return NULL;
  for (guint i = 1; i <= VV_COUNTERS_ROWS; i++) {
    g_autofree char *group = g_strdup_printf ("change %u", i);
    if (!g_key_file_has_group (file, group))
      break;
    if (!read_row (counters, file, group))
      return NULL;
  }
  for (guint i = 0; i < VV_COUNTERS_STEPS; i++)
    if (!read_number (file, "failed-at", step_names[i], &counters->steps[i]))
      return NULL;
  for (gsize i = 0; i < G_N_ELEMENTS (operations); i++)
    if (!vv_histogram_read (&counters->durations[operations[i]], file, vv_operation_name (operations[i])))
      return NULL;
  return g_steal_pointer (&counters);
}

VvCounters *
vv_counters_read (const VvStateStore *store, GError **error)
{
  const VvDir *dir = vv_state_store_dir (store);
  g_autoptr (GError) local = NULL;

  if (!dir || !vv_io_exists (dir, NAME))
    return counters_new ();
  g_autofree char *text = vv_state_store_read_file (store, NAME, LIMIT, &local);
  VvCounters *counters = text ? counters_from_text (text) : NULL;
  if (!counters)
    g_set_error (error, VV_ERROR,
                 g_error_matches (local, VV_ERROR, VV_ERROR_PERMISSION) ? VV_ERROR_PERMISSION
                                                                        : VV_ERROR_FAILED,
                 _ ("cannot read %s/%s (%s): the counts since boot are lost"), dir->path, NAME,
                 local ? local->message : _ ("damaged"));
  return counters;
}

/* --- writing --- */

static gboolean
write_counters (const VvCounters *counters, const VvDir *dir, GError **error)
{
  g_autoptr (GKeyFile) file = g_key_file_new ();

  g_key_file_set_integer (file, NAME, "format", FORMAT);
  for (guint i = 0; i < counters->rows->len; i++) {
    const VvCounterRow *row = counters->rows->pdata[i];
    g_autofree char *group = g_strdup_printf ("change %u", i + 1);
    g_key_file_set_string (file, group, "operation", vv_operation_name (row->operation));
    g_key_file_set_string (file, group, "driver", row->driver);
    g_key_file_set_uint64 (file, group, "done", row->done);
    g_key_file_set_uint64 (file, group, "fell-back", row->fell_back);
    g_key_file_set_uint64 (file, group, "failed", row->failed);
  }
  for (guint i = 0; i < VV_COUNTERS_STEPS; i++)
    g_key_file_set_uint64 (file, "failed-at", step_names[i], counters->steps[i]);
  for (gsize i = 0; i < G_N_ELEMENTS (operations); i++)
    vv_histogram_write (&counters->durations[operations[i]], file, vv_operation_name (operations[i]));
  g_autofree char *text = g_key_file_to_data (file, NULL, NULL);
  return vv_io_replace (dir, NAME, text, error);
}

/* A rebind to count. @usec is -1 if it has no duration. */
typedef struct {
  VvOperation operation;
  const char *driver;
  gsize outcome; /* offset of the counter in VvCounterRow */
  gint64 usec;
  const GPtrArray *attempts;
} Count;

static void
add (VvCounters *counters, const Count *what)
{
  VvCounterRow *row = row_for (counters, what->operation, what->driver);

  G_STRUCT_MEMBER (guint64, row, what->outcome)++;
  if (what->usec >= 0)
    vv_histogram_add (&counters->durations[what->operation], what->usec);
  for (guint i = 0; what->attempts && i < what->attempts->len; i++) {
    const VvAttempt *attempt = what->attempts->pdata[i];
    for (guint step = 0; step < VV_COUNTERS_STEPS; step++)
      if (strcmp (attempt->step, step_names[step]) == 0)
        counters->steps[step]++;
  }
}

/* Does not replace a file that it may not read, because the file may be valid. */
static gboolean
add_under_lock (const VvStateStore *store, const Count *what, GError **error)
{
  g_autoptr (GError) damage = NULL;
  g_autoptr (VvCounters) counters = vv_counters_read (store, &damage);

  if (damage && damage->code == VV_ERROR_PERMISSION) {
    g_propagate_error (error, g_steal_pointer (&damage));
    return FALSE;
  }
  if (!counters)
    counters = counters_new ();
  add (counters, what);
  if (!write_counters (counters, vv_state_store_dir (store), error))
    return FALSE;
  if (damage)
    g_warning ("%s; counting starts again from zero", damage->message);
  return TRUE;
}

static void
count_it (const VvStateStore *store, const Count *what)
{
  static gsize said; /* a persistent error must not fill the log */
  g_autoptr (GError) problem = NULL;

  if (!vv_state_store_dir (store))
    return; /* the store was opened without @create and does not exist */
  g_autoptr (VvLock) lock = vv_state_store_lock_note (store, NAME, LOCK_TIMEOUT_MS, &problem);
  if ((lock && add_under_lock (store, what, &problem)) || !g_once_init_enter (&said))
    return;
  g_debug ("rebinds are not counted: %s", problem->message);
  g_once_init_leave (&said, 1);
}

/* A refused operation, malformed input or a missing device is not a failure of vfio-variant. */
static gboolean
is_counted (const VvChange *change)
{
  const GError *problem = change->problem;

  if (!problem)
    return change->changed || change->attempts->len;
  return !g_error_matches (problem, VV_ERROR, VV_ERROR_REFUSED) &&
         !g_error_matches (problem, VV_ERROR, VV_ERROR_NO_DEVICE) &&
         !g_error_matches (problem, VV_ERROR, VV_ERROR_INVALID);
}

void
vv_counters_add (const VvStateStore *store, const VvChange *change)
{
  const char *wanted = change->wanted;
  Count what = {.operation = change->operation, .attempts = change->attempts};

  if (change->problem) {
    what.driver = wanted && *wanted && strlen (wanted) <= DRIVER_LIMIT ? wanted : VV_COUNTERS_ANY;
    what.outcome = G_STRUCT_OFFSET (VvCounterRow, failed);
    what.usec = -1;
  } else {
    what.driver = change->to ? change->to : VV_COUNTERS_NONE;
    what.outcome = change->attempts->len ? G_STRUCT_OFFSET (VvCounterRow, fell_back)
                                         : G_STRUCT_OFFSET (VvCounterRow, done);
    what.usec = MAX (change->usec, 0);
  }
  if (is_counted (change))
    count_it (store, &what);
}
