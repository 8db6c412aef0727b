#!/usr/bin/env bash
# Goal: a runner whose clock steps to before its certificate claims no more jobs, which it could not sign
# for, and says so. Method: a scheduler, and a runner whose clock goes back by an hour (libfaketime).
#   clock_back.sh SOURCE_DIR BINARY_DIR
set -euo pipefail
# shellcheck source=tests/e2e/world.sh
. "$1/tests/e2e/world.sh" "$2"
# shellcheck source=tests/chaos/faults.sh
. "$1/tests/chaos/faults.sh"
trap 'end_actors; cleanup' EXIT
redis_disk=$work run=back
export NERO_LOG=info NERO_STORE=file://$work/store NERO_REDIS=unix://$work/redis.sock

for actor in redis sched1 runner1; do
  echo +0 >"$work/$actor.clock"
done
nero-sched submit "$1/presets/smoke.yaml" --name "$run" --seed 5 >"$work/submit.out" || fail "submit"
start_actor redis
wait_for 10 test -S "$work/redis.sock"
start_actor sched1
start_actor runner1
wait_for 30 grep -q 'runner.enrolled' "$work/runner1.log"
wait_for 60 grep -q 'serve.finished run=back ' "$work/sched1.log"
echo -3600 >"$work/runner1.clock"
code=0
wait "${pid[runner1]}" || code=$?
sweep_up "${pid[runner1]}"
pid[runner1]=
[ "$code" -eq 75 ] || fail "the runner ended with $code"
grep -q 'this clock is wrong' "$work/runner1.log" || fail "the runner does not say why"
echo "a runner with a wrong clock ended with 75"
