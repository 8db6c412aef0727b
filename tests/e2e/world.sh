# shellcheck shell=bash
# Sourced by the scripts of this folder: a folder of the script's own, the programs on the PATH, and
# processes that end with the script.
#   . world.sh BINARY_DIR
work=$(mktemp -d)
export XDG_DATA_HOME=$work/data XDG_STATE_HOME=$work/state XDG_CACHE_HOME=$work/cache
export PATH=$1:$PATH
pids=() # what is killed at the end

cleanup() {
  if [ "${#pids[@]}" -gt 0 ]; then
    kill -9 "${pids[@]}" 2>/dev/null || true
    wait "${pids[@]}" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap cleanup EXIT

fail() { # WHY
  echo "FAILED: $*"
  find "$work" -maxdepth 4 \( -name '*.log' -o -name '*.out' \) -exec tail -n 20 {} +
  exit 1
}

wait_for() { # SECONDS COMMAND...: until it succeeds
  local tries=$(($1 * 10))
  shift
  until "$@" >/dev/null 2>&1; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || fail "waited in vain for: $*"
    sleep 0.1
  done
}

start_redis() { # NAME OPTION...: at unix://$work/NAME.sock
  redis-server --port 0 --unixsocket "$work/$1.sock" --dir "$work" --save '' "${@:2}" \
    >"$work/$1.redis.log" 2>&1 &
  pids+=($!)
  wait_for 10 test -S "$work/$1.sock"
}

# What a run's candidates came to, in $work/RUN.csv; the last four columns tell how (attempts,
# seconds) and may differ.
export_run() { # RUN [STORE]
  nero-sched export "$1" ${2:+--store "$2"} --csv - 2>>"$work/export.out" |
    sed -E 's/(,[^,]*){4}$//' >"$work/$1.csv" || fail "export of $1"
}

# An architecture for the smoke search to start from: its second unit is there twice, and skips.
write_seed() { # FILE
  cat >"$1" <<'END'
nero-genotype 1

module features
  unit wide from -1
  unit small from -1 0
  unit small from 0 1

module softmax
  unit classes from -1

learning any

gene wide features
  activation: 1
  conv: 0 num-filters=4
  features: 0

gene small features
  conv-activation: 0
  features: 1
  pool-type: 1
  transition: 0 num-filters=2

gene classes softmax
  softmax: 0

gene any learning
  gradient-descent: 0 momentum=0.75
  learning: 0
  optimiser: 0
END
}
