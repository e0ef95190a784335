/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * check-device: what a device would get, and what stands in the way.
 *
 * Owns: the questions that are asked about one device before an attach. Changes nothing: loads no module,
 * takes no lock, opens no VFIO. Knows nothing of how the answers are printed.
 */
#pragma once

#include "domain-xml.h"
#include "attach.h"
#include "qemu-version.h"
#include "check-context.h"

/**
 * VvCheck:
 * @address: the device
 * @driver: (nullable): the driver that it would get; NULL: none, or its module is not loaded
 * @module: (nullable): the module of that driver; NULL: none, or it stays where it is
 * @why: what decides that, in words
 * @rule_file, @rule_line: (nullable): the policy's rule that decides
 * @fallback: (element-type utf8): what would be tried after it, in order: drivers, or modules that are not
 * loaded
 * @migratable: whether the domain could be migrated live with it, as far as is known
 * @requires_migration: whether the domain must be migratable on its account
 * @findings: (element-type VvFinding): what was found
 */
typedef struct {
  char *address;
  char *driver;
  char *module;
  char *why;
  char *rule_file;
  guint rule_line;
  GPtrArray *fallback;
  VvMigratability migratable;
  gboolean requires_migration;
  GPtrArray *findings;
} VvCheck;

void vv_check_free (VvCheck *check);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VvCheck, vv_check_free)

/**
 * VvPlan:
 * @domain: (nullable): the domain that is going to have the devices
 * @along: (element-type utf8): all devices that are checked together
 * @qemu: (nullable): the QEMU that they are for; NULL: it was not looked at
 *
 * What is going to happen to the devices.
 */
typedef struct {
  const VvDomain *domain;
  const GPtrArray *along;
  const VvQemu *qemu;
} VvPlan;

/**
 * vv_check_device:
 * @hostdev: (nullable): how the plan's domain has it
 *
 * Returns: (transfer full): what was found, or NULL with @error set: no such device (VV_ERROR_NO_DEVICE), or
 * its modalias is malformed
 */
VvCheck *vv_check_device (const VvCheckContext *s, const VvPlan *plan, const char *address,
                          const VvHostdev *hostdev, GError **error);
