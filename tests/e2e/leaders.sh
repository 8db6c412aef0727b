#!/usr/bin/env bash
# Goal: of two schedulers one leads and the other stands by; whether the leader is killed, hangs or is
# stopped, the other takes over, the former one stands by when it comes back, and the search ends with the
# outcomes and decisions of an undisturbed one. Method: real schedulers, runners and a real Redis.
#   leaders.sh SOURCE_DIR BINARY_DIR
set -euo pipefail
source=$1
. "$source/tests/e2e/world.sh" "$2"
preset=$source/presets/smoke.yaml
search=(--seed 5 --set search.generations=8)

nero-sched run "$preset" --name calm "${search[@]}" --runners 1 --backend ref --skip-audit \
  >"$work/calm.out" 2>&1 ||
  fail "the undisturbed run"
export_run calm

start_redis queue
export NERO_REDIS=unix://$work/queue.sock NERO_STORE=file://$work/data/nero/store NERO_LOG=info
nero-sched submit "$preset" --name storm "${search[@]}" || fail "submit"
served=0
serve() { # another scheduler; its number is in $served
  served=$((served + 1))
  nero-sched serve --lease-ms 1000 --takeover-ms 2000 >"$work/serve$served.log" 2>&1 &
  pids+=($!)
  serve_pids[served]=$!
}
serve_pids=()
serve
serve
for number in 1 2; do
  nero-runner --run storm --join-token "$(nero-sched keys token)" --backend ref --beat-ms 200 \
    --checkpoint-interval steps:1 >"$work/runner$number.log" 2>&1 &
  pids+=($!)
done

status() { # FIELD: of the run as JSON
  nero-sched status storm --json | sed -n "s/.*\"$1\":\"\{0,1\}\([^\",}]*\).*/\1/p"
}
leader_pid() {
  status leader | sed 's/.*://'
}
leads() { # is there a leader other than $1?
  local pid
  pid=$(leader_pid)
  [ -n "$pid" ] && [ "$pid" != "$1" ]
}
has_closed() { # COUNT generations
  [ "$(status closed)" -ge "$1" ]
}
log_of() { # PID
  local number
  for number in "${!serve_pids[@]}"; do
    [ "${serve_pids[$number]}" != "$1" ] || echo "$work/serve$number.log"
  done
}

# Killed.
wait_for 30 leads none
first=$(leader_pid)
wait_for 10 grep -qs standby "$work/serve1.log" "$work/serve2.log"
wait_for 60 has_closed 1
kill -9 "$first"
wait_for 30 leads "$first"
serve

# Hanging, then awake again: it finds that another leads, and stands by.
second=$(leader_pid)
wait_for 60 has_closed 3
kill -STOP "$second"
wait_for 30 leads "$second"
kill -CONT "$second"
wait_for 30 grep -q 'standby.*\(another scheduler leads\|led by\|overtaken\)' \
  "$(log_of "$second")"

# Stopped.
third=$(leader_pid)
wait_for 60 has_closed 5
kill -TERM "$third"
code=0
wait "$third" || code=$?
[ "$code" -eq 75 ] || fail "a stopped scheduler ended with $code"

finished() { [ "$(status state)" = finished ]; }
wait_for 90 finished
[ "$(status epoch)" -ge 4 ] || fail "only $(status epoch) epochs"
export_run storm
cmp "$work/calm.csv" "$work/storm.csv" || fail "other outcomes or decisions"
nero-sched audit "$work/data/nero/store" --root-key "$work/data/nero/keys/root.key.pub" \
  >"$work/audit.out" || fail "audit"
echo "three leaders gone, $(status epoch) epochs, equal outcomes and decisions, audit clean"
