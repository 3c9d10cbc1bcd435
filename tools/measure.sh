# Sourced by test.sh and test_all.sh: runs pytest under coverage, in the checkout's root.
DATA=$PWD/.coverage_data
BIN=$PWD/.venv/bin

# What the measured code is: a digest of everything git tracks or would add.
code_digest() {
  git ls-files -z --cached --others --exclude-standard | xargs -0 sha256sum 2>/dev/null | sha256sum | cut -d ' ' -f 1
}

# Options of pytest for several processes side by side: one for each core, from two (tests wait more than they
# compute) to four (each has a PostgreSQL of its own).
side_by_side() {
  local cores
  cores=$(getconf _NPROCESSORS_ONLN)
  echo "--numprocesses=$((cores < 2 ? 2 : cores > 4 ? 4 : cores)) --dist=loadfile --no-loadscope-reorder"
}

passed_on_this_code() { [ "$(cat "$DATA/$1/passed" 2>/dev/null)" = "$(code_digest)" ]; }

# measure NAME MARKERS [pytest options]: the data of every process goes to .coverage_data/NAME.
measure() {
  local name=$1 markers=$2 spread=() digest
  shift 2
  # The rest has what kills, measures time or takes a machine for itself: one after the other.
  if [ "$name" = test ]; then read -ra spread <<<"$(side_by_side)"; fi
  rm -rf "${DATA:?}/$name" && mkdir -p "$DATA/$name"
  digest=$(code_digest)
  COVERAGE_FILE=$DATA/$name/data "$BIN/coverage" run -m pytest "${spread[@]}" -m "$markers" "$@"
  # A run of a part (make test ARGS="-k ...") says nothing about the whole.
  if [ $# -eq 0 ]; then echo "$digest" >"$DATA/$name/passed"; fi
}
