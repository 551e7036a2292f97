# The images of the federation: one target for each program, and one with the caches of the demo.
#
#   docker build --target broker -t broker .
#
# Needs BuildKit, which is the default from Docker 23 on.

FROM rust:1.95-slim-bookworm AS build
WORKDIR /source
COPY . .
# One build for all programs. What Cargo downloads and compiles stays with the builder, not in an image.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/source/target,sharing=locked \
    cargo build --release --locked --package broker --package adapters --package cli && \
    mkdir /programs && \
    cp target/release/broker target/release/adapter target/release/invocation-system target/release/fedctl /programs/

# What every program stands on. bash, which Debian always has, asks for the health: no HTTP client is needed. A volume on one of
# the two folders takes over whose it is.
FROM debian:12-slim AS runtime
RUN apt-get update && \
    apt-get install -y --no-install-recommends ca-certificates && \
    rm -rf /var/lib/apt/lists/* && \
    groupadd --system --gid 10001 federation && \
    useradd --system --uid 10001 --gid federation --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin federation && \
    install --directory --owner=10001 --group=10001 /var/lib/adapter /var/lib/invocation-system
COPY config/compose/ready /usr/local/bin/ready
USER 10001:10001

FROM runtime AS broker
COPY --from=build /programs/broker /usr/local/bin/
EXPOSE 7443 9464
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s CMD ["ready", "9464", "/readyz"]
ENTRYPOINT ["broker"]

FROM runtime AS adapter
COPY --from=build /programs/adapter /usr/local/bin/
EXPOSE 9200
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s CMD ["ready", "9200", "/readyz"]
ENTRYPOINT ["adapter"]

FROM runtime AS invocation-system
COPY --from=build /programs/invocation-system /usr/local/bin/
EXPOSE 9400
# It has no other door than its API, which refuses whoever shows no token.
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s CMD ["ready", "9400", "/v1/executions/health", "401"]
ENTRYPOINT ["invocation-system"]

FROM runtime AS fedctl
COPY --from=build /programs/fedctl /usr/local/bin/
HEALTHCHECK NONE
ENTRYPOINT ["fedctl"]

# All caches of the demo and its origin; the argument says which one runs.
FROM debian:12-slim AS cache
RUN apt-get update && \
    apt-get install -y --no-install-recommends \
        varnish varnish-modules nginx-light libnginx-mod-http-cache-purge squid trafficserver && \
    rm -rf /var/lib/apt/lists/* && \
    groupadd --system --gid 10001 federation && \
    useradd --system --uid 10001 --gid federation --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin federation
COPY config/caches /etc/federation/caches
COPY config/compose/origin.conf /etc/federation/origin.conf
COPY config/compose/ready config/compose/cache /usr/local/bin/
USER 10001:10001
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s CMD ["ready", "8080", "/"]
ENTRYPOINT ["cache"]
