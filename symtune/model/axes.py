"""The names of array axes: shape words, logical axes and their place on a mesh.

The shape words below are the whole alphabet of jaxtyping strings in symtune/model/:

  batch        rows; may be packed with several examples each
  length       tokens of a row; enc_length and dec_length where both sides occur
  q_length     positions that ask; k_length: positions that are looked at
  embed        width of the residual stream
  heads        attention heads; kv: width of one head; joined_kv: heads * kv
  mlp          width of a feed-forward layer
  vocab        token ids
  relpos_buckets   buckets of relative distance
  prompts      inputs to be scored; candidates: targets to choose from, per prompt

A logical axis is such a word attached to a parameter or activation. Rules say which
mesh axis, if any, holds it. Names and rules are those of T5X, so that its partitioner
accepts our network (t5x/partitioning.py, standard_logical_axis_rules).
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

# Rows go over `data`, wide layers over `model`; parameters are copied along `data`.
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

# The same, with parameters and their optimizer state also cut along `data`. An
# activation is not: its batch axis comes first in the list and takes `data`.
SHARDED_PARAMS_RULES: Rules = tuple(
  (name, DATA_AXIS if name == EMBED else mesh_axis) for name, mesh_axis in DEFAULT_RULES
)
