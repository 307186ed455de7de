# syntax=docker/dockerfile:1
# One static binary, the web page inside, on a base that has certificates and time zones and nothing that runs.
#
#   docker build -t observatory:0.1.0 --build-arg OBSERVATORY_REVISION="$(git rev-parse --short=12 HEAD)" .
#
# Tags can be moved; docs/deployment.md says how to pin digests.

FROM node:22.20-bookworm-slim AS web
WORKDIR /src/web
COPY web/package.json web/package-lock.json ./
RUN npm ci --no-fund --no-audit
COPY web/ ./
RUN npm run build

FROM rust:1.95-bookworm AS build
# musl-tools brings the C compiler for what is written in C (zstd, aws-lc).
RUN apt-get update && apt-get install -y --no-install-recommends musl-tools && rm -rf /var/lib/apt/lists/* \
    && rustup target add "$(uname -m)-unknown-linux-musl"
WORKDIR /src
# The dependencies first: they are built again only when the list of them changes.
COPY Cargo.toml Cargo.lock build.rs ./
RUN mkdir -p src tests/it benches web/dist \
    && echo 'fn main() {}' | tee src/main.rs tests/tidy.rs tests/it/main.rs \
        benches/exposition.rs benches/ingest.rs benches/history.rs benches/sources.rs benches/rules.rs benches/alerts.rs >/dev/null \
    && touch src/lib.rs \
    && cargo build --locked --release --target "$(uname -m)-unknown-linux-musl"
COPY src ./src
# What `observatory up` renders is in the binary.
COPY docker-compose.yml ./
COPY prometheus ./prometheus
COPY alertmanager ./alertmanager
COPY grafana/provisioning ./grafana/provisioning
COPY grafana/dashboards ./grafana/dashboards
COPY --from=web /src/web/dist ./web/dist
ARG OBSERVATORY_REVISION=unknown
RUN touch src/lib.rs src/main.rs build.rs \
    && OBSERVATORY_REVISION="$OBSERVATORY_REVISION" \
        cargo build --locked --release --target "$(uname -m)-unknown-linux-musl" \
    && install -D -m 755 "target/$(uname -m)-unknown-linux-musl/release/observatory" /out/observatory \
    && mkdir -p /out/data

FROM gcr.io/distroless/static-debian12:nonroot
ARG OBSERVATORY_REVISION=unknown
LABEL org.opencontainers.image.title="observatory" \
      org.opencontainers.image.description="Events in, Prometheus metrics out: a durable event journal in one binary" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="$OBSERVATORY_REVISION"
COPY --from=build /out/observatory /usr/local/bin/observatory
# A volume that is mounted here for the first time takes the owner of this directory.
COPY --from=build --chown=65532:65532 /out/data /var/lib/observatory
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
# Where observatory.yml is looked for.
WORKDIR /etc/observatory
# Outside its container nobody reaches 127.0.0.1, so every address; that needs OBSERVATORY_TOKEN, or --no-auth.
# The allocator of the static binary gives back what it does not use, rather than keep it for the next burst.
ENV OBSERVATORY_LISTEN=:9091 \
    OBSERVATORY_DATA_DIR=/var/lib/observatory \
    MIMALLOC_DISALLOW_ARENA_ALLOC=1
VOLUME ["/var/lib/observatory"]
EXPOSE 9091
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=4 \
    CMD ["/usr/local/bin/observatory", "status", "--self"]
ENTRYPOINT ["/usr/local/bin/observatory"]
CMD ["serve"]
