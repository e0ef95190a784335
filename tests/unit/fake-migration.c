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

static gboolean
says (const char *driver, const char *answer)
{
  g_auto (GStrv) answers = g_strsplit (all_answers, " ", -1);
  g_autofree char *wanted = g_strconcat (driver ? driver : "none", "=", answer, NULL);

  return g_strv_contains ((const char *const *)answers, wanted);
}

gboolean
__wrap_vv_migration_probe (const VvHost *host, const VvPciDevice *device, VvMigration *migration,
                           GError **error)
{
  (void)host;
  note (device->driver);
  *migration = (VvMigration){.stop_copy = says (device->driver, "yes")};
  if (migration->stop_copy || says (device->driver, "no") ||
      g_strcmp0 (device->driver, VV_GENERIC_DRIVER) == 0)
    return TRUE;
  g_set_error (error, VV_ERROR, VV_ERROR_FAILED, "%s: it does not answer", device->address);
  return FALSE;
}
