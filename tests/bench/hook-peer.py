#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""hook-peer.py DOMAIN OPERATION SUB-OPERATION: the same as hook-peer.sh, in Python."""

import fnmatch
import os
import sys
import xml.etree.ElementTree

JOURNAL = "/run/vfio-hook"
PCI = "/sys/bus/pci"


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read().strip()


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def note(address, text):
    write(f"{JOURNAL}/{address}.new", text)
    os.rename(f"{JOURNAL}/{address}.new", f"{JOURNAL}/{address}")


def addresses(text):
    if "hostdev" not in text:
        return []
    found = xml.etree.ElementTree.fromstring(text).findall("devices/hostdev[@managed='yes']/source/address")
    return [
        f"{int(a.get('domain'), 0):04x}:{int(a.get('bus'), 0):02x}:{int(a.get('slot'), 0):02x}.{int(a.get('function'), 0)}"
        for a in found
    ]


def vfio_aliases():
    with open(f"/lib/modules/{os.uname().release}/modules.alias", encoding="utf-8") as table:
        return [line.split()[1:] for line in table if line.startswith("alias vfio_")]


def best_module(aliases, modalias):
    return min((pattern.count("*"), module) for pattern, module in aliases if fnmatch.fnmatch("vfio_" + modalias, pattern))[1]


def driver_of(address):
    return os.path.basename(os.readlink(f"{PCI}/devices/{address}/driver"))


def prepare(domain, devices):
    for address in devices:
        override = read(f"{PCI}/devices/{address}/driver_override")
        note(address, f"driver={driver_of(address)}\noverride={override}\ndomain={domain}\n")


def start(domain, devices):
    aliases = vfio_aliases() if devices else []
    for address in devices:
        driver = best_module(aliases, read(f"{PCI}/devices/{address}/modalias"))
        if driver_of(address) != driver:
            write(f"{PCI}/devices/{address}/driver_override", driver)
            write(f"{PCI}/devices/{address}/driver/unbind", address)
            write(f"{PCI}/drivers_probe", address)
        note(address, f"driver={driver}\ndomain={domain}\n")


os.makedirs(JOURNAL, exist_ok=True)
{"prepare": prepare, "start": start}[sys.argv[2]](sys.argv[1], addresses(sys.stdin.read()))
