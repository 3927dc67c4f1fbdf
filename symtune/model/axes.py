"""The names of array axes: shape words, logical axes and their place on a mesh.

These shape words are the ones that jaxtyping annotations in symtune/model/ use:

  batch        rows; a packed row holds several examples
  length       tokens of a row; enc_length and dec_length where both sides occur
  q_length     query positions; k_length: key positions
  embed        width of the residual stream
  heads        attention heads; kv: width of one head; joined_kv: heads * kv
  mlp          width of a feed-forward layer
  vocab        token ids
  relpos_buckets   buckets of relative distance
  prompts      inputs to be scored; candidates: targets to choose from, per prompt

A logical axis is such a word attached to an axis of a parameter or activation. Rules
map each logical axis to a mesh axis, or to none. Names and rules are those of T5X, so
that its partitioner accepts our network (t5x/partitioning.py,
standard_logical_axis_rules).
"""

BATCH = "batch"
LENGTH = "length"
EMBED = "embed"
HEADS = "heads"
KV = "kv"
JOINED_KV = "joined_kv"
MLP = "mlp"
VOCAB = "vocab"
RELPOS_BUCKETS = "relpos_buckets"

DATA_AXIS = "data"
MODEL_AXIS = "model"

Rules = tuple[tuple[str, str | None], ...]

# Rows are sharded over `data` and wide layers over `model`; parameters are replicated
# along `data`.
DEFAULT_RULES: Rules = (
  (BATCH, DATA_AXIS),
  (VOCAB, MODEL_AXIS),
  (EMBED, None),
  (MLP, MODEL_AXIS),
  (HEADS, MODEL_AXIS),
  (KV, None),
  (JOINED_KV, MODEL_AXIS),
  (RELPOS_BUCKETS, None),
  (LENGTH, None),
)

# The same, but parameters and their optimizer state are also sharded along `data`.
# Activations are not: their batch axis comes first in the list and takes `data`.
SHARDED_PARAMS_RULES: Rules = tuple(
  (name, DATA_AXIS if name == EMBED else mesh_axis) for name, mesh_axis in DEFAULT_RULES
)
