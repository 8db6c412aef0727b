#!/usr/bin/env bash
# Goal: no shell script holds what shellcheck finds. Method: all tracked files with a bash line.
set -euo pipefail
cd "$1"
mapfile -t scripts < <(git grep -lE '^#!/usr/bin/env bash' -- scripts tests bench .ci docker 2>/dev/null)
[ "${#scripts[@]}" -gt 4 ] || { echo "only ${#scripts[@]} scripts found"; exit 1; }
shellcheck -x "${scripts[@]}"
