# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# What the host-side scripts share: messages, hashes, cached artefacts, chroots.
# A directory DIR holds one emulated host:
#
#   DIR/roots/runtime   the pristine root file system of the emulated host (make-root)
#   DIR/roots/builder   the same suite with compiler and headers           (make-root)
#   DIR/work/           sources, meson's and kbuild's build directories     (make-image)
#   DIR/cache/          what libvirt keeps about QEMU, put into images      (make-image)
#   DIR/image/          disk.img, initrd, vmlinuz                           (make-image)
#   DIR/bare/           the same without the project                        (make-image)
#   DIR/packages/       Debian packages of the project                      (make-packages)
#   DIR/variants/       the kernel's own variant drivers                    (make-variants)
#
# Beside it, for all hosts there, can lie a QEMU with a device that the machine's own does not have:
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
  [ "$(id -u)" = 0 ] || die 'must be run as root: it makes root file systems'
}

need_tools() {
  local tool
  for tool; do
    command -v "$tool" >/dev/null || die "$tool is not installed"
  done
}

# hash_of STRING...: of strings
hash_of() {
  printf '%s\0' "$@" | sha256sum | cut -d' ' -f1
}

# is_current ARTEFACT HASH: whether the directory ARTEFACT was made from these inputs
is_current() {
  [ -e "$1/.stamp" ] && [ "$(cat "$1/.stamp")" = "$2" ]
}

# begin ARTEFACT: an empty directory beside it, to be filled; prints its name
begin() {
  rm -rf "$1.new"
  mkdir -p "$1.new"
  printf '%s\n' "$1.new"
}

# finish ARTEFACT HASH: what begin made takes its place. Killed anywhere before the last
# rename, the artefact is missing or the old one, never half of the new one.
finish() {
  printf '%s\n' "$2" >"$1.new/.stamp"
  rm -rf "$1.old"
  [ ! -e "$1" ] || mv -T "$1" "$1.old"
  mv -T "$1.new" "$1"
  rm -rf "$1.old"
}

# with_lock DIR: only one of the make- scripts at a time in DIR
with_lock() {
  mkdir -p "$1"
  exec {lock_fd}>"$1/.lock"
  flock "$lock_fd"
}

# machine_has DEVICE: whether the machine's own QEMU has it
machine_has() {
  [[ $(qemu-system-x86_64 -device help 2>/dev/null) == *"\"$1\""* ]]
}

# kernel_release ROOT: of the one kernel in a root file system
kernel_release() {
  local -a releases
  releases=("$1"/usr/lib/modules/*)
  if [ "${#releases[@]}" != 1 ] || [ ! -d "${releases[0]}" ]; then
    die "$1 holds not exactly one kernel"
  fi
  basename "${releases[0]}"
}

# --- this source tree, and the builder ---

# source_files: their names, each with a NUL after it
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

# copy_sources DIRECTORY: the files that are named on standard input. Their times are kept: ninja and make build only what
# changed.
copy_sources() {
  rm -rf "$1.new"
  mkdir -p "$1.new"
  (cd "$source_dir" && cpio --quiet -0pdm "$1.new")
  rm -rf "$1"
  mv "$1.new" "$1"
}

# in_root ROOT SCRIPT [ARGUMENT...]: in that root file system, with $work on /mnt. Its mounts are those
# of a mount namespace and vanish with it, even when it is killed.
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

# in_builder SCRIPT [ARGUMENT...]: in the builder of $roots
in_builder() {
  # shellcheck disable=SC2154 # set by the caller
  in_root "$roots/builder" "$@"
}

# logged WHAT COMMAND...: its messages are shown if it fails
logged() {
  local log=$work/$1.log
  "${@:2}" >"$log" 2>&1 && return
  cat "$log" >&2
  die "building the $1 failed"
}

# --- from a Debian mirror ---

# read_options N ARGUMENT...: --mirror and --ignore-valid-until, which the functions below go by, and --help, with the script's
# usage; the N others are left in arguments
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

# Its main archive, not the one of security updates, nor anybody else's
mirror_of_this_system() {
  local mirror
  # shellcheck disable=SC2016 # apt-get's own variables
  mirror=$(apt-get indextargets --format '$(CREATED_BY)|$(COMPONENT)|$(LABEL)|$(CODENAME)|$(REPO_URI)' |
    awk -F'|' '$1 == "Packages" && $2 == "main" && $3 == "Debian" && $4 !~ /-/ { print $5; exit }')
  [ -n "$mirror" ] || die 'no Debian mirror in the configuration of apt here: name one with --mirror'
  printf '%s\n' "$mirror"
}

# Settings of the running system that decide how packages are fetched.
fetch_settings() {
  apt-config dump | grep -E '^Acquire::https?::Proxy ' || true
  [ -z "$ignore_valid_until" ] || echo 'Acquire::Check-Valid-Until "false";'
}

# bootstrap SUITE ROOT OPTION...: a root file system by mmdebstrap, from $mirror, with what
# all here have in common; messages to ROOT.log
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
  die "mmdebstrap failed; all of its messages: $root.log"
}

# For mmdebstrap, in bootstrap: Debian's source of Linux $KERNEL_VERSION into /linux; all, or what $KERNEL_PART matches
# shellcheck disable=SC2016,SC2034 # expanded by mmdebstrap's shell; used by the scripts that read this file
linux_source_hook='set -e
  mkdir "$1/debs" "$1/linux"
  cd "$1/debs"
  APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get -q download "linux-source-$KERNEL_VERSION"
  dpkg -x linux-source-*.deb .
  tar -C "$1/linux" --strip-components=1 --wildcards -xf usr/src/linux-source-*.tar.xz "${KERNEL_PART:-*}"
  rm -r "$1/debs"'
