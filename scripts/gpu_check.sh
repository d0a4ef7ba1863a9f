#!/usr/bin/env bash
# Check mmtpr on the GPUs of this machine: tests, benchmarks, a training step.
#
#   scripts/gpu_check.sh [OUT]          default: work_dirs/gpu_check
#   REHEARSE=1 scripts/gpu_check.sh     every part, small and without a GPU
#
# Writes OUT/results.json and OUT/results.md, at most eight minutes later.
# Without a GPU all parts are skipped. A part that fails stops no other; it is
# named at the end, and the exit status is then 1.
#
# PYTHON   interpreter with mmtpr in it; default: .venv/bin/python, else python
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-}
if [ -z "$python" ]; then
  python=python
  [ -x .venv/bin/python ] && python=.venv/bin/python
fi
exec "$python" scripts/gpu_check.py --out "${1:-work_dirs/gpu_check}" \
  ${REHEARSE:+--rehearse}
