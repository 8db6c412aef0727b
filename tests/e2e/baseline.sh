#!/usr/bin/env bash
# Goal: a random search is a search like any other, with as many trainings as an evolution. Method: the
# smoke search in both strategies, to their ends; report, export, champion, audit and replay of the
# random one; the trainings counted; bench/search over both, with what it prints made again from the
# export, and over a search in which all train longer, whose steps are counted by hand.
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

# Best and mean F of a generation, from the export.
figures() { # RUN GENERATION
  awk -F, -v generation="$2" 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
    $at["generation"] == generation {
      f = 0
      if ($at["verdict"] == "scored" && $at["kept"] > 0) {
        c = $at["correct"] / $at["count"]; a = $at["kept"] / $at["correct"]
        f = 17 * c * a / (16 * a + c)
      }
      n++; sum += f; if (f > best) best = f
    }
    END { printf "%.4f %.4f\n", best, sum / n }' "$work/$1.csv"
}
nero-sched run "${smoke[@]}" --name longer --set search.rates.train_longer=1 \
  --set search.generations=2 --skip-audit >"$work/longer.out" 2>&1 || fail "training longer"
nero-sched export evolved --csv "$work/evolved.csv" >"$work/last.out" 2>&1 || fail "the export"
search() { # RUN RUN
  NERO_SCHED=$(command -v nero-sched) "$source/bench/search" --test \
    "$work/data/nero/store#$1" "$work/data/nero/store#$2" >"$work/last.out" 2>&1 ||
    fail "bench/search"
}
search evolved drawn
grep -q "^evolved: evolution, seed 5, 3 generations, 8 trainings, 24 steps" "$work/last.out" ||
  fail "bench/search counts otherwise"
grep -q "^drawn: random search, seed 5, 3 generations, 8 trainings, 24 steps" "$work/last.out" ||
  fail "bench/search counts otherwise"
for generation in 0 1 2; do
  awk -v generation="$generation" '/^generation/ { on = 1 }
    on && $1 == generation && NF == 13 { print $2, $3, $8, $9; exit }' "$work/last.out" >"$work/told"
  echo "$(figures evolved "$generation") $(figures drawn "$generation")" >"$work/made"
  grep -qv '^0.0000 .* 0.0000 ' "$work/made" || fail "nothing to compare"
  cmp "$work/told" "$work/made" || fail "generation $generation: $(cat "$work/told" "$work/made")"
done
for run in evolved drawn; do
  best=$(nero-sched show "$run" --json | grep -o '"best":{[^}]*' |
    sed -n 's/.*"best":{[^{}]*"fitness":\([0-9.e-]*\).*/\1/p')
  grep -q "^$run: champion of generation [0-9]*, F $(printf %.4f "$best")," "$work/last.out" ||
    fail "bench/search names another champion of $run: $best"
done
[ "$(grep -c "search.score_test is off" "$work/last.out")" -eq 2 ] || fail "test scores from nowhere"
# 2 children of 3 steps; then the parent with 3, two children with 3 more, and the parent trained on by 3.
search longer drawn
grep -q "^longer: evolution, seed 5, 2 generations, 6 trainings, 18 steps" "$work/last.out" ||
  fail "bench/search counts steps that were not taken"

if nero-sched run "$source/presets/smoke.yaml" --name none --strategy climb >"$work/last.out" 2>&1
then fail "a strategy that is none was taken"; fi
grep -q "search.strategy" "$work/last.out" || fail "the refusal does not name the key"
echo "8 trainings in both strategies; report, export, champion, audit and replay hold"
