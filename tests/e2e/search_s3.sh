#!/usr/bin/env bash
# Goal: a search on s3:// or s3+libs3:// ends with the outcomes and decisions of one on a file store,
# whatever is killed, and audits clean. Method: the smoke search, its trainings made long enough (steps of
# the referee) to be met at work, in peace on file:// and on the store (with_rgw's gateway), then on the
# store while runners and the scheduler are killed at random moments (fixed seed) and the run is resumed;
# then the exports are compared, and the stories of the jobs tell of work that was lost. In attempt mode
# runners are also stopped for longer than their lease, so that they go on as zombies and fork. With
# `demo` the demo's search as it is, minutes long, in peace on file:// only.
#   with_rgw search_s3.sh SOURCE_DIR BINARY_DIR [SCHEME [MODE [demo]]]
set -euo pipefail
source=$1
# shellcheck source=tests/e2e/world.sh
. "$source/tests/e2e/world.sh" "$2"
scheme=${3:-s3}
export NERO_STORE_MODE=${4:-}
store=$scheme://search/e2e
forks=$NERO_STORE_MODE
[ "$scheme" = s3 ] || forks=yes
calm=(file store)
calm_runners=1
backend=ref
unit=1  # steps between the checkpoints of those who are killed
pause=0 # whole seconds between two strikes, besides some tenths
search=("$source/presets/smoke.yaml" --seed 5 --set search.budget=steps:100
  --set search.budget_cap=steps:200)
[ -z "$forks" ] || search+=(--set search.generations=4) # room for what is stopped for long
if [ "${5:-}" = demo ]; then
  calm=(file) calm_runners=2 backend=cpu unit=50 pause=15
  search=("$source/presets/demo.yaml" --seed 1)
fi
RANDOM=20261124

# ---- in peace ----
began=$SECONDS
for run in "${calm[@]}"; do
  place=$store
  [ "$run" = store ] || place=file://$work/store
  nero-sched run "${search[@]}" --name "$run" --backend "$backend" --runners "$calm_runners" \
    --store "$place" --checkpoint-interval steps:50 >"$work/$run.out" 2>&1 || fail "the undisturbed run on $place"
  export_run "$run" "$place"
  echo "in peace on $run: $((SECONDS - began)) s since the start"
done
[ "$(wc -l <"$work/file.csv")" -gt 4 ] || fail "the export has too few rows"
for run in "${calm[@]}"; do
  cmp "$work/file.csv" "$work/$run.csv" || fail "other outcomes on $store than on file://"
done

# ---- kills ----
serve() { # ARGUMENTS: start nero-sched in the background
  nero-sched "$@" --store "$store" --backend "$backend" \
    --checkpoint-interval "steps:$unit" --lease-ms 1000 >>"$work/storm.out" 2>&1 &
  sched_pid=$!
  pids=("$sched_pid")
}

freeze() { # PID: longer than its lease, then it goes on and does not know
  if kill -STOP "$1" 2>/dev/null; then
    { sleep 2; kill -CONT "$1" 2>/dev/null; } &
    kills=$((kills + 1))
  fi
}

commits() {
  find "$work" -name 'runner-*.log' -exec cat {} + | grep -c "checkpoint.committed" || true
}
at_work() { # until a runner has just committed, at most 2 s
  local before
  before=$(commits)
  for _ in $(seq 40); do
    [ "$(commits)" -le "$before" ] || return 0
    sleep 0.05
  done
}

strike() { # kill the runners, one of which is at work; every third time the scheduler
  local victims=("$sched_pid")
  if [ $((kills % 3)) -lt 2 ]; then
    mapfile -t victims < <(pgrep -P "$sched_pid" -f nero-runner || true)
  fi
  if [ -n "$forks" ] && [ "${#victims[@]}" -gt 0 ] && [ $((kills % 3)) -eq 0 ]; then
    freeze "${victims[RANDOM % ${#victims[@]}]}"
  elif [ "${#victims[@]}" -gt 0 ]; then
    [ $((kills % 3)) -eq 2 ] || at_work
    kill -9 "${victims[@]}" 2>/dev/null || return 0
    kills=$((kills + 1))
  fi
}

kills=0
serve run "${search[@]}" --name storm --runners 2
for _ in $(seq 200); do
  sleep "$pause.$((RANDOM % 4 + 1))"
  if ! kill -0 "$sched_pid" 2>/dev/null; then
    code=0
    wait "$sched_pid" || code=$?
    [ "$code" -ne 0 ] || break
    [ "$code" -eq 137 ] || [ "$code" -eq 75 ] || fail "exit code $code"
    serve resume storm
  elif [ "$kills" -lt 9 ]; then
    strike
  fi
done
kill -0 "$sched_pid" 2>/dev/null && fail "the disturbed run did not end"
[ "$kills" -gt 2 ] || fail "the run ended after $kills kills only"
export_run storm "$store"
cmp "$work/file.csv" "$work/storm.csv" || fail "other outcomes after $kills kills"
echo "$kills kills, equal outcomes and decisions: $((SECONDS - began)) s since the start"

# ---- nothing left to do: runners that have just been started are not waited for ----
started=$SECONDS
nero-sched resume storm --store "$store" >"$work/again.out" 2>&1 || fail "resume of an ended run"
[ $((SECONDS - started)) -lt 15 ] || fail "resume of an ended run took $((SECONDS - started)) s"

# ---- the story of each job ----
# From the store alone; the attempts that ended without a word are those that were killed at work.
nero-sched export storm --store "$store" --csv "$work/jobs.csv" >>"$work/export.out" 2>&1 || fail "export"
lost=0
while read -r job; do
  nero-sched explain "$job" --run storm --store "$store" --json >"$work/story.out" ||
    fail "the story of $job"
  lost=$((lost + $(sed -E 's/.*"totals":\{"attempts":[0-9]+,"preempted":[0-9]+,"lost":([0-9]+).*/\1/' \
    "$work/story.out")))
done < <(awk -F, 'NR > 1 && $(NF - 3) != "" { print $11 }' "$work/jobs.csv")
[ "$lost" -gt 0 ] || fail "nobody was killed at work"
echo "$lost attempts were lost"

# ---- audit ----
nero-sched audit "$store" --root-key "$work/data/nero/keys/root.key.pub" >"$work/audit.out" ||
  fail "audit: $(cat "$work/audit.out")"
grep -h "fork(s)" "$work/audit.out" || true
echo "all audits clean"
