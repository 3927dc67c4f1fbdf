"""What a T5X run that starts from converted parameters has to find in its checkpoint.

Such a checkpoint has no optimizer state, so T5X is told to fill in what is missing
(`RestoreCheckpointConfig.fallback_to_scratch`). It would also fill in parameters, at
random and with no more than a line in its log.
"""

from collections.abc import Mapping
from typing import Any

from flax.traverse_util import flatten_dict

from symtune.convert.tensors import list_some
from symtune.errors import SymtuneError


def check_parameters(
  found: Mapping[str, Any], network: Mapping[str, Any], *, is_resuming: bool = False
) -> Mapping[str, Any]:
  """Refuses a checkpoint that has other parameters than the network.

  It is one of T5X's `state_transformation_fns`, and changes nothing.

  Args:
    found: what the checkpoint holds, by "target" (parameters) and "state".
    network: what the network has, likewise.
    is_resuming: without effect.

  Returns:
    `found`.

  Raises:
    SymtuneError: parameters are missing or unknown; names them.
  """
  del is_resuming
  there, here = _parameters(found), _parameters(network)
  problems = [f"{name} is missing" for name in sorted(here - there)]
  problems += [f"{name} is unknown" for name in sorted(there - here)]
  if problems:
    raise SymtuneError(
      "The initial checkpoint (INITIAL_CHECKPOINT_PATH) has other parameters than the "
      f"network: {list_some(problems)}. Include the file of gin_configs/models that "
      "belongs to the checkpoint."
    )
  return found


def _parameters(state: Mapping[str, Any]) -> set[str]:
  """Paths of parameters; what says where an array is stored counts as the array."""
  tree = dict(state["target"])
  return set(flatten_dict(tree, sep="/", is_leaf=lambda _, value: "driver" in value))
