# Sourced by scripts/demo and scripts/test: a Python 3.11 with ipsecd installed, as $python.
#
# The virtual environment is .venv in the checkout, or $IPSECD_VENV. It is made anew when pyproject.toml, the
# interpreter or the place of the checkout is another than last time; else this takes a few milliseconds.
# shellcheck shell=bash

fail() { echo "$0: $*" >&2; exit 1; }

# Debian has the interpreter in one package and ensurepip in another.
good_python() { "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    local name
    for name in "${PYTHON:-python3}" python3.13 python3.12 python3.11 /usr/bin/python3; do
        good_python "$name" && { command -v "$name"; return; }
    done
    return 1
}

apt_python() {
    [ "$(id -u)" = 0 ] || fail "needs Python 3.11 or later with venv: apt-get install python3-venv, or run this as root"
    command -v apt-get >/dev/null || fail "needs Python 3.11 or later with venv"
    echo "installing python3-venv" >&2
    { apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends python3 python3-venv; } >&2
}

build_venv() {
    local base
    base=$(find_python) || { apt_python; base=$(find_python); } || fail "no Python 3.11 or later, even after installing python3-venv"
    echo "installing ipsecd and its test tools into $venv" >&2
    "$base" -m venv --clear "$venv"
    "$python" -m pip install --quiet --quiet --disable-pip-version-check --prefer-binary --editable ".[test]" >&2
    echo "$stamp" >"$venv/stamp"
    [ "$(id -u)" != 0 ] || chown -R --reference=. "$venv" ipsecd.egg-info
}

venv=$(realpath -m "${IPSECD_VENV:-.venv}")
python=$venv/bin/python
stamp="$(sha256sum <pyproject.toml) $PWD ${PYTHON:-}"

if [ "$(cat "$venv/stamp" 2>/dev/null)" != "$stamp" ] || ! "$python" -c '' 2>/dev/null; then
    { mkdir -p "$venv" && [ -w "$venv" ]; } || fail "$venv isn't up to date, and isn't yours to change"
    exec {lock}<scripts/setup.sh
    flock "$lock"
    [ "$(cat "$venv/stamp" 2>/dev/null)" = "$stamp" ] || build_venv
    exec {lock}<&-
fi
