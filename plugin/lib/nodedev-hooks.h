#pragma once
#include "change.h"
#include "pci-device.h"
typedef struct VvNodedevHooks VvNodedevHooks;
VvNodedevHooks *vv_nodedev_hooks_new (const VvHost *host, guint limit_ms);
void vv_nodedev_hooks_free (VvNodedevHooks *hooks);
gboolean vv_nodedev_hooks_run (const VvNodedevHooks *hooks, const VvPciDevice *device, VvOperation operation,
                               const char *sub_operation, const char *driver, gint64 deadline,
                               GError **error);
