#!/usr/bin/env bash
# Goal: a queue that Redis lost comes back from the store: by the scheduler that serves the run, in the
# middle of the search, and by `rebuild`, which tells what it found, checks a live queue and repairs one
# that was tampered with; live runners adopt their jobs; and the search ends with the outcomes of an
# undisturbed one. Method: real processes, FLUSHALL on a real Redis, and one that comes back with an
# old state.
#   rebuild.sh SOURCE_DIR BINARY_DIR
set -euo pipefail
source=$1
. "$source/tests/e2e/world.sh" "$2"
preset=$source/presets/smoke.yaml
search=(--seed 5 --set search.generations=7)

nero-sched run "$preset" --name calm "${search[@]}" --runners 1 --backend ref --skip-audit \
  >"$work/calm.out" 2>&1 || fail "the undisturbed run"
export_run calm

start_redis queue
export NERO_REDIS=unix://$work/queue.sock NERO_STORE=file://$work/data/nero/store NERO_LOG=info
redis() {
  redis-cli -s "$work/queue.sock" "$@"
}
start() { # NAME COMMAND...: in the background; its pid is in $started
  "${@:2}" >>"$work/$1.log" 2>&1 &
  started=$!
  pids+=("$started")
}
start_runner() { # RUN [INTERVAL]
  local token
  token=$(nero-sched keys token)
  start "runner.$1" nero-runner --run "$1" --join-token "$token" --backend ref --beat-ms 200 \
    --checkpoint-interval "${2:-steps:1}"
  runner=$started
}
start_serve() {
  start serve nero-sched serve --lease-ms 1000
  serve=$started
}
status() { # FIELD [RUN]: of the run as JSON
  nero-sched status "${2:-storm}" --json | sed -n "s/.*\"$1\":\"\{0,1\}\([^\",}]*\).*/\1/p"
}
has_closed() { # COUNT generations
  [ "$(status closed)" -ge "$1" ]
}
expect() { # CODE PATTERN ARGUMENT...: of `rebuild storm`
  local code=0
  nero-sched rebuild storm "${@:3}" >"$work/rebuild.out" 2>&1 || code=$?
  [ "$code" -eq "$1" ] || fail "rebuild ${*:3} ended with $code: $(cat "$work/rebuild.out")"
  grep -q "$2" "$work/rebuild.out" || fail "rebuild ${*:3} says: $(cat "$work/rebuild.out")"
}

# Flushed under the eyes of the scheduler.
nero-sched submit "$preset" --name storm "${search[@]}" || fail "submit"
start_serve
start_runner storm
wait_for 60 has_closed 1
redis FLUSHALL >/dev/null
wait_for 30 grep -q 'redis forgot the run' "$work/serve.log"
wait_for 60 has_closed 2
expect 0 ' 0 differences' --verify
expect 2 'is led by'

# Killed, and back with what it knew a generation ago: ended jobs are ready again, new ones unknown. The
# runner sleeps meanwhile, or it could claim the ended ones before they are removed, and find them ended.
has_work() { [ $(($(status ready) + $(status leased))) -gt 0 ]; }
kill -STOP "$runner" # or it would be done with them before they are saved
wait_for 30 has_work
redis SAVE >/dev/null
kill -CONT "$runner"
wait_for 60 has_closed 4
kill -STOP "$runner"
kill -9 "${pids[0]}"
wait "${pids[0]}" 2>/dev/null || true
rm "$work/queue.sock"
start_redis queue
wait_for 30 grep -q 'redis restarted' "$work/serve.log"
removed() { [ "$(grep -c 'queue.met .*removed=[1-9]' "$work/serve.log")" -gt 0 ]; }
wait_for 30 removed
kill -CONT "$runner"
wait_for 60 has_closed 5

# Flushed with nobody there: the jobs of the open generation are missing.
kill -9 "$runner"
wait_for 30 has_work
kill -TERM "$serve"
wait "$serve" || true
redis FLUSHALL >/dev/null
expect 1 'missing .*unfinished, unknown to Redis' --dry-run
[ -z "$(redis KEYS 'n:{*')" ] || fail "a dry run wrote something"
expect 1 'missing' --verify
[ -z "$(redis KEYS 'n:{*')" ] || fail "a check left something behind"
expect 0 'rebuilt: epoch .* jobs queued, 0 removed'
expect 0 ' 0 differences' --dry-run
expect 0 '"differences":0' --verify --json

# Tampered with.
job=$(redis --scan --pattern 'n:{storm}:job:*' | head -1)
redis HSET "$job" score 77 >/dev/null
expect 1 'place .*order 77 in Redis' --dry-run
expect 0 'place'
expect 0 ' 0 differences' --verify

start_serve
start_runner storm
finished() { [ "$(status state "$1")" = finished ]; }
wait_for 90 finished storm
export_run storm
cmp "$work/calm.csv" "$work/storm.csv" || fail "other outcomes or decisions"

# Flushed while a runner is at work: it goes on, and takes its lease up again when its job is back, by
# the scheduler that serves the run or by hand. One attempt each, from the first step to the last.
nero-sched submit "$preset" --name live --seed 5 --set search.generations=1 \
  --set search.budget=steps:5000 --set search.budget_cap=steps:5000 || fail "submit"
start_runner live steps:100
adopted() { redis XRANGE 'n:{live}:ev' - + | grep -q adopted; } # said since the flush
wait_for 30 grep -q checkpoint.committed "$work/runner.live.log"
kill -STOP "$runner" # its job is not to end before the queue is back
redis FLUSHALL >/dev/null
wait_for 30 grep -q 'lead.taken run=live .*redis forgot the run' "$work/serve.log"
kill -CONT "$runner"
wait_for 30 adopted
kill -STOP "$runner"
kill -TERM "$serve"
wait "$serve" || true
redis FLUSHALL >/dev/null
nero-sched rebuild live >"$work/rebuild.out" || fail "rebuild beside a live runner"
kill -CONT "$runner"
wait_for 30 adopted
start_serve
wait_for 90 finished live
nero-sched export live --csv - 2>>"$work/export.out" >"$work/live.csv" || fail "export"
awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "attempts") column = i }
  NR > 1 && $column != 1 { exit 1 }
  END { exit !(column && NR == 3) }' "$work/live.csv" || fail "jobs were begun again: $(cat "$work/live.csv")"

nero-sched audit "$work/data/nero/store" --root-key "$work/data/nero/keys/root.key.pub" \
  >"$work/audit.out" || fail "audit"
echo "flushed, rolled back, tampered with, adopted: equal outcomes and decisions, audit clean"
