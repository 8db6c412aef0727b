#!/usr/bin/env bash
# Goal: the README's local cluster works as written: serve, submit (a search and a single evaluation),
# remote runners enrolled by one-time tokens, status, watch, cancel, audit. Method: real processes, a
# real Redis on a port of its own.
#   cluster.sh SOURCE_DIR BINARY_DIR
set -euo pipefail
source=$1
# shellcheck source=tests/e2e/world.sh
. "$source/tests/e2e/world.sh" "$2"

# A port that is taken ends the server at once: then another one, below those that the kernel gives.
listens() { kill -0 "$redis" 2>/dev/null && redis-cli -p "$port" ping; }
ended() { ! kill -0 "$redis" 2>/dev/null; }
listens_or_ended() { listens || ended; }
for _ in $(seq 10); do
  port=$((20000 + RANDOM % 12000))
  redis-server --bind 127.0.0.1 --port "$port" --dir "$work" --save '' --maxmemory-policy noeviction \
    >"$work/redis.log" &
  redis=$!
  wait_for 10 listens_or_ended
  ended || break
done
pids+=("$redis")
wait_for 1 listens
export NERO_REDIS=redis://127.0.0.1:$port/0 NERO_STORE=file://$work/store NERO_LOG=info

nero-sched submit "$source/presets/smoke.yaml" --name first --seed 5 || fail "submit"
code=0
nero-sched status first >"$work/status.out" 2>&1 || code=$?
[ "$code" -eq 2 ] || fail "status before serve: $code"
grep -q "run first is submitted and waits" "$work/status.out" || fail "status: $(cat "$work/status.out")"
nero-sched serve --lease-ms 2000 >"$work/serve.log" 2>&1 &
serve=$!
pids+=("$serve")
says() { nero-sched status "$1" | grep -q "$2"; }
wait_for 10 says first "no runner is there to take 2 ready"

# Two remote runners, each with a token of its own, one for this run alone and one for whatever comes; a
# third with a used one is turned away.
for number in 1 2; do
  token=$(nero-sched keys token) || fail "keys token"
  cp "$token" "$work/token$number"
  only=(--run first)
  [ "$number" -eq 1 ] || only=()
  nero-runner "${only[@]}" --join-token "$token" --backend ref --beat-ms 200 \
    >"$work/runner$number.log" 2>&1 &
  pids+=($!)
done
any=$!
finished() { nero-sched status first --json | grep -q '"state":"finished"'; }
wait_for 60 finished
if timeout 20 nero-runner --run first --join-token "$work/token1" --once >"$work/used.log" 2>&1; then
  fail "a spent token was accepted"
fi
nero-sched watch first --once | grep -q completed || fail "watch shows no completed job"
nero-sched show first | grep -q "best individual" || fail "show"

# A single evaluation of a genotype made by hand, in a run of its own, by the runner that is there.
nero-sched genotype new --preset "$source/presets/smoke.yaml" --seed 4 >"$work/mine.txt"
nero-sched submit "$source/presets/smoke.yaml" --name single --genotype "$work/mine.txt" \
  --budget steps:4 --seed 1 || fail "submit --genotype"
evaluated() { nero-sched show single | grep -q "^evaluation:"; }
wait_for 30 evaluated
kill -TERM "$any"

# Jobs of a numeric class that no runner has, here for its shards, stay ready, and status says why.
class=$(sed -n 's|.*class="\(.*/S1\)".*|\1|p' "$work/runner1.log")
nero-sched submit "$source/presets/smoke.yaml" --name foreign --set "numeric_class=$class" ||
  fail "submit for class $class"
nero-runner --run foreign --join-token "$(nero-sched keys token)" --backend ref --shards 2 \
  >"$work/runner4.log" 2>&1 &
pids+=($!)
wait_for 20 says foreign "no runner can take 2 ready.*\"$class\""

# A run that nobody works on is cancelled, and its scheduler stopped resumable.
nero-sched submit "$source/presets/smoke.yaml" --name third --seed 6
wait_for 10 nero-sched status third
nero-sched cancel third --why "not wanted" || fail "cancel"
kill -TERM "$serve"
code=0
wait "$serve" || code=$?
[ "$code" -eq 75 ] || fail "serve ended with $code"

nero-sched audit "$work/store" --root-key "$work/data/nero/keys/root.key.pub" >"$work/audit.log" ||
  fail "audit"
echo "served, submitted, enrolled, evaluated, cancelled, audited"
