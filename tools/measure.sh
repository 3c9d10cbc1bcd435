# Sourced by test.sh and test_all.sh: runs pytest under coverage, in the checkout's root.
DATA=$PWD/.coverage_data
BIN=$PWD/.venv/bin

# What the measured code is: a digest of everything git tracks or would add.
code_digest() {
  git ls-files -z --cached --others --exclude-standard | xargs -0 sha256sum 2>/dev/null | sha256sum | cut -d ' ' -f 1
}

passed_on_this_code() { [ "$(cat "$DATA/$1/passed" 2>/dev/null)" = "$(code_digest)" ]; }

# measure NAME MARKERS [pytest options]: the data of every process goes to .coverage_data/NAME.
measure() {
  local name=$1 markers=$2 digest
  shift 2
  rm -rf "${DATA:?}/$name" && mkdir -p "$DATA/$name"
  digest=$(code_digest)
  COVERAGE_FILE=$DATA/$name/data "$BIN/coverage" run -m pytest -m "$markers" "$@"
  # A run of a part (make test ARGS="-k ...") says nothing about the whole.
  if [ $# -eq 0 ]; then echo "$digest" >"$DATA/$name/passed"; fi
}
