/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nodedev-xml.h"

#include <stdio.h>
#include <string.h>

#define UNKNOWN_CHARACTER 0xfffd

typedef struct {
  guint domain, bus, slot, function;
} Address;

/* Whether @text is an address as the kernel spells it */
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

/* --- writing --- */

typedef struct {
  GString *text;
  GPtrArray *open;       /* names of the elements that are begun */
  gboolean in_start_tag; /* of the last one of them */
} Writer;

static void
append_character (GString *text, gunichar c)
{
  gboolean allowed = c >= 0x20 ? c < 0xd800 || (c >= 0xe000 && c != 0xfffe && c != 0xffff)
                               : c == '\t' || c == '\n'; /* Char of XML 1.0, 2.2 */

  switch (c) {
  case '&':
    g_string_append (text, "&amp;");
    break;
  case '<':
    g_string_append (text, "&lt;");
    break;
  case '>':
    g_string_append (text, "&gt;");
    break;
  case '\r': /* a reader would make a newline of it */
    g_string_append (text, "&#13;");
    break;
  default:
    g_string_append_unichar (text, allowed ? c : UNKNOWN_CHARACTER);
  }
}

/* Ends the start tag that is open, and begins a line */
static void
begin_line (Writer *w)
{
  if (w->in_start_tag)
    g_string_append (w->text, ">\n");
  w->in_start_tag = FALSE;
  for (guint i = 0; i < w->open->len; i++)
    g_string_append (w->text, "  ");
}

static void
begin (Writer *w, const char *name)
{
  begin_line (w);
  g_string_append_printf (w->text, "<%s", name);
  g_ptr_array_add (w->open, (gpointer)name);
  w->in_start_tag = TRUE;
}

static void
end (Writer *w)
{
  const char *name = g_ptr_array_steal_index (w->open, w->open->len - 1);

  if (w->in_start_tag) {
    g_string_append (w->text, "/>\n");
    w->in_start_tag = FALSE;
    return;
  }
  begin_line (w);
  g_string_append_printf (w->text, "</%s>\n", name);
}

static void
write_text (Writer *w, const char *name, const char *raw)
{
  g_autofree char *valid = g_utf8_make_valid (raw, -1);

  begin_line (w);
  g_string_append_printf (w->text, "<%s>", name);
  for (const char *p = valid; *p; p = g_utf8_next_char (p))
    append_character (w->text, g_utf8_get_char (p));
  g_string_append_printf (w->text, "</%s>\n", name);
}

static void write_attribute (Writer *w, const char *name, const char *format, ...) G_GNUC_PRINTF (3, 4);
static void write_number (Writer *w, const char *name, const char *format, ...) G_GNUC_PRINTF (3, 4);

static void
write_attribute (Writer *w, const char *name, const char *format, ...)
{
  va_list value;

  g_string_append_printf (w->text, " %s='", name);
  va_start (value, format);
  g_string_append_vprintf (w->text, format, value);
  va_end (value);
  g_string_append_c (w->text, '\'');
}

static void
write_number (Writer *w, const char *name, const char *format, ...)
{
  va_list value;

  va_start (value, format);
  g_autofree char *text = g_strdup_vprintf (format, value);
  va_end (value);
  write_text (w, name, text);
}

static void
begin_capability (Writer *w, const char *type)
{
  begin (w, "capability");
  g_string_append_printf (w->text, " type='%s'", type);
}

static void
write_address (Writer *w, const char *text)
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

/* --- what is written --- */

/* libvirt's parent is the nearest device above that it knows itself: between a device and the host's root may
 * be nodes that are no PCI devices (pci0000:3a, Intel VMD). */
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
write_id (Writer *w, const char *name, guint id)
{
  begin (w, name);
  write_attribute (w, "id", "0x%04x", id);
  end (w);
}

static void
write_virtual_functions (Writer *w, const VvPciDevice *device)
{
  g_autofree char *total = vv_io_attribute (device->dir, "sriov_totalvfs");
  guint64 max = total ? g_ascii_strtoull (total, NULL, 10) : 0;

  max = MIN (max, G_MAXUINT16); /* the register has 16 bits */
  if (!max)
    return;
  begin_capability (w, "virt_functions");
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
write_iommu_group (Writer *w, const VvHost *host, const VvPciDevice *device)
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
write_numa (Writer *w, const VvPciDevice *device)
{
  g_autofree char *text = vv_io_attribute (device->dir, "numa_node");
  guint64 node = 0;

  if (!text || !g_ascii_string_to_unsigned (text, 10, 0, G_MAXINT, &node, NULL))
    return; /* -1: the kernel does not know it */
  begin (w, "numa");
  write_attribute (w, "node", "%u", (guint)node);
  end (w);
}

static gboolean
write_pci (Writer *w, const VvHost *host, const VvPciDevice *device)
{
  Address a = {0}, physical;
  VvPciIds ids; /* the device cannot change its modalias (modalias_show() in drivers/pci/pci-sysfs.c) */

  if (!read_address (device->address, &a) || !vv_pci_ids_parse (device->modalias, &ids))
    return FALSE;
  begin_capability (w, "pci");
  write_number (w, "class", "0x%06x", ids.class_code);
  write_number (w, "domain", "%u", a.domain);
  write_number (w, "bus", "%u", a.bus);
  write_number (w, "slot", "%u", a.slot);
  write_number (w, "function", "%u", a.function);
  write_id (w, "product", ids.product);
  write_id (w, "vendor", ids.vendor);
  if (device->physfn && read_address (device->physfn, &physical)) {
    begin_capability (w, "phys_function");
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
write_device (Writer *w, const VvHost *host, const VvPciDevice *device)
{
  /* where the device is in sysfs, without the sysroot: the link in bus/pci/devices is relative to sysfs */
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
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (GPtrArray) open = g_ptr_array_new ();
  Writer w = {text, open, FALSE};

  return write_device (&w, host, device) ? g_strdup (text->str) : NULL;
}
