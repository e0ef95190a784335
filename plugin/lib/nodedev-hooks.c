#include "nodedev-hooks.h"
VvNodedevHooks *
vv_nodedev_hooks_new (const VvHost *host, guint limit_ms)
{
  (void)host, (void)limit_ms;
  return NULL;
}
void
vv_nodedev_hooks_free (VvNodedevHooks *hooks)
{
  (void)hooks;
}
gboolean
vv_nodedev_hooks_run (const VvNodedevHooks *hooks, const VvPciDevice *device, VvOperation operation,
                      const char *sub_operation, const char *driver, gint64 deadline, GError **error)
{
  (void)hooks, (void)device, (void)operation, (void)sub_operation, (void)driver, (void)deadline, (void)error;
  return TRUE;
}
