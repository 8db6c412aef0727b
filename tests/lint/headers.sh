#!/usr/bin/env bash
# Goal: every header compiles alone. Method: one translation unit that includes nothing else.
set -euo pipefail
cd "$1"
compiler=$2
failed=0
includes=(-Ibase/include -Icodec/include -Istorage/include -Iqueue/include -Igpu-runner/include
  -Igpu-runner -Ischeduler -Istorage -Iqueue -Icodec -Ibase -I.)
read -ra flags <<<"$(pkg-config --cflags libsodium hiredis libcyaml jansson)"

mapfile -t headers < <(git ls-files '*.h')
[ "${#headers[@]}" -gt 20 ] || { echo "only ${#headers[@]} headers found"; exit 1; }
for header in "${headers[@]}"; do
  if ! "$compiler" -std=c17 -D_GNU_SOURCE -fsyntax-only -Wall -Wextra -Werror "${includes[@]}" \
    "${flags[@]}" -include "$header" -x c /dev/null; then
    echo "$header does not compile alone"
    failed=1
  fi
done
exit $failed
