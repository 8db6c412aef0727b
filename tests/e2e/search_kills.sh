#!/usr/bin/env bash
# Goal: whatever is killed, the search ends with the outcomes and decisions of an undisturbed one, and so
# does one that two runners share. Method: the smoke search from a given architecture on (search_s3 begins
# with random ones), its trainings made long enough (steps of the referee) to be met at work, once in peace
# with one runner and once with two, of which each must have done a job; then with the same seed and two
# runners while runners, the private Redis and the scheduler itself are killed at random moments (fixed
# seed) and the run is resumed. The exports, which hold the hash of every outcome and every decision, must
# be equal, every audit clean, and work lost by the kills.
#   search_kills.sh SOURCE_DIR BINARY_DIR [ROUNDS]
set -euo pipefail
source=$1
# shellcheck source=tests/e2e/world.sh
. "$source/tests/e2e/world.sh" "$2"
rounds=${3:-2}
RANDOM=20261123

write_seed "$work/seed.txt"
smoke=("$source/presets/smoke.yaml" --seed 5 --set search.budget=steps:100
  --set "search.seed_genotype=$work/seed.txt"
  --set search.budget_cap=steps:200 --checkpoint-interval steps:1 --backend ref)

# ---- in peace ----
nero-sched run "${smoke[@]}" --name calm --runners 1 >"$work/calm.out" 2>&1 ||
  fail "the undisturbed run"
export_run calm
[ "$(wc -l <"$work/calm.csv")" -gt 4 ] || fail "the export has too few rows"
grep -q "^0,0,0,seed," "$work/calm.csv" || fail "the search did not start from the seed"
nero-sched run "${smoke[@]}" --name shared --runners 2 >"$work/shared.out" 2>&1 ||
  fail "the run of two runners"
export_run shared
cmp "$work/calm.csv" "$work/shared.csv" || fail "two runners come to something else"

# Job and attempts of each training of a run.
jobs_of() { # RUN
  nero-sched export "$1" --csv "$work/jobs.csv" >>"$work/export.out" 2>&1 || fail "export"
  awk -F, 'NR > 1 && $(NF - 3) != "" { print $11 "," $(NF - 3) }' "$work/jobs.csv"
}
story() { # JOB RUN: in story.out
  nero-sched explain "$1" --run "$2" --json >"$work/story.out" || fail "the story of $1 in $2"
}
while IFS=, read -r job _; do
  story "$job" shared
  grep -o '"runner":"[0-9a-f]*"' "$work/story.out"
done < <(jobs_of shared) | sort -u >"$work/sharers"
[ "$(wc -l <"$work/sharers")" -eq 2 ] || fail "not each of the two runners did a job"

# The children of a scheduler: its Redis, its runners. `run` and `resume` start both.
children() { # PID NAME
  pgrep -P "$1" -f "$2" || true
}

serve() { # ARGUMENTS: start nero-sched in the background
  nero-sched "$@" --lease-ms 1000 >>"$work/storm.out" 2>&1 &
  sched_pid=$!
  pids=("$sched_pid")
}

declare -A killed=([runner]=0 [redis]=0 [scheduler]=0)
strike() { # kill something of the running scheduler: each kind in turn, runners twice
  local victims=() kinds=(runner redis runner scheduler)
  local kind=${kinds[kills % 4]}
  case $kind in
    runner) mapfile -t victims < <(children "$sched_pid" nero-runner) ;;
    redis) mapfile -t victims < <(children "$sched_pid" redis-server) ;;
    scheduler) victims=("$sched_pid") ;;
  esac
  if [ "${#victims[@]}" -gt 0 ] && kill -9 "${victims[RANDOM % ${#victims[@]}]}" 2>/dev/null; then
    kills=$((kills + 1))
    killed[$kind]=$((killed[$kind] + 1))
  fi
}

# ---- kills ----
for round in $(seq "$rounds"); do
  run=storm$round
  kills=0
  serve run "${smoke[@]}" --name "$run" --runners 2
  for _ in $(seq 400); do
    sleep "0.$((RANDOM % 7 + 3))"
    if ! kill -0 "$sched_pid" 2>/dev/null; then
      code=0
      wait "$sched_pid" || code=$?
      [ "$code" -ne 0 ] || break
      [ "$code" -eq 137 ] || [ "$code" -eq 75 ] || fail "round $round: exit code $code"
      serve resume "$run" --checkpoint-interval steps:1 --backend ref
    elif [ "$kills" -lt 12 ]; then
      strike
    fi
  done
  kill -0 "$sched_pid" 2>/dev/null && fail "round $round did not end"
  [ "$kills" -ge 4 ] || fail "round $round ended after $kills kills only: not each kind"
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
  while IFS=, read -r job attempts; do
    story "$job" "storm$round"
    read -r told silent < <(sed -E \
      's/.*"totals":\{"attempts":([0-9]+),"preempted":[0-9]+,"lost":([0-9]+).*/\1 \2/' "$work/story.out")
    [ "$told" -eq "$attempts" ] || fail "$job in storm$round: $told attempts, its result says $attempts"
    lost=$((lost + silent))
  done < <(jobs_of "storm$round")
done
[ "$lost" -gt 0 ] || fail "nobody was killed at work"
echo "killed: ${killed[runner]} runners, ${killed[redis]} Redis, ${killed[scheduler]} schedulers"
echo "the stories of all jobs hold; $lost attempts were lost"
