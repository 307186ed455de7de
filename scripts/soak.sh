#!/usr/bin/env bash
# The long form of the torture tests: rounds of kill -9 at random moments, and right after promises about alerts;
# minutes of ingest against retention; a minute in which notifications fail, with kills; a million label values; kills
# while forgotten files are removed.
# Ends by itself; the last lines say what was done. OBSERVATORY_SOAK_SEED=N repeats the choices of an earlier run.
set -euo pipefail
cd "$(dirname "$0")/.."

export OBSERVATORY_SOAK_ROUNDS=${1:-500} OBSERVATORY_SOAK_MINUTES=${2:-5}
export OBSERVATORY_SOAK_SEED=${OBSERVATORY_SOAK_SEED:-$(date +%s)}
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
echo "seed $OBSERVATORY_SOAK_SEED"
# One after the other: each wants the machine for itself.
cargo test --locked --test it -- torture:: alerts::restart:: --nocapture --test-threads=1
cargo test --locked --test it -- hostile::two_hundred_thousand_label_values --nocapture
cargo test --locked --test it -- notify::lost:: --nocapture
cargo test --locked --lib -- store::sweep::tests::a_kill_during_a_sweep_loses_nothing --exact --nocapture
