/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Fuzz target of nodedev-xml: devices and their firmware provide some sysfs attributes. For any contents, the
 * XML for hook scripts is well-formed and valid. The input is attributes, separated by a byte 0xff.
 */
#include <libxml/parser.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "nodedev-xml.h"

#define DEVICE "devices/pci0000:00/0000:00:02.0"

static const char *const attributes[] = {"modalias", "driver_override", "numa_node", "sriov_totalvfs"};

static void
make_link (const VvHost *host, const char *path, const char *target)
{
  g_autofree char *full = g_build_filename (host->sysroot, path, NULL);
  g_autofree char *folder = g_path_get_dirname (full);

  g_assert_cmpint (g_mkdir_with_parents (folder, 0755), ==, 0);
  unlink (full);
  if (*target) /* fails if the target is too long */
    (void)!symlink (target, full);
}

/* Returns: (transfer full): the next attribute; "" at the end of the input */
static char *
take (const guint8 **at, const guint8 *end)
{
  const guint8 *next = *at < end ? memchr (*at, 0xff, (gsize)(end - *at)) : NULL;
  char *piece = g_strndup ((const char *)*at, (gsize)((next ? next : end) - *at));

  *at = next ? next + 1 : end;
  return piece;
}

static void
set_up (const VvHost *host, const guint8 *data, gsize size)
{
  const guint8 *end = data + size;
  static const char *const links[] = {"driver", "virtfn0", "physfn", "iommu_group"};

  make_link (host, "sys/bus/pci/devices/0000:00:02.0", "../../../" DEVICE);
  for (gsize i = 0; i < G_N_ELEMENTS (links); i++) {
    g_autofree char *target = take (&data, end);
    g_autofree char *path = g_build_filename ("sys", DEVICE, links[i], NULL);
    make_link (host, path, target);
  }
  for (gsize i = 0; i < G_N_ELEMENTS (attributes); i++) {
    g_autofree char *text = take (&data, end);
    g_autofree char *path = g_build_filename ("sys", DEVICE, attributes[i], NULL);
    fuzz_write (path, (const guint8 *)text, strlen (text));
  }
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  const VvHost *host = fuzz_host ();
  g_autoptr (VvPciDevice) device = NULL;

  set_up (host, data, size);
  device = vv_pci_device_open (host, "0000:00:02.0", NULL);
  g_autofree char *xml = device ? vv_nodedev_xml (host, device) : NULL;
  if (!xml)
    return 0;
  g_assert_true (g_utf8_validate (xml, -1, NULL));
  xmlDoc *document = xmlReadMemory (xml, (int)strlen (xml), "device.xml", NULL,
                                    XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
  g_assert_nonnull (document);
  g_assert_cmpstr ((const char *)xmlDocGetRootElement (document)->name, ==, "device");
  xmlFreeDoc (document);
  return 0;
}
