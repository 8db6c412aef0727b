#!/usr/bin/env bash
# Goal: every C source is laid out as .clang-format says. Method: clang-format 14 (Debian 12's) must
# change nothing.
set -euo pipefail
cd "$1"
clang-format --version | grep -q 'version 14\.' || { echo "clang-format 14 is wanted"; exit 1; }
mapfile -t sources < <(git ls-files '*.c' '*.h' '*.inc')
[ "${#sources[@]}" -gt 50 ] || { echo "only ${#sources[@]} sources found"; exit 1; }
clang-format --style=file --dry-run --Werror "${sources[@]}"
