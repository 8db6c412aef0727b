#!/usr/bin/env bash
# Goal: equal candidates are trained once where the preset asks for it, and the report counts them.
# Method: the smoke search in which every child only trains longer, so that all children of generation 1 are
# one job; with both policies.
#   reuse.sh SOURCE_DIR BINARY_DIR
set -euo pipefail
source=$1
# shellcheck source=tests/e2e/world.sh
. "$source/tests/e2e/world.sh" "$2"

smoke=("$source/presets/smoke.yaml" --seed 5 --set search.rates.train_longer=1
  --set search.lambda=4)
trainings() { # RUN: chains of its jobs
  find "$work/data/nero/store/runs/$1/job" -mindepth 1 -maxdepth 1 -type d | wc -l
}
number() { # KEY: of the report
  sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p" "$work/report.json"
}
check() { # RUN: what the report counts is what lies in the store, and the audit agrees
  nero-sched show "$1" --json >"$work/report.json" || fail "the report of $1"
  [ "$(trainings "$1")" -eq $(($(number evaluations) - $(number reused))) ] ||
    fail "$1: $(trainings "$1") jobs, $(number evaluations) evaluations, $(number reused) reused"
  nero-sched export "$1" --csv "$work/$1.csv" >/dev/null 2>&1 || fail "the export of $1"
  column=$(head -1 "$work/$1.csv" | tr , '\n' | grep -nx reused | cut -d: -f1)
  [ "$(cut -d, -f"$column" "$work/$1.csv" | grep -cx 1 || true)" -eq "$(number reused)" ] ||
    fail "$1: the export tells other ones"
  nero-sched audit "$work/data/nero/store#$1" --root-key "$work/data/nero/keys/root.key.pub" \
    --level replay >"$work/last.out" || fail "the replay of $1"
}

nero-sched run "${smoke[@]}" --name slots >"$work/slots.out" 2>&1 || fail "per slot"
grep -q " evaluations, 0 of them reused: .*per_slot" "$work/slots.out" || fail "not told: per slot"
check slots
[ "$(number reused)" -eq 0 ] || fail "per slot something was reused"

nero-sched run "${smoke[@]}" --name genotypes --set search.seed_policy=per_genotype \
  >"$work/genotypes.out" 2>&1 || fail "per genotype"
grep -q " of them reused: .*per_genotype" "$work/genotypes.out" || fail "not told: per genotype"
grep -q "audit of genotypes: clean" "$work/genotypes.out" || fail "no clean audit"
check genotypes
[ "$(number reused)" -ge 4 ] || fail "not the parent and three of four children"
[ "$(trainings genotypes)" -eq 5 ] || fail "$(trainings genotypes) trainings, not 4 + 1"
echo "per slot nothing is reused; per genotype $(number reused) of $(number evaluations)"
