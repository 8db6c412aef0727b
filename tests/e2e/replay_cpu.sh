#!/usr/bin/env bash
# Goal: the search computed again on another CPU type comes to the same bits. Method: the smoke search,
# recorded on this CPU; its replay, genotypes drawn from the paper's grammar and the plan of a preset
# under qemu-x86_64 as a CPU of 2006 without AVX, FMA and SSE4 and as one of 2013 with AVX2 and FMA, whose
# floating point qemu computes itself. The whole output, but for the seconds it took, is compared. Then
# the program test_mutants on both: the golden hash of 500 mutants, the golden child of every operator.
#   replay_cpu.sh SOURCE_DIR BINARY_DIR
set -euo pipefail
source=$1
# shellcheck source=tests/e2e/world.sh
. "$source/tests/e2e/world.sh" "$2"

if [ "$(uname -m)" != x86_64 ] || ! command -v qemu-x86_64 >/dev/null; then
  echo "no x86-64, or no qemu-x86_64: install qemu-user (scripts/setup --dev)"
  exit 77
fi
sched=$(command -v nero-sched)
nero-sched run "$source/presets/smoke.yaml" --name recorded --seed 5 \
  --set search.generations=5 >"$work/run.out" 2>&1 || fail "the search"

# Everything that evolve/ computes: the program is the first argument, and may be a command.
compute() { # OUT COMMAND...
  local out=$1
  shift
  "$@" audit "$work/data/nero/store#recorded" --root-key "$work/data/nero/keys/root.key.pub" \
    --level replay 2>>"$work/err.log" | sed 's/, [0-9.]* s$//' >"$out" || fail "replay: $*"
  for seed in 1 2 3 4 5 6 7 8; do
    "$@" genotype new --preset "$source/presets/paper.yaml" --seed "$seed" >>"$out" 2>>"$work/err.log" ||
      fail "genotype new: $*"
  done
  "$@" plan "$source/presets/cpu-small.yaml" --json >>"$out" 2>>"$work/err.log" || fail "plan: $*"
}
level() { # CPU: the x86-64 levels that its loader finds
  qemu-x86_64 -cpu "$1" /lib64/ld-linux-x86-64.so.2 --help 2>/dev/null |
    grep -c "x86-64-v[0-9] (supported" || true
}

compute "$work/native.out" "$sched"
grep -q "replay of recorded: clean" "$work/native.out" || fail "the replay here is not clean"
[ "$(level Conroe)" -eq 0 ] || fail "the emulated CPU has more than SSE2"
[ "$(level Haswell)" -gt 0 ] || fail "the emulated CPU has no AVX2"
for cpu in Conroe Haswell; do
  compute "$work/$cpu.out" qemu-x86_64 -cpu "$cpu" "$sched"
  cmp "$work/native.out" "$work/$cpu.out" || fail "other output as $cpu"
  qemu-x86_64 -cpu "$cpu" "$2/tests/unit/test_mutants" 400 >"$work/$cpu.mutants.out" 2>&1 ||
    fail "other mutants as $cpu"
done
echo "$(wc -c <"$work/native.out") bytes of output and all golden mutants are the same on three CPU types"
