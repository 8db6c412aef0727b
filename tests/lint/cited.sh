#!/usr/bin/env bash
# Goal: a document that cites a test cites one that there is. Method: every test_<stem>__<behaviour> of
# the documents must be a static function, which the compiler refuses where nothing runs it.
#   cited.sh SOURCE_DIR
set -euo pipefail
cd "$1"

defined=$(git grep -ohE '^static void test_[a-z0-9_]+__[a-z0-9_]+\(' -- '*.c' | sed 's/.* //; s/($//')
cited=$(git grep -ohE '\btest_[a-z0-9_]+__[a-z0-9_]+\b' -- '*.md' | sort -u)
[ "$(wc -l <<<"$cited")" -gt 50 ] || { echo "only $(wc -l <<<"$cited") citations found"; exit 1; }
missing=$(comm -23 <(echo "$cited") <(sort -u <<<"$defined"))
[ -z "$missing" ] || { echo "cited, but no test:"; echo "$missing"; exit 1; }
