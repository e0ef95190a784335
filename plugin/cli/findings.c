/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "findings.h"

#include <glib/gi18n-lib.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "one-line.h"

#define TEXT_CHARACTERS 2000
#define SEVERITY_WIDTH 8

static const char *const severities[] = {N_ ("ok"), N_ ("note"), N_ ("warning"), N_ ("problem")};

static void
finding_free (VvFinding *f)
{
  g_free (f->subject);
  g_free (f->what);
  g_free (f->why);
  g_free (f->cure);
  g_free (f);
}

GPtrArray *
vv_findings_new (void)
{
  return g_ptr_array_new_with_free_func ((GDestroyNotify)finding_free);
}

void
vv_findings_add (GPtrArray *findings, const char *id, VvSeverity severity, const char *subject, char *what,
                 const char *why, char *cure)
{
  VvFinding *f = g_new0 (VvFinding, 1);

  *f = (VvFinding){id,
                   severity,
                   g_strdup (subject),
                   vv_printable (what, TEXT_CHARACTERS),
                   vv_printable (why, TEXT_CHARACTERS),
                   vv_printable (cure, TEXT_CHARACTERS)};
  g_free (what);
  g_free (cure);
  g_ptr_array_add (findings, f);
}

VvSeverity
vv_findings_worst (const GPtrArray *findings)
{
  VvSeverity worst = VV_OK;

  for (guint i = 0; i < findings->len; i++)
    worst = MAX (worst, ((const VvFinding *)findings->pdata[i])->severity);
  return worst;
}

/* --- the order --- */

/* Sorting is stable. */
static gint
worse_first (gconstpointer a, gconstpointer b)
{
  return (gint)(*(const VvFinding *const *)b)->severity - (gint)(*(const VvFinding *const *)a)->severity;
}

static void
add_group (GPtrArray *ordered, const GPtrArray *findings, const char *subject)
{
  g_autoptr (GPtrArray) group = g_ptr_array_new ();

  for (guint i = 0; i < ordered->len; i++)
    if (strcmp (((const VvFinding *)ordered->pdata[i])->subject, subject) == 0)
      return;
  for (guint i = 0; i < findings->len; i++)
    if (strcmp (((const VvFinding *)findings->pdata[i])->subject, subject) == 0)
      g_ptr_array_add (group, findings->pdata[i]);
  g_ptr_array_sort (group, worse_first);
  for (guint i = 0; i < group->len; i++)
    g_ptr_array_add (ordered, group->pdata[i]);
}

/* Returns: (transfer container): all of them as they are told */
static GPtrArray *
in_order (const GPtrArray *findings)
{
  GPtrArray *ordered = g_ptr_array_new ();

  for (guint i = 0; i < findings->len; i++) {
    const VvFinding *f = findings->pdata[i];
    if (strcmp (f->subject, VV_SUBJECT_HOST) != 0)
      add_group (ordered, findings, f->subject);
  }
  add_group (ordered, findings, VV_SUBJECT_HOST);
  return ordered;
}

/* --- telling --- */

static const char *const colours[] = {VV_COLOUR_GOOD, NULL, VV_COLOUR_FAIR, VV_COLOUR_BAD};

static void
print_one (const VvFinding *f, gboolean colour)
{
  const char *word = _ (severities[f->severity]);

  fputs ("  ", stdout);
  vv_colour_print (colour, colours[f->severity], word);
  /* printf() counts bytes, not characters. */
  for (glong i = g_utf8_strlen (word, -1); i < SEVERITY_WIDTH; i++)
    putchar (' ');
  printf (" %s [%s]\n", f->what, f->id);
  printf ("  %-*s %s\n", SEVERITY_WIDTH, "", f->why);
  if (f->cure)
    printf ("  %-*s -> %s\n", SEVERITY_WIDTH, "", f->cure);
}

void
vv_findings_print (const GPtrArray *findings, gboolean titled, gboolean colour)
{
  g_autoptr (GPtrArray) ordered = in_order (findings);
  const char *subject = "";

  for (guint i = 0; i < ordered->len; i++) {
    const VvFinding *f = ordered->pdata[i];
    if (titled && strcmp (f->subject, subject) != 0)
      printf ("%s:\n", f->subject);
    subject = f->subject;
    print_one (f, colour);
  }
}

void
vv_findings_json (const GPtrArray *findings, JsonBuilder *b)
{
  g_autoptr (GPtrArray) ordered = in_order (findings);

  vv_json_begin_array (b, "findings");
  for (guint i = 0; i < ordered->len; i++) {
    const VvFinding *f = ordered->pdata[i];
    json_builder_begin_object (b);
    vv_json_string (b, "id", f->id);
    vv_json_string (b, "severity", severities[f->severity]);
    vv_json_string (b, "subject", f->subject);
    vv_json_string (b, "what", f->what);
    vv_json_string (b, "why", f->why);
    vv_json_string (b, "cure", f->cure);
    json_builder_end_object (b);
  }
  json_builder_end_array (b);
}
