#!/usr/bin/env bash
# Goal: the five runs of the paper are one run of five lineages, that share a queue and its runners, each
# with a split and a search of its own; the champion is the fittest of all. Method: the smoke search with
# --lineages 5 in which some generations are warm-up; splits, candidates and the champion looked for
# in the export; audit and replay.
#   lineages.sh SOURCE_DIR BINARY_DIR
set -euo pipefail
source=$1
# shellcheck source=tests/e2e/world.sh
. "$source/tests/e2e/world.sh" "$2"

nero-sched run "$source/presets/smoke.yaml" --name five --seed 2 --lineages 5 \
  --set search.generations=3 --set search.warmup_threshold=0.12 >"$work/run.out" 2>&1 ||
  fail "the search"
grep -q "audit of five: clean" "$work/run.out" || fail "no clean audit"
for runner in 0 1; do
  grep -q "job.ended.*end=done" "$work"/state/nero/*/runner-$runner.log || fail "runner $runner was idle"
done
nero-sched audit "$work/data/nero/store#five" --root-key "$work/data/nero/keys/root.key.pub" \
  --level replay >"$work/last.out" || fail "the replay"
grep -q "replay of five: clean" "$work/last.out" || fail "no clean replay"

export_run five
for lineage in 0 1 2 3 4; do
  [ "$(grep -c "^$lineage,2," "$work/five.csv")" -ge 3 ] || fail "lineage $lineage has no last generation"
  nero-sched show "runs/five/gen/$lineage/00000000/closed" --json | grep -o '"split_seed[^,]*'
done >"$work/splits"
[ "$(sort -u "$work/splits" | wc -l)" -eq 5 ] || fail "not a split of its own for each lineage"
column() { # NAME: of the export
  head -1 "$work/five.csv" | tr , '\n' | grep -nx "$1" | cut -d: -f1
}
first=$(grep -E '^[0-4],0,0,' "$work/five.csv" | cut -d, -f"$(column job)" | sort -u | wc -l)
[ "$first" -eq 5 ] || fail "$first different first candidates"
for phase in warm-up robust; do # else the champion below is too easily found
  grep -q ",$phase," "$work/five.csv" || fail "no generation is $phase"
done

# Lineage, generation and member of the best robust row; the first one on ties.
best=$(awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
  $at["phase"] == "robust" && $at["verdict"] == "scored" &&
    (place == "" || $at["fitness"] + 0 > top) { top = $at["fitness"] + 0; place = $1 " " $2 " " $3 }
  END { print place }' "$work/five.csv")
told=$(nero-sched show five --json | grep -o '"best":{[^}]*' |
  sed -n 's/.*"lineage":\([0-9]*\),"generation":\([0-9]*\),"member":\([0-9]*\),"fitness".*/\1 \2 \3/p')
[ "$best" = "$told" ] || fail "the champion is $told, in the export it is $best"
echo "5 lineages, $(($(wc -l <"$work/five.csv") - 1)) candidates; the champion is $told"
