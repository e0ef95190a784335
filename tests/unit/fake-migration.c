/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-migration.h"

#include <string.h>

#include "catalog.h"
#include "migration.h"

static const char *all_answers = "";
static GString *asked;

gboolean __wrap_vv_migration_probe (const VvHost *host, const VvPciDevice *device, VvMigration *migration,
                                    GError **error);

void
fake_migration (const char *answers)
{
  all_answers = answers;
  if (asked)
    g_string_truncate (asked, 0);
}

const char *
fake_migration_asked (void)
{
  return asked ? asked->str : "";
}

static void
note (const char *driver)
{
  if (!asked)
    asked = g_string_new (NULL);
  g_string_append_printf (asked, "%s%s", asked->len ? " " : "", driver ? driver : "none");
}

/* Returns: (nullable): the answer set for @driver */
static const VvMigration *
answer_of (const char *driver)
{
  static const struct {
    const char *name;
    VvMigration migration;
  } answers[] = {
      {"yes", {TRUE, TRUE, FALSE, TRUE, VV_ANSWER_NO}},
      {"no", {0}},
      {"alone", {TRUE, FALSE, FALSE, TRUE, VV_ANSWER_NO}},
      {"iommu", {TRUE, TRUE, FALSE, FALSE, VV_ANSWER_YES}},
      {"perhaps", {TRUE, TRUE, FALSE, FALSE, VV_ANSWER_UNKNOWN}},
      {"untracked", {TRUE, TRUE, FALSE, FALSE, VV_ANSWER_NO}},
  };
  g_auto (GStrv) all = g_strsplit (all_answers, " ", -1);

  for (gsize i = 0; i < G_N_ELEMENTS (answers); i++) {
    g_autofree char *wanted = g_strconcat (driver ? driver : "none", "=", answers[i].name, NULL);
    if (g_strv_contains ((const char *const *)all, wanted))
      return &answers[i].migration;
  }
  return g_strcmp0 (driver, VV_GENERIC_DRIVER) == 0 ? &answers[1].migration : NULL;
}

gboolean
__wrap_vv_migration_probe (const VvHost *host, const VvPciDevice *device, VvMigration *migration,
                           GError **error)
{
  const VvMigration *answer = answer_of (device->now.driver);

  (void)host;
  note (device->now.driver);
  *migration = answer ? *answer : (VvMigration){0};
  if (answer)
    return TRUE;
  g_set_error (error, VV_ERROR, VV_ERROR_FAILED, "%s: it does not answer", device->address);
  return FALSE;
}
