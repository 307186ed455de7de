#!/usr/bin/env bash
# Writes down what runs on the host Vonnegut: docs/discovery/inventory.json and SUMMARY.md.
# usage: discover_vonnegut.sh [observatory discover's flags]
# VONNEGUT_HOST (vonnegut) is the host, SSH_USER who logs in there; without it ssh decides.
set -euo pipefail
VONNEGUT_HOST=${VONNEGUT_HOST:-vonnegut} exec "${OBSERVATORY:-observatory}" discover "$@"
