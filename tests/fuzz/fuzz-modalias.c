/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Fuzz target of modaliases and addresses. The input is three lines: a modalias, a pattern and a PCI address.
 */
#include <string.h>

#include "fuzz.h"
#include "modalias.h"
#include "pci-device.h"

static void
check_modalias (const char *modalias, const char *pattern)
{
  g_autofree char *key = vv_modalias_key (VV_PREFIX_VFIO, modalias, NULL);

  g_assert_cmpuint (vv_modalias_wildcards (pattern), <=, strlen (pattern));
  if (!key)
    return;
  g_assert_true (vv_modalias_match (key, key)); /* a key contains no wildcards */
  g_assert_cmpuint (vv_modalias_wildcards (key), ==, 0);
  vv_modalias_match (pattern, key);
}

static void
check_address (const char *text)
{
  g_autofree char *address = vv_pci_address_parse (text, NULL);
  g_autofree char *again = address ? vv_pci_address_parse (address, NULL) : NULL;

  g_assert_cmpstr (again, ==, address);
  g_assert_true (!address || !strchr (address, '/'));
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_autofree char *text = g_strndup ((const char *)data, size);
  g_auto (GStrv) lines = g_strsplit (text, "\n", 3);

  if (g_strv_length (lines) < 3)
    return 0;
  check_modalias (lines[0], lines[1]);
  check_address (lines[2]);
  g_assert_true (!vv_name_is_safe (lines[1]) || !strchr (lines[1], '/'));
  return 0;
}
