# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# Shared functions of the scripts that run on the machine itself: messages, hashes, cached artefacts, chroots. A
# directory DIR holds one emulated host:
#
#   DIR/roots/runtime   the pristine root file system of the emulated host (make-root)
#   DIR/roots/builder   the same suite with compiler and headers           (make-root)
#   DIR/work/           sources, build directories of meson and kbuild      (make-image)
#   DIR/cache/          libvirt's cache of QEMU capabilities, for images    (make-image)
#   DIR/image/          disk.img, initrd, vmlinuz                           (make-image)
#   DIR/bare/           the same without the project                        (make-image)
#   DIR/packages/       Debian packages of the project                      (make-packages)
#   DIR/variants/       the kernel's own variant drivers                    (make-variants)
#
# An optional QEMU for all hosts, with a device that the machine's own QEMU lacks:
#
#   DIR/../emulator/DEVICE/   its program, firmware/ and lib/            (make-emulator)

set -euo pipefail

host_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck disable=SC2034 # used by the scripts that read this file
source_dir=$(cd "$host_dir/../.." && pwd)

say() {
  printf '==> %s\n' "$*" >&2
}

die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

need_root() {
  [ "$(id -u)" = 0 ] || die 'must be run as root, to make root file systems'
}

need_tools() {
  local tool
  for tool; do
    command -v "$tool" >/dev/null || die "$tool is not installed"
  done
}

# hash_of STRING...: prints the hash of the strings
hash_of() {
  printf '%s\0' "$@" | sha256sum | cut -d' ' -f1
}

# is_current ARTEFACT HASH: succeeds if the directory ARTEFACT was made from the inputs with this hash
is_current() {
  [ -e "$1/.stamp" ] && [ "$(cat "$1/.stamp")" = "$2" ]
}

# begin ARTEFACT: makes an empty directory beside ARTEFACT, to be filled; prints its name
begin() {
  rm -rf "$1.new"
  mkdir -p "$1.new"
  printf '%s\n' "$1.new"
}

# finish ARTEFACT HASH: replaces ARTEFACT with the directory that begin made. After a kill before the last rename,
# the artefact is missing or the old one, never incomplete.
finish() {
  printf '%s\n' "$2" >"$1.new/.stamp"
  rm -rf "$1.old"
  [ ! -e "$1" ] || mv -T "$1" "$1.old"
  mv -T "$1.new" "$1"
  rm -rf "$1.old"
}

# with_lock DIR: ensures that only one make- script runs in DIR at a time
with_lock() {
  mkdir -p "$1"
  exec {lock_fd}>"$1/.lock"
  flock "$lock_fd"
}

# machine_has DEVICE: succeeds if the machine's own QEMU has the device
machine_has() {
  [[ $(qemu-system-x86_64 -device help 2>/dev/null) == *"\"$1\""* ]]
}

# kernel_release ROOT: prints the release of the only kernel in a root file system
kernel_release() {
  local -a releases
  releases=("$1"/usr/lib/modules/*)
  if [ "${#releases[@]}" != 1 ] || [ ! -d "${releases[0]}" ]; then
    die "$1 must contain exactly one kernel"
  fi
  basename "${releases[0]}"
}

# --- the source tree and the builder ---

# source_files: prints the file names of the source tree, each terminated by NUL
source_files() {
  (
    cd "$source_dir"
    if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
      git ls-files -z --cached --others --exclude-standard
    else
      find . -path ./build -prune -o -type f -printf '%P\0'
    fi
  ) | sort -zu | while IFS= read -r -d '' file; do
    [ ! -f "$source_dir/$file" ] || printf '%s\0' "$file"
  done
}

# copy_sources DIRECTORY: copies the files named on standard input. Keeps their timestamps, so that ninja and make
# rebuild only changed files.
copy_sources() {
  rm -rf "$1.new"
  mkdir -p "$1.new"
  (cd "$source_dir" && cpio --quiet -0pdm "$1.new")
  rm -rf "$1"
  mv "$1.new" "$1"
}

# in_root ROOT SCRIPT [ARGUMENT...]: runs SCRIPT in the root file system ROOT, with $work on /mnt. The mounts belong
# to a mount namespace and disappear with it, even after a kill.
in_root() {
  # shellcheck disable=SC2016,SC2154 # expanded by the inner shell; set by the caller
  unshare --mount --propagation private sh -euc '
    root=$1 work=$2
    shift 2
    mount --bind "$work" "$root/mnt"
    mount -t proc proc "$root/proc"
    exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
      sh -euc "$@"' sh "$1" "$work" "$2" sh "${@:3}"
}

# in_builder SCRIPT [ARGUMENT...]: runs SCRIPT in the builder of $roots
in_builder() {
  # shellcheck disable=SC2154 # set by the caller
  in_root "$roots/builder" "$@"
}

# logged WHAT COMMAND...: runs COMMAND and shows its messages only if it fails
logged() {
  local log=$work/$1.log
  "${@:2}" >"$log" 2>&1 && return
  cat "$log" >&2
  die "building the $1 failed"
}

# --- Debian mirrors ---

# read_options N ARGUMENT...: handles --mirror and --ignore-valid-until, which the functions below use, and --help,
# which prints the script's usage. Leaves the N other arguments in $arguments.
read_options() {
  local count=$1
  shift
  mirror='' ignore_valid_until=''
  while [ $# -gt 0 ]; do
    case $1 in
      --mirror) mirror=${2:?} && shift ;;
      --ignore-valid-until) ignore_valid_until=yes ;;
      --help) usage && exit ;;
      -*) usage >&2 && exit 2 ;;
      *) break ;;
    esac
    shift
  done
  [ $# = "$count" ] || { usage >&2 && exit 2; }
  # shellcheck disable=SC2034 # used by the scripts that read this file
  arguments=("$@")
}

# Only the main archive of Debian, not security updates, nor third-party archives
mirror_of_this_system() {
  local mirror
  # shellcheck disable=SC2016 # apt-get's own variables
  mirror=$(apt-get indextargets --format '$(CREATED_BY)|$(COMPONENT)|$(LABEL)|$(CODENAME)|$(REPO_URI)' |
    awk -F'|' '$1 == "Packages" && $2 == "main" && $3 == "Debian" && $4 !~ /-/ { print $5; exit }')
  [ -n "$mirror" ] || die 'no Debian mirror in the configuration of apt: specify one with --mirror'
  printf '%s\n' "$mirror"
}

# Settings of the running system that affect how packages are fetched
fetch_settings() {
  apt-config dump | grep -E '^Acquire::https?::Proxy ' || true
  [ -z "$ignore_valid_until" ] || echo 'Acquire::Check-Valid-Until "false";'
}

# bootstrap SUITE ROOT OPTION...: makes a root file system with mmdebstrap, from $mirror, with the options common to
# all root file systems; writes messages to ROOT.log
bootstrap() {
  local suite=$1 root=$2 setting skip
  local -a arguments=(--mode=root --architectures=amd64)
  while read -r setting; do
    arguments+=(--aptopt="$setting")
  done < <(fetch_settings)
  for skip in doc man info locale; do
    arguments+=(--dpkgopt="path-exclude=/usr/share/$skip/*")
  done
  arguments+=(
    --aptopt='APT::Install-Recommends "false"'
    --aptopt='Acquire::Languages "none"'
    --dpkgopt=force-unsafe-io
    "${@:3}"
  )
  mmdebstrap "${arguments[@]}" "$suite" "$root" "$mirror" >"$root.log" 2>&1 && return
  tail -n 30 "$root.log" >&2
  die "mmdebstrap failed; see $root.log"
}

# A hook for mmdebstrap, in bootstrap: copies Debian's source of Linux $KERNEL_VERSION to /linux, or only
# $KERNEL_PART of it
# shellcheck disable=SC2016,SC2034 # expanded by mmdebstrap's shell; used by the scripts that read this file
linux_source_hook='set -e
  mkdir "$1/debs" "$1/linux"
  cd "$1/debs"
  APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get -q download "linux-source-$KERNEL_VERSION"
  dpkg -x linux-source-*.deb .
  tar -C "$1/linux" --strip-components=1 --wildcards -xf usr/src/linux-source-*.tar.xz "${KERNEL_PART:-*}"
  rm -r "$1/debs"'
