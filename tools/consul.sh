#!/usr/bin/env bash
# Brings a real Consul for the tests to .tools/consul/consul; installs nothing, needs no root.
# One on PATH is used as it is. Else it is unpacked from Debian's archive (suite bullseye), taken from the
# mirror that this machine's apt is set up with, in an apt state folder of its own.
set -euo pipefail

SUITE=bullseye
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg # apt's own trusted keys where it is absent
cd "$(dirname "$0")/.."
HOME_DIR=$PWD/.tools/consul
CONSUL=$HOME_DIR/consul

say() { echo "consul: $*" >&2; }
give_up() {
  say "$*"
  say "install Consul by hand (any version from 1.8 on PATH, or a binary at .tools/consul/consul); without it the embedded registry serves"
  exit 1
}

works() { "$1" version >/dev/null 2>&1; }

# The first Debian mirror in this machine's apt configuration; asks nothing of the network and changes no state.
mirror() {
  apt-get -o "Dir::State::lists=$1" update --print-uris 2>/dev/null |
    sed -n "s#^'\(.*/debian\)/dists/.*#\1#p" | head -n 1 || true
}

fetch() {
  local site keyring=() state
  state=$HOME_DIR/apt
  rm -rf "$state" && mkdir -p "$state/lists/partial" "$state/archives/partial" "$state/out"
  site=$(mirror "$state/lists")
  [ -n "$site" ] || give_up "apt on this machine has no Debian mirror configured"
  if [ -e "$KEYRING" ]; then keyring=("signed-by=$KEYRING"); fi
  echo "deb [arch=$(dpkg --print-architecture) ${keyring[*]:-}] $site $SUITE main" >"$state/sources.list"
  local options=(
    -o "Dir::Etc::SourceList=$state/sources.list" -o "Dir::Etc::SourceParts=/dev/null"
    -o "Dir::State=$state" -o "Dir::State::Lists=$state/lists" -o "Dir::State::status=/dev/null"
    -o "Dir::Cache=$state" -o "Dir::Cache::Archives=$state/archives"
    -o "APT::Get::List-Cleanup=0" -o "APT::Sandbox::User=$(id -un)" -o "Acquire::Languages=none" -o "Acquire::Retries=3"
    -o "Acquire::Check-Valid-Until=false"
  )
  say "reading the package list of Debian $SUITE"
  apt-get "${options[@]}" -qq update >&2 || give_up "the configured mirror does not answer for the suite $SUITE"
  say "downloading the package consul"
  (cd "$state/out" && apt-get "${options[@]}" -qq download consul >&2) || give_up "the suite $SUITE of the mirror has no package consul"
  dpkg -x "$state"/out/consul_*.deb "$state/unpacked" || give_up "the downloaded package cannot be unpacked"
  mv "$state/unpacked/usr/bin/consul" "$CONSUL.new"
  works "$CONSUL.new" || give_up "the downloaded consul does not run on this machine"
  mv "$CONSUL.new" "$CONSUL"
  rm -rf "$state"
}

if works consul; then
  say "using $(command -v consul): $(consul version | head -n 1)"
  exit 0
fi
if ! works "$CONSUL"; then
  for tool in apt-get dpkg; do
    command -v "$tool" >/dev/null || give_up "this machine has no $tool, so it cannot be fetched from Debian"
  done
  fetch
fi
say "ready: .tools/consul/consul, $("$CONSUL" version | head -n 1)"
