#!/bin/sh
# Installs the locked packages and generates the client.
set -eu

cd "$(dirname -- "$0")"
npm ci --ignore-scripts --no-audit --no-fund

# Generating downloads the schema engine unless it is told of one, and then never calls it.
PRISMA_SCHEMA_ENGINE_BINARY=${PRISMA_SCHEMA_ENGINE_BINARY:-$(command -v env)} \
  npx prisma generate
