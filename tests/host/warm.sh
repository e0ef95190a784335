# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
#
# Run by make-image: libvirt asks QEMU what it can do at its first start, which takes it
# many seconds here. Hands out what it keeps of that, for the images of the same root.

scenario 'libvirt starts' start_libvirt
tar -C / -c var/cache/libvirt/qemu/capabilities | base64 | sed 's/^/#cache /' >&3
