/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "names.h"

#include <libudev.h>
#include <string.h>

#include "one-line.h"

#define VENDOR "ID_VENDOR_FROM_DATABASE"
#define MODEL "ID_MODEL_FROM_DATABASE"

struct VvNames {
  struct udev *udev;
  struct udev_hwdb *hwdb; /* NULL: there is none */
};

VvNames *
vv_names_open (void)
{
  VvNames *names = g_new0 (VvNames, 1);

  names->udev = udev_new ();
  names->hwdb = names->udev ? udev_hwdb_new (names->udev) : NULL;
  return names;
}

void
vv_names_free (VvNames *names)
{
  if (!names)
    return;
  udev_hwdb_unref (names->hwdb);
  udev_unref (names->udev);
  g_free (names);
}

char *
vv_names_find (const VvNames *names, const char *modalias)
{
  const char *vendor = NULL;
  const char *model = NULL;
  struct udev_list_entry *property =
      names->hwdb ? udev_hwdb_get_properties_list_entry (names->hwdb, modalias, 0) : NULL;

  for (; property; property = udev_list_entry_get_next (property)) {
    if (strcmp (udev_list_entry_get_name (property), VENDOR) == 0)
      vendor = udev_list_entry_get_value (property);
    else if (strcmp (udev_list_entry_get_name (property), MODEL) == 0)
      model = udev_list_entry_get_value (property);
  }
  g_autofree char *name =
      g_strjoin (vendor && model ? " " : "", vendor ? vendor : "", model ? model : "", NULL);
  return vv_one_line (name, strlen (name), FALSE);
}
