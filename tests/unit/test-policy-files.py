#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Files of the policy that are good, and files that are not, with what is said of them; and each example in the
documentation.

Usage: test-policy-files.py VFIO-VARIANT DOMAIN-WISHES SOURCE; prints TAP. xmllint, where there is one, checks that the
schemas say the same, as far as they can.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

from doc_blocks import blocks
from tap import Skip, equal, run_tests

COMMAND, WISHES, SOURCE = sys.argv[1:4]
POLICY_SCHEMA = os.path.join(SOURCE, "schemas/vfio-variant.rng")
METADATA_SCHEMA = os.path.join(SOURCE, "schemas/domain-metadata.rng")
NAMESPACE = "urn:vfio-variant:domain:1"

# Who refuses it: XML itself, the schema, or only we
XML, SCHEMA, CHECK = "XML", "schema", "check"

GOOD = [
    "<vfio-variant/>",
    "<vfio-variant><!-- nothing --></vfio-variant>",
    "<device vendor='0x15b3' product='0x101E' subsystem-vendor='0x15b3' subsystem-product='0x0000' driver='auto'/>",
    "<device address='0000:3b:00.1' driver='mlx5_vfio_pci'/>",
    "<device address='3B:00.*' driver='mlx5-vfio.pci mlx5+vfio generic'/>",
    "<device address='*' physical-function='3b:00.[0-3]' fallback='next'/>",
    "<device class='0x02' fallback='generic'/>",
    "<device class='0x0200' fallback='none'/>",
    "<device class='0x020000' migratable='ignore'/>",
    "<device native-driver='mlx5*' migratable='prefer'/>",
    "<device modalias='pci:v000015B3d*sv*sd*bc02sc00i*' migratable='require'/>",
    "<device iommu-group='0' unmanaged='ignore'/>",
    "<device iommu-group='41' unmanaged='manage'/>",
    "<device vendor='0x8086' host-use='refuse'/>",
    "<device vendor='0x8086' at-boot='yes'/>",
    "<device native-driver='mlx5*' at-boot='no'/>",
    "<default host-use='warn'/>",
    "<default driver='&#10; auto  '/><default driver='a\n b'/>",
    "<gate/>",
    "<gate enabled='yes' deadline='1'/><device vendor='0x8086' driver='a'/><default driver='a'/>",
    "<gate enabled='no' deadline='3600'><serve executable='libvirtd'/><serve executable='virtqemud'/></gate>",
    "<hooks time-limit='999'/><metrics textfile='/var/lib/node-exporter/vfio variant.prom'/>",
    "<hooks/>\n<default driver='a'/><metrics/>",
]

TERMS = "driver, fallback, migratable, unmanaged, host-use"
MATCHES = ("address, vendor, product, subsystem-vendor, subsystem-product, class, physical-function, native-driver, "
           "modalias, iommu-group")
DRIVERS = "driver is 'auto', or up to 32 names of drivers or modules, 'generic' among them"
ADDRESSES = "is an address or a glob of addresses, like 0000:3b:00.1 or 3b:00.*"
SECONDS = "is a number of seconds from 1 to 3600"
PROM = "textfile is an absolute path without '..' that ends with .prom"
ID = "is 0x and 4 hexadecimal digits"


def bad_attribute(element, name, value, form, by=SCHEMA, rest=""):
    """An element with one attribute that is wrong"""
    spelled = value.replace("&", "&amp;").replace("<", "&lt;")
    return (f"<{element} {name}='{spelled}'{rest}/>", f"2:1: <{element} {name}='{value[:80]}'>: {form}", by)


# What, "LINE:COLUMN: MESSAGE", and who refuses it. It stands in a <vfio-variant>, from line 2 on.
BAD = [
    ("<device vendor='0x15b3'>", "3:*: Opening and ending tag mismatch: device line 2 and vfio-variant", XML),
    ("<device vendor='0x15b3' vendor='0x15b3' driver='a'/>", "2:*: Attribute vendor redefined", XML),
    ("<device vendor=0x15b3 driver='a'/>", "2:*: AttValue: \" or ' expected", XML),
    ("&generic;", "2:*: Entity 'generic' not defined", XML),
    ("<device vendor='0x15b3' driver='<'/>", "2:*: Unescaped '<' not allowed in attributes values", XML),
    ("  <devise/>", "2:3: <devise> is not allowed in <vfio-variant>; it can have <device>, <default>, <gate>, <hooks>, "
     "<metrics>", SCHEMA),
    ("\n\n <vfio-variant/>", "4:2: <vfio-variant> is not allowed in <vfio-variant>; it can have <device>, <default>, "
     "<gate>, <hooks>, <metrics>", SCHEMA),
    ("generic", "1:1: text is not allowed in <vfio-variant>", SCHEMA),
    ("<device xmlns='urn:x' vendor='0x15b3' driver='a'/>", "2:1: <device> is not allowed in <vfio-variant>, in this "
     "namespace; it can have <device>, <default>, <gate>, <hooks>, <metrics>", SCHEMA),
    ("<default driver='a'/><device vendor='0x15b3' driver='a'>x</device>", "2:22: text is not allowed in <device>",
     SCHEMA),
    ("<device vendor='0x15b3' driver='a'><serve executable='x'/></device>",
     "2:36: <serve> is not allowed in <device>; it can have no elements", SCHEMA),
    ("<device vendor='0x15b3' drivers='a'/>", f"2:1: <device> has no attribute 'drivers'; it can have {MATCHES}, {TERMS}, at-boot",
     SCHEMA),
    ("<default vendor='0x15b3' driver='a'/>", f"2:1: <default> has no attribute 'vendor'; it can have {TERMS}", SCHEMA),
    ("<default at-boot='yes'/>", f"2:1: <default> has no attribute 'at-boot'; it can have {TERMS}", SCHEMA),
    ("<default xml:id='x' driver='a'/>", f"2:1: <default> has no attribute 'xml:id'; it can have {TERMS}", SCHEMA),
    ("<gate on='yes'/>", "2:1: <gate> has no attribute 'on'; it can have enabled, deadline", SCHEMA),
    # at least one of each
    ("<device driver='a'/>", "2:1: <device> does not say which: it needs one of address, vendor, class and so on; what "
     "is to hold for all devices is <default>", CHECK),
    ("<device vendor='0x15b3'/>", "2:1: <device> wants nothing: it needs one of driver, fallback, migratable, "
     "unmanaged, host-use, at-boot", CHECK),
    ("<default/>", "2:1: <default> wants nothing: it needs one of driver, fallback, migratable, unmanaged, host-use",
     CHECK),
    # what has just appeared is on no driver
    ("<device native-driver='mlx5*' at-boot='yes'/>", "2:1: at-boot='yes' does not go together with native-driver: a "
     "device that has just appeared is on no driver yet; say which by other attributes", CHECK),
    # at most one
    ("<gate/>\n<hooks/><gate/>", "3:9: <gate> can be there only once", SCHEMA),
    ("<hooks/><hooks/>", "2:9: <hooks> can be there only once", SCHEMA),
    ("<metrics/><default driver='a'/><metrics/>", "2:32: <metrics> can be there only once", SCHEMA),
    # terms
    bad_attribute("default", "driver", "", DRIVERS),
    bad_attribute("default", "driver", "auto mlx5_vfio_pci", DRIVERS),
    bad_attribute("default", "driver", "generic auto", DRIVERS),
    bad_attribute("default", "driver", "../vfio", DRIVERS),
    bad_attribute("default", "driver", ".vfio", DRIVERS),
    bad_attribute("default", "driver", "a,b", DRIVERS),
    bad_attribute("default", "driver", "a" * 65, DRIVERS, CHECK),
    bad_attribute("default", "driver", " ".join(["a"] * 33), DRIVERS, CHECK),
    bad_attribute("default", "fallback", "auto", "fallback is next, generic or none"),
    bad_attribute("default", "fallback", "", "fallback is next, generic or none"),
    bad_attribute("default", "fallback", " next", "fallback is next, generic or none"),
    bad_attribute("default", "migratable", "yes", "migratable is ignore, prefer or require"),
    bad_attribute("default", "unmanaged", "Manage", "unmanaged is ignore or manage"),
    bad_attribute("default", "host-use", "force", "host-use is refuse or warn"),
    bad_attribute("device", "at-boot", "true", "at-boot is yes or no", rest=" vendor='0x8086'"),
    # matches
    bad_attribute("device", "vendor", "15b3", "vendor " + ID),
    bad_attribute("device", "vendor", "0x15b", "vendor " + ID),
    bad_attribute("device", "product", "0x0101e", "product " + ID),
    bad_attribute("device", "subsystem-vendor", "0x15bg", "subsystem-vendor " + ID),
    bad_attribute("device", "subsystem-product", "*", "subsystem-product " + ID),
    bad_attribute("device", "class", "0x020", "class is 0x and the first 2, 4 or all 6 hexadecimal digits"),
    bad_attribute("device", "class", "0x", "class is 0x and the first 2, 4 or all 6 hexadecimal digits"),
    bad_attribute("device", "class", "network", "class is 0x and the first 2, 4 or all 6 hexadecimal digits"),
    bad_attribute("device", "address", "", "address " + ADDRESSES),
    bad_attribute("device", "address", "3b:00", "address " + ADDRESSES, CHECK),
    bad_attribute("device", "address", "1*:00.0", "address " + ADDRESSES, CHECK),
    bad_attribute("device", "address", "3b:00.[0", "address " + ADDRESSES, CHECK),
    bad_attribute("device", "address", "pci_0000_3b_00_1", "address " + ADDRESSES),
    bad_attribute("device", "physical-function", "eth0", "physical-function " + ADDRESSES),
    bad_attribute("device", "native-driver", "mlx5 core", "native-driver is a driver's name or a glob of names"),
    bad_attribute("device", "native-driver", "mlx5[", "native-driver is a driver's name or a glob of names", CHECK),
    bad_attribute("device", "modalias", "vfio_pci:v*", "modalias is a glob like pci:v000015B3d*"),
    bad_attribute("device", "modalias", "pci:v* d*", "modalias is a glob like pci:v000015B3d*"),
    bad_attribute("device", "modalias", "pci:" + "v" * 300, "modalias is a glob like pci:v000015B3d*", CHECK),
    bad_attribute("device", "iommu-group", "041", "iommu-group is a number, without leading zeros"),
    bad_attribute("device", "iommu-group", "-1", "iommu-group is a number, without leading zeros"),
    bad_attribute("device", "iommu-group", "9999999999", "iommu-group is a number, without leading zeros", CHECK),
    # settings
    bad_attribute("gate", "enabled", "true", "enabled is yes or no"),
    bad_attribute("gate", "deadline", "0", "deadline " + SECONDS),
    bad_attribute("gate", "deadline", "3601", "deadline " + SECONDS),
    bad_attribute("gate", "deadline", "30s", "deadline " + SECONDS),
    bad_attribute("gate", "deadline", "01", "deadline " + SECONDS),
    bad_attribute("hooks", "time-limit", "-5", "time-limit " + SECONDS),
    bad_attribute("metrics", "textfile", "x.prom", PROM),
    bad_attribute("metrics", "textfile", "/var/lib/x.txt", PROM),
    bad_attribute("metrics", "textfile", "/var/lib/../x.prom", PROM, CHECK),
    bad_attribute("metrics", "textfile", "/var/lib/.prom", PROM),
    ("<gate><serve executable='/usr/sbin/libvirtd'/></gate>", "2:7: <serve executable='/usr/sbin/libvirtd'>: executable "
     "is a program's name, without folders", SCHEMA),
    ("<gate><serve/></gate>", "2:7: <serve> needs the attribute executable", SCHEMA),
]


def policy(text):
    return text if text.startswith("<vfio-variant") else f"<vfio-variant>\n{text}\n</vfio-variant>\n"


def run(*program, stdin=""):
    return subprocess.run(program, input=stdin, capture_output=True, text=True, check=False,
                          env={**os.environ, "LC_ALL": "C.UTF-8"})


class File:
    """A file with this text, for a with block; its path."""

    def __init__(self, text):
        self.text = text

    def __enter__(self):
        self.file = tempfile.NamedTemporaryFile("w", suffix=".xml", encoding="utf-8")
        self.file.write(self.text)
        self.file.flush()
        return self.file.name

    def __exit__(self, *_):
        self.file.close()


def lint(text, schema):
    """Whether the schema alone takes it."""
    result = run("xmllint", "--noout", "--nonet", "--relaxng", schema, "-", stdin=text)
    assert result.returncode in (0, 3, 4), result.stderr  # valid, or not
    return result.returncode == 0


def needs_xmllint():
    if not shutil.which("xmllint"):
        raise Skip("no xmllint")


def assert_good(text):
    with File(text) as path:
        result = run(COMMAND, "policy", path)
        equal((result.returncode, result.stderr), (0, ""))
        assert path in result.stdout and "ignored" not in result.stdout, result.stdout


def good_files():
    for text in GOOD:
        assert_good(policy(text))


def good_files_are_valid_by_the_schema():
    needs_xmllint()
    for text in GOOD:
        assert lint(policy(text), POLICY_SCHEMA), text


def bad_files():
    for text, message, _ in BAD:
        with File(policy(text)) as path:
            result = run(COMMAND, "policy", path)
            equal(result.returncode, 1)
            place, words = message.split(": ", 1)
            wanted = re.escape(f"vfio-variant: {path}:") + re.escape(place).replace(r"\*", r"\d+")
            wanted += re.escape(f": {words}; nothing in it counts\n")
            assert re.fullmatch(wanted, result.stderr), f"{result.stderr!r} is not {wanted!r}"
            assert "ignored" in result.stdout and "no rules" in result.stdout, result.stdout


def bad_files_are_not_valid_by_the_schema():
    needs_xmllint()
    for text, _, by in BAD:
        if by == XML:
            assert run("xmllint", "--noout", "-", stdin=policy(text)).returncode == 1, text
        else:
            equal((lint(policy(text), POLICY_SCHEMA), text), (by == CHECK, text))


# --- examples in the documentation ---


def policy_examples():
    return [(block.place, block.text) for block in blocks(SOURCE) if block.text.startswith("<vfio-variant")]


def metadata_examples():
    return [(block.place, block.text) for block in blocks(SOURCE) if f"'{NAMESPACE}'" in block.text]


def examples_of_policies_are_good():
    examples = policy_examples()
    assert len(examples) > 5, examples
    for place, text in examples:
        print(f"# {place}")
        assert_good(text)


def examples_of_policies_are_valid_by_the_schema():
    needs_xmllint()
    for place, text in policy_examples():
        assert lint(text, POLICY_SCHEMA), place


def metadata_of(text):
    return re.search(r"<(\w+:)hostdevs.*</\1hostdevs>", text, re.DOTALL).group(0)


def domain_for(metadata):
    """A domain that has what the wishes are for."""
    devices = ""
    for number, alias in enumerate(re.findall(r"alias='([^']*)'", metadata)):
        devices += (f"<hostdev type='pci'><source><address bus='9' slot='{number}' function='0'/></source>"
                    f"<alias name='{alias}'/></hostdev>")
    for bus, slot, function in re.findall(r"address='0000:(..):(..)\.(.)'", metadata):
        devices += (f"<hostdev type='pci'><source><address bus='0x{bus}' slot='0x{slot}' function='{function}'/>"
                    "</source></hostdev>")
    return f"<domain><metadata>{metadata}</metadata><devices>{devices}</devices></domain>"


def examples_of_wishes_are_good():
    examples = metadata_examples()
    assert len(examples) > 1, examples
    for place, text in examples:
        print(f"# {place}")
        metadata = metadata_of(text)
        result = run(WISHES, stdin=domain_for(metadata))
        equal((result.returncode, result.stderr), (0, ""))
        lines = result.stdout.splitlines()
        equal(len(lines), len(re.findall(r"<\w+:hostdev ", metadata)))
        assert lines and all(line.endswith(" wished") for line in lines), lines


def examples_of_wishes_are_valid_by_the_schema():
    needs_xmllint()
    for place, text in metadata_examples():
        assert lint(metadata_of(text), METADATA_SCHEMA), place


# --- the schema of wishes ---

BAD_WISHES = [
    "driver='a'", "alias='ua-x'/><x", "alias='ua-x' address='3b:00.1' driver='a'", "alias='u x' driver='a'",
    "address='3b:*' driver='a'", "address='3b:00.8' driver='a'", "alias='x' driver='auto a'", "alias='x' fallback='no'",
    "alias='x' unmanaged='manage'", "alias='x' host-use='warn'", "alias='x' at-boot='yes'", "alias='x' v:driver='a'",
]
GOOD_WISHES = [
    "alias='ua-x' driver='a b generic'", "alias='hostdev0' fallback='none' migratable='require'",
    "address='0000:3b:00.1' driver='auto'", "address='pci_0000_3b_00_1' driver='a'", "address='3B:0.1' driver='a'",
    "address='/sys/bus/pci/devices/0000:3b:00.1' driver='a'",
]


def wishes(attributes):
    return f"<v:hostdevs xmlns:v='{NAMESPACE}'><v:hostdev {attributes}/></v:hostdevs>"


def wishes_and_their_schema():
    needs_xmllint()
    for attributes in GOOD_WISHES:
        assert lint(wishes(attributes), METADATA_SCHEMA), attributes
    for attributes in BAD_WISHES:
        assert not lint(wishes(attributes), METADATA_SCHEMA), attributes
        result = run(WISHES, stdin=domain_for(wishes(attributes)))
        equal(result.returncode, 0)
        assert re.fullmatch(r"domain XML:1:\d+: <.*\n", result.stdout), result.stdout
    assert not lint("<hostdevs/>", METADATA_SCHEMA)


TESTS = [
    good_files, good_files_are_valid_by_the_schema, bad_files, bad_files_are_not_valid_by_the_schema,
    examples_of_policies_are_good, examples_of_policies_are_valid_by_the_schema, examples_of_wishes_are_good,
    examples_of_wishes_are_valid_by_the_schema, wishes_and_their_schema,
]

run_tests(TESTS)
