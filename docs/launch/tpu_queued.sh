#!/usr/bin/env bash
# A queued Cloud TPU slice, from request to release. See docs/tpu_pods.md.
#
#   docs/launch/tpu_queued.sh [--dry-run] ACTION...
#
# ACTION, usually in this order: create wait install run collect delete
# Settings are environment variables; --dry-run prints the commands and runs none.
set -euo pipefail

DRY_RUN=""
if [[ "${1:-}" == "--dry-run" ]]; then
  DRY_RUN=1
  shift
fi
: "${PROJECT:?your Google Cloud project}"
: "${ZONE:?such as us-central2-b}"
: "${NAME:?a name for the slice}"
: "${SLICE:?its accelerator type, such as v4-32}"
: "${BUCKET:?a bucket near the zone, such as gs://my-bucket}"
RUNTIME="${RUNTIME:-tpu-ubuntu2204-base}"
SPOT="${SPOT:-}"                                    # --spot for spare capacity
EXTRA="${EXTRA:-}"                                  # [t5x] for T5X
COMMAND="${COMMAND:-symtune doctor}"                # what every worker runs
RUNS="${RUNS:-/mnt/runs}"                           # a file system that all workers share

WHERE=(--project="$PROJECT" --zone="$ZONE")

run() {
  printf '+'
  printf ' %q' "$@"
  printf '\n'
  [[ -n "$DRY_RUN" ]] || "$@"
}

on_all_workers() {
  run gcloud compute tpus tpu-vm ssh "$NAME" "${WHERE[@]}" --worker=all --command="$1"
}

create() {
  run gcloud compute tpus queued-resources create "$NAME" "${WHERE[@]}" \
    --node-id="$NAME" --accelerator-type="$SLICE" --runtime-version="$RUNTIME" $SPOT
}

wait_active() {
  local describe=(gcloud compute tpus queued-resources describe "$NAME" "${WHERE[@]}"
    --format='value(state.state)')
  if [[ -n "$DRY_RUN" ]]; then
    run "${describe[@]}"
    return
  fi
  local state=""
  while [[ "$state" != "ACTIVE" ]]; do
    state="$("${describe[@]}")"
    echo "$(date -u +%H:%M:%S) $state"
    case "$state" in
      FAILED | SUSPENDED) echo "The request ended as $state." >&2; exit 1 ;;
      ACTIVE) ;;
      *) sleep 30 ;;
    esac
  done
}

install() {
  run rm -rf dist                                   # another version's wheel
  run python3 -m build --wheel --outdir dist
  on_all_workers "rm -rf ~/dist"
  run gcloud compute tpus tpu-vm scp dist/ constraints.txt "$NAME:~/" --recurse \
    "${WHERE[@]}" --worker=all
  on_all_workers "python3.11 -m venv ~/venv && ~/venv/bin/pip install --quiet \
-c constraints.txt \"\$(ls dist/symtune-*.whl)$EXTRA\" && ~/venv/bin/pip install --quiet \
-c constraints.txt 'jax[tpu]'"
}

train() {
  on_all_workers "export PATH=\$HOME/venv/bin:\$PATH && $COMMAND"
}

collect() {
  run gcloud compute tpus tpu-vm ssh "$NAME" "${WHERE[@]}" --worker=0 \
    --command="gcloud storage rsync --recursive $RUNS $BUCKET/runs"
  run gcloud storage rsync --recursive "$BUCKET/runs" runs
}

delete() {
  run gcloud compute tpus queued-resources delete "$NAME" "${WHERE[@]}" --force --quiet
}

if [[ $# -eq 0 ]]; then
  echo "Give one or more of: create wait install run collect delete" >&2
  exit 2
fi
for action in "$@"; do
  case "$action" in
    create) create ;;
    wait) wait_active ;;
    install) install ;;
    run) train ;;
    collect) collect ;;
    delete) delete ;;
    *) echo "Unknown action '$action': create wait install run collect delete" >&2
       exit 2 ;;
  esac
done
