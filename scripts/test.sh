#!/usr/bin/env bash
# Everything that must hold before a change is merged. On Debian as root, what the tests need is installed first;
# elsewhere what is missing is named and the tests that need it are skipped (with CI=true they fail).
set -euo pipefail
cd "$(dirname "$0")/.."

export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
venv=$PWD/.venv-test

# What the page and the boards are built with.
node_is_new='const [major, minor] = process.versions.node.split(".").map(Number); process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1)'

say() { printf '== %s\n' "$*"; }

# Says that something is missing; the end in CI.
missing() {
  printf 'missing: %s\n' "$*" >&2
  if [ "${CI:-}" = true ]; then exit 1; fi
}

debian_root() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

install_packages() {
  local wanted=()
  # The prometheus package brings promtool and, unlike the unpacked peer, the version that stable Debian runs.
  command -v prometheus >/dev/null && command -v promtool >/dev/null || wanted+=(prometheus)
  # What answers as we do is asked the same; the clients that push to it push to us.
  command -v prometheus-pushgateway >/dev/null || wanted+=(prometheus-pushgateway)
  # What alerts are forwarded to.
  command -v prometheus-alertmanager >/dev/null && command -v amtool >/dev/null || wanted+=(prometheus-alertmanager)
  # Another machine, which is this one.
  [ -x /usr/sbin/sshd ] && command -v ssh >/dev/null || wanted+=(openssh-server openssh-client)
  command -v npm >/dev/null || wanted+=(nodejs npm)
  ruby -e "require 'prometheus/client/push'" 2>/dev/null || wanted+=(ruby ruby-prometheus-client-mmap)
  [ -e /usr/include/prometheus/gateway.h ] || wanted+=(prometheus-cpp-dev)
  # The browser that the web page is tested in.
  command -v chromium >/dev/null || wanted+=(chromium)
  command -v curl >/dev/null || wanted+=(curl)
  python3 -c 'import venv, ensurepip' 2>/dev/null || wanted+=(python3 python3-venv)
  # What holds the files for deployments: proxies run, the others are read by the program that would run them.
  command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || wanted+=(nginx-light)
  command -v redis-server >/dev/null || wanted+=(redis-server)
  command -v docker-compose >/dev/null || wanted+=(docker-compose)
  command -v systemd-analyze >/dev/null || wanted+=(systemd)
  command -v groff >/dev/null || wanted+=(groff-base)
  command -v openssl >/dev/null || wanted+=(openssl)
  # Building zstd and ring from source.
  command -v cc >/dev/null && command -v g++ >/dev/null || wanted+=(build-essential)
  [ ${#wanted[@]} = 0 ] && return
  if ! debian_root; then
    missing "the packages ${wanted[*]} (install them, or run as root on Debian)"
    return
  fi
  say "installing ${wanted[*]}"
  # No service may be started by the installation: the tests start their own.
  printf '#!/bin/sh\nexit 101\n' >/tmp/policy-rc.d.$$
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    install -m 755 /tmp/policy-rc.d.$$ /usr/sbin/policy-rc.d
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  rm -f /tmp/policy-rc.d.$$
  apt-get -qq update
  DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${wanted[@]}" >/dev/null
}

install_peers() {
  if ! command -v dpkg >/dev/null || ! command -v apt-get >/dev/null; then
    missing "a current Prometheus in ./peers (scripts/peers.sh needs Debian's apt)"
    return
  fi
  say "current Prometheus, Alertmanager and Pushgateway in ./peers"
  scripts/peers.sh peers || missing "a current Prometheus, Alertmanager and Pushgateway in ./peers"
}

# The official Python parser is the oracle for what the exposition writes.
install_python() {
  if ! "$venv/bin/python" -c 'import prometheus_client, google.protobuf, snappy, aiosmtpd, cryptography, standardwebhooks, websockets, sseclient, check_jsonschema, kubernetes_validate, yaml' 2>/dev/null; then
    say "python oracle in .venv-test"
    { python3 -m venv "$venv" &&
      "$venv/bin/pip" install -q --disable-pip-version-check -r scripts/requirements-test.txt; } ||
      { missing "what scripts/requirements-test.txt lists for python3"; return; }
  fi
  export OBSERVATORY_TEST_PYTHON=$venv/bin/python
}

# A client that pushes, as it is.
install_node() {
  if [ ! -d .npm-test/node_modules/prom-client ]; then
    say "prom-client in .npm-test"
    command -v npm >/dev/null &&
      npm install --silent --no-fund --no-audit --prefix .npm-test prom-client@15.1.3 ||
      { missing "prom-client for node"; return; }
  fi
}

# The boards of Grafana: types, rules of the linter, and that the files are what their source makes.
test_dashboards() {
  node -e "$node_is_new" 2>/dev/null || { missing "Node.js 20.19 or later, for the boards of Grafana"; return; }
  say "boards of Grafana"
  (cd grafana/source && npm ci --silent --no-fund --no-audit && npm test --silent)
}

# The web page: types, logic, and what the binary embeds.
build_web() {
  node -e "$node_is_new" 2>/dev/null || { missing "Node.js 20.19 or later, for the web page"; return; }
  say "web page"
  (cd web && npm ci --silent --no-fund --no-audit && npm run --silent check && npm test --silent && npm run --silent build)
}

# The web page in a browser, as the binary of the tests serves it.
test_web() {
  [ -f web/dist/ui/index.html ] || return 0
  local chromium
  chromium=${OBSERVATORY_TEST_CHROMIUM:-$(command -v chromium || true)}
  [ -n "$chromium" ] || { missing "chromium, for the tests of the web page"; return; }
  say "web page in a browser"
  (cd web && OBSERVATORY_TEST_CHROMIUM=$chromium npm run --silent e2e)
}

export OBSERVATORY_TEST_PEERS=${OBSERVATORY_TEST_PEERS:-$PWD/peers}
install_packages
install_peers
install_python
install_node
test_dashboards
build_web
scripts/lint.sh
say "tests"
cargo test --locked
cargo build --locked
test_web
