#!/usr/bin/env bash
# Runs every fuzz target for the given number of seconds (default 30).
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-30}
if ! cargo fuzz --version >/dev/null 2>&1; then
  echo "skipped: cargo-fuzz is not installed (cargo install cargo-fuzz)"
  exit 0
fi
for target in $(cargo fuzz list); do
  printf '== %s\n' "$target"
  cargo +nightly fuzz run "$target" -- -max_total_time="$seconds" -max_len=65536 -timeout=10
done
