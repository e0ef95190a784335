/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib/gi18n-lib.h>
#include <stdio.h>
#include <string.h>

#include "binding-steps.h"
#include "check.h"
#include "group.h"
#include "in-use.h"

#define CONSUMER "consumer:pci:"
#define DISPLAY 0x03 /* base class (PCI Code and ID Assignment Specification, 1.4) */
#define DISPLAY_VGA 0x0300
#define IOMEM_LIMIT (4 * 1024 * 1024) /* one line for each resource of the machine */
#define BARS 6
#define ANY_ID 0xffffffffU /* PCI_ANY_ID, include/linux/mod_devicetable.h */

/* --- IOMMU --- */

static void
check_iommu (const VvSubject *about, const VvPciDevice *device)
{
  const VvHost *host = about->s->context->host;
  g_autofree char *unsafe = vv_io_attribute (host->sys, "module/vfio/parameters/enable_unsafe_noiommu_mode");
  g_autofree char *path = g_strdup_printf ("kernel/iommu_groups/%s/name", device->iommu_group);
  g_autofree char *name = device->iommu_group ? vv_io_attribute (host->sys, path) : NULL;

  if ((!device->iommu_group && g_strcmp0 (unsafe, "Y") == 0) || g_strcmp0 (name, "vfio-noiommu") == 0)
    vv_find (about, "no-iommu", VV_WARNING, g_strdup (_ ("it would be assigned in VFIO's no-IOMMU mode")),
             _ ("a process that has the device can read and write all memory of the host; libvirt guests "
                "cannot use it"),
             g_strdup (_ ("enable the IOMMU, and disable vfio's enable_unsafe_noiommu_mode")));
  else if (!device->iommu_group)
    vv_find_iommu_off (about);
}

/* Finds the devices of the group that block the guest. The administrator must decide whether the host can
 * lose them. */
static void
check_group (const VvSubject *about, const VvPciDevice *device, const GPtrArray *along)
{
  g_autoptr (GPtrArray) blockers =
      vv_group_blockers (about->s->context->host, about->s->context->catalog, device, along);

  for (guint i = 0; i < blockers->len; i++) {
    const VvPciDevice *member = blockers->pdata[i];
    g_autoptr (GPtrArray) uses = vv_host_use (about->s->context->host, member);
    if (uses->len) {
      g_ptr_array_add (uses, NULL);
      g_autofree char *use = g_strjoinv ("; ", (char **)uses->pdata);
      vv_find (about, "group", VV_PROBLEM,
               g_strdup_printf (_ ("%s, in the same IOMMU group %s, is on %s and in use by the host: %s"),
                                member->address, device->iommu_group, member->now.driver, use),
               _ ("VFIO assigns only whole groups: QEMU cannot start, and the host loses that device if it "
                  "is detached as well"),
               g_strdup (_ ("move one of the two devices to another slot, or end that use")));
    } else {
      vv_find (about, "group", VV_PROBLEM,
               g_strdup_printf (_ ("%s, in the same IOMMU group %s, is on %s"), member->address,
                                device->iommu_group, member->now.driver),
               _ ("VFIO assigns only whole groups: QEMU cannot start unless the guest gets that device as "
                  "well, or it has no host driver"),
               g_strdup_printf ("vfio-variant bind %s", member->address));
    }
  }
}

/* --- functions that depend on it --- */

static guint
class_of (const VvPciDevice *device)
{
  VvPciIds ids = {0};

  return vv_pci_ids_parse (device->modalias, &ids) ? ids.class_code >> 8 : 0;
}

/* Returns: (nullable): the kind of @member, if it belongs to a GPU. Before Linux 5.11, sysfs does not show
 * which functions the kernel links to the GPU. Without a link, this function uses the rules of
 * quirk_gpu_hda(), quirk_gpu_usb() and quirk_gpu_usb_typec_ucsi() in the kernel's drivers/pci/quirks.c. Other
 * functions in the slot belong to the host: for example, functions 3 and 4 of AMD processors with graphics
 * are USB controllers. */
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

/* Returns: (transfer full) (element-type utf8): the other functions that exist in the slot */
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

static void
find_companion (const VvSubject *about, const VvPciDevice *device, const char *address, gboolean linked)
{
  g_autoptr (VvPciDevice) member = vv_pci_device_look (about->s->context->host, address, NULL);
  const char *kind = member ? companion_kind (member, linked) : NULL;

  if (!member || !member->now.driver || !(linked || kind) || strcmp (member->now.driver, "pci-stub") == 0 ||
      strcmp (member->now.driver, "pcieport") == 0 ||
      (device->iommu_group && g_strcmp0 (member->iommu_group, device->iommu_group) == 0))
    return;
  g_autoptr (VvChoice) choice = vv_catalog_select (about->s->context->catalog, member->modalias, NULL);
  if (choice && vv_on_vfio (about->s->context->host, member, choice))
    return;
  g_autoptr (GPtrArray) uses = vv_host_use (about->s->context->host, member);
  vv_find (about, "companion", VV_WARNING,
           kind ? g_strdup_printf (_ ("%s, its %s function, stays with the host on %s"), address, kind,
                                   member->now.driver)
                : g_strdup_printf (_ ("%s, which depends on it, stays with the host on %s"), address,
                                   member->now.driver),
           _ ("the host manages the power of both together, and a slot reset needs both"),
           uses->len ? g_strdup_printf (_ ("end this use first: %s"), (char *)uses->pdata[0])
                     : g_strdup_printf ("vfio-variant bind %s", address));
}

static void
check_companions (const VvSubject *about, const VvPciDevice *device, const GPtrArray *along)
{
  g_autoptr (GPtrArray) entries = vv_io_list (device->dir, ".");
  g_autoptr (GPtrArray) functions = class_of (device) >> 8 == DISPLAY
                                        ? functions_of_slot (about->s->context->host, device)
                                        : g_ptr_array_new ();
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);

  for (guint i = 0; i < along->len; i++)
    g_hash_table_add (seen, along->pdata[i]);
  for (guint i = 0; i < entries->len; i++) {
    const char *address = (const char *)entries->pdata[i] + strlen (CONSUMER);
    if (g_str_has_prefix (entries->pdata[i], CONSUMER) && g_hash_table_add (seen, (gpointer)address))
      find_companion (about, device, address, TRUE);
  }
  for (guint i = 0; i < functions->len; i++)
    if (g_hash_table_add (seen, functions->pdata[i]))
      find_companion (about, device, functions->pdata[i], FALSE);
}

/* --- the boot framebuffer --- */

/* Returns: the BAR that contains [@start, @end]; -1: none. The file "resource" has one line "START END FLAGS"
 * for each BAR (resource_show() in the kernel's drivers/pci/pci-sysfs.c). */
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

/* Returns: (transfer full) (nullable): the owner of the framebuffer in @bar; NULL: there is none, or the
 * caller is not root and sees only addresses of 0 */
static char *
framebuffer_owner (const VvHost *host, const VvPciDevice *device, int *bar)
{
  /* The owners of the firmware's framebuffer in /proc/iomem: drivers in the kernel's drivers/video/fbdev and
   * drivers/gpu/drm/sysfb. Before a driver binds, the owner is drivers/firmware/sysfb_simplefb.c. */
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

/* Returns: (transfer full): the command that unbinds the platform device, like efi-framebuffer.0 from
 * efi-framebuffer, or a kernel option. The name of the driver does not depend on the module that registers
 * it. */
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

static void
check_framebuffer (const VvSubject *about, const VvPciDevice *device)
{
  const VvHost *host = about->s->context->host;
  int bar = -1;
  g_autofree char *owner = framebuffer_owner (host, device, &bar);

  if (!owner)
    return;
  /* Since Linux 6.0, vfio_pci_vga_init() calls aperture_remove_conflicting_pci_devices(). */
  gboolean evicts = class_of (device) == DISPLAY_VGA && !vv_kernel_is_before (host, 6, 0);
  vv_find (about, "boot-framebuffer", VV_WARNING,
           g_strdup_printf (_ ("the boot console of the host uses BAR %d (%s)"), bar, owner),
           evicts ? _ ("the VFIO driver takes over that memory when it binds: the host has no such console "
                       "until the next boot")
                  : _ ("the VFIO driver cannot reserve that BAR: the guest starts, but the device does not "
                       "work in it"),
           evicts ? NULL : release_framebuffer (host));
}

void
vv_find_environment (const VvSubject *about, const VvPciDevice *device, const GPtrArray *along)
{
  check_iommu (about, device);
  check_group (about, device, along);
  check_companions (about, device, along);
  check_framebuffer (about, device);
}

/* --- options of vfio-pci --- */

/* @id: "VENDOR:DEVICE[:SUBVENDOR[:SUBDEVICE[:CLASS[:MASK]]]]" in hexadecimal (vfio_pci_fill_ids() in the
 * kernel's drivers/vfio/pci/vfio_pci.c, pci_match_one_device() in drivers/pci/pci.h) */
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

/* Returns: (transfer full) (nullable): the first id in @list that matches the device */
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
check_ids (const VvSubject *about, const VvPciDevice *device, char **options)
{
  for (char **option = options; *option; option++) {
    g_autofree char *id =
        g_str_has_prefix (*option, "ids=") ? matching_id (*option + strlen ("ids="), device) : NULL;
    if (!id)
      continue;
    g_autofree char *grep = vv_settings_grep ("ids=.*", id);
    vv_find (about, "ids-claim", VV_NOTE,
             g_strdup_printf (_ ("vfio-pci claims it when that module loads: ids=%s"), id),
             _ ("the host cannot use it: after each boot it is on vfio-pci"),
             g_strdup_printf (_ ("%s  # remove it there, or in the boot loader's settings, then run "
                                 "update-initramfs -u or dracut -f"),
                              grep));
    return;
  }
}

/* Checks the options that vfio_pci_core implements. Up to Linux 7.1, vfio_pci passes them to vfio_pci_core
 * for all drivers when it is loaded (vfio_pci_core_set_params()). Since Linux 7.2, each driver sets its
 * own. */
static void
check_options (const VvSubject *about, const char *variant, char **options)
{
  static const char *const of_core[] = {"nointxmask", "disable_vga", "disable_idle_d3", NULL};
  g_autoptr (GString) lost = g_string_new (NULL);
  g_auto (VvModuleLook) generic = {0};
  gboolean shared = vv_kernel_is_before (about->s->context->host, 7, 2);

  for (char **option = options; *option; option++) {
    g_autofree char *name = g_strndup (*option, strcspn (*option, "="));
    if (g_strv_contains (of_core, name))
      g_string_append_printf (lost, " %s", *option);
  }
  vv_modules_look (about->s->context->modules, VV_GENERIC_MODULE, &generic);
  /* Before 10.0, libvirt loads vfio-pci for each managed device (virPCIDeviceBindToStub()). */
  gboolean will_be_loaded =
      generic.present || generic.builtin || vv_libvirt_is_before (about->s, VV_LIBVIRT_CHOOSES);
  if (!lost->len || (shared && will_be_loaded))
    return;
  vv_find (about, "options-lost", VV_NOTE,
           g_strdup_printf (_ ("these options of vfio-pci have no effect on %s:%s"), variant, lost->str),
           shared ? _ ("vfio_pci passes them to all VFIO drivers when it is loaded, and it is not loaded")
                  : _ ("since Linux 7.2 they affect only devices that are on vfio-pci"),
           shared ? g_strdup ("modprobe vfio-pci")
                  : g_strdup_printf (_ ("vfio-variant bind --driver vfio-pci %s  # only if it needs them"),
                                     about->name));
}

static void
check_override (const VvSubject *about, const VvPciDevice *device)
{
  const char *override = device->now.override;
  g_auto (VvModuleLook) look = {0};

  if (device->now.driver || !override || vv_driver_registered (about->s->context->host, override))
    return;
  vv_modules_look (about->s->context->modules, override, &look);
  if (look.present || look.builtin || look.path)
    return;
  vv_find (
      about, "override-unknown", VV_WARNING,
      g_strdup_printf (_ ("driver_override is '%s', but no such driver exists"), override),
      _ ("the host binds no driver to it; after a guest it returns to this value, without a driver"),
      g_strdup_printf ("echo >/sys/bus/pci/devices/%s/driver_override && echo %s >/sys/bus/pci/drivers_probe",
                       device->address, device->address));
}

void
vv_find_settings (const VvSubject *about, const VvPciDevice *device, const VvEntry *entry,
                  const char *variant)
{
  const VvLibvirtProcess *libvirt = about->s->libvirt;
  g_autofree char *text = vv_modules_options (about->s->context->modules, VV_GENERIC_MODULE);
  g_auto (GStrv) options = g_strsplit_set (text, " \t", -1);

  check_ids (about, device, options);
  check_override (about, device);
  if (!variant)
    return;
  check_options (about, variant, options);
  /* Before 10.0, libvirt does not bind a device that is on vfio-pci, and so never opens drivers_probe for
   * it. */
  if (g_strcmp0 (device->now.driver, VV_GENERIC_DRIVER) == 0 &&
      !(entry && (entry->pinned || entry->domain)) && !(libvirt && libvirt->version >= VV_LIBVIRT_CHOOSES))
    vv_find (about, "on-generic", VV_NOTE,
             g_strdup_printf (_ ("it is on vfio-pci already, not on %s"), variant),
             _ ("libvirt before 10.0 leaves it there at hot plug; when a domain starts, the hook moves it"),
             g_strdup_printf ("vfio-variant bind %s", device->address));
}
