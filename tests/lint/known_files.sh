#!/usr/bin/env bash
# Goal: the official CIFAR-10 files are known by one set of hashes. Method: those of `dataset import`
# and those that scripts/make-small-cifar checks must be the same lines.
#   known_files.sh SOURCE_DIR
set -euo pipefail
cd "$1"

imported=$(sed -n 's/^ *{"\([a-z0-9_]*\.bin\)", "\([0-9a-f]\{64\}\)"},$/\2  \1/p' scheduler/dataset_store.c | sort)
shipped=$(grep -E '^[0-9a-f]{64}  [a-z0-9_]+\.bin$' scripts/make-small-cifar | sort)
[ "$(wc -l <<<"$imported")" -eq 6 ] || { echo "not six files in scheduler/dataset_store.c"; exit 1; }
diff <(echo "$imported") <(echo "$shipped") || { echo "the hashes differ"; exit 1; }
