/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * metrics: the devices and their rebinds, as text for a monitoring system.
 *
 * Owns: the names of the metric families and the two formats. These are OpenMetrics 1.0
 * (https://github.com/prometheus/OpenMetrics, specification/OpenMetrics.md), and the Prometheus text format
 * 0.0.4, which the textfile collector of the Prometheus node exporter reads. Knows nothing of how the numbers
 * are collected, nor of the destination of the text.
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

/** The outcomes of an open that the gate blocked, in the order of VvDaemonFigures.outcomes; ends with NULL */
extern const char *const vv_gate_outcomes[];
#define VV_GATE_OUTCOMES 8

/**
 * VvDaemonFigures:
 * @up: whether vfio-variantd runs; if not, the other members are undefined
 * @gate_on: whether the gate is active, so that it can block libvirt
 * @passed: number of opens of drivers_probe that the gate allowed at once
 * @blocked_opens: number of opens that the gate blocked
 * @outcomes: number of blocked opens by outcome
 * @blocked: how long they were blocked
 * @own: how much of that time was spent outside the kernel and the scripts
 *
 * The counters of the daemon, since its start.
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
 * @daemon: (nullable): NULL: the daemon's state is unknown, and its families are omitted
 * @warning: (out) (nullable) (transfer full): what could not be read, and is missing from the text
 *
 * Returns: (transfer full): all families, each with a description
 */
char *vv_metrics_text (const VvStateStore *store, const VvDaemonFigures *daemon, VvMetricsFormat format,
                       char **warning);
