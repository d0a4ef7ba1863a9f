#!/usr/bin/env bash
# Test under slurm:
#   slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [options of test.py]
# GPUS (all), GPUS_PER_NODE, CPUS_PER_TASK and SRUN_ARGS come from the
# environment.
set -euo pipefail
if [ $# -lt 4 ]; then
    sed -n '2,5s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi

TOOLS="$(cd "$(dirname "$0")" && pwd)"
GPUS_PER_NODE="${GPUS_PER_NODE:-8}"
read -r -a EXTRA <<< "${SRUN_ARGS:-}"

exec srun -p "$1" \
    --job-name="$2" \
    --gres="gpu:$GPUS_PER_NODE" \
    --ntasks="${GPUS:-8}" \
    --ntasks-per-node="$GPUS_PER_NODE" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    ${EXTRA[@]+"${EXTRA[@]}"} \
    "${PYTHON:-python}" -u "$TOOLS/test.py" "$3" "$4" \
    --launcher slurm "${@:5}"
