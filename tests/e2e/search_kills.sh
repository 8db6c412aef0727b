#!/usr/bin/env bash
# Goal: whatever is killed, the search ends with the outcomes and decisions of an undisturbed one.
# Method: the smoke search once in peace with one runner; then with the same seed and two runners while
# runners, the private Redis and the scheduler itself are killed at random moments (fixed seed) and the
# run is resumed. The exports, which hold the hash of every outcome
# and every decision, must be equal, and every audit clean.
#   search_kills.sh SOURCE_DIR BINARY_DIR [ROUNDS]
set -euo pipefail
source=$1
# shellcheck source=tests/e2e/world.sh
. "$source/tests/e2e/world.sh" "$2"
rounds=${3:-2}
RANDOM=20261123

# ---- in peace ----
nero-sched run "$source/presets/smoke.yaml" --name calm --seed 5 --runners 1 >"$work/calm.out" 2>&1 ||
  fail "the undisturbed run"
export_run calm
[ "$(wc -l <"$work/calm.csv")" -gt 4 ] || fail "the export has too few rows"

# The children of a scheduler: its Redis, its runners. `run` and `resume` start both.
children() { # PID NAME
  pgrep -P "$1" -f "$2" || true
}

serve() { # ARGUMENTS: start nero-sched in the background
  nero-sched "$@" --checkpoint-interval steps:1 --lease-ms 1000 >>"$work/storm.out" 2>&1 &
  sched_pid=$!
  pids=("$sched_pid")
}

strike() { # kill something of the running scheduler
  local victims
  case $((RANDOM % 4)) in
    0 | 1) mapfile -t victims < <(children "$sched_pid" nero-runner) ;;
    2) mapfile -t victims < <(children "$sched_pid" redis-server) ;;
    3) victims=("$sched_pid") ;;
  esac
  if [ "${#victims[@]}" -gt 0 ]; then
    kill -9 "${victims[RANDOM % ${#victims[@]}]}" 2>/dev/null || true
    kills=$((kills + 1))
  fi
}

# ---- kills ----
for round in $(seq "$rounds"); do
  run=storm$round
  kills=0
  serve run "$source/presets/smoke.yaml" --name "$run" --seed 5 --runners 2
  for _ in $(seq 400); do
    sleep "0.$((RANDOM % 6 + 1))"
    if ! kill -0 "$sched_pid" 2>/dev/null; then
      code=0
      wait "$sched_pid" || code=$?
      [ "$code" -ne 0 ] || break
      [ "$code" -eq 137 ] || [ "$code" -eq 75 ] || fail "round $round: exit code $code"
      serve resume "$run"
    elif [ "$kills" -lt 12 ]; then
      strike
    fi
  done
  kill -0 "$sched_pid" 2>/dev/null && fail "round $round did not end"
  [ "$kills" -gt 2 ] || fail "round $round ended after $kills kills only"
  export_run "$run"
  cmp "$work/calm.csv" "$work/$run.csv" || fail "round $round: other outcomes after $kills kills"
  echo "round $round: $kills kills, equal outcomes and decisions"
done

# ---- audit ----
nero-sched audit "$work/data/nero/store" --root-key "$work/data/nero/keys/root.key.pub" \
  >"$work/audit.out" || fail "audit: $(cat "$work/audit.out")"
echo "all audits clean"

# ---- the story of each job ----
# What the store tells of each is sound and has the attempts that the last runner counted.
lost=0
for round in $(seq "$rounds"); do
  nero-sched export "storm$round" --csv "$work/stories.csv" >>"$work/export.out" 2>&1 || fail "export"
  while IFS=, read -r job attempts; do
    nero-sched explain "$job" --run "storm$round" --json >"$work/story.out" ||
      fail "the story of $job in storm$round"
    read -r told silent < <(sed -E \
      's/.*"totals":\{"attempts":([0-9]+),"preempted":[0-9]+,"lost":([0-9]+).*/\1 \2/' "$work/story.out")
    [ "$told" -eq "$attempts" ] || fail "$job in storm$round: $told attempts, its result says $attempts"
    lost=$((lost + silent))
  done < <(awk -F, 'NR > 1 && $(NF - 3) != "" { print $11 "," $(NF - 3) }' "$work/stories.csv")
done
echo "the stories of all jobs hold; $lost attempts were lost"
