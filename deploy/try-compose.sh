#!/usr/bin/env bash
# Does docker-compose.yml hold what it promises? Builds it, starts it with three workers, puts 60 jobs through while one
# worker is killed, and takes everything down again. Needs a running engine with compose v2, and python3.
# A project, volumes and a port of its own: a Spotter that runs here already is left alone. Images stay, as build cache.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

project=spotter-try
unset COMPOSE_FILE COMPOSE_PROFILES COMPOSE_PROJECT_NAME
export SPOTTER_PORT=0                                         # any free one
export SPOTTER_INFER_THREADS=${SPOTTER_INFER_THREADS:-1}      # three workers share this machine
build_s=900 start_s=300 model_s=300

within() { # SECONDS, then what docker compose is to do
  timeout --kill-after=10 "$1" docker compose --ansi never --progress quiet --project-name "$project" \
    --file docker-compose.yml "${@:2}"
}
compose() { within 60 "$@"; }
say() { printf '[%3ss] %s\n' "$SECONDS" "$*"; }

finish() {
  local code=$?
  if [ "$code" != 0 ]; then compose ps --all || true; compose logs --no-color --tail 30 || true; fi
  unset MODELS_DIR                                            # with it, the volume for models would be overlooked
  within 120 down --volumes --remove-orphans || code=1
  if [ "$code" = 0 ]; then say "compose: passed"; else say "compose: FAILED"; fi
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM

within 120 down --volumes --remove-orphans                    # what an earlier run left that was cut off
say "building"
within "$build_s" build
docker image inspect --format '{{index .RepoTags 0}}  {{.Size}} bytes' spotter-api spotter-worker spotter-zoo
docker run --rm --network none spotter-api python -c '
import importlib.util, sys
held = [name for name in ("numpy", "onnxruntime", "cv2") if importlib.util.find_spec(name)]
sys.exit(f"the api image holds {held}" if held else 0)'

say "bringing the model"
if ! within "$model_s" run --rm --no-deps models; then
  [ -e models/yolov3-tiny ] || { echo "No source of the model is reached, and there is none in ./models." >&2; exit 1; }
  echo "No source of the model is reached from a container; ./models is used instead."
  export MODELS_DIR=./models
fi

say "starting"
within "$start_s" up --detach --build --scale worker=3 --wait --wait-timeout "$start_s"
compose ps --all
mapfile -t workers < <(compose ps --quiet worker)
[ "${#workers[@]}" = 3 ] || { echo "There are ${#workers[@]} workers, not 3." >&2; exit 1; }

say "confinement, seen from inside"
inside() { compose exec -T "$1" sh -s -- "${@:2}" <deploy/confined.sh | sed "s/^/$1: /"; }
inside api /run/spotter
inside worker /run/spotter /models
inside redis /run/spotter
published=$(docker ps --filter "label=com.docker.compose.project=$project" --format '{{.Ports}}' | grep -o '[^ ,]*->' || true)
[ "${published%:*}" = 127.0.0.1 ] || { echo "Published: $published, not one port of 127.0.0.1." >&2; exit 1; }
compose exec -T redis sh -c '! awk "NR > 1 && \$2 == \"00000000\"" /proc/net/route | grep -q .' \
  || { echo "The store has a way out of its network." >&2; exit 1; }
compose exec -T redis sh -c 'redis-cli ping 2>&1 | grep -q NOAUTH' || { echo "The store lets anybody in." >&2; exit 1; }
for role in api worker; do
  compose exec -T "$role" python -c '
import pathlib, sys, redis
with redis.Redis.from_url(pathlib.Path("/run/spotter/spotter_redis_url").read_text().strip()) as client:
    assert client.ping()
    for command in ("FLUSHALL", "CONFIG SET maxmemory 1", "KEYS *", "DEBUG SLEEP 0", "MODULE LIST", "GET other"):
        try:
            client.execute_command(*command.split())
        except redis.ResponseError:
            continue
        sys.exit(f"{sys.argv[1]} may {command}")' "$role"
done

say "60 jobs"
url="http://$(compose port api 8000)"
asked=$(python3 -c 'import sys, urllib.error, urllib.request as http
try: print(http.urlopen(sys.argv[1] + "/jobs", timeout=10).status)
except urllib.error.HTTPError as error: print(error.code)' "$url")
[ "$asked" = 401 ] || { echo "Without a key /jobs answered $asked, not 401." >&2; exit 1; }
key=$(compose exec -T api python -m api.keyring create --owner trial --scope jobs:read --scope jobs:write --scope metrics \
  | python3 -c 'import json, sys; print(json.load(sys.stdin)["key"])')
timeout --kill-after=10 420 python3 deploy/try_jobs.py --url "$url" --key "$key" \
  --picture spotter/sample/dog.jpg "${workers[@]}"
