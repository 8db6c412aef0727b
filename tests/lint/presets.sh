#!/usr/bin/env bash
# Goal: every key that a preset may hold is described, and paper.yaml writes every one of them with where its
# value comes from, as the README does. Method: the keys in the schema of preset.c; rows of
# presets/README.md; keys and marks in paper.yaml. A mark is P, R, I, U or "ours" at the beginning of the
# comment of the key's line, and of the last column of its row.
# shellcheck disable=SC2016 # backticks are Markdown's
set -euo pipefail
cd "$1"
failed=0
complain() {
  echo "$*"
  failed=1
}

mapfile -t keys < <(
  sed -nE 's/.*(SEARCH|PROTOCOL)\([A-Z]+, ([a-z_0-9]+)\).*/\2/p; s/.*(RUN)\(([a-z_0-9]+)\),.*/\2/p
    s/.*(TEXT|CYAML_FIELD_[A-Z_]+)\("([a-z_0-9]+)".*/\2/p' scheduler/preset.c
  grep -oE 'RATE\([a-z_0-9]+\)' scheduler/preset.c | sed -E 's/RATE\((.*)\)/rates.\1/'
  grep -oE 'MODULE\([a-z_0-9]+\)' scheduler/preset.c | sed -E 's/MODULE\((.*)\)/\1/'
)
[ "${#keys[@]}" -gt 50 ] || complain "only ${#keys[@]} keys found in preset.c"

# Groups; what says how a run is run, not what it comes to; what only PGD needs.
unwritten=' runners checkpoint_interval lease_ms seed steps step_size '
groups=' search protocol run rates attack name rates.name '
for key in "${keys[@]}"; do
  [[ $groups == *" $key "* ]] && continue
  last=${key##*.}
  grep -qE "\`([a-z]+\.)?$last\`|### \`$last\`|^\`?$last" presets/README.md ||
    complain "presets/README.md does not describe $key"
  [[ $unwritten == *" $key "* ]] && continue
  if ! grep -qE "(^ *|[{ ])$last:" presets/paper.yaml; then
    complain "presets/paper.yaml leaves $key to its default"
  fi
done

mark_of() { # TEXT: the mark that it begins with, or nothing
  sed -nE 's/^(P|R|I|U|ours)([ ,;:].*)?$/\1/p' <<<"$1"
}

# A line that sets a value carries a mark, but in the rates, which share the first one's, and the modules.
while IFS= read -r line; do
  [[ $line =~ ^(dataset|grammar): || $line =~ ^[a-z]+:$ || $line =~ ^\ \ rates:$ ]] && continue
  [[ $line =~ ^\ \ \ \ [a-z] || $line =~ ^\ \ \ \ -\  ]] && continue
  [ -n "$(mark_of "${line#*\# }")" ] || complain "presets/paper.yaml: no source: $line"
done < <(grep -vE '^ *#|^$' presets/paper.yaml)

# The same mark in both.
compared=0
while IFS=$'\t' read -r names source; do
  [ -n "$(mark_of "$source")" ] || { complain "presets/README.md: no source of $names: '$source'"; continue; }
  for name in $(grep -oE '`[a-z_0-9]+`' <<<"$names" | tr -d '`'); do
    line=$(grep -E "^  $name:.*# " presets/paper.yaml) || continue
    [ "$(mark_of "${line#*\# }")" = "$(mark_of "$source")" ] ||
      complain "presets: $name: '$source' in README.md, but in paper.yaml: $line"
    compared=$((compared + 1))
  done
done < <(sed -nE '/^### `(search|protocol)`/,/^### `run`/s/^\| (`.*`) \| .* \| ([^|]*) \|$/\1\t\2/p' presets/README.md)
[ "$compared" -gt 25 ] || complain "only $compared marks compared"
exit "$failed"
