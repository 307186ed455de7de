#!/usr/bin/env bash
# Makes packages of the release binary, in ./dist.
# usage: package.sh wheel          a Python package that brings the binary
#        package.sh deb [BINARY]   a Debian package; of BINARY instead of building one
# With the musl target (rustup target add x86_64-unknown-linux-musl, and Debian's musl-tools) the binary is static and
# runs on every Linux of its processor; without it, on those whose glibc is as new as this one.
# DIST is another directory than ./dist; DEB_COMPRESSION (xz) is what dpkg-deb compresses with.
set -euo pipefail
cd "$(dirname "$0")/.."

out=${DIST:-$PWD/dist}
version=$(sed -nE '0,/^version = "(.*)"$/s//\1/p' Cargo.toml)
musl=$(uname -m)-unknown-linux-musl

say() { printf '== %s\n' "$*" >&2; }

# The target to build for: musl where it can be, else what the compiler builds for by itself.
target() {
  local libdir
  libdir=$(rustc --print target-libdir --target "$musl" 2>/dev/null) || true
  if [ -n "$libdir" ] && [ -d "$libdir" ] && command -v musl-gcc >/dev/null; then
    echo "$musl"
  else
    say "no $musl here: the binary needs this machine's glibc or a newer one"
    rustc -vV | sed -n 's/^host: //p'
  fi
}

page() {
  if [ ! -f web/dist/ui/index.html ]; then
    say "web page"
    make --no-print-directory web >&2
  fi
}

wheel() {
  local venv=$PWD/.venv-build maturin
  page
  maturin=$(command -v maturin || true)
  if [ -z "$maturin" ]; then
    [ -x "$venv/bin/maturin" ] || { python3 -m venv "$venv" && "$venv/bin/pip" install -q --disable-pip-version-check maturin==1.16.0; }
    maturin=$venv/bin/maturin
  fi
  say "wheel"
  "$maturin" build --release --locked --target "$(target)" --out "$out"
}

deb() {
  local binary=${1:-} to stage arch depends="" name
  if [ -z "$binary" ]; then
    page
    to=$(target)
    say "release binary for $to"
    cargo build --release --locked --target "$to"
    binary=target/$to/release/observatory
  fi
  arch=$(dpkg --print-architecture)
  # What is linked to a C library needs one as new as the one here.
  # Read to the end: a pipe that is closed early would fail it.
  if ldd "$binary" 2>/dev/null | grep 'libc\.so' >/dev/null; then
    depends="Depends: libc6 (>= $(ldd --version | sed -nE '1s/.* ([0-9.]+)$/\1/p'))"
  fi
  stage=$(mktemp -d)
  # shellcheck disable=SC2064 # the directory of now
  trap "rm -rf '$stage'" EXIT
  chmod 755 "$stage"

  install -D -m 755 "$binary" "$stage/usr/bin/observatory"
  install -D -m 644 deploy/systemd/observatory.service "$stage/usr/lib/systemd/system/observatory.service"
  install -D -m 644 observatory.yml "$stage/etc/observatory/observatory.yml"
  install -D -m 644 LICENSE "$stage/usr/share/doc/observatory/copyright"
  install -D -m 644 README.md "$stage/usr/share/doc/observatory/README.md"
  mkdir -p "$stage"/usr/share/{man/man1,bash-completion/completions,zsh/vendor-completions,fish/vendor_completions.d}
  gzip -9n <CHANGELOG.md >"$stage/usr/share/doc/observatory/changelog.gz"
  "$binary" man --output "$stage/usr/share/man/man1"
  gzip -9n "$stage"/usr/share/man/man1/*.1
  "$binary" completions bash >"$stage/usr/share/bash-completion/completions/observatory"
  "$binary" completions zsh >"$stage/usr/share/zsh/vendor-completions/_observatory"
  "$binary" completions fish >"$stage/usr/share/fish/vendor_completions.d/observatory.fish"
  find "$stage/usr/share" -type f -exec chmod 644 {} +
  find "$stage" -type d -exec chmod 755 {} +

  mkdir "$stage/DEBIAN"
  echo /etc/observatory/observatory.yml >"$stage/DEBIAN/conffiles"
  {
    printf 'Package: observatory\nVersion: %s\nArchitecture: %s\nSection: net\nPriority: optional\n' "$version" "$arch"
    printf 'Maintainer: The Observatory developers <observatory@localhost>\n'
    printf 'Installed-Size: %s\n' "$(du -sk --exclude=DEBIAN "$stage" | cut -f 1)"
    if [ -n "$depends" ]; then printf '%s\n' "$depends"; fi
    # Certificates, for notifications by HTTPS and mail; time zones, for the calendars of silences.
    printf 'Recommends: ca-certificates, tzdata\n'
    printf 'Description: event journal, Prometheus exporter and Pushgateway in one binary\n'
    printf ' JSON events become a durable journal and Prometheus metrics, by rules that can be\n'
    printf ' read, tested and changed. Clients of a Pushgateway can push to it.\n'
  } >"$stage/DEBIAN/control"
  # The service is neither enabled nor started: it starts with `systemctl enable --now observatory`.
  cat >"$stage/DEBIAN/postinst" <<'SCRIPT'
#!/bin/sh
set -e
if [ "$1" = configure ] && [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl try-restart observatory.service
fi
SCRIPT
  cat >"$stage/DEBIAN/prerm" <<'SCRIPT'
#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    systemctl --quiet disable --now observatory.service
fi
SCRIPT
  # What it stored stays in /var/lib/private/observatory, also on a purge: nobody asked for that to go.
  cat >"$stage/DEBIAN/postrm" <<'SCRIPT'
#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
fi
SCRIPT
  chmod 755 "$stage"/DEBIAN/{postinst,prerm,postrm}
  mkdir -p "$out"
  name=$out/observatory_${version}_$arch.deb
  say "$name"
  dpkg-deb --root-owner-group -Z"${DEB_COMPRESSION:-xz}" --build "$stage" "$name" >&2
  echo "$name"
}

case ${1:-} in
  wheel) wheel ;;
  deb) deb "${2:-}" ;;
  *) sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
