#!/usr/bin/env bash
# A run on a SLURM cluster of GPUs: one process a GPU. See docs/tpu_pods.md.
#
#   docs/launch/slurm.sh [--dry-run]
#
# Settings are environment variables; --dry-run prints the command and runs none.
set -euo pipefail

DRY_RUN=""
if [[ "${1:-}" == "--dry-run" ]]; then
  DRY_RUN=1
  shift
fi
if [[ $# -gt 0 ]]; then
  echo "Unknown argument '$1': only --dry-run" >&2
  exit 2
fi
: "${NAME:?a name for the job}"
: "${COMMAND:?what every process runs, such as 'symtune train ... --distributed'}"
NODES="${NODES:-1}"
GPUS="${GPUS:-8}"                                   # of one node
CPUS="${CPUS:-8}"                                   # of one process
HOURS="${HOURS:-12}"
PARTITION="${PARTITION:-}"
ENVIRONMENT="${ENVIRONMENT:-.venv}"                 # has symtune and jax[cuda12]

run() {
  printf '+'
  printf ' %q' "$@"
  printf '\n'
  [[ -n "$DRY_RUN" ]] || "$@"
}

# SLURM sends SIGTERM two minutes before the time is up, and queues the job again: the
# run saves a checkpoint, and the same command goes on from there.
OPTIONS=(--job-name="$NAME" --nodes="$NODES" --ntasks-per-node="$GPUS"
  --gpus-per-node="$GPUS" --cpus-per-task="$CPUS" --time="$HOURS:00:00"
  --signal=TERM@120 --requeue --open-mode=append --output="$NAME-%j.log")
[[ -z "$PARTITION" ]] || OPTIONS+=(--partition="$PARTITION")
run sbatch "${OPTIONS[@]}" \
  --wrap="export PATH=$ENVIRONMENT/bin:\$PATH; srun --kill-on-bad-exit=1 $COMMAND"
