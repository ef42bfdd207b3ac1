#!/usr/bin/env bash
# Fills a virtual environment with what requirements.lock names, and with tunesmith itself in editable form.
#
#   usage: scripts/setup.sh VENV        (made with $PYTHON, or python3, where there is none)
#
# pip brings uv, at the version and hash of the lock, and uv installs the rest in a fraction of pip's time. Where uv fails, pip installs
# the same lock.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1
base=${PYTHON:-python3}
python=$venv/bin/python

say() { printf '==> %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

if [ ! -x "$python" ]; then
  command -v "$base" >/dev/null || fail "there is no '$base'; name a Python 3.11 or newer: make setup PYTHON=/path/to/python3"
  "$base" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "tunesmith needs Python 3.11 or newer, but '$base' is $("$base" -V 2>&1); name another: make setup PYTHON=python3.12"
  say "making $venv with $("$base" -V 2>&1)"
  "$base" -m venv "$venv" || { rm -rf "$venv"; fail "'$base' cannot make a virtual environment; the lines above say why"; }
fi

. scripts/_uv_settings.sh

say "installing requirements.lock into $venv"
awk '/^[^ #]/ { on = /^uv==/ } on' requirements.lock >"$venv/uv.lock.txt"
uv() { UV_COMPILE_BYTECODE=1 "$venv/bin/uv" pip install --quiet --python "$python" "$@"; }
pip() { "$python" -m pip install --quiet --quiet "$@"; } # twice: errors only, no warnings

pip --require-hashes -r "$venv/uv.lock.txt"
if ! uv --require-hashes -r requirements.lock; then
  say "uv could not; pip installs the same lock, which takes some minutes"
  pip --require-hashes -r requirements.lock
fi
uv --no-index --no-deps --no-build-isolation --editable .

# The lock must hold what pyproject.toml asks for: nothing is fetched here.
uv --no-index --no-build-isolation --editable '.[all,dev]' ||
  fail "requirements.lock does not hold what pyproject.toml asks for; write it anew with: make lock"
say "ready: $venv/bin/tunesmith"
