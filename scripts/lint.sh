#!/usr/bin/env bash
# Formatting, lints, documentation and licences; no test is run.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '== %s\n' "$*"; }

say "format"
cargo fmt --check
say "clippy"
cargo clippy --locked --all-targets -- -D warnings
say "rustdoc"
RUSTDOCFLAGS="${RUSTDOCFLAGS:-} -D warnings" cargo doc --locked --no-deps --document-private-items --quiet
say "licences and advisories"
if command -v cargo-deny >/dev/null; then
  cargo deny --log-level error check
else
  echo "skipped: cargo-deny is not installed"
fi
say "scripts"
while read -r script; do
  case $script in
    *.py) python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read(), sys.argv[1])' "$script" ;;
    *) bash -n "$script" ;;
  esac
done < <(git ls-files -- '*.py' '*.sh' .ci/run)
if command -v shellcheck >/dev/null; then
  git ls-files -- '*.sh' .ci/run | xargs -r shellcheck
else
  echo "skipped: shellcheck is not installed (syntax was checked)"
fi
