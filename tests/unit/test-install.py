#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tests of "meson install": it installs only below DESTDIR, and each file is in a Debian package and an RPM.

Usage: test-install.py MESON BUILD SOURCE; prints TAP. Root may write anywhere: for root, the file system is mounted
read-only except for DESTDIR and the build directory.
"""
import fnmatch
import functools
import json
import os
import re
import subprocess
import sys
import tempfile

from tap import Skip, equal, run_tests

MESON, BUILD, SOURCE = sys.argv[1:4]
HOOK_LINK = "etc/libvirt/hooks/qemu.d/vfio-variant"
READ_ONLY = """
for folder in /*; do
  case $folder in /proc | /sys | /dev) continue ;; esac
  [ -L "$folder" ] || mount --bind "$folder" "$folder"
  mountpoint -q "$folder" && mount -o remount,bind,ro "$folder"
done
mount --bind "$BUILD" "$BUILD" && mount -o remount,bind,rw "$BUILD"
mount --bind "$DESTDIR" "$DESTDIR" && mount -o remount,bind,rw "$DESTDIR"
exec "$@"
"""
MACROS = {
    "_bindir": "usr/bin",
    "_datadir": "usr/share",
    "_libexecdir": "usr/libexec",
    "_mandir": "usr/share/man",
    "_sbindir": "usr/sbin",
    "_sysconfdir": "etc",
}


@functools.lru_cache
def introspect(what):
    command = [MESON, "introspect", "--" + what, BUILD]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def option(name):
    return next(o["value"] for o in introspect("buildoptions") if o["name"] == name)


def install(destdir):
    command = [MESON, "install", "-C", BUILD, "--no-rebuild", "--quiet"]
    if os.geteuid() == 0:
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-euc", READ_ONLY, "sh", *command]
    environment = dict(os.environ, DESTDIR=destdir, BUILD=BUILD)
    result = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if "unshare failed" in result.stdout:
        raise Skip("no mount namespaces")
    equal(result.returncode, 0)


@functools.lru_cache
def installed():
    """The installed paths, relative to DESTDIR."""
    with tempfile.TemporaryDirectory(prefix="vfio-variant-") as destdir:
        install(destdir)
        found = set()
        for folder, _, names in os.walk(destdir):
            found |= {os.path.relpath(os.path.join(folder, name), destdir) for name in names}
        equal(os.readlink(os.path.join(destdir, HOOK_LINK)), "/usr/sbin/vfio-variant-hook")
        return found


def folder_of(name, files):
    return os.path.dirname(next(file for file in files if file.endswith("/" + name)))


def places(files):
    """The directories whose location depends on the distribution."""
    return {
        "UNIT_DIR": folder_of("vfio-variantd.service", files),
        "RULES_DIR": folder_of("70-vfio-variant.rules", files),
        "ZSH_DIR": folder_of("_vfio-variant", files),
    }


def lines(path):
    with open(os.path.join(SOURCE, path), encoding="utf-8") as file:
        return [line.strip() for line in file if line.strip() and not line.startswith("#")]


def is_built(pattern):
    """Whether this build installs the files of the pattern."""
    if pattern.startswith("etc/apparmor.d/"):
        return option("apparmor")
    if "/man/" in pattern:
        return any("/man/" in path for path in introspect("installed").values())
    return True


def expect_agreement(files, patterns):
    """Each file matches a pattern, and each pattern matches a file. The pattern of a directory matches all its files."""
    patterns = [pattern for pattern in patterns if is_built(pattern)]

    def fits(file, pattern):
        return fnmatch.fnmatch(file, pattern) or file.startswith(pattern + "/")

    equal(sorted(file for file in files if not any(fits(file, pattern) for pattern in patterns)), [])
    equal([pattern for pattern in patterns if not any(fits(file, pattern) for file in files)], [])


def nothing_outside_of_destdir():
    assert HOOK_LINK in installed()


def debian_has_every_file():
    files = installed()
    patterns = lines("debian/vfio-variant.install") + lines("debian/not-installed")
    expect_agreement(files, [re.sub(r"\${env:(\w+)}", lambda m: places(files)[m[1]], p) for p in patterns])


def rpm_has_every_file():
    """Without the AppArmor profiles: distributions with RPM use SELinux."""
    files = {file for file in installed() if not file.startswith("etc/apparmor.d/")}
    spec = lines("packaging/rpm/vfio-variant.spec")
    section = spec[spec.index("%files") + 1 : spec.index("%files doc")]
    macros = dict(MACROS, _unitdir=places(files)["UNIT_DIR"], _udevrulesdir=places(files)["RULES_DIR"])
    patterns = [line.split()[-1] for line in section if not line.startswith(("%license", "%doc", "%dir"))]
    expect_agreement(files, [re.sub(r"%{(\w+)}/", lambda m: macros[m[1]].strip("/") + "/", p) for p in patterns])


def one_version():
    version = introspect("projectinfo")["version"].replace("-", "~")
    equal(re.match(r"vfio-variant \((.*)-[^-]*\) ", lines("debian/changelog")[0])[1], version)
    spec = next(line for line in lines("packaging/rpm/vfio-variant.spec") if line.startswith("Version:"))
    equal(spec.split()[1], version)


if option("prefix") != "/usr":
    print("1..0 # SKIP not built for the prefix /usr")
    sys.exit()
run_tests([nothing_outside_of_destdir, debian_has_every_file, rpm_has_every_file, one_version])
