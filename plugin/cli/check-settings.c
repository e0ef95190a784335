/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "check-settings.h"

#include <glib/gi18n-lib.h>
#include <stdio.h>
#include <string.h>

#include "binding-steps.h"
#include "catalog.h"

#define ANY_ID 0xffffffffU /* PCI_ANY_ID, include/linux/mod_devicetable.h */

/* --- vfio-pci's options --- */

/* "VENDOR:DEVICE[:SUBVENDOR[:SUBDEVICE[:CLASS[:MASK]]]]" in hexadecimal (vfio_pci_fill_ids() in the kernel's
 * drivers/vfio/pci/vfio_pci.c, pci_match_one_device() in drivers/pci/pci.h) */
static gboolean
id_matches (const char *id, const VvPciIds *device)
{
  guint vendor, product, subvendor = ANY_ID, subproduct = ANY_ID, class = 0, mask = 0;

  return sscanf (id, "%8x:%8x:%8x:%8x:%8x:%8x", &vendor, &product, &subvendor, &subproduct, &class, &mask) >=
             2 &&
         (vendor == ANY_ID || vendor == device->vendor) &&
         (product == ANY_ID || product == device->product) &&
         (subvendor == ANY_ID || subvendor == device->subsystem_vendor) &&
         (subproduct == ANY_ID || subproduct == device->subsystem_product) &&
         ((class ^ device->class_code) & mask) == 0;
}

/* Returns: (transfer full) (nullable): the one of @list that names the device */
static char *
matching_id (const char *list, const VvPciDevice *device)
{
  g_auto (GStrv) ids = g_strsplit (list, ",", -1);
  VvPciIds its;

  if (!vv_pci_ids_parse (device->modalias, &its))
    return NULL;
  for (char **id = ids; *id; id++)
    if (id_matches (*id, &its))
      return g_strdup (*id);
  return NULL;
}

static void
check_ids (const VvPciDevice *device, char **options, GPtrArray *findings)
{
  for (char **option = options; *option; option++) {
    g_autofree char *id =
        g_str_has_prefix (*option, "ids=") ? matching_id (*option + strlen ("ids="), device) : NULL;
    if (!id)
      continue;
    g_autofree char *grep = vv_settings_grep ("ids=.*", id);
    vv_findings_add (findings, "ids-claim", VV_NOTE, device->address,
                     g_strdup_printf (_ ("vfio-pci is told to claim it when that module loads: ids=%s"), id),
                     _ ("the host does not get it, and after each boot it is on vfio-pci"),
                     g_strdup_printf (_ ("%s  # remove it there, or in the boot loader's settings, then run "
                                         "update-initramfs -u or dracut -f"),
                                      grep));
    return;
  }
}

/* Those that vfio_pci_core acts on. Up to Linux 7.1 vfio_pci hands them to it for all drivers when it is
 * loaded (vfio_pci_core_set_params()), from 7.2 on each driver sets its own. */
static gboolean
is_of_core (const char *option)
{
  g_autofree char *name = g_strndup (option, strcspn (option, "="));

  return strcmp (name, "nointxmask") == 0 || strcmp (name, "disable_vga") == 0 ||
         strcmp (name, "disable_idle_d3") == 0;
}

static void
check_options (const VvCheckContext *s, const VvPciDevice *device, const char *variant, char **options,
               GPtrArray *findings)
{
  g_autoptr (GString) lost = g_string_new (NULL);
  g_auto (VvModuleLook) generic = {0};
  gboolean shared = vv_kernel_is_before (s->context->host, 7, 2);

  for (char **option = options; *option; option++)
    if (is_of_core (*option))
      g_string_append_printf (lost, " %s", *option);
  vv_modules_look (s->context->modules, VV_GENERIC_MODULE, &generic);
  /* libvirt before 10.0 loads vfio-pci for each managed device (virPCIDeviceBindToStub()). */
  gboolean will_be_loaded =
      generic.present || generic.builtin || vv_libvirt_is_before (s, VV_LIBVIRT_CHOOSES);
  if (!lost->len || (shared && will_be_loaded))
    return;
  vv_findings_add (
      findings, "options-lost", VV_NOTE, device->address,
      g_strdup_printf (_ ("these options of vfio-pci do not act on %s:%s"), variant, lost->str),
      shared ? _ ("vfio_pci hands them to all VFIO drivers when it is loaded, and it is not loaded")
             : _ ("from Linux 7.2 on they act on devices that are on vfio-pci only"),
      shared ? g_strdup ("modprobe vfio-pci")
             : g_strdup_printf (_ ("vfio-variant bind --driver vfio-pci %s  # only if it needs them"),
                                device->address));
}

/* --- where it is --- */

/* libvirt before 10.0 does not bind what is on vfio-pci, and so never opens drivers_probe for it. */
static void
check_on_generic (const VvCheckContext *s, const VvPciDevice *device, const VvEntry *entry,
                  const char *variant, GPtrArray *findings)
{
  if (g_strcmp0 (device->now.driver, VV_GENERIC_DRIVER) != 0 || (entry && (entry->held || entry->domain)) ||
      (s->libvirt && s->libvirt->version >= VV_LIBVIRT_CHOOSES))
    return;
  vv_findings_add (findings, "on-generic", VV_NOTE, device->address,
                   g_strdup_printf (_ ("it is on vfio-pci already, and not on %s"), variant),
                   _ ("libvirt before 10.0 leaves it there at hot plug; at the start of a domain the hook "
                      "moves it"),
                   g_strdup_printf ("vfio-variant bind %s", device->address));
}

static void
check_override (const VvCheckContext *s, const VvPciDevice *device, GPtrArray *findings)
{
  const char *override = device->now.override;
  g_auto (VvModuleLook) look = {0};

  if (device->now.driver || !override || vv_driver_registered (s->context->host, override))
    return;
  vv_modules_look (s->context->modules, override, &look);
  if (look.present || look.builtin || look.path)
    return;
  vv_findings_add (
      findings, "override-unknown", VV_WARNING, device->address,
      g_strdup_printf (_ ("driver_override is '%s', and there is no such driver"), override),
      _ ("the host binds no driver to it; after a guest it has that value, and no driver, again"),
      g_strdup_printf ("echo >/sys/bus/pci/devices/%s/driver_override && echo %s >/sys/bus/pci/drivers_probe",
                       device->address, device->address));
}

void
vv_find_settings (const VvCheckContext *s, const VvPciDevice *device, const VvEntry *entry,
                  const char *variant, GPtrArray *findings)
{
  g_autofree char *text = vv_modules_options (s->context->modules, VV_GENERIC_MODULE);
  g_auto (GStrv) options = g_strsplit_set (text, " \t", -1);

  check_ids (device, options, findings);
  check_override (s, device, findings);
  if (variant) {
    check_options (s, device, variant, options, findings);
    check_on_generic (s, device, entry, variant, findings);
  }
}
