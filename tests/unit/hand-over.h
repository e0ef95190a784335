/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * hand-over: handles a hot plug request, as the gate's worker does while libvirt is blocked.
 */
#pragma once

#include "hotplug.h"
#include "fixture.h"

/** hand_over_now: Returns: (transfer full): the rebind, or NULL with @error set */
static inline VvChange *
hand_over_now (const Fixture *f, const VvHotplugRequest *request, const VvDeadline *deadline, GError **error)
{
  g_autoptr (VvBinding) b = vv_hotplug_open (f->s, request, deadline, error);

  return b && vv_hotplug (b, request, error) ? vv_binding_close (g_steal_pointer (&b)) : NULL;
}
