#!/usr/bin/env bash
# Goal: a runner whose clock steps to before its certificate claims no more jobs, which it could not sign
# for, and says so; at work, it commits again once the clock is right, and gives back a job that it cannot
# sign the result of. Method: a scheduler, and a runner whose clock goes back by an hour (libfaketime).
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

# ---- at work ----
run=work
set_back() { # SECONDS, as a whole
  echo "$1" >"$work/runner1.new" && mv "$work/runner1.new" "$work/runner1.clock"
}
lines() { # TEXT: so many lines of the runner's log have it
  grep -c "$1" "$work/runner1.log" || true
}
more() { # TEXT COUNT
  [ "$(lines "$1")" -gt "$2" ]
}
set_back +0
nero-sched submit "$1/presets/smoke.yaml" --name "$run" --seed 5 --set search.budget=steps:1000 \
  --set search.budget_cap=steps:1000 --set search.generations=1 >>"$work/submit.out" || fail "submit"
before=$(lines checkpoint.committed)
start_actor runner1
wait_for 60 more checkpoint.committed "$before"
postponed=$(lines checkpoint.postponed)
set_back -3600
wait_for 30 more checkpoint.postponed "$postponed"
before=$(lines checkpoint.committed)
set_back +0
wait_for 30 more checkpoint.committed "$before"
set_back -3600
code=0
wait "${pid[runner1]}" || code=$?
sweep_up "${pid[runner1]}"
pid[runner1]=
[ "$code" -eq 75 ] || fail "the runner ended with $code"
grep -q 'end=unable .*commit the result' "$work/runner1.log" || fail "the job was not given back"
set_back +0
start_actor runner1
wait_for 120 grep -q "serve.finished run=$run " "$work/sched1.log"
nero-sched audit "$work/store#$run" --root-key "$work/data/nero/keys/root.key.pub" >"$work/audit.out" ||
  fail "audit"
echo "at work: postponed, went on, gave the job back; done by another"
