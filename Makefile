# What a developer runs is what CI runs. `make` alone lists the targets.
SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Arguments for `observatory serve`: make run ARGS='--listen 127.0.0.1:9191'
ARGS ?=
# Which benchmark: ingest, batch, scrape, idle, push, stream, alerts or all of these; or history, which needs PostgreSQL (bench/README.md).
BENCH ?= all
# A Python that has psycopg.
HISTORY_PYTHON ?= python3
# Seconds per fuzz target.
FUZZ_SECONDS ?= 30
# Rounds of kill -9, and minutes of ingest against retention.
SOAK_ROUNDS ?= 500
SOAK_MINUTES ?= 5

.PHONY: help run build web dashboards test lint fmt bench fuzz soak wheel deb clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## /\1\t/' | expand -t 12

run: web ## build the release binary and serve on 127.0.0.1:9091
	cargo run --release -- serve $(ARGS)

build: web ## build the release binary
	cargo build --release

web: ## build the web page, which the binary embeds (Node.js 20.19 or later)
	if command -v npm >/dev/null; then cd web && npm ci && npm run build; \
	else echo 'no npm: the binary has a small page instead (docs/web.md)'; fi

dashboards: ## write grafana/dashboards from grafana/source (Node.js 20.19 or later)
	cd grafana/source && npm ci --no-fund --no-audit && npm run --silent build

test: ## everything CI checks: installs what is missing (root on Debian), lints, tests
	scripts/test.sh

lint: ## formatting, clippy, rustdoc, cargo-deny, script syntax
	scripts/lint.sh

fmt: ## format the code
	cargo fmt

bench: ## measure against the limit servers in bench/ (BENCH=ingest|batch|scrape|idle|push|stream|alerts|all|history)
	cargo build --release
	cargo build --release --manifest-path bench/limits/Cargo.toml --target-dir target/bench
	$(if $(filter history,$(BENCH)),$(HISTORY_PYTHON) bench/history.py,python3 bench/run.py $(BENCH))

fuzz: ## run each fuzz target for FUZZ_SECONDS (needs cargo-fuzz; the stable compiler does)
	scripts/fuzz.sh $(FUZZ_SECONDS)

soak: ## kill -9 for SOAK_ROUNDS rounds, then ingest against retention for SOAK_MINUTES
	scripts/soak.sh $(SOAK_ROUNDS) $(SOAK_MINUTES)

wheel: ## a Python package that brings the binary, in ./dist (pip install puts it on the path)
	scripts/package.sh wheel

deb: ## a Debian package with the service, manual pages and completions, in ./dist
	scripts/package.sh deb

clean: ## remove build output, packages, unpacked peers and test tools
	rm -rf target dist peers .venv-test .venv-build grafana/source/node_modules grafana/source/out web/node_modules web/dist/ui web/test-results web/screenshots
