/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * report: what vfio-variantd says of itself, checked: the groups and keys of its reply, and the reply as
 * JSON.
 *
 * Owns: the format of the reply; nobody else names a kind of value or sees a text before it is made safe for
 * a terminal. Knows nothing of how the reply came, nor of the text that people read.
 */
#pragma once

#include <json-glib/json-glib.h>

#include "metrics.h"

/** The changes that a reply tells at the most; what follows is passed over. */
#define VV_REPORT_CHANGES 16

/**
 * VvReport:
 * @file: the reply; every value that is known has been checked
 * @holding: number of groups "holding 1" and so on
 * @changes: number of groups "change 1" and so on, at most VV_REPORT_CHANGES
 */
typedef struct {
  GKeyFile *file;
  guint holding;
  guint changes;
} VvReport;

/**
 * vv_report_parse:
 * @data: the reply, not trusted
 *
 * Groups and keys that are not known are passed over: a newer daemon may send them.
 *
 * Returns: (transfer full): the report, or NULL with @error set (VV_ERROR_FAILED): a value is missing or
 * malformed
 */
VvReport *vv_report_parse (const char *data, gsize length, GError **error);
void vv_report_free (VvReport *report);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvReport, vv_report_free)

/** vv_report_number: Returns: a number, at most 2^53 - 1; 0 when it is not there */
guint64 vv_report_number (const VvReport *report, const char *group, const char *key);

/**
 * vv_report_text:
 *
 * Returns: (transfer full) (nullable): a text on one line, without control characters, of at most 1000
 * characters; NULL when it is not there or empty
 */
char *vv_report_text (const VvReport *report, const char *group, const char *key);

/** vv_report_names: Returns: (transfer full): a list, its texts as safe as those of vv_report_text() */
char **vv_report_names (const VvReport *report, const char *group, const char *key);

/** vv_report_histogram: the durations of group "held" or "own", none when there were none */
void vv_report_histogram (const VvReport *report, const char *group, VvHistogram *histogram);

/** vv_report_json: adds the object that status.schema.json describes */
void vv_report_json (const VvReport *report, JsonBuilder *builder);
