#!/usr/bin/env bash
# Goal: what an operator says takes effect and changes no outcome: pause, limit, drain, retry of a parked
# job and of one that failed in the store; pause and limit outlive a flush; wrong words are refused.
# Method: a scheduler, runners and a real Redis; jobs are parked and killed by hand in Redis.
#   operate.sh SOURCE_DIR BINARY_DIR
set -euo pipefail
source=$1
. "$source/tests/e2e/world.sh" "$2"
preset=$source/presets/smoke.yaml
search=(--seed 5 --set search.generations=6)

nero-sched run "$preset" --name calm "${search[@]}" --runners 1 --backend ref --skip-audit \
  >"$work/calm.out" 2>&1 || fail "the undisturbed run"
export_run calm

start_redis queue
export NERO_REDIS=unix://$work/queue.sock NERO_STORE=file://$work/data/nero/store NERO_LOG=info
redis() {
  redis-cli -s "$work/queue.sock" "$@"
}
start_runner() { # its pid is in $runner
  local token
  token=$(nero-sched keys token)
  nero-runner --run storm --join-token "$token" --backend ref --beat-ms 200 \
    --checkpoint-interval steps:1 >>"$work/runner.log" 2>&1 &
  runner=$!
  pids+=("$runner")
}
status() { # FIELD: of the run as JSON
  nero-sched status storm --json | sed -n "s/.*\"$1\":\"\{0,1\}\([^\",}]*\).*/\1/p"
}
is() { # FIELD VALUE
  [ "$(status "$1")" = "$2" ]
}
says() { # PATTERN COMMAND...: it succeeds and says so
  local out
  out=$("${@:2}" 2>&1) || fail "${*:2}: $out"
  grep -q "$1" <<<"$out" || fail "${*:2} says: $out"
}
refused() { # PATTERN COMMAND...: bad input
  local out code=0
  out=$("${@:2}" 2>&1) || code=$?
  [ "$code" -eq 2 ] || fail "${*:2} ended with $code"
  grep -q "$1" <<<"$out" || fail "${*:2} says: $out"
}

nero-sched serve --lease-ms 1000 >"$work/serve.log" 2>&1 &
pids+=($!)
nero-sched submit "$preset" --name storm "${search[@]}" || fail "submit"
wait_for 20 is ready 2

# A runner that cannot do a job, as status says: its images are neither in the store nor in its cache.
mkdir "$work/aside"
mv "$work"/data/nero/store/data/?? "$work/aside"
XDG_CACHE_HOME=$work/empty start_runner
stranded() { # JOB
  nero-sched status storm | grep -q "job $1 waits for another runner: .* was unable: .*data set"
}
job=$(redis ZRANGE 'n:{storm}:ready' 0 0)
wait_for 20 stranded "${job:0:12}"
nero-sched status storm --json | grep -q '"unable":\[{"job":"[0-9a-f]*","state":"ready"' ||
  fail "not in the JSON"
says 'takes no more jobs' nero-sched drain "$(hostname):$runner"
wait "$runner" && fail "a drained runner ended as if done"
mv "$work"/aside/?? "$work/data/nero/store/data"

# Paused and limited, also after a flush.
says 'paused run storm' nero-sched pause storm
says '"done":"limited","count":1' nero-sched limit storm 1 --json
wait_for 10 grep -q lead.taken "$work/serve.log"
sleep 1.5 # the scheduler has looked at it once
redis FLUSHALL >/dev/null
wait_for 20 is ready 2
wait_for 10 is paused true
is max_in_flight 1 || fail "the limit is lost"
start_runner
wait_for 20 is runners 1
is leased 0 || fail "a paused run gave a job away"

# A job that failed in the store while the others wait: reopened there, and queued. (One without slots.)
job=$(redis ZRANGE 'n:{storm}:ready' -1 -1)
redis EVAL "redis.call('HSET', KEYS[1] .. 'job:' .. ARGV[1], 'st', 'dead', 'reason', 'by hand')
  redis.call('ZREM', KEYS[1] .. 'ready', ARGV[1])
  redis.call('ZADD', KEYS[1] .. 'dead', 1, ARGV[1])" 1 'n:{storm}:' "$job" >/dev/null
failed() { nero-sched show "runs/storm/job/$job/0000000000" 2>/dev/null | grep -q failed; }
wait_for 20 failed
says '1 of them reopened' nero-sched retry storm "${job:0:12}"
refused 'neither dead nor parked' nero-sched retry storm "${job:0:12}"
refused 'no job' nero-sched retry storm ffffffffffffffff
wait_for 10 is ready 2

# One job under way at a time, with two runners.
start_runner
wait_for 20 is runners 2
says 'unpaused' nero-sched unpause storm
under_way() { # by the event feed: jobs completed, and most at once
  redis XRANGE 'n:{storm}:ev' - + | awk '
    last == "kind" && $0 == "claimed" { now++; if (now > most) most = now }
    last == "kind" && /^(completed|released|failed|dead|expired|parked)$/ { now--; done += $0 == "completed" }
    { last = $0 }
    END { print done + 0, most + 0 }'
}
has_done() {
  read -r completed most < <(under_way)
  [ "$completed" -ge "$1" ]
}
wait_for 20 has_done 3
[ "$most" -eq 1 ] || fail "$most jobs under way at once"
says 'any number' nero-sched limit storm 0

# Drained: it ends by itself, resumable.
refused 'no runner' nero-sched drain nobody
says 'takes no more jobs' nero-sched drain "$(hostname):$runner"
code=0
wait "$runner" || code=$?
[ "$code" -eq 75 ] || fail "a drained runner ended with $code"

# Parked after ten lost leases, named by status, tried again.
nero-sched pause storm >/dev/null
park() {
  job=$(redis ZRANGE 'n:{storm}:ready' 0 0)
  [ -n "$job" ] && redis EVAL "redis.call('HSET', KEYS[1] .. 'job:' .. ARGV[1], 'st', 'parked',
    'reason', 'lost its lease 10 times')
    redis.call('ZREM', KEYS[1] .. 'ready', ARGV[1])
    redis.call('ZADD', KEYS[1] .. 'parked', 1, ARGV[1])" 1 'n:{storm}:' "$job"
}
wait_for 60 park
says "parked: job ${job:0:12}: lost its lease 10 times" nero-sched status storm
says '1 jobs are tried again, 0 of them' nero-sched retry storm
nero-sched unpause storm >/dev/null

finished() { is state finished; }
wait_for 90 finished
export_run storm
cmp "$work/calm.csv" "$work/storm.csv" || fail "other outcomes or decisions"
nero-sched audit "$work/data/nero/store" --root-key "$work/data/nero/keys/root.key.pub" \
  >"$work/audit.out" || fail "audit"
echo "paused, limited, drained, retried: equal outcomes and decisions, audit clean"
