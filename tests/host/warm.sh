# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
#
# Run by make-image: at its first start libvirt queries the capabilities of QEMU, which takes many seconds here.
# Exports libvirt's cache for the images of the same root.

scenario 'libvirt starts' start_libvirt
tar -C / -c var/cache/libvirt/qemu/capabilities | base64 | sed 's/^/#cache /' >&3
