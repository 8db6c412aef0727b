#!/usr/bin/env bash
# Goal: a random search is a search like any other, with as many trainings as an evolution. Method: the
# smoke search in both strategies, to their ends; report, export, champion, audit and replay of the
# random one; the trainings counted.
#   baseline.sh SOURCE_DIR BINARY_DIR
set -euo pipefail
source=$1
# shellcheck source=tests/e2e/world.sh
. "$source/tests/e2e/world.sh" "$2"

trainings() { # RUN: chains of its jobs
  find "$work/data/nero/store/runs/$1/job" -mindepth 1 -maxdepth 1 -type d | wc -l
}

smoke=("$source/presets/smoke.yaml" --seed 5 --set search.rates.train_longer=0
  --set search.generations=3)
nero-sched run "${smoke[@]}" --name evolved >"$work/evolved.out" 2>&1 || fail "the evolution"
nero-sched run "${smoke[@]}" --name drawn --strategy random >"$work/drawn.out" 2>&1 ||
  fail "the random search"
grep -q "audit of drawn: clean" "$work/drawn.out" || fail "no clean audit"
grep -q "best individual: lineage 0" "$work/drawn.out" || fail "no champion"
[ "$(trainings drawn)" -eq 8 ] || fail "$(trainings drawn) trainings, not 2 + 3 + 3"
[ "$(trainings evolved)" -eq 8 ] || fail "the evolution has $(trainings evolved) trainings"
nero-sched plan "$source/presets/smoke.yaml" --strategy random --set search.generations=3 --json |
  grep -q '"trainings":8,' || fail "the plan counts other trainings"
nero-sched plan "$source/presets/smoke.yaml" --strategy random >"$work/last.out"
grep -q "training longer" "$work/last.out" && fail "the plan has random candidates train longer"

nero-sched export drawn --csv "$work/drawn.csv" >"$work/last.out" 2>&1 || fail "the export"
[ "$(wc -l <"$work/drawn.csv")" -eq 9 ] || fail "not a row a training"
[ "$(grep -c ',random,' "$work/drawn.csv")" -eq 8 ] || fail "not all of them are random"
[ "$(cut -d, -f"$(head -1 "$work/drawn.csv" | tr , '\n' | grep -nx job | cut -d: -f1)" \
  "$work/drawn.csv" | sort -u | wc -l)" -eq 9 ] || fail "some candidates are the same job"
nero-sched export drawn --champion --out "$work/best" >"$work/last.out" 2>&1 || fail "the champion"
store=$work/data/nero/store#drawn
nero-sched audit "$store" --root-key "$work/data/nero/keys/root.key.pub" --level replay \
  >"$work/last.out" || fail "the replay"
grep -q "replay of drawn: clean" "$work/last.out" || fail "no clean replay"

if nero-sched run "$source/presets/smoke.yaml" --name none --strategy climb >"$work/last.out" 2>&1
then fail "a strategy that is none was taken"; fi
grep -q "search.strategy" "$work/last.out" || fail "the refusal does not name the key"
echo "8 trainings in both strategies; report, export, champion, audit and replay hold"
