#!/usr/bin/env bash
# What ctest skipped, held against the list of what may be: tests/skips.sh LIST REPORT, REPORT as of
# `ctest --output-junit`. Names what was skipped, with the reason; ends with 1 if anything else did not
# run, or if nothing did.
set -euo pipefail
list=$1
report=$2

grep -q '<testcase .* status="run"' "$report" || { echo "no test ran: $report"; exit 1; }
allowed=$(sed -n 's/^\([A-Za-z0-9_]\{1,\}\): ..*/\1/p' "$list")
code=0
while read -r name; do
  if grep -qx "$name" <<<"$allowed"; then
    echo "skipped: $(grep "^$name: " "$list")"
  else
    echo "$name did not run, and $list does not allow that"
    code=1
  fi
done < <(sed -n -e 's/.*<testcase name="\([^"]*\)".* status="\(notrun\|disabled\)".*/\1/p' \
  -e 's/.*\[  SKIPPED \] \(test_[a-z0-9_]*\).*/\1/p' "$report" | sort -u)
exit $code
