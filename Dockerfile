# Builds the gateway and runs it as an unprivileged user on the embedded store. The image holds Node, the built
# code, its production dependencies and the commented configuration; no compiler, no tests, no package manager's cache.
#
#   docker build -t idempotency-gateway .
#   docker run --init -p 8080:8080 -v idempotency:/var/lib/idempotency-gateway idempotency-gateway --upstream http://api:3000

FROM node:24-bookworm-slim AS build
WORKDIR /app
# Dependencies first: they change less often than the code, so their layer is kept.
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY tsconfig.json ./
COPY deploy/build deploy/build
COPY config config
COPY src src
RUN npm run build
# Afresh, not pruned: nothing of a development dependency is left behind.
RUN npm ci --omit=dev --no-audit --no-fund

FROM node:24-bookworm-slim
LABEL org.opencontainers.image.title="idempotency-gateway" \
      org.opencontainers.image.description="A reverse proxy that makes unsafe HTTP requests safe to retry" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="0.1.0"
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY config config
# The embedded store's directory: the one place that the process writes to.
RUN install -d -o node -g node -m 0700 /var/lib/idempotency-gateway
ENV IDEMPOTENCY_GATEWAY_STORE=file:/var/lib/idempotency-gateway
VOLUME /var/lib/idempotency-gateway
USER node
EXPOSE 8080 9091
# The admin port listens on loopback unless it is told otherwise; the check runs inside the container. Liveness, not
# readiness: a container that is restarted because its store is away only loses the calls it has in flight.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:9091/livez').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# Exec form: the process itself gets SIGTERM and stops gracefully, under `--init` and as PID 1 alike.
ENTRYPOINT ["node", "/app/dist/main.js"]
