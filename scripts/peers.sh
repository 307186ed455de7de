#!/usr/bin/env bash
# Unpacks a current Prometheus, promtool, Alertmanager, amtool and Pushgateway beside the system's own, so that tests
# run against both.
# usage: peers.sh DIR     afterwards DIR/usr/bin has the programs.
# The packages are those of Debian's unstable suite, fetched by apt from the mirror that this machine already
# uses and verified by its signatures. Nothing is installed and nothing outside DIR is written; a DIR that is
# complete is left alone.
set -euo pipefail

programs=(prometheus promtool prometheus-pushgateway prometheus-alertmanager amtool)
packages=(prometheus promtool prometheus-pushgateway prometheus-alertmanager)
current='^(prometheus|promtool), version [3-9]\.|^pushgateway, version 1\.[1-9][0-9]|^(alertmanager|amtool), version 0\.(2[6-9]|[3-9][0-9])'
dir=$(mkdir -p "$1" && cd "$1" && pwd)

complete() {
  local program
  for program in "${programs[@]}"; do
    "$dir/usr/bin/$program" --version 2>&1 | grep -E "$current" >/dev/null || return 1
  done
}

report() {
  local program
  for program in "${programs[@]}"; do
    "$dir/usr/bin/$program" --version 2>&1 | sed -nE '1s/ \(.*//p'
  done
}

if complete 2>/dev/null; then report; exit 0; fi

mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list 2>/dev/null |
  grep -oE 'https?://[^ ]+/debian/?( |$)' | head -n 1 | tr -d ' ' || true)
if [ -z "$mirror" ]; then
  echo "peers.sh: no Debian mirror is configured on this machine" >&2
  exit 1
fi

apt=$dir/.apt
rm -rf "$apt"
trap 'rm -rf "$apt"' EXIT
mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
echo "deb $mirror sid main" >"$apt/sources.list"
options=(
  -o Dir::Etc::SourceList="$apt/sources.list"
  -o Dir::Etc::SourceParts=/dev/null
  -o Dir::State::Lists="$apt/lists"
  -o Dir::Cache="$apt/cache"
  -o APT::Sandbox::User=root
  -o Acquire::Languages=none
  -o Acquire::Retries=3
)
apt-get "${options[@]}" -qq update
(cd "$apt" && apt-get "${options[@]}" -qq download "${packages[@]}")
for package in "$apt"/*.deb; do dpkg -x "$package" "$dir"; done

if ! complete; then
  echo "peers.sh: the unpacked programs do not run here:" >&2
  for program in "${programs[@]}"; do "$dir/usr/bin/$program" --version >&2 || true; done
  exit 1
fi
report
