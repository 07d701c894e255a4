# Sourced by scripts/demo and scripts/test: makes .venv hold what constraints.txt pins, or finds that it does.
# Uses the ROS distribution if one is sourced, else the ROS wheels: Jazzy's, or those of ROS_WHEELS=kilted, which get an
# environment of their own. PYTHON chooses the interpreter.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
WHEELS=${ROS_WHEELS:-jazzy}
VENV=$ROOT/.venv
PYTHON=${PYTHON:-python3}

say() { printf '[setup] %s\n' "$*" >&2; }
fail() { printf '[setup] error: %s\n' "$*" >&2; exit 1; }

# Installs Debian packages where that needs no password, else says which are missing and returns 1.
apt_try() {
  local as_root=()
  if ((EUID != 0)); then
    sudo -n true 2>/dev/null || { say "missing Debian packages; run: sudo apt install $*"; return 1; }
    as_root=(sudo -n)
  fi
  say "installing the Debian packages $*"
  { "${as_root[@]}" apt-get update -qq && "${as_root[@]}" apt-get install -y -qq "$@"; } >/dev/null ||
    { say "could not install Debian packages; run: sudo apt install $*"; return 1; }
}

apt_install() { apt_try "$@" || fail "cannot go on without $*"; }

command -v "$PYTHON" >/dev/null || apt_install python3 python3-venv
command -v "$PYTHON" >/dev/null || fail "'$PYTHON' not found; set PYTHON to a Python 3.10 to 3.13"
version=$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
case $version in
  3.10 | 3.11 | 3.12 | 3.13) ;;
  *) fail "$PYTHON is Python $version, expected 3.10 to 3.13; choose another one with PYTHON=python3.12 $0" ;;
esac
"$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || apt_install "python$version-venv"

extras=openvino,int8,onnx,train,dev
if [[ -n ${ROS_DISTRO:-} ]] && "$PYTHON" -c 'import rclpy' 2>/dev/null; then
  ros="ROS $ROS_DISTRO as sourced"
  venv_options=(--system-site-packages)
elif [[ $(uname -m) == x86_64 ]]; then
  [[ $WHEELS == jazzy || $WHEELS == kilted ]] || fail "ROS_WHEELS is '$WHEELS', expected jazzy or kilted"
  [[ $WHEELS == jazzy ]] || VENV+=-$WHEELS
  ros="the ROS ${WHEELS^} wheels"
  venv_options=()
  extras+=,ros-$WHEELS
else
  fail "no ROS 2 distribution is sourced and the ROS wheels exist for x86_64 only, this is $(uname -m);" \
    "run: source /opt/ros/<distribution>/setup.bash"
fi

# The stamp says what the environment was made from; it is written last, so that a broken set-up starts anew.
stamp=$(cd "$ROOT" && { printf '%s\n' "$ROOT" "$version" "$ros" "$extras"; cat constraints.txt setup.py setup.cfg; } | sha256sum)
if [[ $(cat "$VENV/stamp" 2>/dev/null) == "$stamp" ]]; then
  say "$VENV is up to date ($ros)"
else
  say "making $VENV with Python $version and $ros; the first time takes some minutes"
  "$PYTHON" -m venv --clear "${venv_options[@]}" "$VENV"
  # The constraints hold for all but another distribution's wheels, which setup.py pins.
  pinned=$(mktemp)
  if [[ $WHEELS == jazzy ]]; then cat "$ROOT/constraints.txt"; else grep -v '^ros-' "$ROOT/constraints.txt"; fi >"$pinned"
  pip=("$VENV/bin/python" -m pip install -qq --disable-pip-version-check --constraint "$pinned")
  say "installing the build tools"
  "${pip[@]}" setuptools wheel
  say "installing torch (gigabytes where the package index has no CPU build of it)"
  "${pip[@]}" torch
  say "installing t2g_ros[$extras], its sources used where they lie"
  "${pip[@]}" --no-build-isolation --editable "$ROOT[$extras]"
  rm "$pinned"
  printf '%s\n' "$stamp" >"$VENV/stamp"
  say "done"
fi
