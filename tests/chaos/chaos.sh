#!/usr/bin/env bash
# Random faults on real processes: two schedulers, two runners, Redis and a directory store run a small
# search each round while they are killed, stopped, emptied, filled up and put at wrong times. Every round
# must end with the outcomes and decisions of the undisturbed search and a clean audit, and no process
# may end by itself.
#   chaos.sh SOURCE_DIR BINARY_DIR [OPTION ...]
#     --rounds N      so many rounds (default 2), and more until each fault was dealt; a round deals each
#                     fault once in random order, one time in four three at once
#     --seconds S     instead: rounds for so long
#     --seed N        of the first round; the next one has N + 1 (default: of the time)
#     --faults A,B    only these (default: all; full disks only where a tmpfs may be mounted)
#     --no-disks      without full disks
#     --keep FOLDER   for the logs and the store of a round that was not well
#     --list          print the faults
# Exit codes: 0 all rounds were well; 1 one was not: its seed is printed; 2 bad input; 77 a fault asked for
# by name needs a tmpfs, and mounting is refused.
set -euo pipefail

# Mounts are of this process and its children alone, and end with them.
if [ -z "${NERO_CHAOS_UNSHARED-}" ] && unshare --mount true 2>/dev/null; then
  NERO_CHAOS_UNSHARED=1 exec unshare --mount "$0" "$@"
fi
usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; }
bad_input() {
  echo "chaos: $*" >&2
  exit 2
}
case "${1-}" in
  --help | -h) usage; exit 0 ;;
esac
[ $# -ge 2 ] || bad_input "SOURCE_DIR and BINARY_DIR are needed (--help)"
source=$1
# shellcheck source=tests/e2e/world.sh
. "$source/tests/e2e/world.sh" "$2"
# shellcheck source=tests/chaos/faults.sh
. "$source/tests/chaos/faults.sh"
shift 2

rounds=2
seconds=
seed=$((EPOCHSECONDS % 1000000000))
asked=
keep=
disks=yes
list() {
  for fault in "${faults[@]}"; do
    printf '%-14s %s\n' "$fault" "$(describe "$fault")"
  done
}
while [ $# -gt 0 ]; do
  case $1 in
    --list) list; exit 0 ;;
    --help | -h) usage; exit 0 ;;
    --no-disks) disks=; shift; continue ;;
  esac
  [ $# -gt 1 ] || bad_input "$1 is no option, or has no value (--help)"
  case $1 in
    --rounds) rounds=$2 ;;
    --seconds) seconds=$2 ;;
    --seed) seed=$2 ;;
    --faults) asked=$2 ;;
    --keep) keep=$2 ;;
    *) bad_input "there is no option $1 (--help)" ;;
  esac
  shift 2
done
for number in "$rounds" "${seconds:-0}" "$seed"; do
  [[ $number =~ ^(0|[1-9][0-9]{0,8})$ ]] || bad_input "'$number' is not a number below 10^9"
done

# ---- disks that can be filled ----
disk=$work/disk
redis_disk=$disk/redis
room_ms=0
mkdir -p "$disk/store" "$redis_disk"
mounted=
finish() {
  end_actors
  [ -z "$mounted" ] || umount -l "$disk/store" "$redis_disk"
  cleanup
}
trap finish EXIT
if [ -n "${NERO_CHAOS_UNSHARED-}" ] && mount -t tmpfs -o size=256m none "$disk/store" 2>/dev/null &&
  mount -t tmpfs -o size=32m none "$redis_disk" 2>/dev/null; then
  mounted=yes
fi
[ -n "$mounted" ] || [ -z "$disks" ] || echo "no full disks: mounting is refused"
for fault in ${asked:+${asked//,/ }}; do
  [[ " ${faults[*]} " == *" $fault "* ]] || bad_input "there is no fault $fault (--list)"
  if [ -z "$mounted" ] && [ "${fault%-full}" != "$fault" ]; then
    echo "skipped: $fault needs a tmpfs"
    exit 77
  fi
  wanted+=("$fault")
done
for fault in "${faults[@]}"; do
  if [ -z "$asked" ] && { [ "${fault%-full}" = "$fault" ] || { [ -n "$disks" ] && [ -n "$mounted" ]; }; }; then
    wanted+=("$fault")
  fi
done

export NERO_LOG=info
preset=$source/presets/smoke.yaml
search=(--seed 5 --set search.generations=4 --set search.budget=steps:80 --set search.budget_cap=steps:160)
declare -A dealt
jobs=0 jobs_lost=0

# ---- in peace ----
nero-sched run "$preset" --name calm "${search[@]}" --store "file://$work/calm" --runners 1 --backend ref \
  --skip-audit >"$work/calm.out" 2>&1 || fail "the undisturbed run"
export_run calm "file://$work/calm"
[ "$(wc -l <"$work/calm.csv")" -gt 8 ] || fail "the export has too few rows"
rm -rf "$work/calm"

# ---- a round ----
broken() { # WHY
  echo "round $round is not well: $*; again with --seed $seed --rounds 1"
  if [ -n "$keep" ]; then
    mkdir -p "$keep"
    cp -r "$work"/. "$keep"
    echo "its logs and store: $keep"
  fi
  fail "$*"
}

begin_round() {
  local actor
  RANDOM=$seed
  deck=("${wanted[@]}")
  run=round$round
  export NERO_STORE=file://$disk/store/s NERO_REDIS=unix://$work/redis.sock
  rm -rf "$disk/store/s" "$redis_disk/appendonlydir" "$work"/*.log
  : >"$work/strikes"
  for actor in "${actors[@]}"; do
    echo +0 >"$work/$actor.clock"
    pid[$actor]=
    due_ms[$actor]=0
  done
  start_actor redis
  wait_for 10 test -S "$work/redis.sock"
  nero-sched submit "$preset" --name "$run" "${search[@]}" >"$work/submit.out" 2>&1 || broken "submit"
}

strike() { # some faults at once, one time in four
  local tries=1
  draw 4
  [ "$drawn" -gt 0 ] || tries=3
  while [ "$tries" -gt 0 ] && [ "$strikes" -gt 0 ]; do
    tries=$((tries - 1))
    deal
    if "strike_${fault//-/_}"; then
      tell_ms
      echo "$now_ms $fault" >>"$work/strikes"
      dealt[$fault]=$((${dealt[$fault]:-0} + 1))
      strikes=$((strikes - 1))
    else
      deck+=("$fault") # its victim is not there
    fi
  done
}

storm() {
  local next_ms end_ms strikes
  strikes=${#deck[@]}
  [ "$strikes" -ge 4 ] || strikes=4
  tell_ms
  end_ms=$((now_ms + 180000))
  draw 1500
  next_ms=$((now_ms + 500 + drawn))
  until grep -qs "serve.finished run=$run " "$work"/sched?.log; do
    tend
    undo_due
    tell_ms
    [ "$now_ms" -lt "$end_ms" ] || broken "it does not end"
    if [ "$strikes" -gt 0 ] && [ "$now_ms" -ge "$next_ms" ]; then
      strike
      draw 1500
      next_ms=$((now_ms + 100 + drawn))
    fi
    sleep 0.05
  done
  undo_all
  end_actors
}

# ---- what must hold, and what it cost ----
# After the last slot of each lost attempt: the seconds until the next claim, in which work may have been
# lost. By the times of the files, since the runners' clocks are wrong.
gaps() { # FOLDER of the job's slots; its story is in story.out
  local last
  { grep -oE '"last_slot":[0-9]+,"idle_ms":-?[0-9]+,"checkpoints":[0-9]+,"end":"lost"' "$work/story.out" || true; } |
    while IFS=:, read -r _ last _; do
      stat -c %.3Y "$(printf '%s/%010d' "$1" "$last")" "$(printf '%s/%010d' "$1" $((last + 1)))"
    done | awk 'NR % 2 { from = $1; next } { print $1 - from }' >>"$work/unseen"
}

check() {
  local job specs
  export_run "$run" "$NERO_STORE"
  cmp "$work/calm.csv" "$work/$run.csv" || broken "other outcomes or decisions"
  nero-sched audit "$disk/store/s" --root-key "$work/data/nero/keys/root.key.pub" >"$work/audit.out" 2>&1 ||
    broken "the audit finds something: $(cat "$work/audit.out")"
  mapfile -t specs < <(find "$disk/store/s/runs/$run/spec" -type f -printf '%f\n')
  for job in "${specs[@]}"; do
    jobs=$((jobs + 1))
    nero-sched explain "$job" --run "$run" --json >"$work/story.out" 2>&1 || broken "the story of $job"
    grep -q '"state":"final"' "$work/story.out" || jobs_lost=$((jobs_lost + 1))
    sed -E 's/.*"totals":\{"attempts":([0-9]+),"preempted":([0-9]+),"lost":([0-9]+),.*"seconds_trained":([^,]+),"redone":\{"updates":([0-9]+),"seconds":([^}]+)\}.*/\1 \2 \3 \4 \5 \6/' \
      "$work/story.out" >>"$work/totals"
    gaps "$disk/store/s/runs/$run/job/$job"
  done
  [ "$jobs_lost" -eq 0 ] || broken "$jobs_lost jobs have no final slot"
  find "$disk/store/s/runs/$run/job" -type f -printf '%T@\n' | sort -n >"$work/slots"
  awk 'NR == FNR { slot[n++] = $1 * 1000; next }
    { for (i = 0; i < n && slot[i] <= $1; i++); if (i < n) print $2, slot[i] - $1 }' \
    "$work/slots" "$work/strikes" >>"$work/recovered"
}

# P50, P99 and the largest of the numbers read, in seconds.
percentiles() {
  sort -n | awk '{ v[n++] = $1 / 1000 }
    function at(share) { return v[int(n * share + .999) - 1] } # the nearest rank
    END { if (n) printf "%6.2f %6.2f %6.2f", at(.5), at(.99), v[n - 1] }'
}

table() {
  local fault
  echo "seconds from a fault to the next slot (a claim, a checkpoint, a result) of any runner:"
  printf '%-14s %6s %6s %6s %6s\n' fault dealt p50 p99 max
  for fault in "${wanted[@]}"; do
    printf '%-14s %6d %s\n' "$fault" "${dealt[$fault]:-0}" \
      "$(awk -v fault="$fault" '$1 == fault { print $2 }' "$work/recovered" | percentiles)"
  done
  printf '%-14s %6d %s\n' all "$(awk '{ n += $1 } END { print n + 0 }' <<<"$(printf '%s\n' "${dealt[@]}")")" \
    "$(awk '{ print $2 }' "$work/recovered" | percentiles)"
  awk -v rounds="$done_rounds" -v jobs="$jobs" -v lost="$jobs_lost" '
    FILENAME == ARGV[1] { most += $1; next }
    { attempts += $1; preempted += $2; dead += $3; trained += $4; updates += $5; again += $6 }
    END {
      printf "%d rounds, %d jobs, %d lost; %d attempts: %d preempted, %d lost\n",
        rounds, jobs, lost, attempts, preempted, dead
      printf "trained %.2f s; duplicate: %.2f s (%d updates) done again, and what was lost in at most %.2f s\n",
        trained, again, updates, most
      print "between the last slots of lost attempts and the next claims"
    }' "$work/unseen" "$work/totals"
}

all_dealt() {
  local fault
  for fault in "${wanted[@]}"; do
    [ -n "${dealt[$fault]-}" ] || return 1
  done
}
goes_on() {
  if [ -n "$seconds" ]; then
    [ "$SECONDS" -lt "$seconds" ]
  else
    [ "$done_rounds" -lt "$rounds" ] || { [ "$rounds" -gt 1 ] && ! all_dealt; }
  fi
}

: >"$work/totals"
: >"$work/recovered"
: >"$work/unseen"
done_rounds=0
while goes_on; do
  round=$((done_rounds + 1))
  began=$SECONDS
  begin_round
  storm 2>>"$work/killed.out" # bash tells of each
  check
  done_rounds=$round
  echo "round $round, seed $seed, $((SECONDS - began)) s:$(awk '{ printf " %s", $2 }' "$work/strikes")"
  seed=$((seed + 1))
done
table
echo "equal outcomes and decisions in all rounds, audits clean"
