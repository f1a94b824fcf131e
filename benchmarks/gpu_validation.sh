#!/usr/bin/env bash
# Calibrates and validates a CUDA device in steps that resume: each is at most 5 minutes, all together 12 or so.
#
#   bash benchmarks/gpu_validation.sh pack          on a machine with a network: our dependencies as wheels in .wheels/
#   bash benchmarks/gpu_validation.sh STEP [OUT]    on the GPU: install, calibrate, decoders, encoders, kernels, or all
#
# Written for a machine without a network that has Python 3.12, torch 2.11 and transformers 5.17: what we need beside them
# travels as wheels. OUT (default: gpu_results) gets at most eight files: the result with all raw samples, calibration and
# device spec for bf16 and fp32, the log. Copy OUT back before the next step and hand it in again to go on from there.
set -euo pipefail
cd "$(dirname "$0")/.."
step=${1:?pack, install, calibrate, decoders, encoders, kernels or all}
out=${2:-gpu_results}
wheels=.wheels
site=${TMPDIR:-/tmp}/roofline-site
needed="pydantic pydantic-core annotated-types typing-inspection pyyaml rich typer sympy mpmath"

record() { # list, step, seconds, dtypes: both at once would hold all models in memory twice
    python3 benchmarks/record_validation.py -o "$out/result.json" --run 1 --device cuda --list "$1" --step "$2" \
        --dtypes "${4:-bf16,fp32}" --calibration-budget 80 --budget "$3" ${EXTENDS:+--extends "$EXTENDS"} 2>&1 | tee -a "$out/log.txt"
}

prepare() { # wheels go beside the packages that are there, and never in front of torch's own
    mkdir -p "$out"
    if [ -d "$wheels" ] && [ ! -d "$site" ]; then
        python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target "$site" "$wheels"/*.whl
    fi
    export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
    [ -d "$site" ] && export PYTHONPATH="$PYTHONPATH:$site"
    export PYTHONUNBUFFERED=1 ROOFLINE_RESTARTED=1 OMP_WAIT_POLICY=PASSIVE
    python3 -c 'import torch; assert torch.cuda.is_available(), "no CUDA device"; print(torch.__version__, torch.cuda.get_device_name())' \
        | tee -a "$out/log.txt"
}

case $step in
pack)
    mkdir -p "$wheels"
    python3 -m pip download -q --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
        --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 -d "$wheels" $needed
    du -sh "$wheels"
    ;;
install) prepare ;;
calibrate) prepare; python3 -m roofline doctor --device cuda | tee -a "$out/log.txt"; record gpu-encoders calibrate 1 ;;
decoders) prepare; for dtype in bf16 fp32; do record gpu-decoders validate 100 $dtype; done ;;
encoders) prepare; record gpu-encoders validate 50 ;;
kernels) prepare; for dtype in bf16 fp32; do record gpu-kernels kernels 50 $dtype; done ;;
all) for each in calibrate encoders decoders kernels; do bash "$0" "$each" "$out"; done ;;
*) echo "unknown step $step" >&2; exit 2 ;;
esac
