/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "report.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "command.h"
#include "one-line.h"

#define NUMBER_MAX G_GUINT64_CONSTANT (9007199254740991)   /* 2^53 - 1: the same in every reader of JSON */
#define MOMENT_MAX G_GUINT64_CONSTANT (253402214400000000) /* the year 9999, wherever midnight is */
#define PID_MAX 4194304                                    /* PID_MAX_LIMIT, include/linux/threads.h */
#define TEXT_CHARACTERS 1000
#define ERROR_CHARACTERS 160 /* an error quotes what was sent */

typedef enum {
  KIND_NUMBER,
  KIND_PID,
  KIND_MOMENT, /* microseconds since the epoch */
  KIND_TEXT,
  KIND_NAMES, /* a list */
  KIND_ADDRESS,
  KIND_CHOICE,
  KIND_BUCKETS, /* of a VvHistogram */
  KIND_PHASES,  /* the keys of a VvClock, in the same group; in JSON an object */
} Kind;

/* One line of the reply. @choices: for KIND_CHOICE, ends with NULL. */
typedef struct {
  const char *key;
  Kind kind;
  gboolean optional;
  const char *const *choices;
} Field;

static const char *const gates[] = {"on", "off", NULL};
static const char *const minders[] = {"running", "idle", NULL};
static const char *const operations[] = {"detach", "reattach", NULL};

static const Field daemon_fields[] = {
    {"version", KIND_TEXT},
    {"pid", KIND_PID},
    {"started", KIND_MOMENT},
    {"gate", KIND_CHOICE, FALSE, gates},
    {"reason", KIND_TEXT, TRUE},
    {"executables", KIND_NAMES, TRUE},
    {"deadline-ms", KIND_NUMBER},
    {"devices", KIND_NUMBER},
    {"minder", KIND_CHOICE, FALSE, minders},
    {"policy-read", KIND_NUMBER, TRUE}, /* microseconds since the epoch */
    {NULL},
};
static const Field opens_fields[] = {{"seen"}, {"passed"}, {"held"}, {NULL}};
static const Field outcomes_fields[] = {{"detached"},   {"fell-back"}, {"reattached"},
                                        {"left-alone"}, {"failed"},    {"refused"},
                                        {"deadline"},   {"crashed"},   {NULL}};
/* All but the count are there when that is not 0. */
static const Field latency_fields[] = {{"count"},
                                       {"max-us", KIND_NUMBER, TRUE},
                                       {"sum-us", KIND_NUMBER, TRUE},
                                       {"buckets", KIND_BUCKETS, TRUE},
                                       {NULL}};
static const Field holding_fields[] = {{"device", KIND_ADDRESS},
                                       {"pid", KIND_PID},
                                       {"executable", KIND_TEXT},
                                       {"since-us", KIND_NUMBER},
                                       {NULL}};
static const Field phase_fields[] = {{"wait-us", KIND_NUMBER, TRUE},    {"find-us", KIND_NUMBER, TRUE},
                                     {"select-us", KIND_NUMBER, TRUE},  {"module-us", KIND_NUMBER, TRUE},
                                     {"bind-us", KIND_NUMBER, TRUE},    {"script-us", KIND_NUMBER, TRUE},
                                     {"journal-us", KIND_NUMBER, TRUE}, {"other-us", KIND_NUMBER, TRUE},
                                     {"reply-us", KIND_NUMBER, TRUE},   {NULL}};
static const Field change_fields[] = {
    {"time", KIND_MOMENT},     {"device", KIND_ADDRESS},    {"operation", KIND_CHOICE, TRUE, operations},
    {"from", KIND_TEXT, TRUE}, {"to", KIND_TEXT, TRUE},     {"outcome", KIND_CHOICE, FALSE, vv_gate_outcomes},
    {"why", KIND_TEXT, TRUE},  {"failed", KIND_TEXT, TRUE}, {"held-us", KIND_NUMBER},
    {"own-us", KIND_NUMBER},   {"phases", KIND_PHASES},     {NULL},
};

/* The groups that come once; [daemon] comes first, and its members stand at the top of the JSON object. */
static const struct {
  const char *name;
  const Field *fields;
} groups[] = {
    {"daemon", daemon_fields}, {"opens", opens_fields}, {"outcomes", outcomes_fields},
    {"held", latency_fields},  {"own", latency_fields},
};

/* --- text --- */

static gboolean malformed (GError **error, const char *format, ...) G_GNUC_PRINTF (2, 3);

static gboolean
malformed (GError **error, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  g_autofree char *what = g_strdup_vprintf (format, args);
  va_end (args);
  g_autofree char *safe = vv_printable (what, ERROR_CHARACTERS);
  g_set_error (error, VV_ERROR, VV_ERROR_FAILED,
               _ ("vfio-variantd sent a malformed status: %s; 'systemctl restart vfio-variantd' may help"),
               safe);
  return FALSE;
}

/* --- checks --- */

static gboolean
is_number (const char *value, guint64 min, guint64 max)
{
  return g_ascii_string_to_unsigned (value, 10, min, max, NULL, NULL);
}

/* The escapes are what can be wrong with a text of a key file. */
static gboolean
is_text (GKeyFile *file, const char *group, const char *key)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *text = g_key_file_get_string (file, group, key, &error);

  return text && !error;
}

static gboolean
is_list (GKeyFile *file, const char *group, const char *key)
{
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) list = g_key_file_get_string_list (file, group, key, NULL, &error);

  return list && !error;
}

static gboolean
is_address (const char *value)
{
  g_autofree char *address = vv_pci_address_parse (value, NULL);

  return g_strcmp0 (address, value) == 0;
}

/* Its durations are those that are counted beside it. */
static gboolean
is_histogram (GKeyFile *file, const char *group)
{
  VvHistogram histogram;

  return vv_histogram_read (&histogram, file, group) &&
         vv_histogram_total (&histogram) == g_key_file_get_uint64 (file, group, "count", NULL);
}

static gboolean
value_is_good (GKeyFile *file, const char *group, const Field *field, const char *value)
{
  switch (field->kind) {
  case KIND_NUMBER:
    return is_number (value, 0, NUMBER_MAX);
  case KIND_PID:
    return is_number (value, 1, PID_MAX);
  case KIND_MOMENT:
    return is_number (value, 0, MOMENT_MAX);
  case KIND_TEXT:
    return is_text (file, group, field->key);
  case KIND_NAMES:
    return is_list (file, group, field->key);
  case KIND_ADDRESS:
    return is_address (value);
  case KIND_CHOICE:
    return g_strv_contains (field->choices, value);
  case KIND_BUCKETS:
    return is_histogram (file, group);
  case KIND_PHASES:
    break; /* has no value of its own */
  }
  return FALSE;
}

static gboolean check_group (GKeyFile *file, const char *group, const Field *fields, GError **error);

static gboolean
check_field (GKeyFile *file, const char *group, const Field *field, gboolean optional, GError **error)
{
  if (field->kind == KIND_PHASES)
    return check_group (file, group, phase_fields, error);
  g_autofree char *value = g_key_file_get_value (file, group, field->key, NULL);

  if (!value || !*value)
    return optional || malformed (error, _ ("[%s] has no %s"), group, field->key);
  if (value_is_good (file, group, field, value))
    return TRUE;
  return malformed (error, "[%s] %s=%s", group, field->key, value);
}

static gboolean
check_group (GKeyFile *file, const char *group, const Field *fields, GError **error)
{
  gboolean always = FALSE;

  for (const Field *f = fields; f->key; f++) {
    if (!check_field (file, group, f, f->optional && !always, error))
      return FALSE;
    always = always || (fields == latency_fields && g_key_file_get_uint64 (file, group, "count", NULL) > 0);
  }
  return TRUE;
}

/* Checks "NAME 1", "NAME 2" and so on, as far as they go and @most allows. */
static gboolean
check_series (GKeyFile *file, const char *name, guint most, const Field *fields, guint *n, GError **error)
{
  for (*n = 0; *n < most; (*n)++) {
    g_autofree char *group = g_strdup_printf ("%s %u", name, *n + 1);
    if (!g_key_file_has_group (file, group))
      break;
    if (!check_group (file, group, fields, error))
      return FALSE;
  }
  return TRUE;
}

VvReport *
vv_report_parse (const char *data, gsize length, GError **error)
{
  g_autoptr (VvReport) report = g_new0 (VvReport, 1);
  g_autoptr (GError) syntax = NULL;

  report->file = g_key_file_new ();
  if (!g_utf8_validate_len (data, length, NULL)) {
    malformed (error, _ ("it is no text in UTF-8"));
    return NULL;
  }
  if (!g_key_file_load_from_data (report->file, data, length, G_KEY_FILE_NONE, &syntax)) {
    malformed (error, "%s", syntax->message);
    return NULL;
  }
  for (gsize i = 0; i < G_N_ELEMENTS (groups); i++)
    if (!check_group (report->file, groups[i].name, groups[i].fields, error))
      return NULL;
  if (!check_series (report->file, "holding", G_MAXUINT, holding_fields, &report->holding, error) ||
      !check_series (report->file, "change", VV_REPORT_CHANGES, change_fields, &report->changes, error))
    return NULL;
  return g_steal_pointer (&report);
}

void
vv_report_free (VvReport *report)
{
  if (!report)
    return;
  g_key_file_free (report->file);
  g_free (report);
}

/* --- values --- */

guint64
vv_report_number (const VvReport *report, const char *group, const char *key)
{
  return g_key_file_get_uint64 (report->file, group, key, NULL);
}

char *
vv_report_text (const VvReport *report, const char *group, const char *key)
{
  g_autofree char *text = g_key_file_get_string (report->file, group, key, NULL);

  return text && *text ? vv_printable (text, TEXT_CHARACTERS) : NULL;
}

char **
vv_report_names (const VvReport *report, const char *group, const char *key)
{
  g_auto (GStrv) names = g_key_file_get_string_list (report->file, group, key, NULL, NULL);
  gsize n = names ? g_strv_length (names) : 0;
  char **safe = g_new0 (char *, n + 1);

  for (gsize i = 0; i < n; i++)
    safe[i] = vv_printable (names[i], TEXT_CHARACTERS);
  return safe;
}

void
vv_report_histogram (const VvReport *report, const char *group, VvHistogram *histogram)
{
  vv_histogram_read (histogram, report->file, group);
}

/* --- JSON --- */

static void
json_names (JsonBuilder *b, const VvReport *report, const char *group, const char *key)
{
  g_auto (GStrv) names = vv_report_names (report, group, key);

  json_builder_begin_array (b);
  for (char **name = names; *name; name++)
    json_builder_add_string_value (b, *name);
  json_builder_end_array (b);
}

static void
json_number (JsonBuilder *b, const VvReport *report, const char *group, const char *key)
{
  g_autofree char *value = g_key_file_get_value (report->file, group, key, NULL);

  if (value && *value)
    json_builder_add_int_value (b, (gint64)vv_report_number (report, group, key));
  else
    json_builder_add_null_value (b);
}

/* An object for each bucket, or null */
static void
json_buckets (JsonBuilder *b, const VvReport *report, const char *group)
{
  VvHistogram histogram;

  if (!vv_histogram_read (&histogram, report->file, group)) {
    json_builder_add_null_value (b);
    return;
  }
  json_builder_begin_array (b);
  for (guint i = 0; i <= VV_BUCKETS; i++) {
    json_builder_begin_object (b);
    json_builder_set_member_name (b, "up_to_us");
    if (i < VV_BUCKETS)
      json_builder_add_int_value (b, (gint64)vv_histogram_bound (i));
    else
      json_builder_add_null_value (b);
    json_builder_set_member_name (b, "count");
    json_builder_add_int_value (b, (gint64)histogram.counts[i]);
    json_builder_end_object (b);
  }
  json_builder_end_array (b);
}

static void json_fields (JsonBuilder *b, const VvReport *report, const char *group, const Field *fields);

static void
json_phases (JsonBuilder *b, const VvReport *report, const char *group)
{
  json_builder_begin_object (b);
  json_fields (b, report, group, phase_fields);
  json_builder_end_object (b);
}

static void
json_field (JsonBuilder *b, const VvReport *report, const char *group, const Field *field)
{
  g_autofree char *name = g_strdelimit (g_strdup (field->key), "-", '_');

  if (field->kind == KIND_TEXT || field->kind == KIND_ADDRESS || field->kind == KIND_CHOICE) {
    g_autofree char *text = vv_report_text (report, group, field->key);
    vv_json_string (b, name, text);
    return;
  }
  json_builder_set_member_name (b, name);
  if (field->kind == KIND_NAMES)
    json_names (b, report, group, field->key);
  else if (field->kind == KIND_BUCKETS)
    json_buckets (b, report, group);
  else if (field->kind == KIND_PHASES)
    json_phases (b, report, group);
  else
    json_number (b, report, group, field->key);
}

static void
json_fields (JsonBuilder *b, const VvReport *report, const char *group, const Field *fields)
{
  for (const Field *f = fields; f->key; f++)
    json_field (b, report, group, f);
}

static void
json_series (JsonBuilder *b, const VvReport *report, const char *name, guint n, const Field *fields)
{
  json_builder_begin_array (b);
  for (guint i = 1; i <= n; i++) {
    g_autofree char *group = g_strdup_printf ("%s %u", name, i);
    json_builder_begin_object (b);
    json_fields (b, report, group, fields);
    json_builder_end_object (b);
  }
  json_builder_end_array (b);
}

void
vv_report_json (const VvReport *report, JsonBuilder *b)
{
  json_builder_set_member_name (b, "running");
  json_builder_add_boolean_value (b, TRUE);
  json_fields (b, report, groups[0].name, groups[0].fields);
  for (gsize i = 1; i < G_N_ELEMENTS (groups); i++) {
    json_builder_set_member_name (b, groups[i].name);
    json_builder_begin_object (b);
    json_fields (b, report, groups[i].name, groups[i].fields);
    json_builder_end_object (b);
  }
  json_builder_set_member_name (b, "holding");
  json_series (b, report, "holding", report->holding, holding_fields);
  json_builder_set_member_name (b, "changes");
  json_series (b, report, "change", report->changes, change_fields);
  vv_json_string (b, "error", NULL);
}
