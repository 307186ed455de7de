#!/usr/bin/env bash
# Runs every fuzz target for the given number of seconds (default 30), or those that are named behind it. The stable
# compiler does: without a sanitizer nothing of nightly is needed, and what the targets look for are panics, time and
# memory out of proportion (there is no unsafe code of our own for a sanitizer to watch).
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-30}
if ! cargo fuzz --version >/dev/null 2>&1; then
  echo "skipped: cargo-fuzz is not installed (cargo install cargo-fuzz)"
  exit 0
fi
targets=("${@:2}")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(cargo fuzz list)
for target in "${targets[@]}"; do
  printf '== %s\n' "$target"
  cargo fuzz run --sanitizer none "$target" -- \
    -max_total_time="$seconds" -max_len=65536 -timeout=10 -rss_limit_mb=2048
done
