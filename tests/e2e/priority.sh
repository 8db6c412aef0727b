#!/usr/bin/env bash
# Goal: jobs of a run of higher priority are taken first, by whoever serves several runs, also after Redis
# lost all of them; a priority that is none is refused. Method: three runs submitted in another order
# than that of their priorities, a flush, then one runner for all of them.
#   priority.sh SOURCE_DIR BINARY_DIR
set -euo pipefail
source=$1
# shellcheck source=tests/e2e/world.sh
. "$source/tests/e2e/world.sh" "$2"
preset=$source/presets/smoke.yaml

start_redis queue
export NERO_REDIS=unix://$work/queue.sock NERO_STORE=file://$work/store NERO_LOG=info
redis() {
  redis-cli -s "$work/queue.sock" "$@"
}
nero-sched serve --lease-ms 2000 >"$work/serve.log" 2>&1 &
pids+=($!)

for wrong in 256 -256 high; do
  code=0
  nero-sched submit "$preset" --name wrong --priority "$wrong" >"$work/wrong.out" 2>&1 || code=$?
  [ "$code" -eq 2 ] || fail "priority $wrong: exit $code"
  grep -q 'priority' "$work/wrong.out" || fail "priority $wrong: $(cat "$work/wrong.out")"
done
nero-sched genotype new --preset "$preset" --seed 4 >"$work/mine.txt"
evaluation=(--genotype "$work/mine.txt" --budget steps:4)
nero-sched submit "$preset" --name later --seed 1 "${evaluation[@]}" --priority -9 || fail "submit"
nero-sched submit "$preset" --name calm --seed 5 || fail "submit"
nero-sched submit "$preset" --name urgent --seed 2 "${evaluation[@]}" --priority 9 || fail "submit"

ranks() { # of the jobs of each run in Redis: 256 less the run's priority
  local run
  for run in urgent calm later; do
    redis EVAL "local ranks = {}
      for _, id in ipairs(redis.call('SMEMBERS', KEYS[1] .. 'jobs')) do
        ranks[math.floor(redis.call('HGET', KEYS[1] .. 'job:' .. id, 'score') / 2 ^ 44)] = true
      end
      local text = ''
      for rank in pairs(ranks) do text = text .. rank .. ' ' end
      return text" 1 "n:{$run}:"
  done
}
ranked() { [ "$(ranks | tr -d '\n')" = "247 256 265 " ]; }
wait_for 20 ranked
nero-sched show runs/urgent/run | grep -q '^priority 9$' || fail "show"
redis FLUSHALL >/dev/null
wait_for 20 ranked

nero-runner --join-token "$(nero-sched keys token)" --backend ref --beat-ms 200 \
  >"$work/runner.log" 2>&1 &
pids+=($!)
done_with() { nero-sched status "$1" --json | grep -q '"state":"finished"'; }
evaluated() { nero-sched show "$1" | grep -q '^evaluation:'; }
wait_for 60 done_with calm
wait_for 30 evaluated later
wait_for 30 evaluated urgent
order=$(sed -n 's/.*job\.claimed run=\([a-z]*\).*/\1/p' "$work/runner.log" | awk '!seen[$0]++' | tr '\n' ' ')
[ "$order" = "urgent calm later " ] || fail "taken in the order $order"

nero-sched audit "$work/store" --root-key "$work/data/nero/keys/root.key.pub" >"$work/audit.log" ||
  fail "audit"
echo "taken by priority, after a flush: audit clean"
