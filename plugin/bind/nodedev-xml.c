/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nodedev-xml.h"

#include <libxml/chvalid.h>
#include <libxml/xmlwriter.h>
#include <stdio.h>
#include <string.h>

#define UNKNOWN_CHARACTER 0xfffd

typedef struct {
  guint domain, bus, slot, function;
} Address;

/* Parses an address. Returns FALSE unless @text is spelled as by the kernel. */
static gboolean
read_address (const char *text, Address *a)
{
  g_autofree char *canonical = vv_pci_address_parse (text, NULL);

  return canonical && strcmp (canonical, text) == 0 &&
         sscanf (text, "%x:%x:%x.%x", &a->domain, &a->bus, &a->slot, &a->function) == 4;
}

char *
vv_nodedev_name (const char *address)
{
  return g_strdelimit (g_strconcat ("pci_", address, NULL), ":.", '_');
}

/* --- XML writer --- */

/* Wrappers of libxml2's writer, without the casts to its character type */
#define begin(w, name) xmlTextWriterStartElement (w, BAD_CAST (name))
#define end(w) xmlTextWriterEndElement (w)
#define write_attribute(w, name, ...) xmlTextWriterWriteFormatAttribute (w, BAD_CAST (name), __VA_ARGS__)
#define write_number(w, name, ...) xmlTextWriterWriteFormatElement (w, BAD_CAST (name), __VA_ARGS__)

static void
write_text (xmlTextWriter *w, const char *name, const char *raw)
{
  g_autofree char *valid = g_utf8_make_valid (raw, -1);
  g_autoptr (GString) text = g_string_new (NULL);

  for (const char *p = valid; *p; p = g_utf8_next_char (p)) {
    gunichar c = g_utf8_get_char (p);
    g_string_append_unichar (text, xmlIsCharQ (c) ? c : UNKNOWN_CHARACTER);
  }
  xmlTextWriterWriteElement (w, BAD_CAST name, BAD_CAST text->str);
}

static void
write_address (xmlTextWriter *w, const char *text)
{
  Address a;

  if (!read_address (text, &a))
    return;
  begin (w, "address");
  write_attribute (w, "domain", "0x%04x", a.domain);
  write_attribute (w, "bus", "0x%02x", a.bus);
  write_attribute (w, "slot", "0x%02x", a.slot);
  write_attribute (w, "function", "0x%x", a.function);
  end (w);
}

/* --- device --- */

/* libvirt's parent is the nearest ancestor that libvirt knows. Between a device and the root of the host
 * there may be nodes that are not PCI devices (pci0000:3a, Intel VMD). */
static char *
parent_name (const char *path)
{
  g_auto (GStrv) parts = g_strsplit (path, "/", -1);
  Address a;

  for (guint i = g_strv_length (parts) - 1; i-- > 0;)
    if (read_address (parts[i], &a))
      return vv_nodedev_name (parts[i]);
  return g_strdup ("computer");
}

static void
write_id (xmlTextWriter *w, const char *name, guint id)
{
  begin (w, name);
  write_attribute (w, "id", "0x%04x", id);
  end (w);
}

static void
write_virtual_functions (xmlTextWriter *w, const VvPciDevice *device)
{
  g_autofree char *total = vv_io_attribute (device->dir, "sriov_totalvfs");
  guint64 max = total ? g_ascii_strtoull (total, NULL, 10) : 0;

  max = MIN (max, G_MAXUINT16); /* the register TotalVFs has 16 bits */
  if (!max)
    return;
  begin (w, "capability");
  write_attribute (w, "type", "virt_functions");
  write_attribute (w, "maxCount", "%u", (guint)max);
  for (guint i = 0; i < MIN (max, VV_NODEDEV_ADDRESS_LIMIT); i++) {
    g_autofree char *link = g_strdup_printf ("virtfn%u", i);
    g_autofree char *address = vv_io_link_name (device->dir, link);
    if (!address)
      break;
    write_address (w, address);
  }
  end (w);
}

static void
write_iommu_group (xmlTextWriter *w, const VvHost *host, const VvPciDevice *device)
{
  g_autoptr (GPtrArray) members = vv_pci_group_members (host, device);
  guint64 number = 0;
  guint first = 0;
  Address a;

  while (first < members->len && !read_address (members->pdata[first], &a))
    first++;
  if (first == members->len ||
      !g_ascii_string_to_unsigned (device->iommu_group, 10, 0, G_MAXUINT, &number, NULL))
    return;
  begin (w, "iommuGroup");
  write_attribute (w, "number", "%u", (guint)number);
  for (guint i = first; i < MIN (members->len, VV_NODEDEV_ADDRESS_LIMIT); i++)
    write_address (w, members->pdata[i]);
  end (w);
}

static void
write_numa (xmlTextWriter *w, const VvPciDevice *device)
{
  g_autofree char *text = vv_io_attribute (device->dir, "numa_node");
  guint64 node = 0;

  if (!text || !g_ascii_string_to_unsigned (text, 10, 0, G_MAXINT, &node, NULL))
    return; /* -1: unknown to the kernel */
  begin (w, "numa");
  write_attribute (w, "node", "%u", (guint)node);
  end (w);
}

static gboolean
write_pci (xmlTextWriter *w, const VvHost *host, const VvPciDevice *device)
{
  Address a = {0}, physical;
  VvPciIds ids; /* the modalias cannot change (modalias_show() in drivers/pci/pci-sysfs.c) */

  if (!read_address (device->address, &a) || !vv_pci_ids_parse (device->modalias, &ids))
    return FALSE;
  begin (w, "capability");
  write_attribute (w, "type", "pci");
  write_number (w, "class", "0x%06x", ids.class_code);
  write_number (w, "domain", "%u", a.domain);
  write_number (w, "bus", "%u", a.bus);
  write_number (w, "slot", "%u", a.slot);
  write_number (w, "function", "%u", a.function);
  write_id (w, "product", ids.product);
  write_id (w, "vendor", ids.vendor);
  if (device->physfn && read_address (device->physfn, &physical)) {
    begin (w, "capability");
    write_attribute (w, "type", "phys_function");
    write_address (w, device->physfn);
    end (w);
  }
  write_virtual_functions (w, device);
  write_iommu_group (w, host, device);
  write_numa (w, device);
  end (w);
  return TRUE;
}

static gboolean
write_device (xmlTextWriter *w, const VvHost *host, const VvPciDevice *device)
{
  /* The device's path in sysfs, without the sysroot. The link in bus/pci/devices is relative to sysfs. */
  g_autofree char *link = g_build_filename ("bus/pci/devices", device->address, NULL);
  g_autofree char *target = vv_io_link (host->sys, link);
  const char *devices = target ? strstr (target, "/devices/") : NULL;

  if (!devices || !device->modalias || !vv_io_exists (device->dir, "modalias"))
    return FALSE;
  g_autofree char *path = g_strconcat ("/sys", devices, NULL);
  g_autofree char *name = vv_nodedev_name (device->address);
  g_autofree char *parent = parent_name (path);
  begin (w, "device");
  write_text (w, "name", name);
  write_text (w, "path", path);
  write_text (w, "parent", parent);
  if (device->now.driver) {
    begin (w, "driver");
    write_text (w, "name", device->now.driver);
    end (w);
  }
  if (!write_pci (w, host, device))
    return FALSE;
  end (w);
  return TRUE;
}

char *
vv_nodedev_xml (const VvHost *host, const VvPciDevice *device)
{
  xmlBuffer *buffer = xmlBufferCreate ();
  xmlTextWriter *w = xmlNewTextWriterMemory (buffer, 0);

  xmlTextWriterSetIndent (w, 1);
  xmlTextWriterSetIndentString (w, BAD_CAST "  ");
  xmlTextWriterSetQuoteChar (w, '\'');
  gboolean whole = write_device (w, host, device);
  xmlFreeTextWriter (w); /* flushes the writer to the buffer */
  char *xml = whole ? g_strdup ((const char *)xmlBufferContent (buffer)) : NULL;
  xmlBufferFree (buffer);
  return xml;
}
