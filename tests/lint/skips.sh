#!/usr/bin/env bash
# Goal: a skip that is not allowed is found, and the list of allowed ones holds no test that is gone.
# Method: tests/skips.sh on reports of ctest about tests of our own, some of which are skipped or say so
# of a part of theirs; the names of the list among the tests of the build.
#   skips.sh SOURCE_DIR BINARY_DIR CTEST
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { # WHY
  echo "FAILED: $*"
  cat "$work/out"
  exit 1
}
cat >"$work/CTestTestfile.cmake" <<'LIST'
add_test(runs true)
add_test(partly sh -c "echo '[  SKIPPED ] test_part__of_it'")
add_test(refused sh -c "exit 77")
add_test(allowed sh -c "exit 77")
set_tests_properties(refused allowed PROPERTIES SKIP_RETURN_CODE 77)
LIST
check() { # CODE REGEX: of the tests that run
  local code=0
  "$ctest" --test-dir "$work" -R "$2" --output-junit "$work/report.xml" >"$work/out" 2>&1 || true
  "$source/tests/skips.sh" "$work/list" "$work/report.xml" >"$work/out" 2>&1 || code=$?
  [ "$code" -eq "$1" ] || fail "$2: ended with $code"
}
source=$1
ctest=$3
echo "allowed: no moon tonight" >"$work/list"
check 0 'runs'
check 0 'runs|allowed'
grep -q 'skipped: allowed: no moon' "$work/out" || fail "a skip without its reason"
check 1 'runs|refused'
grep -q 'refused did not run' "$work/out" || fail "a skip without its name"
check 1 'partly'
grep -q 'test_part__of_it did not run' "$work/out" || fail "a skipped part without its name"
check 1 'refused|allowed' # nothing ran

# The list itself.
lines=$(grep -vE '^(#|$)' "$source/tests/skips.txt")
"$ctest" --test-dir "$2" -N >"$work/out"
while IFS=: read -r name reason; do
  [ -n "$reason" ] || fail "tests/skips.txt: no reason for $name"
  grep -qE ": $name\$" "$work/out" || git -C "$source" grep -q "static void $name(" tests ||
    fail "tests/skips.txt: there is no test $name"
done <<<"$lines"
