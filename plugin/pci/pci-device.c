/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pci-device.h"

#include <fnmatch.h>
#include <glib/gi18n-lib.h>
#include <stdio.h>
#include <string.h>

#define DEVICES "bus/pci/devices"

/* Waits for a new device */
#define SHOWN_LIMIT_US (2 * G_USEC_PER_SEC)
#define LOOK_US 5000
#define TRIED_US 100000

char *
vv_pci_address (guint domain, guint bus, guint slot, guint function)
{
  return g_strdup_printf ("%04x:%02x:%02x.%x", domain, bus, slot, function);
}

static gboolean
is_hex (const char *text, size_t least, size_t most)
{
  size_t length = strnlen (text, most + 1);

  return length >= least && length <= most && strspn (text, "0123456789abcdefABCDEF") == length;
}

/* Returns: DOMAIN:BUS:SLOT.FUNCTION from its four parts; domains behind Intel VMD exceed 16 bits */
static char *
address_from_parts (const char *domain, const char *bus, const char *slot, const char *function)
{
  guint64 s = g_ascii_strtoull (slot, NULL, 16);

  if (!is_hex (domain, 1, 8) || !is_hex (bus, 1, 2) || !is_hex (slot, 1, 2) || !is_hex (function, 1, 1) ||
      s > 0x1f || g_ascii_xdigit_value (*function) > 7)
    return NULL;
  return vv_pci_address (g_ascii_strtoull (domain, NULL, 16), g_ascii_strtoull (bus, NULL, 16), s,
                         g_ascii_xdigit_value (*function));
}

char *
vv_pci_address_parse (const char *text, GError **error)
{
  g_autofree char *name = g_path_get_basename (text); /* of a sysfs path, with or without trailing slashes */
  gboolean nodedev = g_str_has_prefix (name, "pci_");
  g_auto (GStrv) parts = g_strsplit_set (nodedev ? name + strlen ("pci_") : name, nodedev ? "_" : ":.", 5);
  guint n = g_strv_length (parts);
  char *address = NULL;

  if (n == 4)
    address = address_from_parts (parts[0], parts[1], parts[2], parts[3]);
  else if (n == 3 && !nodedev)
    address = address_from_parts ("0000", parts[0], parts[1], parts[2]);
  /* rejects "3b.00:1": valid parts, but wrong separators */
  if (address && !nodedev &&
      (strrchr (name, '.') < strrchr (name, ':') || strchr (name, '.') != strrchr (name, '.')))
    g_clear_pointer (&address, g_free);
  if (!address) {
    g_autofree char *shown = g_strescape (text, NULL);
    g_set_error (error, VV_ERROR, VV_ERROR_INVALID,
                 _ ("'%.80s' is not a PCI address such as 0000:3b:00.1, 3b:00.1 or pci_0000_3b_00_1; 'lspci "
                    "-D' lists them"),
                 shown);
  }
  return address;
}

static gboolean
fail_absent (const char *address, GError **error)
{
  g_set_error (error, VV_ERROR, VV_ERROR_NO_DEVICE, _ ("%s: no such PCI device; 'lspci -D' lists them"),
               address);
  return FALSE;
}

static GPtrArray *
glob_addresses (const VvHost *host, const char *pattern, GError **error)
{
  g_autoptr (GPtrArray) all = vv_io_list (host->sys, DEVICES);
  g_autoptr (GPtrArray) found = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *lower = g_ascii_strdown (pattern, -1);
  g_autofree char *in_domain_0 = g_strconcat ("0000:", lower, NULL);

  for (guint i = 0; i < all->len; i++)
    if (fnmatch (lower, all->pdata[i], 0) == 0 || fnmatch (in_domain_0, all->pdata[i], 0) == 0)
      g_ptr_array_add (found, g_strdup (all->pdata[i]));
  if (!found->len) {
    g_autofree char *shown = g_strescape (pattern, NULL);
    g_set_error (error, VV_ERROR, VV_ERROR_NO_DEVICE,
                 _ ("no PCI device matches '%.80s'; 'lspci -D' lists them"), shown);
    return NULL;
  }
  return g_steal_pointer (&found);
}

GPtrArray *
vv_pci_addresses (const VvHost *host, const char *text, GError **error)
{
  if (strpbrk (text, "*?["))
    return glob_addresses (host, text, error);

  g_autofree char *address = vv_pci_address_parse (text, error);
  if (!address)
    return NULL;
  g_autofree char *path = g_build_filename (DEVICES, address, NULL);
  if (!vv_io_exists (host->sys, path)) {
    fail_absent (address, error);
    return NULL;
  }
  GPtrArray *one = g_ptr_array_new_with_free_func (g_free);
  g_ptr_array_add (one, g_steal_pointer (&address));
  return one;
}

char *
vv_pci_override_from_text (const char *text)
{
  return text && *text && strcmp (text, "(null)") != 0 ? g_strdup (text) : NULL;
}

static char *
read_override (const VvPciDevice *device)
{
  g_autofree char *text = vv_io_attribute (device->dir, "driver_override");

  return vv_pci_override_from_text (text);
}

void
vv_driver_state_clear (VvDriverState *state)
{
  g_free (state->driver);
  g_free (state->module);
  g_free (state->override);
  *state = (VvDriverState){0};
}

VvDriverState
vv_driver_state_copy (const VvDriverState *state)
{
  return (VvDriverState){g_strdup (state->driver), g_strdup (state->module), g_strdup (state->override)};
}

gboolean
vv_driver_state_equal (const VvDriverState *a, const VvDriverState *b)
{
  return g_strcmp0 (a->driver, b->driver) == 0 && g_strcmp0 (a->override, b->override) == 0;
}

static void
clear_driver (VvPciDevice *d)
{
  g_clear_pointer (&d->now.driver, g_free);
  g_clear_pointer (&d->now.module, g_free);
  g_clear_pointer (&d->vfio_dev, g_free);
}

static void
clear_attributes (VvPciDevice *d)
{
  clear_driver (d);
  g_clear_pointer (&d->modalias, g_free);
  g_clear_pointer (&d->now.override, g_free);
  g_clear_pointer (&d->iommu_group, g_free);
  g_clear_pointer (&d->physfn, g_free);
}

static void
read_driver (VvPciDevice *d)
{
  g_autoptr (GPtrArray) vfio_devs = vv_io_list (d->dir, "vfio-dev");

  d->now.driver = vv_io_link_name (d->dir, "driver");
  d->now.module = vv_io_link_name (d->dir, "driver/module");
  d->vfio_dev = vfio_devs->len ? g_strdup (vfio_devs->pdata[0]) : NULL;
}

static gboolean
read_at_once (VvPciDevice *device, GError **error)
{
  clear_attributes (device);
  device->modalias = vv_io_attribute (device->dir, "modalias");
  if (!device->modalias)
    return fail_absent (device->address, error);
  read_driver (device);
  device->iommu_group = vv_io_link_name (device->dir, "iommu_group");
  device->physfn = vv_io_link_name (device->dir, "physfn");
  return TRUE;
}

gboolean
vv_pci_device_reload (VvPciDevice *device, GError **error)
{
  if (!read_at_once (device, error))
    return FALSE;
  device->now.override = read_override (device);
  return TRUE;
}

gboolean
vv_pci_device_reload_driver (VvPciDevice *device, GError **error)
{
  if (!vv_io_exists (device->dir, "modalias"))
    return fail_absent (device->address, error);
  clear_driver (device);
  read_driver (device);
  return TRUE;
}

gboolean
vv_pci_ids_parse (const char *modalias, VvPciIds *ids)
{
  guint base, sub, interface;
  int end = 0;

  if (!modalias ||
      sscanf (modalias, "pci:v%8Xd%8Xsv%8Xsd%8Xbc%2Xsc%2Xi%2X%n", &ids->vendor, &ids->product,
              &ids->subsystem_vendor, &ids->subsystem_product, &base, &sub, &interface, &end) != 7)
    return FALSE;
  ids->class_code = base << 16 | sub << 8 | interface;
  return modalias[end] == '\0';
}

VvPciDevice *
vv_pci_device_look (const VvHost *host, const char *address, GError **error)
{
  g_autoptr (VvPciDevice) device = g_new0 (VvPciDevice, 1);
  g_autofree char *path = g_build_filename (DEVICES, address, NULL);

  device->address = g_strdup (address);
  device->dir = vv_dir_open (host->sys, path, NULL);
  if (!device->dir) {
    fail_absent (address, error);
    return NULL;
  }
  return read_at_once (device, error) ? g_steal_pointer (&device) : NULL;
}

VvPciDevice *
vv_pci_device_open (const VvHost *host, const char *address, GError **error)
{
  VvPciDevice *device = vv_pci_device_look (host, address, error);

  if (device)
    device->now.override = read_override (device);
  return device;
}

void
vv_pci_device_free (VvPciDevice *device)
{
  if (!device)
    return;
  clear_attributes (device);
  vv_dir_free (device->dir);
  g_free (device->address);
  g_free (device);
}

gboolean
vv_pci_has_flr (const VvPciDevice *device)
{
  g_autofree char *text = vv_io_attribute (device->dir, "reset_method");
  g_auto (GStrv) methods = g_strsplit (text ? text : "", " ", -1);

  return g_strv_contains ((const char *const *)methods, "flr") ||
         g_strv_contains ((const char *const *)methods, "af_flr");
}

GPtrArray *
vv_pci_group_members (const VvHost *host, const VvPciDevice *device)
{
  g_autofree char *path = device->iommu_group
                              ? g_build_filename ("kernel/iommu_groups", device->iommu_group, "devices", NULL)
                              : NULL;

  return path ? vv_io_list (host->sys, path) : g_ptr_array_new_with_free_func (g_free);
}

/* --- new devices --- */

void
vv_new_device_wait_shown (const VvHost *host, const char *address)
{
  gint64 end = g_get_monotonic_time () + SHOWN_LIMIT_US;
  g_autofree char *device = g_build_filename (DEVICES, address, NULL);
  g_autofree char *driver = g_build_filename (device, "driver", NULL);

  if (!host->proc || !vv_io_exists (host->proc, "bus/pci") || vv_io_exists (host->sys, driver))
    return;
  /* pci_proc_attach_device() in drivers/pci/proc.c: the name of the bus's directory may include the domain
   * (pci_proc_domain()) */
  const char *bus = strchr (address, ':') + 1;
  g_autofree char *path = g_strdup_printf ("bus/pci/%.2s/%s", bus, bus + strlen ("3b:"));
  g_autofree char *with_domain = g_strdup_printf ("bus/pci/%.*s/%s", (int)(bus + strlen ("3b") - address),
                                                  address, bus + strlen ("3b:"));
  while (!vv_io_exists (host->proc, path) && !vv_io_exists (host->proc, with_domain) &&
         vv_io_exists (host->sys, device) && g_get_monotonic_time () < end)
    g_usleep (LOOK_US);
}

void
vv_new_device_wait_tried (const VvPciDevice *device)
{
  g_autofree char *count = vv_io_attribute (device->dir, "physfn/sriov_numvfs");

  if (!count)
    g_usleep (TRIED_US);
}

gboolean
vv_new_device_is_left_alone (const VvPciDevice *device)
{
  g_autofree char *probed = vv_io_attribute (device->dir, "physfn/sriov_drivers_autoprobe");

  return g_strcmp0 (probed, "0") == 0;
}
