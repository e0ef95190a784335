/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * findings: what check and status found out, for people and as JSON.
 *
 * Owns: the shape of a finding, the order in which findings are told, and that nothing in them acts on a
 * terminal. What the ids mean is told in vfio-variant(1), FINDINGS. Knows nothing of what is looked at.
 */
#pragma once

#include <json-glib/json-glib.h>

/** VV_SUBJECT_HOST: what is about no device. VV_SUBJECT_DOMAIN: what is about the domain as a whole. */
#define VV_SUBJECT_HOST "host"
#define VV_SUBJECT_DOMAIN "domain"

/**
 * VvSeverity:
 * @VV_OK: it was looked at, and is well
 * @VV_NOTE: good to know
 * @VV_WARNING: it goes on, but not as somebody might think
 * @VV_PROBLEM: an attach would not work, or what was asked for is not had
 */
typedef enum {
  VV_OK,
  VV_NOTE,
  VV_WARNING,
  VV_PROBLEM,
} VvSeverity;

/**
 * VvFinding:
 * @id: what kind it is; the same in every version
 * @severity: how bad it is
 * @subject: a device's address, VV_SUBJECT_HOST or VV_SUBJECT_DOMAIN
 * @what: what was found
 * @why: why it matters
 * @cure: (nullable): a command or a setting
 */
typedef struct {
  const char *id;
  VvSeverity severity;
  char *subject;
  char *what;
  char *why;
  char *cure;
} VvFinding;

/** vv_findings_new: Returns: (transfer full) (element-type VvFinding): none */
GPtrArray *vv_findings_new (void);

/**
 * vv_findings_add:
 * @id: a literal
 * @what: (transfer full): what was found
 * @why: why it matters
 * @cure: (transfer full) (nullable): a command or a setting
 */
void vv_findings_add (GPtrArray *findings, const char *id, VvSeverity severity, const char *subject,
                      char *what, const char *why, char *cure);

/** vv_findings_worst: Returns: the worst severity; VV_OK when there are none */
VvSeverity vv_findings_worst (const GPtrArray *findings);

/** vv_findings_print: prints them on standard output, grouped by subject in the order of its first finding
 * but the host last, the worst of each first; @titled: each group has its subject for a title;
 * @colour: with colours */
void vv_findings_print (const GPtrArray *findings, gboolean titled, gboolean colour);

/** vv_findings_json: adds the member "findings", an array, in the order of vv_findings_print() */
void vv_findings_json (const GPtrArray *findings, JsonBuilder *builder);
