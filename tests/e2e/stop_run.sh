#!/usr/bin/env bash
# Goal: Ctrl-C at any moment leaves a run that resume continues, to the same end. Method: SIGINT while
# the run is being prepared (its data set is a pipe that keeps it waiting), at some moments after, and in
# a resume; each time exit code 75 and how to go on, and a run that status knows. One is resumed to its
# end and must come to what a run in peace comes to.
#   stop_run.sh SOURCE_DIR BINARY_DIR
set -euo pipefail
source=$1
# shellcheck source=tests/e2e/world.sh
. "$source/tests/e2e/world.sh" "$2"

# With the signal as a terminal's shell would leave it: a script's background job ignores it.
program=nero-sched
start() { # ARGUMENTS...: nero-sched in the background
  env --default-signal=INT "$program" "$@" >"$work/stopped.out" 2>&1 &
  pid=$!
  pids=("$pid")
}
stop() { # RUN: what is running, and expect it to be resumable
  local code=0
  kill -INT "$pid" || fail "$1 had ended"
  [ $# -lt 2 ] || "${@:2}"
  wait "$pid" || code=$?
  [ "$code" -eq 75 ] || fail "$1: stopped with exit code $code"
  grep -qF "go on with: $program resume $1 " "$work/stopped.out" || fail "$1: not told how to go on"
  nero-sched status "$1" >"$work/status.out" 2>&1 || fail "$1: no status"
  grep -q "open, " "$work/status.out" || fail "$1: not open: $(cat "$work/status.out")"
}
smoke=("$source/presets/smoke.yaml" --seed 5 --runners 1)

# ---- while it is being prepared ----
mkdir "$work/shipped"
mkfifo "$work/shipped/cifar10-small-train.bin"
cp "$source/data/cifar10-small-test.bin" "$work/shipped"
exec 8<>"$work/shipped/cifar10-small-train.bin"
let_go() {
  timeout 20 cat "$source/data/cifar10-small-train.bin" >&8 || fail "it reads no more"
  exec 8>&-
}
reads() { find "/proc/$pid/fd" -lname '*train.bin' | grep -q .; }
NERO_DATA=$work/shipped start run "${smoke[@]}" --name early 8>&-
wait_for 20 reads
stop early let_go
nero-sched resume early --runners 1 >"$work/early.out" 2>&1 || fail "resume"
grep -q "audit of early: clean" "$work/early.out" || fail "no clean audit"

# ---- at some moments after ----
caught() { # it has a handler for the signal
  local mask
  [ "$(cat "/proc/$pid/comm")" = nero-sched ] || return 1
  mask=$(sed -n 's/^SigCgt:\t//p' "/proc/$pid/status")
  [ $((16#${mask: -1} & 2)) -ne 0 ]
}
long=(--set search.budget=steps:20000 --set search.budget_cap=steps:20000)
for delay in 0 0.1 0.2 0.4 0.8; do
  start run "${smoke[@]}" "${long[@]}" --name "after-${delay/./-}"
  wait_for 20 caught
  sleep "$delay"
  stop "after-${delay/./-}"
done
start resume after-0
wait_for 20 caught
stop after-0
program=$2/nero-sched # started by its path, it tells a command that works as it stands
start resume after-0
wait_for 60 grep -q "epoch" "$work/stopped.out"
stop after-0

# ---- one that is stopped can be cancelled, and opened again ----
nero-sched cancel after-0 --why "not wanted" >"$work/cancel.out" 2>&1 || fail "cancel: $(cat "$work/cancel.out")"
nero-sched explain 1.1 --run after-0 >"$work/story.out" 2>&1 || true
grep -q "cancelled.*not wanted" "$work/story.out" || fail "not cancelled: $(cat "$work/story.out")"
start resume after-0
wait_for 60 grep -q "epoch" "$work/stopped.out"
stop after-0
code=0
nero-sched cancel no-such-run >"$work/cancel.out" 2>&1 || code=$?
[ "$code" -eq 2 ] || fail "a run that is not there was cancelled: $code"
code=0
nero-sched watch after-0 --once >"$work/watch.out" 2>&1 || code=$?
[ "$code" -eq 3 ] || fail "watch of a stopped run: $code"
grep -qF "nero-sched resume after-0" "$work/watch.out" || fail "watch: $(cat "$work/watch.out")"

# ---- the same end ----
nero-sched run "${smoke[@]}" --name calm >"$work/calm.out" 2>&1 || fail "the undisturbed run"
export_run calm
export_run early
cmp "$work/calm.csv" "$work/early.csv" || fail "other outcomes after a stop"
echo "stopped at any moment, resumed to the same end"
