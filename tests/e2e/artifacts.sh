#!/usr/bin/env bash
# Goal: what a researcher takes out of a run is what the run says. Method: the smoke search with PGD-2
# as fitness attack (smoke-pgd.yaml), whole and audited, beside FGSM on the same networks; its champion
# exported and compared with the store, as other candidates are, and the best of a warm-up that never
# ended; the same genotype drawn, and evaluated over seeds, stopped by SIGINT in between, on fitness and
# on test images.
#   artifacts.sh SOURCE_DIR BINARY_DIR
set -euo pipefail
source=$1
binary=$2

work=$(mktemp -d)
export XDG_DATA_HOME=$work/data XDG_STATE_HOME=$work/state XDG_CACHE_HOME=$work/cache
export PATH=$binary:$binary/gpu-runner:$PATH
trap 'rm -rf "$work"' EXIT
fail() {
  echo "FAILED: $*"
  tail -n 20 "$work"/*.out "$work"/*.err 2>/dev/null || true
  exit 1
}
expect() { # CODE COMMAND...: the exit code
  local wanted=$1 code=0
  shift
  "$@" >"$work/last.out" 2>"$work/last.err" || code=$?
  [ "$code" -eq "$wanted" ] || fail "exit code $code, not $wanted: $*"
}
has() { # FILE WORDS
  grep -qF -- "$2" "$1" || fail "no '$2' in $1: $(cat "$1")"
}

# ---- PGD-2 ----
expect 0 nero-sched run "$source/presets/smoke-pgd.yaml" --name pgd --seed 5
has "$work/last.out" "PGD, 2/255, 2 steps of 1/255"
has "$work/last.out" "audit of pgd: clean"
# In a wide radius two small steps come less far than FGSM's one: same networks, other counts.
for attack in smoke smoke-pgd; do
  expect 0 nero-sched run "$source/presets/$attack.yaml" --name "wide-$attack" --seed 5 --skip-audit \
    --set search.generations=1 --set protocol.attack.epsilon=0.2
  nero-sched export "wide-$attack" --csv "$work/$attack.csv" >/dev/null 2>&1 || fail "export"
  column=$(head -1 "$work/$attack.csv" | tr , '\n' | grep -nxE 'correct|kept|weights' | cut -d: -f1)
  cut -d, -f"$(head -1 <<<"$column"),$(tail -1 <<<"$column")" "$work/$attack.csv" >"$work/$attack.nets"
  cut -d, -f"$(sed -n 2p <<<"$column")" "$work/$attack.csv" >"$work/$attack.kept"
done
cmp "$work/smoke.nets" "$work/smoke-pgd.nets" || fail "the attack changed the training"
cmp -s "$work/smoke.kept" "$work/smoke-pgd.kept" && fail "PGD and FGSM keep the same images"

# ---- which weights were scored ----
for which in last best; do
  expect 0 nero-sched run "$source/presets/smoke.yaml" --name "$which" --seed 5 \
    --set search.generations=1 --set search.budget=epochs:3 --set search.budget_cap=epochs:3 \
    --set "protocol.on_timeout=$which" --set protocol.time_check=step
  nero-sched export "$which" --csv "$work/$which.csv" >/dev/null 2>&1 || fail "export of $which"
  column=$(head -1 "$work/$which.csv" | tr , '\n' | grep -nx scored | cut -d: -f1)
  [ "$(tail -n +2 "$work/$which.csv" | cut -d, -f"$column" | sort -u)" = "$which" ] ||
    fail "the export tells of other weights: $(cat "$work/$which.csv")"
  job=$(tail -1 "$work/$which.csv" | cut -d, -f11)
  expect 0 nero-sched show "runs/$which/result/${job:0:2}/$job"
  has "$work/last.out" "the $which weights were scored"
  expect 0 nero-sched show "runs/$which/run"
  has "$work/last.out" "on time-out the $which weights are scored; a budget in seconds is looked at after every step"
done

# ---- the champion ----
expect 0 nero-sched export pgd --champion --out "$work/best"
json=$work/best/champion.json
weights=$(sed -n 's/.*"weights_blob": "\([0-9a-f]*\)".*/\1/p' "$json")
blob=$work/data/nero/store/runs/pgd/blob/${weights:0:2}/$weights
cmp "$work/best/champion.safetensors" "$blob" || fail "the exported weights are not the blob"
onnx=$(sed -n 's/.*"onnx_blake2b": "\([0-9a-f]*\)".*/\1/p' "$json")
[ "$(b2sum -l 256 "$work/best/champion.onnx" | cut -d' ' -f1)" = "$onnx" ] || fail "hash of the ONNX"
has "$work/best/champion.onnx" "$weights"
has "$json" '"kind": "pgd"'
expect 0 nero-sched export pgd --champion --out "$work/again" --json
cmp "$work/best/champion.onnx" "$work/again/champion.onnx" || fail "two exports differ"
expect 2 nero-sched export pgd --champion
expect 2 nero-sched export pgd --champion --out "$work/best/champion.onnx"
expect 2 nero-sched export nobody --champion --out "$work/none"
[ ! -e "$work/none" ] || fail "a folder for a run that is not there"
cp "$blob" "$work/kept"
chmod u+w "$blob"
printf 'x' | dd of="$blob" bs=1 seek=4000 conv=notrunc status=none
expect 1 nero-sched export pgd --champion --out "$work/damaged"
has "$work/last.err" "holds other bytes"
[ ! -e "$work/damaged" ] || fail "damaged weights were exported"
cp "$work/kept" "$blob"

# ---- any candidate; a run that never left the warm-up ----
place=$(sed -n 's/.*"\(lineage\|generation\|member\)": \([0-9]*\),.*/\2/p' "$json" | paste -sd/)
expect 0 nero-sched export pgd --candidate "$place" --out "$work/placed"
for kind in onnx safetensors; do
  cmp "$work/best/champion.$kind" "$work/placed/candidate.$kind" || fail "the champion by its place: $kind"
done
expect 0 nero-sched run "$source/presets/smoke.yaml" --name cold --seed 5 --set search.warmup_threshold=1
has "$work/last.out" "no best individual yet"
nero-sched export cold --csv "$work/cold.csv" >/dev/null 2>&1 || fail "export of cold"
# Selected ones (column 7) of the two warm-up generations: the highest fitness (9), the earlier on ties.
[ "$(tail -n +2 "$work/cold.csv" | cut -d, -f6 | sort -u)" = warm-up ] || fail "cold left the warm-up"
best=$(awk -F, 'NR > 1 && $7 { if (!n++ || $9 > f) { f = $9; p = $1 "/" $2 "/" $3; z = $20 / $16 } }
  END { printf "%s %.2f %.2f", p, 100 * f, 100 * z }' "$work/cold.csv")
read -r place clean zero <<<"$best"
IFS=/ read -r lineage generation member <<<"$place"
has "$work/last.out" "scored by C alone): lineage $lineage, generation $generation, member $member, C $clean %"
has "$work/last.out" "input gradient zero on $zero % of the attacked images"
expect 2 nero-sched export cold --champion --out "$work/none"
has "$work/last.err" "has no champion yet"
has "$work/last.err" "--candidate $place"
[ ! -e "$work/none" ] || fail "a folder for a champion that is not there"
expect 0 nero-sched export cold --candidate "$place" --out "$work/cold"
has "$work/cold/candidate.json" '"phase": "warm-up"'
expect 0 nero-sched show cold --json
has "$work/last.out" '"best_of_warmup":{'
grep -q '"best":' "$work/last.out" && fail "a champion of the warm-up"
expect 2 nero-sched export cold --candidate 0/9/0 --out "$work/none"
has "$work/last.err" "no closed generation 9"
expect 2 nero-sched export cold --candidate 0/0/9 --out "$work/none"
has "$work/last.err" "no 9"
expect 2 nero-sched export cold --candidate 0/0 --out "$work/none"
has "$work/last.err" "lineage/generation/member"
expect 2 nero-sched export cold --candidate "$place" --champion --out "$work/none"

# ---- drawing ----
genotype=$work/genotype.txt
preset=(--preset "$source/presets/smoke.yaml")
nero-sched genotype new "${preset[@]}" --seed 3 >"$genotype"
expect 0 nero-sched genotype draw "$genotype" "${preset[@]}" --dot
has "$work/last.out" "digraph genotype {"
has "$work/last.out" "fully connected, 10"
expect 2 nero-sched genotype draw "$genotype"
expect 2 env PATH=/nowhere "$binary/nero-sched" genotype draw "$genotype" "${preset[@]}"
has "$work/last.err" "graphviz"
expect 0 nero-sched genotype draw "$genotype" "${preset[@]}" --out "$work/genotype.svg"
has "$work/genotype.svg" "</svg>"

# ---- seeds ----
evaluate=(nero-sched evaluate "$genotype" "${preset[@]}" --budget epochs:12 --runners 2)
"${evaluate[@]}" --seeds 3 --name noise --checkpoint-interval steps:1 >"$work/stopped.out" 2>&1 &
pid=$!
sleep 1
kill -INT "$pid"
code=0
wait "$pid" || code=$?
[ "$code" -eq 75 ] || [ "$code" -eq 0 ] || fail "a stopped evaluation ended with $code"
expect 0 "${evaluate[@]}" --seeds 3 --name noise
has "$work/last.out" "3 of 3 seeds, 80 fitness images each"
has "$work/last.out" "audit of 3 runs: clean"
cp "$work/last.out" "$work/first.out"
expect 0 "${evaluate[@]}" --seeds 3 --name noise # all there: only told
cmp <(sort "$work/last.out") <(sort "$work/first.out") || fail "told differently the second time"
expect 0 "${evaluate[@]}" --seeds 3 --name whole --skip-audit # never stopped
cmp <(grep '^  noise-' "$work/first.out" | sed 's/noise/whole/' | sort) \
  <(grep '^  whole-' "$work/last.out" | sort) || fail "being stopped changed the scores"
expect 2 "${evaluate[@]}" --seeds 3 --name noise --split test
has "$work/last.err" "does something else"
expect 0 "${evaluate[@]}" --seeds 2 --name tested --split test --budget steps:2
has "$work/last.out" "TEST images"
expect 0 nero-sched show runs/tested-001/run
has "$work/last.out" "scored on the test images"
expect 0 nero-sched export whole-000 --champion --out "$work/single"
expect 2 nero-sched resume whole-000 --generations 3
has "$work/last.err" "is one evaluation"
expect 2 nero-sched evaluate "$genotype" "${preset[@]}"
expect 2 nero-sched evaluate "$genotype" "${preset[@]}" --seeds 2 --split train
echo "PGD-2 search, export, drawing, evaluation over seeds: all as they say"
