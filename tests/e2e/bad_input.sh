#!/usr/bin/env bash
# Goal: bad input to `run` and `nero-runner` gives a message that names file, key and reason, the
# documented exit code, and leaves nothing half-made. Method: one mistake at a time in a good preset.
#   bad_input.sh SOURCE_DIR BINARY_DIR
set -euo pipefail
export PATH=$2:$PATH
work=$(mktemp -d)
export XDG_DATA_HOME=$work/data XDG_STATE_HOME=$work/state XDG_CACHE_HOME=$work/cache
redis=
cleanup() {
  [ -z "$redis" ] || kill -9 "$redis" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
cp "$1"/presets/smoke.* "$work"
cp -r "$1/data" "$work/shipped"
cases=0

# A mistake must be refused with CODE and a message that holds all WORDS, and leave no file behind:
# neither a run nor its data set nor a key.
refused() { # CODE WORDS -- COMMAND...
  local code=$1 words=() got=0
  shift
  while [ "$1" != -- ]; do
    words+=("$1")
    shift
  done
  shift
  timeout 60 "$@" >"$work/out" 2>&1 || got=$?
  [ "$got" -eq "$code" ] || { echo "FAILED: exit code $got, not $code: $*"; cat "$work/out"; exit 1; }
  for word in "${words[@]}"; do
    grep -qF -- "$word" "$work/out" ||
      { echo "FAILED: no word of '$word': $*"; cat "$work/out"; exit 1; }
  done
  if [ -n "$(find "$work/data" "$work/store" ! -type d 2>/dev/null)" ]; then
    echo "FAILED: something was left in the store: $*"
    find "$work/data" "$work/store" ! -type d
    exit 1
  fi
  cases=$((cases + 1))
}
edited() { # SED EXPRESSION: the preset with one line changed
  sed "$1" "$work/smoke.yaml" >"$work/edited.yaml"
}
run=(nero-sched run "$work/edited.yaml" --name bad --runners 1)

edited 's/^  lambda: 2/  lamda: 2/'
refused 2 edited.yaml lamda -- "${run[@]}"
edited 's/^  lambda: 2/  lambda: many/'
refused 2 edited.yaml lambda many -- "${run[@]}"
edited 's/^  lambda: 2/  lambda: 0/'
refused 2 'search.lambda 0' -- "${run[@]}"
edited 's/grammar: smoke.bnf/grammar: none.bnf/'
refused 2 none.bnf -- "${run[@]}"
edited 's/grammar: smoke.bnf/grammar: broken.bnf/'
echo '<features> ::= <nothing>' >"$work/broken.bnf"
refused 2 broken.bnf nothing -- "${run[@]}"
printf '<features> ::= <a>\n<a> ::= <b>\n<b> ::= <a>\n' >"$work/broken.bnf"
refused 2 broken.bnf "contains itself" -- "${run[@]}"
edited 's/dataset: .*/dataset: no-such-set/'
refused 2 no-such-set -- "${run[@]}"
edited 's/train_count: 320/train_count: 32000/'
refused 2 train -- "${run[@]}"

cp "$work/smoke.yaml" "$work/edited.yaml"
truncate -s -5 "$work/shipped/cifar10-small-train.bin"
refused 2 "whole records" -- env NERO_DATA="$work/shipped" "${run[@]}"
refused 2 "seed" -- "${run[@]}" --seed minus-one
refused 2 "Not-a-name" -- "${run[@]}" --name Not-a-name
refused 2 "--checkpoint-interval" sometimes -- "${run[@]}" --checkpoint-interval sometimes
refused 2 "--backend" nonsense "known are" -- "${run[@]}" --backend nonsense
refused 2 "--backend" "this build has none" -- env NERO_BACKEND=cuda "${run[@]}"
echo nonsense >"$work/genotype"
refused 2 "genotype" -- nero-sched submit "$work/edited.yaml" --genotype "$work/genotype"
refused 2 "genotype" -- nero-sched evaluate "$work/genotype" --preset "$work/edited.yaml" --seeds 1
# The same texts as a seed genotype, and whole ones that do not fit.
nero-sched genotype new --preset "$work/smoke.yaml" --seed 1 >"$work/whole"
seeded() { # FILE: the good preset starts from it
  seed=(--set search.seed_genotype="$1")
}
seeded none.txt
refused 2 search.seed_genotype none.txt "No such file" -- "${run[@]}" "${seed[@]}"
seeded genotype
refused 2 search.seed_genotype "genotype:1:" -- "${run[@]}" "${seed[@]}"
sed 's/^nero-genotype 1/nero-genotype 7/' "$work/whole" >"$work/version"
seeded version
for command in run submit plan; do
  refused 2 search.seed_genotype "version '7'" -- nero-sched "$command" "$work/edited.yaml" "${seed[@]}"
done
refused 2 "version '7'" -- nero-sched genotype show "$work/version"
refused 2 "version '7'" -- nero-sched submit "$work/edited.yaml" --genotype "$work/version"
refused 2 "version '7'" -- nero-sched evaluate "$work/version" --preset "$work/edited.yaml" --seeds 1
sed -E 's/^(module|gene g[01]) features/\1 stem/; s/^  features: 1/  stem: 1/' "$work/whole" >"$work/module"
seeded module
refused 2 "seed genotype" stem -- "${run[@]}" "${seed[@]}"
sed 's/^  features: 1/  features: 5/' "$work/whole" >"$work/alternative"
seeded alternative
refused 2 "seed genotype" features -- "${run[@]}" "${seed[@]}"
sed 's/num-filters=2/num-filters=64/' "$work/whole" >"$work/bounds"
seeded bounds
refused 2 "seed genotype" num-filters -- "${run[@]}" "${seed[@]}"
sed 's/^  unit g1 from 0/  unit g1 from -1/' "$work/whole" >"$work/dead-end"
seeded dead-end
refused 2 "seed genotype" "nobody reads it" -- "${run[@]}" "${seed[@]}"
for unit in 1 2; do sed -i "s/^  unit g1 from 0/&\n  unit g1 from $((3 - unit))/" "$work/whole"; done
seeded whole
refused 2 "seed genotype" features -- "${run[@]}" "${seed[@]}"
refused 2 "No such file" -- nero-sched resume no-such-run --store "file://$work/none"
: >"$work/plain-file"
refused 2 plain-file -- "${run[@]}" --store "file://$work/plain-file/store"
refused 2 /sys/nero-store "make the folder" -- "${run[@]}" --store file:///sys/nero-store
refused 2 "exclusive or attempt" -- "${run[@]}" --store-mode none
refused 2 "gopher" -- "${run[@]}" --store gopher://somewhere
refused 3 "127.0.0.1:9" -- "${run[@]}" --redis redis://127.0.0.1:9/0
refused 2 --lease-ms 100 -- "${run[@]}" --lease-ms 1
refused 2 --runners "between 1 and" -- nero-sched run "$work/edited.yaml" --name bad --runners 0
refused 2 "train_count (1 images)" -- nero-sched plan "$work/smoke.yaml" --images 3
refused 3 "install the package redis-server" -- env "PATH=$2" "${run[@]}"
refused 2 XDG_STATE_HOME /proc/none -- env XDG_STATE_HOME=/proc/none "${run[@]}"
socket=$work/redis.sock # a port may be taken
redis-server --port 0 --unixsocket "$socket" --dir "$work" --save '' --maxmemory 50mb \
  --maxmemory-policy allkeys-lru >/dev/null &
redis=$!
for _ in $(seq 100); do redis-cli -s "$socket" ping >/dev/null 2>&1 && break; sleep 0.1; done
refused 2 "noeviction" -- "${run[@]}" --redis "unix://$socket"
mkdir "$work/store"
runner=(nero-runner --redis "unix://$socket" --store "file://$work/store" --run bad --once)
head -c 32 /dev/urandom >"$work/token"
chmod 600 "$work/token"
refused 2 "noeviction" -- "${runner[@]}" --join-token "$work/token"
refused 2 "$work/none" -- "${runner[@]}" --join-token "$work/none"
# A runner waits for its Redis as for any outage, and says for which.
refused 75 "127.0.0.1:9: Connection refused" -- timeout --preserve-status 2 nero-runner \
  --redis redis://127.0.0.1:9/0 --store "file://$work/store" --run bad --once --join-token "$work/token"
echo "$cases mistakes, each refused with its reason"
