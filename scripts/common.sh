# SPDX-License-Identifier: Apache-2.0
# Shared by the scripts beside it: where the tree and the build are. Source it.

root=$(cd "$(dirname "$0")/.." && pwd -P)

say() { printf '%s\n' "$*"; }
die() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# A build folder this user can write: build/NAME in the tree, or else one of
# his own in the cache, so that root and an ordinary user do not meet.
build_dir() {
  if [ -n "${TPDFS_BUILD:-}" ]; then
    base=$TPDFS_BUILD
  elif [ -w "$root" ] && { [ ! -e "$root/build" ] || [ -O "$root/build" ]; }; then
    base=$root/build
  else
    base=${XDG_CACHE_HOME:-$HOME/.cache}/tpdfs/build
  fi
  printf '%s/%s\n' "$base" "$1"
}

# configure NAME [meson options]: makes or refreshes that build folder.
configure() {
  dir=$(build_dir "$1")
  shift
  mkdir -p "$dir"
  if [ -f "$dir/build.ninja" ]; then
    meson setup --reconfigure "$@" "$dir" "$root" >"$dir/setup.log" 2>&1 && return 0
    # Left by another version of the tree or of the tools: start afresh.
    rm -rf "$dir"
    mkdir -p "$dir"
  fi
  meson setup "$@" "$dir" "$root" >"$dir/setup.log" 2>&1 || {
    grep ERROR "$dir/setup.log" >&2 || cat "$dir/setup.log" >&2
    die "meson setup failed ($dir/setup.log)"
  }
}
