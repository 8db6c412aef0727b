#!/usr/bin/env bash
# Goal: the demo is what README says: live lines, a table of generations that reaches the robust phase,
# a best network that learnt, its score on test images, where its weights lie, a clean audit, exit code 0.
# Method: the command that scripts/demo ends with, of this build instead of the release one, with a fixed
# seed; what it prints is read, and the weights that it names are there.
#   demo.sh SOURCE_DIR BINARY_DIR
set -euo pipefail
source=$1
# shellcheck source=tests/e2e/world.sh
. "$source/tests/e2e/world.sh" "$2"
cd "$source"

mapfile -t command < <(sed -n 's|^exec build/release/\(nero-sched .*\) "\$@"$|\1|p' scripts/demo)
[ "${#command[@]}" -eq 1 ] || fail "scripts/demo does not end with nero-sched"
read -r -a command <<<"${command[0]}"
began=$SECONDS
"${command[@]}" --name demo --seed 1 >"$work/demo.out" 2>&1 || fail "exit code $?"

has() { # WHAT REGEX
  grep -qE -- "$2" "$work/demo.out" || fail "no $1"
}
has "live line" '^  gen 0 child +[1-4] +epoch +[0-9]+/[0-9]+ .* loss +[0-9.]+ control .* img/s'
rows=$(grep -cE '^ +[0-3]  (warm-up|robust ) +[0-9.]+ +[0-9.]+ +[0-9.]+ % +[0-9.]+ % +[0-9]+ +[0-9]+ +[0-9]+$' \
  "$work/demo.out") || fail "no table of generations"
[ "$rows" -eq 4 ] || fail "$rows generations in the table"
has "robust phase" '^ +[0-9]+  robust '
has "best individual" '^best individual: lineage 0, generation [0-3], member [0-4]$'
has "network" '^  unit  0  from image: .* conv, '
has "size of the network" '^  [0-9]+ parameters, [0-9.]+ M multiply-adds an image$'
has "C, A and F" '^  C [0-9.]+ %, A [0-9.]+ % \(FGSM, 2/255; .*\), F 0\.[0-9]+; '
clean=$(sed -nE 's/^  on 1000 test images, .*: C ([0-9.]+) %, A [0-9.]+ %$/\1/p' "$work/demo.out")
[ -n "$clean" ] || fail "no score on the test images"
awk -v clean="$clean" 'BEGIN { exit !(clean >= 45) }' || fail "$clean % of the test images; chance is 10 %"
weights=$(sed -nE 's/^  weights \(safetensors\): (runs\/.*)$/\1/p' "$work/demo.out")
[ -s "$XDG_DATA_HOME/nero/store/$weights" ] || fail "no weights at '$weights'"
has "verdict of the audit" '^audit of demo: clean$'
echo "the demo: $((SECONDS - began)) s, $clean % of the test images"
