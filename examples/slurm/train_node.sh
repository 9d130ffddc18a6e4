#!/bin/bash
# Start the processes of one node; train.sbatch runs this on each node of the job. Arguments: those of train.py.
set -u
source examples/slurm/requeue.sh

# The launcher writes the whole environment, with all tokens, into its log folder: it must not outlive the job.
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
python -m paddle.distributed.launch --nnodes "$SLURM_NNODES" --rank "$SLURM_NODEID" --master "$CHEXNET_MASTER" \
    --log_dir "$logs" --log_level ERROR train.py "$@" &
launcher=$!
trap 'kill -TERM "$launcher"' TERM
await "$launcher"
code=$?
if [ "$code" -ne 0 ]; then
    tail -n 20 "$logs"/workerlog.* >&2 # the first process is the only one whose output the launcher shows
fi
exit "$code"
