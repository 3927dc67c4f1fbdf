#!/usr/bin/env bash
# A run on a GKE cluster through xpk. See docs/tpu_pods.md.
#
#   docs/launch/gke_xpk.sh [--dry-run] ACTION...
#
# ACTION, usually in this order: image run status delete
# Settings are environment variables; --dry-run prints the commands and runs none.
set -euo pipefail

DRY_RUN=""
if [[ "${1:-}" == "--dry-run" ]]; then
  DRY_RUN=1
  shift
fi
: "${PROJECT:?your Google Cloud project}"
: "${ZONE:?such as us-central2-b}"
: "${CLUSTER:?a cluster made with xpk cluster create}"
: "${NAME:?a name for the workload}"
: "${SLICE:?its TPU type, such as v4-32}"
: "${IMAGE:?where to push the image, such as us-docker.pkg.dev/PROJECT/REPO/symtune}"
SLICES="${SLICES:-1}"
EXTRA="${EXTRA:-}"                                  # [t5x] for T5X
COMMAND="${COMMAND:-symtune doctor}"                # what every host runs

WHERE=(--project="$PROJECT" --zone="$ZONE" --cluster="$CLUSTER")

run() {
  printf '+'
  printf ' %q' "$@"
  printf '\n'
  [[ -n "$DRY_RUN" ]] || "$@"
}

if [[ $# -eq 0 ]]; then
  echo "Give one or more of: image run status delete" >&2
  exit 2
fi
for action in "$@"; do
  case "$action" in
    image)
      run docker build --file docs/launch/Dockerfile --build-arg "EXTRA=$EXTRA" \
        --tag "$IMAGE" .
      run docker push "$IMAGE"
      ;;
    run)
      run xpk workload create "${WHERE[@]}" --workload="$NAME" --tpu-type="$SLICE" \
        --num-slices="$SLICES" --docker-image="$IMAGE" --command="$COMMAND"
      ;;
    status) run xpk workload list "${WHERE[@]}" --filter-by-job="$NAME" ;;
    delete) run xpk workload delete "${WHERE[@]}" --workload="$NAME" ;;
    *) echo "Unknown action '$action': image run status delete" >&2
       exit 2 ;;
  esac
done
