# shellcheck shell=bash
# Sourced by chaos.sh: the processes of a round, each started again when it is gone, each with a clock of
# its own; and the table of faults, each a function strike_NAME that does it to them.

# ---- time and chance, without subshells ----
tell_ms() { now_ms=$((${EPOCHREALTIME/./} / 1000)); }
draw() { drawn=$((RANDOM % $1)); } # $drawn below $1

# ---- the processes ----
actors=(redis sched1 sched2 runner1 runner2)
declare -A pid started_ms due_ms

# libfaketime reads an actor's clock from a file at every call. The C library comes first because that of
# redis-server's allocator asks for the time before libfaketime can answer.
launch() { # ACTOR COMMAND...
  # shellcheck disable=SC2016 # $LIB is the dynamic linker's
  env LD_PRELOAD='/usr/$LIB/faketime/libfaketimeMT.so.1:libc.so.6' DONT_FAKE_MONOTONIC=1 \
    FAKETIME_NO_CACHE=1 FAKETIME_TIMESTAMP_FILE="$work/$1.clock" \
    "${@:2}" >>"$work/$1.log" 2>&1 &
  pid[$1]=$!
  tell_ms
  started_ms[$1]=$now_ms
}

start_actor() { # ACTOR
  local token
  case $1 in
    redis)
      rm -f "$work/redis.sock"
      launch redis redis-server --port 0 --unixsocket "$work/redis.sock" --dir "$redis_disk" --save '' \
        --appendonly yes --maxmemory-policy noeviction
      ;;
    sched*) launch "$1" nero-sched serve --lease-ms 1000 --takeover-ms 2000 ;;
    runner*)
      token=$(nero-sched keys token) || fail "keys token"
      launch "$1" nero-runner --run "$run" --join-token "$token" --backend ref --beat-ms 200 \
        --checkpoint-interval steps:2
      ;;
  esac
}

# What libfaketime leaves of a process that is gone.
sweep_up() { # PID
  rm -f "/dev/shm/faketime_shm_$1" "/dev/shm/sem.faketime_sem_$1"
}

end_actors() {
  local actor
  for actor in "${!pid[@]}"; do
    if [ -n "${pid[$actor]}" ]; then
      kill -9 "${pid[$actor]}" 2>/dev/null || true
      wait "${pid[$actor]}" 2>/dev/null || true
      sweep_up "${pid[$actor]}"
    fi
    pid[$actor]=
  done
}

# May an actor end with this code? Killed; on request; and, as a service manager sees it, with 3 at a
# start during an outage. redis-server does not start on a full disk.
may_end_with() { # ACTOR CODE
  tell_ms
  case $1:$2 in
    *:137 | runner*:75) return 0 ;;
    *:3) [ $((now_ms - started_ms[$1])) -lt 60000 ] ;;
    redis:1) [ -e "$redis_disk/fill" ] || [ $((now_ms - room_ms)) -lt 1000 ] ;;
    *) return 1 ;;
  esac
}

# Start again who is gone, when it is due.
tend() {
  local actor code
  for actor in "${actors[@]}"; do
    if [ -n "${pid[$actor]}" ] && ! kill -0 "${pid[$actor]}" 2>/dev/null; then
      code=0
      wait "${pid[$actor]}" || code=$?
      may_end_with "$actor" "$code" || fail "$actor ended by itself with code $code"
      sweep_up "${pid[$actor]}"
      pid[$actor]=
      tell_ms
      draw 800
      due_ms[$actor]=$((now_ms + drawn))
    elif [ -z "${pid[$actor]}" ]; then
      tell_ms
      [ "$now_ms" -lt "${due_ms[$actor]}" ] || start_actor "$actor"
    fi
  done
}

# ---- what is undone later ----
undo_ms=()
undo_what=()
later() { # MS COMMAND
  tell_ms
  undo_ms+=($((now_ms + $1)))
  undo_what+=("$2")
}
undo_due() {
  local i
  tell_ms
  for i in "${!undo_ms[@]}"; do
    if [ "$now_ms" -ge "${undo_ms[$i]}" ]; then
      ${undo_what[$i]}
      unset "undo_ms[$i]" "undo_what[$i]"
    fi
  done
}
undo_all() {
  local i
  for i in "${!undo_ms[@]}"; do
    ${undo_what[$i]}
  done
  undo_ms=()
  undo_what=()
}

signal() { # SIGNAL ACTOR: true if it was there
  [ -n "${pid[$2]}" ] && kill "-$1" "${pid[$2]}" 2>/dev/null
}
wake() { signal CONT "$1" || true; } # ACTOR

# ---- the table of faults ----
faults=(runner-kill runner-stop runner-term sched-kill sched-stop redis-kill redis-new redis-stop
  redis-flush runner-clock sched-clock redis-clock store-full redis-full)

describe() { # FAULT
  case $1 in
    runner-kill) echo "a runner is killed (SIGKILL)" ;;
    runner-stop) echo "a runner is stopped (SIGSTOP) for two to three leases" ;;
    runner-term) echo "a runner gets SIGTERM, as a preemption's notice" ;;
    sched-kill) echo "a scheduler is killed, the leader or the one that stands by" ;;
    sched-stop) echo "a scheduler is stopped until the other one may take over" ;;
    redis-kill) echo "Redis is killed and reads its append-only file again" ;;
    redis-new) echo "Redis is killed without one, and comes back empty" ;;
    redis-stop) echo "Redis is stopped for one to two seconds" ;;
    redis-flush) echo "FLUSHALL" ;;
    runner-clock | sched-clock) echo "a ${1%-clock}'s clock steps, to within two minutes of the true time" ;;
    redis-clock) echo "Redis's clock steps by up to an hour, either way" ;;
    store-full) echo "the store's disk is full for up to three seconds" ;;
    redis-full) echo "Redis's disk is full for up to three seconds; one time in two Redis is killed then" ;;
  esac
}

one_of() { draw 2 && victim=$1$((drawn + 1)); } # runner or sched: $victim

strike_runner_kill() { one_of runner && signal KILL "$victim"; }
strike_runner_stop() {
  one_of runner && signal STOP "$victim" || return
  draw 1000
  later $((2000 + drawn)) "wake $victim"
}
strike_runner_term() { one_of runner && signal TERM "$victim"; }
strike_sched_kill() { one_of sched && signal KILL "$victim"; }
strike_sched_stop() {
  one_of sched && signal STOP "$victim" || return
  draw 1500
  later $((2000 + drawn)) "wake $victim"
}
strike_redis_kill() { signal KILL redis; }
strike_redis_new() { signal KILL redis && rm -rf "$redis_disk/appendonlydir"; }
strike_redis_stop() {
  signal STOP redis || return
  draw 1000
  later $((1000 + drawn)) "wake redis"
}
strike_redis_flush() { timeout 5 redis-cli -s "$work/redis.sock" FLUSHALL >/dev/null 2>&1; }

set_clock() { # ACTOR SECONDS either way, at most
  draw $((2 * $2))
  printf '%+d\n' $((drawn - $2)) >"$work/$1.new" && mv "$work/$1.new" "$work/$1.clock"
}
strike_runner_clock() { one_of runner && set_clock "$victim" 120; }
strike_sched_clock() { one_of sched && set_clock "$victim" 120; }
strike_redis_clock() { set_clock redis 3600; }

make_room() { # FOLDER
  rm -f "$1/fill"
  tell_ms
  room_ms=$now_ms
}
fill_up() { # FOLDER
  [ ! -e "$1/fill" ] || return
  dd if=/dev/zero of="$1/fill" bs=1M 2>/dev/null || true
  dd if=/dev/zero of="$1/fill" bs=1k oflag=append conv=notrunc 2>/dev/null || true
  draw 2000
  later $((1000 + drawn)) "make_room $1"
}
strike_store_full() { fill_up "$disk/store"; }
strike_redis_full() {
  fill_up "$redis_disk" || return
  draw 2
  [ "$drawn" -eq 0 ] || signal KILL redis || true
}

# Deal the next fault: each of those asked for once, in random order, then again.
deck=()
wanted=()
deal() { # $fault
  local i
  [ "${#deck[@]}" -gt 0 ] || deck=("${wanted[@]}")
  draw "${#deck[@]}"
  i=$drawn
  fault=${deck[$i]}
  deck=("${deck[@]:0:$i}" "${deck[@]:$((i + 1))}")
}
