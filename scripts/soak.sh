#!/usr/bin/env bash
# The long form of the torture tests: rounds of kill -9 at random moments, then minutes of ingest against retention.
# Ends by itself; the last lines say what was done. A failure names the seed: OBSERVATORY_SOAK_SEED=N repeats its choices.
set -euo pipefail
cd "$(dirname "$0")/.."

export OBSERVATORY_SOAK_ROUNDS=${1:-500} OBSERVATORY_SOAK_MINUTES=${2:-5}
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
# One after the other: each wants the machine for itself.
cargo test --locked --test it -- torture::soak --ignored --nocapture --test-threads=1
