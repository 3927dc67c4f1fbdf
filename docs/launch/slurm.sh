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

# Two minutes before the time is up SLURM sends SIGTERM: the run saves a checkpoint and
# ends with 130. Then the job queues itself again, and the same command goes on from
# there; --requeue alone only covers nodes that fail. The processes end within seconds of
# each other: --wait lets them, where killing at the first would lose the 130.
OPTIONS=(--job-name="$NAME" --nodes="$NODES" --ntasks-per-node="$GPUS"
  --gpus-per-node="$GPUS" --cpus-per-task="$CPUS" --time="$HOURS:00:00"
  --signal=TERM@120 --requeue --open-mode=append --output="$NAME-%j.log")
[[ -z "$PARTITION" ]] || OPTIONS+=(--partition="$PARTITION")
SRUN="srun --cpus-per-task=$CPUS --kill-on-bad-exit=0 --wait=60"
run sbatch "${OPTIONS[@]}" \
  --wrap="export PATH=$ENVIRONMENT/bin:\$PATH; rc=0; $SRUN $COMMAND || rc=\$?;\
 [ \$rc -ne 130 ] || scontrol requeue \$SLURM_JOB_ID; exit \$rc"
