/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tests of metrics: the metric families and their values in both formats. test-status.py tests the output
 * with an independent parser.
 */
#include "metrics.h"

#include <string.h>

#include "fixture.h"

static char *
text_of (const Fixture *f, const VvDaemonFigures *daemon, VvMetricsFormat format)
{
  g_autofree char *warning = NULL;
  char *text = vv_metrics_text (f->s->store, daemon, format, &warning);

  g_assert_cmpstr (warning, ==, NULL);
  return text;
}

static void
assert_line (const char *text, const char *line)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);

  if (!g_strv_contains ((const char *const *)lines, line))
    g_error ("no line '%s' in:\n%s", line, text);
}

static void
write_entry (const Fixture *f, const char *address, const char *more)
{
  g_autofree char *path = g_build_filename ("run/vfio-variant", address, NULL);
  g_autofree char *text = g_strdup_printf ("[device]\naddress=%s\nmodalias=pci:v0\n%s", address, more);

  fake_write (f->k, path, text);
}

static void
count (const Fixture *f, const char *to, gint64 usec)
{
  g_autoptr (VvChange) change = vv_change_new (NIC, VV_DETACH, "mlx5_core");

  change->to = g_strdup (to);
  change->changed = TRUE;
  change->usec = usec;
  vv_counters_add (f->s->store, change);
}

static void
test_formats (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autofree char *open = text_of (f, NULL, VV_METRICS_OPENMETRICS);
  g_autofree char *prometheus = text_of (f, NULL, VV_METRICS_PROMETHEUS);

  assert_line (open, "# TYPE vfio_variant_changes counter");
  assert_line (prometheus, "# TYPE vfio_variant_changes_total counter");
  assert_line (open, "# UNIT vfio_variant_change_duration_seconds seconds");
  g_assert_null (strstr (prometheus, "# UNIT"));
  assert_line (open, "# TYPE vfio_variant_build info");
  assert_line (prometheus, "# TYPE vfio_variant_build_info gauge");
  assert_line (open, "vfio_variant_build_info{version=\"" VV_VERSION "\"} 1");
  g_assert_true (g_str_has_suffix (open, "\n# EOF\n"));
  g_assert_null (strstr (prometheus, "EOF"));
  g_assert_null (strstr (open, "daemon"));
}

static void
test_counted (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  count (f, "special-vfio", 1000);
  count (f, "special-vfio", 2500);
  count (f, "special-vfio", 40000001);
  g_autofree char *text = text_of (f, NULL, VV_METRICS_OPENMETRICS);
  assert_line (text,
               "vfio_variant_changes_total{operation=\"detach\",driver=\"special-vfio\",outcome=\"done\"} 3");
  assert_line (text, "vfio_variant_change_duration_seconds_bucket{operation=\"detach\",le=\"0.0003\"} 0");
  assert_line (text, "vfio_variant_change_duration_seconds_bucket{operation=\"detach\",le=\"0.001\"} 1");
  assert_line (text, "vfio_variant_change_duration_seconds_bucket{operation=\"detach\",le=\"0.003\"} 2");
  assert_line (text, "vfio_variant_change_duration_seconds_bucket{operation=\"detach\",le=\"30.0\"} 2");
  assert_line (text, "vfio_variant_change_duration_seconds_bucket{operation=\"detach\",le=\"+Inf\"} 3");
  assert_line (text, "vfio_variant_change_duration_seconds_count{operation=\"detach\"} 3");
  assert_line (text, "vfio_variant_change_duration_seconds_sum{operation=\"detach\"} 40.003501");
  assert_line (text, "vfio_variant_change_duration_seconds_count{operation=\"reattach\"} 0");
  assert_line (text, "vfio_variant_attempt_failures_total{step=\"bind\"} 0");
}

static void
test_labels_are_escaped (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  count (f, "a\"b\\c\nd\xc3\xbc", 1);
  g_autofree char *text = text_of (f, NULL, VV_METRICS_PROMETHEUS);
  assert_line (text, "vfio_variant_changes_total{operation=\"detach\",driver=\"a\\\"b\\\\c\\nd\xc3\xbc\","
                     "outcome=\"done\"} 1");
}

static void
test_journal (void)
{
  g_autoptr (Fixture) f = fixture_new ();

  write_entry (
      f, NIC,
      "state=detached\nhost-known=true\nhost-driver=mlx5_core\nvfio-driver=special-vfio\nin-use=true\n");
  write_entry (
      f, "0000:3b:00.2",
      "state=detached\nhost-known=true\nhost-driver=mlx5_core\nvfio-driver=special-vfio\nin-use=true\n");
  write_entry (f, "0000:3b:00.3", "state=detached\nhost-known=true\nvfio-driver=special-vfio\n");
  write_entry (f, "0000:3b:00.4", "state=reattaching\n");
  write_entry (f, "0000:3b:00.5", "state=recorded\nhost-known=true\nhost-driver=mlx5_core\n");
  write_entry (f, "0000:3b:00.6", "state=lost\n");
  g_autofree char *text = text_of (f, NULL, VV_METRICS_OPENMETRICS);
  g_assert_nonnull (strstr (
      text,
      "\nvfio_variant_devices_detached{driver=\"special-vfio\",host_driver=\"mlx5_core\",in_use=\"true\"} 2"
      "\nvfio_variant_devices_detached{driver=\"special-vfio\",host_driver=\"none\",in_use=\"false\"} 1"
      "\nvfio_variant_devices_detached{driver=\"unknown\",host_driver=\"unknown\",in_use=\"false\"} 1\n#"));
  assert_line (text, "vfio_variant_state_files{state=\"detached\"} 3");
  assert_line (text, "vfio_variant_state_files{state=\"recorded\"} 1");
  assert_line (text, "vfio_variant_state_files{state=\"detaching\"} 0");
  assert_line (text, "vfio_variant_state_files{state=\"reattaching\"} 1");
  assert_line (text, "vfio_variant_state_files{state=\"unreadable\"} 1");
}

static void
test_daemon (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  VvDaemonFigures figures = {.up = TRUE, .gate_on = TRUE, .passed = 4, .blocked_opens = 8};

  figures.outcomes[1] = 5;
  vv_histogram_add (&figures.blocked, 250);
  g_autofree char *text = text_of (f, &figures, VV_METRICS_OPENMETRICS);
  assert_line (text, "vfio_variant_daemon_up 1");
  assert_line (text, "vfio_variant_gate_on 1");
  assert_line (text, "vfio_variant_gate_opens_total{result=\"passed\"} 4");
  assert_line (text, "vfio_variant_gate_opens_total{result=\"blocked\"} 8");
  assert_line (text, "vfio_variant_gate_outcomes_total{outcome=\"fell-back\"} 5");
  assert_line (text, "vfio_variant_gate_outcomes_total{outcome=\"crashed\"} 0");
  assert_line (text, "vfio_variant_gate_blocked_seconds_bucket{le=\"0.0001\"} 0");
  assert_line (text, "vfio_variant_gate_blocked_seconds_bucket{le=\"0.0003\"} 1");
  assert_line (text, "vfio_variant_gate_blocked_seconds_sum 0.00025");
  assert_line (text, "vfio_variant_gate_own_seconds_count 0");
}

static void
test_no_daemon (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  const VvDaemonFigures figures = {0};
  g_autofree char *text = text_of (f, &figures, VV_METRICS_OPENMETRICS);

  assert_line (text, "vfio_variant_daemon_up 0");
  g_assert_null (strstr (text, "gate"));
}

/* No value is better than a wrong one. */
static void
test_damaged_counters (void)
{
  g_autoptr (Fixture) f = fixture_new ();
  g_autofree char *warning = NULL;

  fake_write (f->k, "run/vfio-variant/counters", "garbage");
  g_autofree char *text = vv_metrics_text (f->s->store, NULL, VV_METRICS_OPENMETRICS, &warning);
  fake_assert_matches (warning, "*/run/vfio-variant/counters (damaged)*");
  g_assert_null (strstr (text, "vfio_variant_changes"));
  assert_line (text, "vfio_variant_state_files{state=\"detached\"} 0");
}

int
main (int argc, char **argv)
{
  fake_test_init (&argc, &argv);
  g_test_add_func ("/metrics/formats", test_formats);
  g_test_add_func ("/metrics/counted", test_counted);
  g_test_add_func ("/metrics/labels-are-escaped", test_labels_are_escaped);
  g_test_add_func ("/metrics/journal", test_journal);
  g_test_add_func ("/metrics/daemon", test_daemon);
  g_test_add_func ("/metrics/no-daemon", test_no_daemon);
  g_test_add_func ("/metrics/damaged-counters", test_damaged_counters);
  return g_test_run ();
}
