# syntax=docker/dockerfile:1
# A static binary in an empty image: no shell, no package, not root.
#
#   docker build -t watchbell .
#   docker run -p 9797:9797 -v watchbell-data:/data watchbell

FROM rust:1.95-alpine AS build
# C compiler for SQLite, zstd, ring and mimalloc. On Alpine, Rust links musl statically.
RUN apk add --no-cache build-base ca-certificates
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin watchbell && \
    install -D target/release/watchbell /image/usr/bin/watchbell && \
    install -d /image/etc/ssl/certs /image/data && \
    cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/

FROM scratch
COPY --from=build /image/usr /usr
COPY --from=build /image/etc /etc
COPY --from=build --chown=65532:65532 /image/data /data
USER 65532:65532
VOLUME /data
EXPOSE 9797
# Drains and saves on SIGTERM; give it time: `docker stop --time 30`.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["/usr/bin/watchbell", "healthy"]
ENTRYPOINT ["/usr/bin/watchbell"]
CMD ["run", "--listen", "0.0.0.0:9797", "--data-dir", "/data"]
