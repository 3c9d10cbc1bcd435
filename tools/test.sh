#!/usr/bin/env bash
# Runs the tests that the given marker expression selects, measured, into .coverage_data/test.
#   tools/test.sh "not slow and ..." [pytest options]
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/measure.sh
selected=$1
shift
measure test "$selected" "$@"
