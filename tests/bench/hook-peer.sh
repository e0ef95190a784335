#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# hook-peer.sh DOMAIN OPERATION SUB-OPERATION: a typical site script in place of vfio-variant-hook, as far as ./run
# bench compares them. "prepare" records the driver of each device. "start" selects the best driver and rebinds
# devices that are on another driver. It has no locks, recovery, policy, or verification.

set -eu
journal=/run/vfio-hook
aliases=/lib/modules/$(uname -r)/modules.alias
xml=$(cat)
mkdir -p "$journal"

addresses() {
  [[ $xml == *hostdev* ]] || return 0
  grep -o "<hostdev mode='subsystem' type='pci' managed='yes'><source><address [^>]*" <<<"$xml" |
    sed -E "s/.*domain='0x([^']*)' bus='0x([^']*)' slot='0x([^']*)' function='0x([^']*)'.*/\1:\2:\3.\4/"
}

best_module() { # best_module MODALIAS
  grep '^alias vfio_' "$aliases" | while read -r _ pattern module; do
    # shellcheck disable=SC2053 # a pattern is intended
    if [[ vfio_$1 == $pattern ]]; then
      stars=${pattern//[^*]/}
      echo "${#stars} $module"
    fi
  done | sort -n | { read -r _ module && echo "$module"; }
}

prepare() { # prepare ADDRESS
  device=/sys/bus/pci/devices/$1
  printf 'driver=%s\noverride=%s\ndomain=%s\n' "$(basename "$(readlink "$device/driver")")" \
    "$(cat "$device/driver_override")" "$domain" >"$journal/$1.new"
  mv "$journal/$1.new" "$journal/$1"
}

start() { # start ADDRESS
  device=/sys/bus/pci/devices/$1
  driver=$(best_module "$(cat "$device/modalias")")
  if [ "$(basename "$(readlink "$device/driver")")" != "$driver" ]; then
    echo "$driver" >"$device/driver_override"
    echo "$1" >"$device/driver/unbind"
    echo "$1" >/sys/bus/pci/drivers_probe
  fi
  printf 'driver=%s\ndomain=%s\n' "$driver" "$domain" >"$journal/$1.new"
  mv "$journal/$1.new" "$journal/$1"
}

domain=$1
for address in $(addresses); do
  "$2" "$address"
done
