#!/usr/bin/env bash
# try-compose.sh on the engine that runs; else on the one that a rig beside the project can start; else a word that
# neither is there. An engine that was started here is stopped again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

engine() { timeout 20 docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1; }

if engine; then
  exec deploy/try-compose.sh
fi
rig=../shared/rig/containers.sh
if [ ! -x "$rig" ]; then
  echo "skipped: no container engine"
  exit 0
fi
trap 'timeout 60 "$rig" down' EXIT
timeout 300 "$rig" up
deploy/try-compose.sh
