#!/usr/bin/env bash
# Goal: a whole search runs clean under the sanitizers too, the runners' threads over the referee
# backend, those of a batch's shards included. Method: the smoke search with two runners of two shards;
# their logs may hold no sanitizer's report.
#   search_calm.sh SOURCE_DIR BINARY_DIR
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export XDG_DATA_HOME=$work/data XDG_STATE_HOME=$work/state XDG_CACHE_HOME=$work/cache
export PATH=$2:$PATH

if ! nero-sched run "$1/presets/smoke.yaml" --name calm --seed 3 --runners 2 --shards 2 --backend ref \
  >"$work/out" 2>&1; then
  cat "$work/out" "$work"/state/nero/*/runner-*.log
  exit 1
fi
if grep -n -A 30 "Sanitizer\|runtime error" "$work/out" "$work"/state/nero/*/runner-*.log; then
  exit 1
fi
grep -q 'runner.started.*/S2"' "$work"/state/nero/*/runner-0.log
cat "$work"/state/nero/*/runner-*.log | grep -c "job.ended.*end=done"
