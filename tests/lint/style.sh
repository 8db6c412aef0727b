#!/usr/bin/env bash
# Goal: the house rules that a machine can measure hold (STYLE: size, banned calls, folders; tests that
# documents name).
# Method: style.awk over all sources but the exceptions listed in exceptions.txt; includes by grep.
set -euo pipefail
cd "$1"
failed=0

mapfile -t sources < <(git ls-files '*.c' '*.h' '*.cu' '*.cuh' '*.inc' '*.lua')
[ "${#sources[@]}" -gt 50 ] || { echo "only ${#sources[@]} sources found"; exit 1; }
findings=$(LC_ALL=C.UTF-8 awk -f tests/lint/style.awk "${sources[@]}" |
  grep -v -F -f <(sed -e 's/#.*//' -e '/^[[:space:]]*$/d' tests/lint/exceptions.txt) || true)
if [ -n "$findings" ]; then
  echo "$findings"
  failed=1
fi

# Who may include whom (DESIGN 3): FOLDER: what its sources must not name.
forbid() { # FOLDER PATTERN
  if git grep -nE "#include \"($2)" -- "$1"; then
    echo "$1 must not include these"
    failed=1
  fi
}
others='codec|storage|queue|scheduler|gpu-runner'
forbid base "($others)/"
forbid base 'nero/(genotype|phenotype|graph|job|slot|result|run|generation|envelope|keys|storage|queue|chain|trust)\.h'
forbid codec 'nero/(storage|queue|chain|trust|enrol)'
forbid storage 'nero/(job|slot|run|generation|queue|chain|trust|enrol)'
forbid scheduler '(net|train|attack|data|backend)/|runner_'
for folder in net train attack data backend; do
  forbid "gpu-runner/$folder" 'nero/(storage|queue|chain|trust|enrol)|runner_'
done
if git grep -nE 'file\(GLOB' -- '*.txt' '*.cmake'; then
  echo "no file globbing in CMake"
  failed=1
fi

# A test that a document names as its witness exists.
while read -r name; do
  if ! git grep -qE "static void $name\(" -- tests; then
    echo "no test is called $name, but a document names it:"
    git grep -n "$name" -- '*.md'
    failed=1
  fi
done < <(git grep -hoE 'test_[a-z0-9_]+__[a-z0-9_]+' -- '*.md' | sort -u)
exit $failed
