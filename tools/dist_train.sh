#!/usr/bin/env bash
# Train in several processes, one a GPU (or, without GPUs, on the CPU):
#   dist_train.sh CONFIG PROCESSES [options of train.py]
# Several nodes: the same command on each, with NNODES, NODE_RANK and
# MASTER_ADDR in the environment. PORT must be free on the first node.
set -euo pipefail
if [ $# -lt 2 ]; then
    sed -n '2,5s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi

TOOLS="$(cd "$(dirname "$0")" && pwd)"

exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$2" \
    "$TOOLS/train.py" "$1" --launcher pytorch "${@:3}"
