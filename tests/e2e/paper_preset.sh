#!/usr/bin/env bash
# Goal: the paper's preset runs on the full CIFAR-10 with nothing but a data path, a Redis URL and a store
# URL. Method: one generation of it, on 512 images and 5 updates a candidate, by one runner: audited,
# replayed, exported. NERO_CIFAR10 names the folder of the binary version (data/README.md). The networks
# are the paper's in size; those of this seed take up to 9 GB for their batch.
#   paper_preset.sh SOURCE_DIR BINARY_DIR
set -euo pipefail
source=$1
. "$source/tests/e2e/world.sh" "$2"

[ -f "${NERO_CIFAR10:-}/data_batch_5.bin" ] ||
  { echo "skipped: NERO_CIFAR10 names no folder with the full CIFAR-10"; exit 77; }
free_kib=$(sed -n 's/^MemAvailable: *\([0-9]*\) kB$/\1/p' /proc/meminfo)
[ "${free_kib:-0}" -ge $((12 * 1024 * 1024)) ] ||
  { echo "skipped: $((free_kib / 1024 / 1024)) GiB of memory are free, a batch of 128 takes 9 GB"; exit 77; }
expect() { # CODE COMMAND...: the exit code
  local wanted=$1 code=0
  shift
  "$@" >"$work/last.out" 2>"$work/last.err" || code=$?
  [ "$code" -eq "$wanted" ] || fail "exit code $code, not $wanted: $* $(cat "$work/last.err")"
}
has() { # WORDS
  grep -qF -- "$1" "$work/last.out" || fail "no '$1' in $(cat "$work/last.out")"
}

start_redis redis --maxmemory-policy noeviction
export NERO_STORE=file://$work/store
mkdir "$work/store"
started=$SECONDS
expect 0 nero-sched run "$source/presets/paper.yaml" --name paper --seed 3 --runners 1 \
  --redis "unix://$work/redis.sock" --images 512 --budget steps:5 --set search.generations=1 \
  --set "dataset=$NERO_CIFAR10"
took=$((SECONDS - started))
has "audit of paper: clean"
has "finished: 1 of 1 generations closed"
cp "$work/last.out" "$work/run.out"
expect 0 nero-sched audit "$work/store#paper" --level replay --root-key "$XDG_DATA_HOME/nero/keys/root.key.pub"
has "replay of paper: clean"
expect 0 nero-sched show runs/paper/run
has "images 440 training, 36 control, 36 fitness"
has "attack FGSM, 8/255"
export_run paper
# Slot 0 is the macro network of NSGA-Net itself; every trained one took the five steps.
[ "$(tail -n +2 "$work/paper.csv" | wc -l)" -eq 4 ] || fail "not 4 candidates: $(cat "$work/paper.csv")"
[ "$(sed -n 2p "$work/paper.csv" | cut -d, -f4,13)" = seed,3337482 ] || fail "another seed: $(cat "$work/paper.csv")"
trained=$(tail -n +2 "$work/paper.csv" | awk -F, '$22 == 5 && $15 == 36' | wc -l)
[ "$trained" -eq 4 ] || fail "trained: $trained of 4: $(cat "$work/paper.csv")"
place=$(sed -n 's/.*best of the warm-up.*: lineage \([0-9]*\), generation \([0-9]*\), member \([0-9]*\),.*/\1\/\2\/\3/p' \
  "$work/run.out")
expect 0 nero-sched export paper --candidate "$place" --out "$work/best"
[ -s "$work/best/candidate.onnx" ] || fail "no ONNX"
cat "$work/run.out"
echo "one generation of the paper's preset: $trained of 4 candidates trained in $took s; audit and replay clean"
