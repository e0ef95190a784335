/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * metrics: what is known of the devices and their rebinds, as text for a monitoring system.
 *
 * Owns: the names of the metric families and the two formats: OpenMetrics 1.0
 * (https://github.com/prometheus/OpenMetrics, specification/OpenMetrics.md), and the text format 0.0.4 of
 * Prometheus, which is what the textfile collector of its node exporter reads. Knows nothing of how the
 * numbers come about, nor of where the text goes.
 */
#pragma once

#include "counters.h"

/**
 * VvMetricsFormat:
 * @VV_METRICS_OPENMETRICS: application/openmetrics-text; version=1.0.0
 * @VV_METRICS_PROMETHEUS: text/plain; version=0.0.4
 */
typedef enum {
  VV_METRICS_OPENMETRICS,
  VV_METRICS_PROMETHEUS,
} VvMetricsFormat;

/** What becomes of an open that the gate held, in the order of VvDaemonFigures; ends with NULL */
extern const char *const vv_gate_outcomes[];
#define VV_GATE_OUTCOMES 8

/**
 * VvDaemonFigures:
 * @up: whether vfio-variantd runs; if not, the rest says nothing
 * @gate_on: whether it holds libvirt
 * @passed: opens of drivers_probe that were let through at once
 * @blocked_opens: those that were blocked
 * @outcomes: what became of those
 * @blocked: how long they were blocked
 * @own: of that, outside the kernel and scripts
 *
 * What the daemon counts by itself, since its start.
 */
typedef struct {
  gboolean up;
  gboolean gate_on;
  guint64 passed;
  guint64 blocked_opens;
  guint64 outcomes[VV_GATE_OUTCOMES];
  VvHistogram blocked;
  VvHistogram own;
} VvDaemonFigures;

/**
 * vv_metrics_text:
 * @daemon: (nullable): NULL: nothing is known of the daemon, so nothing is said of it
 * @warning: (out) (nullable) (transfer full): what could not be read, and is missing from the text
 *
 * Returns: (transfer full): all families, each described
 */
char *vv_metrics_text (const VvStateStore *store, const VvDaemonFigures *daemon, VvMetricsFormat format,
                       char **warning);
