# SPDX-License-Identifier: LGPL-2.1-or-later
"""The XML of a domain with the first devices of a fake host (see fake-host)."""

HOSTDEV = (
    "<hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0x0000' bus='0x00' slot='0x{slot:02x}' "
    "function='0x{function}'/></source></hostdev>\n"
)


def domain_xml(devices):
    hostdevs = "".join(HOSTDEV.format(slot=n >> 3, function=n & 7) for n in range(devices))
    head = "<domain type='kvm'><name>guest</name><uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid><devices>\n"
    return f"{head}{hostdevs}</devices></domain>\n"
