#!/usr/bin/env bash
# Makes one of the two virtual environments from its constraints file, or adds to the first.
#   tools/setup.sh main       .venv: automesh itself, editable, with all that development needs
#   tools/setup.sh model      .venv: what trains and serves models too, alone or over several machines
#   tools/setup.sh tritonclient  .tools/tritonclient: a client of others, which refuses our protobuf
#   tools/setup.sh pynguin    .tools/pynguin: the test generator, apart because it refuses our pytest
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
export PIP_DISABLE_PIP_VERSION_CHECK=1

say() { echo "setup: $*"; }
give_up() {
  echo "setup: $*" >&2
  exit 1
}

check_python() {
  command -v "$PYTHON" >/dev/null || give_up "there is no $PYTHON: install Python 3.11 or newer, or name one: make setup PYTHON=/path/to/python3.12"
  "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    give_up "$("$PYTHON" --version) is too old: Python 3.11 or newer is needed. Name one: make setup PYTHON=python3.12"
}

make_venv() {
  "$1/bin/python" -c '' 2>/dev/null && return # there already, and it works
  say "making $1 with $("$PYTHON" --version)"
  "$PYTHON" -m venv --clear "$1" || give_up "$PYTHON cannot make a virtual environment: on Debian and Ubuntu the package python3-venv is missing"
}

main() {
  make_venv .venv
  say "installing into .venv (the first time takes a minute or two)"
  # The build back end first, so that the editable install below downloads nothing of its own choosing.
  .venv/bin/pip install --constraint constraints.txt hatchling editables
  .venv/bin/pip install --constraint constraints.txt --no-build-isolation --editable '.[dev]'
  touch .venv/ready
  say "ready: .venv"
}

model() {
  say "adding torch and ray to .venv (large: a CPU build of torch is enough, if your package index has one)"
  .venv/bin/pip install --constraint constraints.txt --no-build-isolation --editable '.[model,ray]'
  touch .venv/model
  say "ready: the extras model and ray in .venv"
}

pynguin() {
  make_venv .tools/pynguin
  say "installing the test generator into .tools/pynguin"
  .tools/pynguin/bin/pip install --requirement constraints-pynguin.txt
  touch .tools/pynguin/ready
  say "ready: .tools/pynguin"
}

tritonclient() {
  make_venv .tools/tritonclient
  say "installing tritonclient into .tools/tritonclient"
  .tools/tritonclient/bin/pip install --requirement constraints-tritonclient.txt
  touch .tools/tritonclient/ready
  say "ready: .tools/tritonclient"
}

check_python
"$1"
