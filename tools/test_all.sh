#!/usr/bin/env bash
# Runs what the given marker expression leaves out (and, unless `make test` has just passed on this very code,
# what it selects too), then reports the coverage of both together. Fails below the limit in pyproject.toml.
#   tools/test_all.sh "not slow and ..." [pytest options]
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/measure.sh
selected=$1
shift
if passed_on_this_code test; then
  echo "test-all: make test has passed on this code; running the rest"
else
  measure test "$selected" "$@"
fi
measure rest "not ($selected)" "$@"
export COVERAGE_FILE=$DATA/data # of the same base name as the files it combines
"$BIN/coverage" combine --keep --quiet "$DATA/test" "$DATA/rest"
"$BIN/coverage" report
