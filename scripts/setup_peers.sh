#!/usr/bin/env bash
# Fills a virtual environment with benchmarks/requirements-peers.txt: what the measurements compare tunesmith with.
#
#   usage: scripts/setup_peers.sh VENV PEERS-VENV        (VENV is the one of scripts/setup.sh, whose uv is used)
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1
peers=$2
python=$venv/bin/python

. scripts/_uv_settings.sh

[ -x "$peers/bin/python" ] || "$venv/bin/uv" venv --quiet --python "$python" "$peers"
printf '==> installing benchmarks/requirements-peers.txt into %s\n' "$peers"
UV_COMPILE_BYTECODE=1 "$venv/bin/uv" pip install --quiet --python "$peers/bin/python" --requirement benchmarks/requirements-peers.txt
