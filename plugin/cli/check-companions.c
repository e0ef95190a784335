/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "check-companions.h"

#include <glib/gi18n-lib.h>
#include <stdio.h>
#include <string.h>

#include "in-use.h"
#include "attach.h"

#define CONSUMER "consumer:pci:"
#define DISPLAY 0x03 /* base class; PCI Code and ID Assignment Specification, 1.4 */
#define DISPLAY_VGA 0x0300
#define IOMEM_LIMIT (4 * 1024 * 1024) /* a line for each resource of the machine */
#define BARS 6

/* --- functions that depend on it --- */

static guint
class_of (const VvPciDevice *device)
{
  VvPciIds ids = {0};

  return vv_pci_ids_parse (device->modalias, &ids) ? ids.class_code >> 8 : 0;
}

/* Returns: (nullable): what @member is, if it belongs with a GPU. Where the kernel has not linked it to the
 * GPU (before Linux 5.11 sysfs shows no such links) it counts as the kernel would have it: quirk_gpu_hda(),
 * quirk_gpu_usb() and quirk_gpu_usb_typec_ucsi() in drivers/pci/quirks.c. Others in the slot are the host's
 * own: the USB controllers of AMD's processors with graphics are functions 3 and 4. */
static const char *
companion_kind (const VvPciDevice *member, gboolean linked)
{
  static const struct {
    guint class;
    char function;
    const char *name;
  } kinds[] = {{0x0403, '1', N_ ("audio")}, {0x0c03, '2', N_ ("USB")}, {0x0c80, '3', N_ ("USB-C (UCSI)")}};
  char function = member->address[strlen (member->address) - 1];

  for (gsize i = 0; i < G_N_ELEMENTS (kinds); i++)
    if (kinds[i].class == class_of (member) && (linked || kinds[i].function == function))
      return _ (kinds[i].name);
  return NULL;
}

/* Returns: (transfer full) (element-type utf8): the other functions of the slot that are there */
static GPtrArray *
functions_of_slot (const VvHost *host, const VvPciDevice *device)
{
  GPtrArray *addresses = g_ptr_array_new_with_free_func (g_free);

  for (int function = 0; function <= 7; function++) {
    g_autofree char *address = g_strdup (device->address);
    address[strlen (address) - 1] = (char)('0' + function);
    g_autofree char *path = g_build_filename ("bus/pci/devices", address, NULL);
    if (strcmp (address, device->address) != 0 && vv_io_exists (host->sys, path))
      g_ptr_array_add (addresses, g_steal_pointer (&address));
  }
  return addresses;
}

static gboolean
stays_with_host (const VvCheckContext *s, const VvPciDevice *member)
{
  g_autoptr (VvSelection) selection = vv_catalog_select (s->context->catalog, member->modalias, NULL);

  return member->now.driver && strcmp (member->now.driver, "pci-stub") != 0 &&
         strcmp (member->now.driver, "pcieport") != 0 &&
         !(selection && vv_on_vfio (s->context->host, member, selection));
}

static void
find_companion (const VvCheckContext *s, const VvPciDevice *device, const char *address, gboolean linked,
                GPtrArray *findings)
{
  g_autoptr (VvPciDevice) member = vv_pci_device_look (s->context->host, address, NULL);
  const char *kind = member ? companion_kind (member, linked) : NULL;

  if (!member || !stays_with_host (s, member) || !(linked || kind) ||
      (device->iommu_group && g_strcmp0 (member->iommu_group, device->iommu_group) == 0))
    return;
  g_autoptr (GPtrArray) uses = vv_host_use (s->context->host, member);
  vv_findings_add (findings, "companion", VV_WARNING, device->address,
                   kind ? g_strdup_printf (_ ("%s, its %s function, stays with the host on %s"), address,
                                           kind, member->now.driver)
                        : g_strdup_printf (_ ("%s, which depends on it, stays with the host on %s"), address,
                                           member->now.driver),
                   _ ("the host keeps this device powered for that one, and a reset of the slot needs both"),
                   uses->len ? g_strdup_printf (_ ("end this use first: %s"), (char *)uses->pdata[0])
                             : g_strdup_printf ("vfio-variant bind %s", address));
}

void
vv_find_companions (const VvCheckContext *s, const VvPciDevice *device, const GPtrArray *along,
                    GPtrArray *findings)
{
  g_autoptr (GPtrArray) entries = vv_io_list (device->dir, ".");
  g_autoptr (GPtrArray) functions =
      class_of (device) >> 8 == DISPLAY ? functions_of_slot (s->context->host, device) : g_ptr_array_new ();
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);

  for (guint i = 0; i < along->len; i++)
    g_hash_table_add (seen, along->pdata[i]);
  for (guint i = 0; i < entries->len; i++) {
    const char *address = (const char *)entries->pdata[i] + strlen (CONSUMER);
    if (g_str_has_prefix (entries->pdata[i], CONSUMER) && g_hash_table_add (seen, (gpointer)address))
      find_companion (s, device, address, TRUE, findings);
  }
  for (guint i = 0; i < functions->len; i++)
    if (g_hash_table_add (seen, functions->pdata[i]))
      find_companion (s, device, functions->pdata[i], FALSE, findings);
}

/* --- the boot framebuffer --- */

/* The BAR that has all of [@start, @end], from "START END FLAGS" for each (resource_show() in
 * drivers/pci/pci-sysfs.c); -1: none */
static int
bar_with (const VvPciDevice *device, guint64 start, guint64 end)
{
  g_autofree char *text = vv_io_attribute (device->dir, "resource");
  g_auto (GStrv) lines = g_strsplit (text ? text : "", "\n", BARS + 1);

  for (int i = 0; i < BARS && lines[i]; i++) {
    guint64 first = 0;
    guint64 last = 0;
    if (sscanf (lines[i], "%" G_GINT64_MODIFIER "x %" G_GINT64_MODIFIER "x", &first, &last) == 2 && last &&
        first <= start && end <= last)
      return i;
  }
  return -1;
}

/* Returns: (transfer full) (nullable): who owns the framebuffer in @bar; NULL: there is none, or this is not
 * root, for whom all addresses are 0 */
static char *
framebuffer_owner (const VvHost *host, const VvPciDevice *device, int *bar)
{
  /* Who owns the firmware's framebuffer in /proc/iomem: drivers/video/fbdev and drivers/gpu/drm/sysfb, and,
   * before any of them, drivers/firmware/sysfb_simplefb.c */
  static const char *const owners[] = {
      "efifb", "vesafb", "simplefb", "simple-framebuffer", "simpledrm", "efidrm", "vesadrm", "BOOTFB", NULL};
  g_autofree char *text = host->proc ? vv_io_read (host->proc, "iomem", IOMEM_LIMIT, NULL) : NULL;
  g_auto (GStrv) lines = g_strsplit (text ? text : "", "\n", -1);

  for (char **line = lines; *line; line++) {
    guint64 start = 0;
    guint64 end = 0;
    const char *owner = strstr (*line, " : ");
    if (!owner || !g_strv_contains (owners, owner + strlen (" : ")) ||
        sscanf (*line, " %" G_GINT64_MODIFIER "x-%" G_GINT64_MODIFIER "x", &start, &end) != 2 || !end)
      continue;
    *bar = bar_with (device, start, end);
    if (*bar >= 0)
      return g_strdup (owner + strlen (" : "));
  }
  return NULL;
}

/* The platform device's driver: efi-framebuffer.0 on efi-framebuffer, whichever module has that name */
static char *
release_framebuffer (const VvHost *host)
{
  static const char *const drivers[] = {"efi-framebuffer", "vesa-framebuffer", "simple-framebuffer"};

  for (gsize i = 0; i < G_N_ELEMENTS (drivers); i++) {
    g_autofree char *folder = g_build_filename ("bus/platform/drivers", drivers[i], NULL);
    g_autofree char *prefix = g_strconcat (drivers[i], ".", NULL);
    g_autoptr (GPtrArray) names = vv_io_list (host->sys, folder);
    for (guint k = 0; k < names->len; k++)
      if (g_str_has_prefix (names->pdata[k], prefix))
        return g_strdup_printf ("echo %s >/sys/%s/unbind", (char *)names->pdata[k], folder);
  }
  return g_strdup (_ ("kernel command line: initcall_blacklist=sysfb_init; then reboot"));
}

void
vv_find_boot_framebuffer (const VvCheckContext *s, const VvPciDevice *device, GPtrArray *findings)
{
  const VvHost *host = s->context->host;
  int bar = -1;
  g_autofree char *owner = framebuffer_owner (host, device, &bar);

  if (!owner)
    return;
  /* From Linux 6.0 on vfio_pci_vga_init() calls aperture_remove_conflicting_pci_devices(). */
  gboolean evicts = class_of (device) == DISPLAY_VGA && !vv_kernel_is_before (host, 6, 0);
  vv_findings_add (findings, "boot-framebuffer", VV_WARNING, device->address,
                   g_strdup_printf (_ ("the host shows its boot console in BAR %d (%s)"), bar, owner),
                   evicts ? _ ("the VFIO driver takes that memory when it binds: the host has no such "
                               "console until it boots again")
                          : _ ("the VFIO driver cannot reserve that BAR: the guest starts, and the device "
                               "does not work in it"),
                   evicts ? NULL : release_framebuffer (host));
}
