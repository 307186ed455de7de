#!/usr/bin/env bash
# The long form of the torture tests: rounds of kill -9 at random moments, and right after promises about alerts; then
# minutes of ingest against retention.
# Ends by itself; the last lines say what was done. OBSERVATORY_SOAK_SEED=N repeats the choices of an earlier run.
set -euo pipefail
cd "$(dirname "$0")/.."

export OBSERVATORY_SOAK_ROUNDS=${1:-500} OBSERVATORY_SOAK_MINUTES=${2:-5}
export OBSERVATORY_SOAK_SEED=${OBSERVATORY_SOAK_SEED:-$(date +%s)}
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
echo "seed $OBSERVATORY_SOAK_SEED"
# One after the other: each wants the machine for itself.
cargo test --locked --test it -- torture:: alerts::restart:: --nocapture --test-threads=1
