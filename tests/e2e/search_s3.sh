#!/usr/bin/env bash
# Goal: a search on s3:// ends with the outcomes and decisions of one on a file store, whatever is
# killed, and audits clean. Method: the smoke search in peace on file:// and on s3:// (with_rgw's
# gateway), then on s3:// while runners and the scheduler are killed at random moments (fixed seed)
# and the run is resumed; then the exports are compared.
#   with_rgw search_s3.sh SOURCE_DIR BINARY_DIR
set -euo pipefail
source=$1
# shellcheck source=tests/e2e/world.sh
. "$source/tests/e2e/world.sh" "$2"
store=s3://search/e2e
RANDOM=20261124

# ---- in peace, on both ----
began=$SECONDS
for run in file s3; do
  place=$store
  [ "$run" = s3 ] || place=file://$work/store
  nero-sched run "$source/presets/smoke.yaml" --name "$run" --seed 5 --runners 1 --store "$place" \
    >"$work/$run.out" 2>&1 || fail "the undisturbed run on $place"
  export_run "$run" "$place"
  echo "in peace on $run: $((SECONDS - began)) s since the start"
done
[ "$(wc -l <"$work/file.csv")" -gt 4 ] || fail "the export has too few rows"
cmp "$work/file.csv" "$work/s3.csv" || fail "other outcomes on s3:// than on file://"

# ---- kills ----
serve() { # ARGUMENTS: start nero-sched in the background
  nero-sched "$@" --store "$store" --checkpoint-interval steps:1 --lease-ms 1000 >>"$work/storm.out" 2>&1 &
  sched_pid=$!
  pids=("$sched_pid")
}

strike() { # kill a runner, every third time the scheduler
  local victims=("$sched_pid")
  if [ $((kills % 3)) -lt 2 ]; then
    mapfile -t victims < <(pgrep -P "$sched_pid" -f nero-runner || true)
  fi
  if [ "${#victims[@]}" -gt 0 ] && kill -9 "${victims[RANDOM % ${#victims[@]}]}" 2>/dev/null; then
    kills=$((kills + 1))
  fi
}

kills=0
serve run "$source/presets/smoke.yaml" --name storm --seed 5 --runners 2
for _ in $(seq 200); do
  sleep "0.$((RANDOM % 4 + 1))"
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

# ---- audit ----
nero-sched audit "$store" --root-key "$work/data/nero/keys/root.key.pub" >"$work/audit.out" ||
  fail "audit: $(cat "$work/audit.out")"
echo "all audits clean"
