# SPDX-License-Identifier: LGPL-2.1-or-later
"""The figures that the benches print, for report.py: their meaning, their unit, their goals.

The first pattern that matches a figure's name applies. "ours" is the contestant with which the others are compared. A goal
is one of
  ("median", WHO, MOST)               of one contestant's figures; WHO is None for a single contestant
  ("ratio", WHO, OTHER, MOST)         of WHO to OTHER, block by block
  ("difference", WHO, OTHER, MOST)
"""

from collections import namedtuple

Metric = namedtuple("Metric", "pattern what unit ours goals")


def metric(pattern, what, unit, ours=None, *goals):
    return Metric(pattern, what, unit, ours, goals)


METRICS = [
    # selection-bench, select-bench
    metric("selection.warm.*.x1", "modalias to driver, in a long-running process", "us", "ours",
           ("median", "ours", 5), ("ratio", "ours", "libvirt", 1 / 50)),
    metric("selection.warm.*", "modalias to driver, in a long-running process", "us", "ours", ("median", "ours", 5)),
    metric("selection.cold.*.x1", "modalias to driver, a whole process", "ms", "ours",
           ("median", "ours", 5), ("ratio", "ours", "modprobe-awk", 1)),
    metric("selection.cold.*", "modalias to driver, a whole process", "ms", "ours"),
    # hook-bench
    metric("hook.crowd.2000", "the hook at start, 8 devices, with that many other processes", "ms", "ours",
           ("median", "ours", 500)),
    metric("hook.crowd.*", "the hook at start, 8 devices, with that many other processes", "ms", "ours"),
    metric("hook.*.0", "the hook of a domain, a whole process", "ms", "ours",
           ("median", "ours", 2), ("ratio", "ours", "bash", 0.1)),
    metric("hook.*.64", "the hook of a domain, a whole process", "ms", "ours",
           ("median", "ours", 10), ("ratio", "ours", "bash", 0.1)),
    metric("hook.*", "the hook of a domain, a whole process", "ms", "ours", ("ratio", "ours", "bash", 0.1)),
    # devices-bench
    metric("devices.list.*", "vfio-variant list, a whole process", "ms", "ours", ("median", "ours", 50)),
    metric("devices.match.*", "vfio-variant match, a whole process", "ms", "ours", ("median", "ours", 50)),
    # gate-bench
    metric("gate.marks.*", "time to set the marks", "us"),
    metric("gate.stranger-probe.*", "an unrelated open of drivers_probe", "us", "with",
           ("difference", "with", "without", 100)),
    metric("gate.stranger-override.*", "an unrelated open of a driver_override", "us", "with",
           ("difference", "with", "without", 100)),
    metric("gate.libvirt-probe.*", "a blocked open, released at once", "us", "with", ("difference", "with", "without", 5000)),
    metric("gate.libvirt-override.*", "an open of a driver_override by libvirt", "us", "with",
           ("difference", "with", "without", 5000)),
    metric("gate.blocked.*", "a blocked open, from the gate's event to its answer", "us"),
    # service-bench
    metric("service.probe.*", "libvirt's open of drivers_probe and its write", "us"),
    metric("service.blocked.*", "libvirt blocked", "us"),
    metric("service.own.*", "of that, our own time", "us", None, ("median", None, 500)),
    metric("service.phase.*", "phases while libvirt is blocked", "us"),
    metric("service-quick.probe.*", "the same, after an unbind that took no time", "us"),
    metric("service-quick.blocked.*", "libvirt blocked, after an unbind that took no time", "us"),
    metric("service-quick.own.*", "of that, our own time, including the start of the worker", "us"),
    metric("service-quick.phase.*", "phases while libvirt is blocked, after an unbind that took no time", "us"),
    # attach.sh
    metric("attach", "virsh attach-device", "ms", "with", ("ratio", "with", "without", 1.03)),
    metric("detach", "virsh detach-device, until the device is on its host driver", "ms", "with"),
    metric("held.detach", "libvirt blocked, device goes to VFIO", "us"),
    metric("held.reattach", "libvirt blocked, device returns to its host driver", "us"),
    metric("own.detach", "of that, our own time, device goes to VFIO", "us"),
    metric("own.reattach", "of that, our own time, device returns to its host driver", "us"),
    metric("phase.*", "phases while libvirt is blocked", "us"),
    metric("open.drivers_probe", "an unrelated open of drivers_probe", "us", "with"),
    metric("open.driver_override", "an unrelated open of a driver_override", "us", "with"),
    # hands.sh
    metric("hands.whole.*", "one device, the whole command", "ms", "ours"),
    metric("hands.inside.*", "one device, the rebind alone", "us", "ours", ("ratio", "ours", "bare", 1.1)),
    metric("hands.besides.*", "the whole command, minus the time of the bare writes", "ms", "ours",
           ("ratio", "ours", "driverctl", 0.1), ("ratio", "ours", "devbind", 0.1)),
    # many.sh
    metric("many.detach.*", "many devices to VFIO, by number of devices and jobs", "ms", "ours"),
    metric("many.reattach.*", "many devices back from VFIO, by number of devices and jobs", "ms", "ours"),
    # daemon-bench, and attach.sh
    metric("ready*", "start-up", "ms"),
    metric("idle.*.switches", "context switches in 60 s when idle", "", None, ("median", None, 0)),
    metric("memory.daemon.rss", "resident memory", "KiB", None, ("median", None, 8 * 1024)),
    metric("memory.*.rss", "resident memory", "KiB"),
    metric("memory.*.pss", "proportional share of resident memory", "KiB"),
    metric("memory.*.private", "private memory", "KiB"),
    metric("size.*", "size of the program file, stripped", "KiB"),
]
