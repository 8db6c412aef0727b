#!/usr/bin/env bash
# Goal: a run that is extended comes to what a run submitted with more generations comes to. Method: the
# smoke search with two lineages and test scores, started from a given architecture; once submitted with
# 4 generations; once with 1, ended, extended to 2, ended, extended to 4 and stopped by SIGINT, resumed.
# The exports, which hold the hash of every job and outcome and every decision, must be equal; audit,
# replay, status, list and show know it.
#   extend_run.sh SOURCE_DIR BINARY_DIR
set -euo pipefail
source=$1
# shellcheck source=tests/e2e/world.sh
. "$source/tests/e2e/world.sh" "$2"

expect() { # CODE COMMAND...: the exit code
  local wanted=$1 code=0
  shift
  "$@" >"$work/last.out" 2>&1 || code=$?
  [ "$code" -eq "$wanted" ] || fail "exit code $code, not $wanted: $*"
}
has() { # WORDS: the last output
  grep -qF -- "$1" "$work/last.out" || fail "no '$1' in: $(cat "$work/last.out")"
}
scores() { # RUN: test scores of champions
  find "$work/data/nero/store/runs/$1/result" -type f | wc -l
}

write_seed "$work/seed.txt"
smoke=("$source/presets/smoke.yaml" --seed 5 --lineages 2 --set search.score_test=true
  --set "search.seed_genotype=$work/seed.txt")
expect 0 nero-sched run "${smoke[@]}" --name whole --set search.generations=4
expect 0 nero-sched run "${smoke[@]}" --name grown --set search.generations=1
expect 0 nero-sched resume grown --generations 2
has "run grown is extended from 1 to 2 generations"
has "audit of grown: clean"
former=$(scores grown)
expect 2 nero-sched resume grown --generations 1
has "is to have 2 (2 are closed) and can only be extended"
expect 0 nero-sched resume grown --generations 2 # nothing to do
nero-sched resume grown --generations 4 >"$work/stopped.out" 2>&1 &
pid=$!
until grep -q "generation 2 of lineage" "$work/stopped.out"; do
  kill -0 "$pid" 2>/dev/null || fail "it ended before it was stopped"
  sleep 0.1
done
kill -INT "$pid"
code=0
wait "$pid" || code=$?
[ "$code" -eq 75 ] || fail "stopped with exit code $code"
expect 0 nero-sched status grown
has "open, "
has "extended from 2 to 4 generations a lineage"
expect 1 nero-sched show runs/grown/amend/00000000 --root-key "$work/data/nero/keys/grown.key.pub"
expect 0 nero-sched show runs/grown/amend/00000000 --root-key "$work/data/nero/keys/root.key.pub"
has "amendment 0 of run grown: 2 generations"
expect 0 nero-sched resume grown
has "test images, which selection never saw"
[ "$(scores grown)" -gt "$former" ] || fail "no jobs were added"

export_run whole
export_run grown
[ "$(wc -l <"$work/whole.csv")" -ge 23 ] || fail "not at least 2 * (2 + 3 + 3 + 3) candidates"
cmp "$work/whole.csv" "$work/grown.csv" || fail "the extended run came to something else"
# Both lineages begin with the architecture that was given and a mutant of it; learning is drawn.
for lineage in 0 1; do
  grep -q "^$lineage,0,0,seed,," "$work/whole.csv" || fail "lineage $lineage starts with no seed"
  grep -q "^$lineage,0,1,mutant," "$work/whole.csv" || fail "lineage $lineage has no mutant of the seed"
  nero-sched show "runs/whole/gen/$lineage/00000000/closed" --json >"$work/last.out"
  has 'module features\n  unit g0 from -1\n  unit g1 from -1 0\n  unit g1 from 0 1\n\nmodule softmax'
  grep -qF "momentum=0.75\\n" "$work/last.out" && fail "the seed's learning was taken as well"
done
[ "$(grep -c ',random,' "$work/whole.csv")" -eq 0 ] || fail "random individuals in a seeded search"
for lineage in 0 1; do
  nero-sched show "runs/whole/gen/$lineage/00000003/closed" --json | grep -o '"split_seed[^,]*'
done | sort -u >"$work/splits"
[ "$(wc -l <"$work/splits")" -eq 2 ] || fail "not a split of its own for each lineage"
expect 0 nero-sched list
has "finished  8/8 generations"
grep -c "finished  8/8 generations" "$work/last.out" | grep -qx 2 || fail "not both are finished"
expect 0 nero-sched audit "$work/data/nero/store" --root-key "$work/data/nero/keys/root.key.pub"
expect 0 nero-sched audit "$work/data/nero/store#grown" --level replay \
  --root-key "$work/data/nero/keys/root.key.pub"
has "replay of grown: clean"
expect 0 nero-sched plan "$source/presets/smoke.yaml" --set search.generations=4 --done 2
has "6 trainings"
expect 2 nero-sched plan "$source/presets/smoke.yaml" --done 2
echo "a seeded run, extended twice: equal to one submitted with 4 generations"
