#!/usr/bin/env bash
# Goal: `doctor` and the start of a run tell a store and a Redis that keep their promises from those
# that do not, with the reason and the documented exit code. Method: with_rgw's gateway, honest or
# (MODE lie) behind a proxy that lies about conditions; private Redis servers of all kinds.
#   with_rgw [--lie] doctor.sh SOURCE_DIR BINARY_DIR honest|lie
set -euo pipefail
source=$1
mode=$3
export PATH=$2:$PATH
work=$(mktemp -d)
export XDG_DATA_HOME=$work/data XDG_STATE_HOME=$work/state XDG_CACHE_HOME=$work/cache
redis=()
cleanup() {
  [ "${#redis[@]}" -eq 0 ] || kill "${redis[@]}" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

expect() { # CODE WORD... -- COMMAND...
  local code=$1 words=() got=0
  shift
  while [ "$1" != -- ]; do
    words+=("$1")
    shift
  done
  shift
  "$@" >"$work/out" 2>&1 || got=$?
  [ "$got" -eq "$code" ] || { echo "FAILED: exit code $got, not $code: $*"; cat "$work/out"; exit 1; }
  for word in "${words[@]}"; do
    grep -qF -- "$word" "$work/out" ||
      { echo "FAILED: no word of '$word': $*"; cat "$work/out"; exit 1; }
  done
}
start_redis() { # NAME OPTION...
  redis-server --port 0 --unixsocket "$work/$1.sock" --dir "$work" --save '' "${@:2}" \
    >"$work/redis.log" 2>&1 &
  redis+=($!)
  for _ in $(seq 200); do
    [ ! -S "$work/$1.sock" ] || return 0
    sleep 0.02
  done
  echo "FAILED: no Redis"
  exit 1
}
store=s3://doctor/store
doctor=(nero-sched doctor --store "$store")
run=(nero-sched run "$source/presets/smoke.yaml" --name probed --runners 1 --store "$store"
  --set search.generations=1)

if [ "$mode" = lie ]; then
  expect 1 "FAILS  a second create of a key is refused" "If-None-Match is ignored" -- "${doctor[@]}"
  expect 1 '"holds":false' '"creates_once":false' '"why"' -- "${doctor[@]}" --json
  expect 2 "cannot be trusted" "If-None-Match is ignored" -- "${run[@]}"
  expect 2 "cannot be trusted" -- nero-sched resume probed --store "$store"
  nero-sched genotype new --preset "$source/presets/smoke.yaml" --seed 3 >"$work/genotype"
  expect 2 "cannot be trusted" -- nero-sched evaluate "$work/genotype" \
    --preset "$source/presets/smoke.yaml" --seeds 1 --store "$store"
  start_redis good
  expect 2 "cannot be trusted" -- nero-sched serve --until-idle --store "$store" \
    --redis "unix://$work/good.sock"
  expect 0 -- nero-sched serve --until-idle --store "$store" --redis "unix://$work/good.sock" \
    --skip-probe
  echo "a lying store is refused"
  exit 0
fi

start_redis good --appendonly yes
start_redis evicting --maxmemory 100mb --maxmemory-policy allkeys-lru
start_redis full --maxmemory 1kb
expect 0 "holds  a second create" "holds  of 16 creates" "holds  an object's ETag" \
  "lacks  an object in parts" "s against ours" -- "${doctor[@]}"
expect 0 '"holds":true' '"append_only":true' '"clock_ahead_ms"' -- \
  "${doctor[@]}" --redis "unix://$work/good.sock" --json
expect 1 "maxmemory-policy is allkeys-lru" "CONFIG SET" -- \
  "${doctor[@]}" --redis "unix://$work/evicting.sock"
expect 1 "refuses a write" -- "${doctor[@]}" --redis "unix://$work/full.sock"
expect 3 "connect to Redis" "holds  a second create" -- \
  "${doctor[@]}" --redis "unix://$work/none.sock"
AWS_SECRET_ACCESS_KEY=wrong expect 1 "403 AccessDenied" -- "${doctor[@]}"
expect 0 "holds  a second create" -- nero-sched doctor --store "file://$work/files"
AWS_ENDPOINT_URL_S3=http://127.0.0.1:1 expect 3 "127.0.0.1 port 1" -- "${doctor[@]}"
# Two hours off: the signer corrects itself by the first refusal, so this is told and no more.
# shellcheck disable=SC2016
expect 0 "lacks  its clock agrees" "holds  of 16 creates" -- env FAKETIME=-2h \
  FAKETIME_DONT_FAKE_MONOTONIC=1 LD_PRELOAD='/usr/$LIB/faketime/libfaketime.so.1' "${doctor[@]}"
expect 0 "generation" -- "${run[@]}"
expect 0 "trusted=1" -- grep -rh "store.verdict" "$work/data" "$work/state" "$work/cache"
expect 0 "by the run key: good" '"verdict"' '"trusted":true' '"match_form":1' -- \
  nero-sched show runs/probed/epoch/0000000001 --store "$store" --json
echo "what holds and what does not is told"
