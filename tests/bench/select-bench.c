/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * select-bench TABLES: measures the step from a device's modalias to its driver in a long-running process.
 * Compares the catalog of the daemon with libvirt's own function for the same device:
 * virPCIDeviceFindBestVFIOVariant() of its src/util/virpci.c (10.0 and later), which is private but exported
 * from libvirt.so.0.
 *
 * Device and tables are those of this root: /sys/bus/pci/devices/0000:00:00.0, /lib/modules/RELEASE. TABLES
 * is the name of the tables in the names of the figures. Prints lines "selection.warm.TABLES=WHO BLOCK
 * MICROSECONDS" for report.py. Linked only with the catalog of the library, so that it runs with the libvirt
 * of any Debian release.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalog.h"
#include "modalias.h"

#define BLOCKS 20
#define OURS_AT_ONCE 10000
#define LIBVIRTS_AT_ONCE 3
#define DEVICE "0000:00:00.0"
#define BEST "mlx5_vfio_pci"

/* libvirt's virPCIDeviceAddress has more members after these, which are zero except on s390 */
typedef struct {
  unsigned int domain, bus, slot, function;
  unsigned int rest[16];
} Address;

typedef struct {
  void *device;
  int (*find) (void *device, char **module);
} Libvirt;

static double
now_usec (void)
{
  return (double)g_get_monotonic_time ();
}

static gboolean
libvirt_finds (const Libvirt *libvirt)
{
  char *module = NULL;
  gboolean found = libvirt->find (libvirt->device, &module) == 0 && g_strcmp0 (module, BEST) == 0;

  free (module);
  return found;
}

/* Returns: FALSE if this libvirt has no such function, or if the function fails with these tables */
static gboolean
open_libvirt (Libvirt *libvirt)
{
  static const Address address;
  void *library = dlopen ("libvirt.so.0", RTLD_NOW);
  void *(*new_device) (const Address *) = NULL;

  if (!library)
    g_error ("%s", dlerror ());
  *(void **)&libvirt->find = dlsym (library, "virPCIDeviceFindBestVFIOVariant");
  *(void **)&new_device = dlsym (library, "virPCIDeviceNew");
  if (!libvirt->find || !new_device) {
    printf ("# this libvirt has no virPCIDeviceFindBestVFIOVariant()\n");
    return FALSE;
  }
  libvirt->device = new_device (&address);
  if (!libvirt->device)
    g_error ("libvirt does not see " DEVICE);
  if (libvirt_finds (libvirt))
    return TRUE;
  printf ("# libvirt finds no driver: it does not read a modules.alias that is so long\n");
  return FALSE;
}

static double
time_libvirt (const Libvirt *libvirt)
{
  double start = now_usec ();

  for (guint i = 0; i < LIBVIRTS_AT_ONCE; i++)
    if (!libvirt_finds (libvirt))
      g_error ("libvirt finds it no more");
  return (now_usec () - start) / LIBVIRTS_AT_ONCE;
}

static double
time_ours (const VvCatalog *catalog, const char *modalias)
{
  double start = now_usec ();

  for (guint i = 0; i < OURS_AT_ONCE; i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (VvChoice) selection = vv_catalog_select (catalog, modalias, &error);
    const VvCandidate *best = selection ? selection->candidates->pdata[0] : NULL;
    if (!best || strcmp (best->module, BEST) != 0)
      g_error ("we found %s", best ? best->module : error->message);
  }
  return (now_usec () - start) / OURS_AT_ONCE;
}

static void
print_sample (const char *tables, const char *who, guint block, double usec)
{
  printf ("selection.warm.%s=%s %u %.4f\n", tables, who, block, usec);
}

/* @libvirt: (nullable). The order changes from block to block. */
static void
measure (const VvCatalog *catalog, const char *modalias, const Libvirt *libvirt, const char *tables)
{
  for (guint block = 1; block <= BLOCKS; block++) {
    if (libvirt && block % 2)
      print_sample (tables, "libvirt", block, time_libvirt (libvirt));
    print_sample (tables, "ours", block, time_ours (catalog, modalias));
    if (libvirt && block % 2 == 0)
      print_sample (tables, "libvirt", block, time_libvirt (libvirt));
  }
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (VvHost) host = vv_host_new (NULL, NULL, &error);
  g_autoptr (VvModules) modules = host ? vv_modules_new (host, &error) : NULL;
  Libvirt libvirt = {0};

  if (argc != 2) {
    fputs ("Usage: select-bench TABLES\n", stderr);
    return 2;
  }
  if (!modules)
    g_error ("%s", error->message);
  g_autoptr (VvCatalog) catalog = vv_catalog_new (host, modules, VV_PREFIX_VFIO);
  g_autofree char *modalias = vv_io_attribute (host->sys, "bus/pci/devices/" DEVICE "/modalias");
  if (!modalias || vv_catalog_warning (catalog))
    g_error ("%s", modalias ? vv_catalog_warning (catalog) : "no " DEVICE);
  measure (catalog, modalias, open_libvirt (&libvirt) ? &libvirt : NULL, argv[1]);
  return 0;
}
