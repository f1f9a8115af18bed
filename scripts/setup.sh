#!/usr/bin/env bash
# Makes a virtual environment with the project (editable) and all that it needs:
#   scripts/setup.sh .venv
# PYTHON chooses the interpreter. Where a ROS 2 is sourced, its rclpy is used and no ROS wheel comes.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'set-up: %s\n' "$*"; }
die() {
  printf 'set-up: %s\n' "$*" >&2
  exit 1
}

is_suitable() {
  "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null ||
    return 1
  # A sourced ROS 2 works with one Python only, not always the first of PATH.
  [ -z "${ROS_DISTRO:-}" ] || "$1" -c 'import rclpy' 2>/dev/null
}

find_python() {
  local python
  for python in ${PYTHON:-python3 python3.12 python3.11 python3.10 /usr/bin/python3}; do
    if is_suitable "$python"; then
      echo "$python"
      return
    fi
  done
  die "no suitable Python${PYTHON:+ ($PYTHON is not)}: install Python 3.10, 3.11 or 3.12" \
    "${ROS_DISTRO:+(one that can import the rclpy of $ROS_DISTRO) }or name one in PYTHON"
}

install_packages() {
  local root=()
  [ "$(id -u)" = 0 ] || root=(sudo)
  say "installing system packages: $*"
  if command -v apt-get >/dev/null && command -v "${root[0]:-env}" >/dev/null; then
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive sh -c \
      'apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@"' sh "$@" && return
  fi
  die "these system packages are missing and could not be installed: $*. Have them installed" \
    "(on Debian and Ubuntu: sudo apt-get install $*), then run this again"
}

make_venv() {
  local venv=$1 python=$2
  if "$venv/bin/python" -c '' 2>/dev/null; then
    return
  fi
  "$python" -c 'import ensurepip' 2>/dev/null ||
    install_packages "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
  say "making $venv with $("$python" --version)"
  "$python" -m venv --clear ${ROS_DISTRO:+--system-site-packages} "$venv"
  # Whatever its name, git and the tools that heed .gitignore leave it alone.
  echo '*' >"$venv/.gitignore"
}

# What the wheels of OpenCV and MuJoCo take from the system.
missing_packages() {
  "$1" - <<'PYTHON'
import ctypes

PACKAGES = {
    "libgl1": ["libGL.so.1"],
    "libglib2.0-0": ["libgthread-2.0.so.0"],
    "libosmesa6": ["libOSMesa.so.8", "libOSMesa.so.6", "libEGL.so.1"],
}


def is_there(library):
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


for package, libraries in PACKAGES.items():
    if not any(map(is_there, libraries)):
        print(package)
PYTHON
}

# A distribution's compiled modules (cv_bridge) need numpy of the major version they were built for.
constraints() {
  local venv=$1
  if [ -n "${ROS_DISTRO:-}" ] &&
    "$venv/bin/python" -c 'import numpy, sys; sys.exit(numpy.__version__ >= "2")' 2>/dev/null; then
    grep -vE '^(numpy|opencv-python)==' constraints.txt >"$venv/constraints.txt"
    echo 'numpy<2' >>"$venv/constraints.txt"
  else
    cp constraints.txt "$venv/constraints.txt"
  fi
}

venv=${1:?usage: scripts/setup.sh VENV}
python=$(find_python)
make_venv "$venv" "$python"
packages=$(missing_packages "$venv/bin/python")
# shellcheck disable=SC2086  # one word a package
[ -z "$packages" ] || install_packages $packages
constraints "$venv"
say "installing the project into $venv (the first time takes minutes)"
install=("$venv/bin/python" -m pip install --disable-pip-version-check -c "$venv/constraints.txt")
# Python 3.10's own pip does not get through torch's CUDA requirements.
"${install[@]}" pip setuptools
"${install[@]}" -e '.[all,dev]'
"$venv/bin/python" -c 'import rclpy' ||
  die "$venv cannot import rclpy${ROS_DISTRO:+ of the sourced $ROS_DISTRO}; see the line above"
touch "$venv/.ready"
