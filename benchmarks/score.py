"""Prompts scored per second: ours, lm-evaluation-harness and a plain loop.

  python benchmarks/score.py [--prompts 16] [--repeats 2] [--rows 4]

One T5 1.1 small with random weights in float32, the same in all three; prompts of 512
tokens with 2, 6 and 14 labels of 1 to 4 tokens. The peers:

- lm-eval: lm-evaluation-harness's seq2seq model (`loglikelihood` of every label), which
  runs the encoder once per label;
- plain loop: Transformers, one prompt at a time, the encoder once, its output repeated
  for the labels.

Before any timing, our scores must equal the plain loop's within 1e-4. The floor is one
encoder pass at the matrix-product speed that this machine shows in the same run. All
take turns; the best of the repeats counts. Compiling and loading do not count.
"""

import argparse
import math
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from symtune.data.prompts import Prompt
from symtune.data.tokens.tokenizer import PromptTokenizer
from symtune.model.config import PublishedSize, published_config
from symtune.model.network import Transformer, init_params
from symtune.probe.answer.model_scorer import ModelScorer
from symtune.probe.answer.native_model import NativeModel
from symtune.probe.probe import AnswerKind, ProbeItem

LENGTH = 512
LABEL_COUNTS = (2, 6, 14)
EOS = 1


def main() -> None:
  """Prints the figures."""
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--prompts", type=int, default=16)
  parser.add_argument("--repeats", type=int, default=2)
  parser.add_argument("--rows", type=int, default=4, help="prompts in a batch of ours")
  args = parser.parse_args()
  config = published_config(PublishedSize.SMALL, dtype=jnp.float32)
  network = Transformer(config)
  params = init_params(network, jax.random.key(0))
  ours = NativeModel(network, params)
  peer = make_peer(config, params)
  floor = floor_speed(config)
  print(f"floor            {floor:6.2f} prompts/s (one encoder pass)")
  rng = np.random.default_rng(0)
  for count in LABEL_COUNTS:
    prompts = rng.integers(3, 32_000, (args.prompts, LENGTH)).astype(np.int32)
    prompts[:, -1] = EOS
    labels = [draw_labels(rng, count) for _ in prompts]
    items = make_items(prompts, labels)
    scorers: dict[str, Callable[[], list]] = {
      "symtune": lambda i=items: score_ours(ours, i, args.rows)
    }
    if peer is not None:
      scorers["plain loop"] = lambda p=prompts, c=labels: score_loop(peer, p, c)
      harness = make_harness(peer)
      if harness is not None:
        scorers["lm-eval"] = lambda h=harness, p=prompts, c=labels: score_lm(h, p, c)
    print(f"{count} labels")
    if peer is not None:
      check_equal(scorers)
    report(best_seconds(scorers, args.repeats), args.prompts, floor)


def draw_labels(rng: np.random.Generator, count: int) -> list[list[int]]:
  """Different labels of 1 to 4 tokens, without EOS."""
  labels: set[tuple[int, ...]] = set()
  while len(labels) < count:
    length = int(rng.integers(1, 5))
    labels.add(tuple(int(i) for i in rng.integers(3, 32_000, length)))
  return [list(label) for label in sorted(labels)]


class Numbers:
  """A vocabulary whose words are numbers: the ids themselves, for symtune."""

  eos_id = EOS
  size = 32_128
  fingerprint = "numbers"

  def encode(self, text: str) -> list[int]:
    """The ids of a text, without EOS."""
    return [int(word) for word in text.split()]

  def decode(self, ids) -> str:
    """The text of ids."""
    return " ".join(map(str, ids))


def make_items(prompts, labels) -> list[ProbeItem]:
  """What a user would ask: texts, one question per prompt."""
  return [
    ProbeItem(
      probe="speed",
      setting="speed",
      task="speed",
      seed=0,
      query=i,
      prompt=Prompt(
        turns=((" ".join(map(str, prompt[:-1].tolist())),),),
        exemplar_labels=(),
        choices=tuple(" ".join(map(str, label)) for label in chosen),
        answer=0,
      ),
      context=None,
      prior=None,
      kind=AnswerKind.RANK,
      fingerprint="speed",
    )
    for i, (prompt, chosen) in enumerate(zip(prompts, labels, strict=True))
  ]


def score_ours(model: NativeModel, items, rows: int) -> list[np.ndarray]:
  """What users get: tokens, buckets, batches of `rows` prompts, with an empty cache."""
  tokenizer = PromptTokenizer(
    Numbers(), max_inputs=LENGTH, max_targets=8, min_exemplars_per_class=0
  )
  scorer = ModelScorer(model, tokenizer, tokens_per_batch=rows * LENGTH)
  return [np.array(score.log_likelihoods) for score in scorer(items)]


def make_peer(config, params):
  """Transformers' T5 with our weights, or None where it is not installed."""
  try:
    import torch
    import transformers
  except ImportError as error:
    print(f"peers are not installed ({error}): timing ours alone.")
    return None
  model = transformers.T5ForConditionalGeneration(
    transformers.T5Config(
      vocab_size=config.vocab_size,
      d_model=config.emb_dim,
      d_kv=config.head_dim,
      d_ff=config.mlp_dim,
      num_layers=config.num_encoder_layers,
      num_decoder_layers=config.num_decoder_layers,
      num_heads=config.num_heads,
      feed_forward_proj="gated-gelu",
      tie_word_embeddings=False,
      decoder_start_token_id=0,
    )
  ).eval()
  # Transformers 5 ties the output layer whatever the settings say; T5 1.1 has its own.
  model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
  state = to_transformers(params, config)
  missing, extra = model.load_state_dict(
    {name: torch.tensor(np.array(value)) for name, value in state.items()},
    strict=False,
  )
  shared = {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight"}
  assert not set(missing) - shared, missing
  assert not extra, extra
  return model


def to_transformers(params, config) -> dict[str, np.ndarray]:
  """Our parameters under the names of Transformers; kernels are transposed."""
  embedding = params["token_embedder"]["embedding"]
  state = {
    "shared.weight": embedding,
    "encoder.embed_tokens.weight": embedding,
    "decoder.embed_tokens.weight": embedding,
    "lm_head.weight": params["decoder"]["logits_dense"]["kernel"].T,
  }
  attention = {"query": "q", "key": "k", "value": "v", "out": "o"}
  parts = {
    "encoder": (("attention", "SelfAttention"), ("mlp", "DenseReluDense")),
    "decoder": (
      ("self_attention", "SelfAttention"),
      ("encoder_decoder_attention", "EncDecAttention"),
      ("mlp", "DenseReluDense"),
    ),
  }
  norms = {
    "attention": "pre_attention_layer_norm",
    "self_attention": "pre_self_attention_layer_norm",
    "encoder_decoder_attention": "pre_cross_attention_layer_norm",
    "mlp": "pre_mlp_layer_norm",
  }
  for stack, layers in parts.items():
    tree = params[stack]
    state[f"{stack}.final_layer_norm.weight"] = tree[f"{stack}_norm"]["scale"]
    bias = f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    state[bias] = tree["relpos_bias"]["rel_embedding"].T
    count = getattr(config, f"num_{stack}_layers")
    for i in range(count):
      layer = tree[f"layers_{i}"]
      for place, (name, theirs) in enumerate(layers):
        head = f"{stack}.block.{i}.layer.{place}"
        state[f"{head}.layer_norm.weight"] = layer[norms[name]]["scale"]
        for part, value in layer[name].items():
          state[f"{head}.{theirs}.{attention.get(part, part)}.weight"] = value[
            "kernel"
          ].T
  return state


def score_loop(model, prompts, labels) -> list[np.ndarray]:
  """Transformers: the encoder once per prompt, its output repeated for the labels."""
  import torch
  from transformers.modeling_outputs import BaseModelOutput

  scores = []
  with torch.inference_mode():
    for prompt, chosen in zip(prompts, labels, strict=True):
      inputs = torch.tensor(prompt[None, :].astype(np.int64))
      encoded = model.encoder(input_ids=inputs).last_hidden_state
      length = max(map(len, chosen)) + 1
      rows = [[*c, EOS, *[0] * (length - len(c) - 1)] for c in chosen]
      targets = torch.tensor(rows)
      logits = model(
        encoder_outputs=BaseModelOutput(encoded.expand(len(rows), -1, -1)),
        decoder_input_ids=torch.cat([targets.new_zeros((len(rows), 1)), targets], 1)[
          :, :-1
        ],
      ).logits
      log_p = logits.log_softmax(-1).gather(-1, targets[:, :, None])[:, :, 0]
      scores.append((log_p * (targets > 0)).double().sum(1).numpy())
  return scores


def make_harness(model):
  """lm-evaluation-harness's seq2seq model over the same weights, or None."""
  try:
    from lm_eval.models.huggingface import HFLM
  except ImportError as error:
    print(f"lm-evaluation-harness is not installed ({error}).")
    return None
  head = model.lm_head.weight
  harness = HFLM(
    pretrained=model,
    tokenizer=make_tokenizer(model.config.vocab_size),
    backend="seq2seq",
    batch_size=8,
    max_length=LENGTH,
    device="cpu",
  )
  # The harness ties the output layer to the embedding; T5 1.1 has its own.
  model.lm_head.weight = head
  return harness


def make_tokenizer(size: int):
  """One token per number: the harness wants text, and this text is ids."""
  import tokenizers
  import transformers

  model = tokenizers.models.WordLevel(
    {"<pad>": 0, "</s>": EOS, "<unk>": 2, **{str(i): i for i in range(3, size)}},
    unk_token="<unk>",
  )
  backend = tokenizers.Tokenizer(model)
  backend.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
  return transformers.PreTrainedTokenizerFast(
    tokenizer_object=backend, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
  )


def score_lm(harness, prompts, labels) -> list[list[float]]:
  """Every (prompt, label) as the harness asks it; it leaves EOS out of labels."""
  pairs = [
    ((" ".join(map(str, c)), " ".join(map(str, label))), prompt[:-1].tolist(), label)
    for prompt, chosen in zip(prompts, labels, strict=True)
    for label in chosen
    for c in (prompt[:-1].tolist(),)
  ]
  asked = [(text, [*ids, EOS], label) for text, ids, label in pairs]
  answers = iter(harness._loglikelihood_tokens(asked, disable_tqdm=True))
  return [[next(answers)[0] for _ in chosen] for chosen in labels]


def check_equal(scorers) -> None:
  """Ours against the plain loop, before any timing."""
  ours, loop = scorers["symtune"](), scorers["plain loop"]()
  worst = max(float(np.abs(a - b).max()) for a, b in zip(ours, loop, strict=True))
  print(f"  largest difference from the plain loop {worst:.1e}")
  assert worst < 1e-4, "the scores differ: these are not the same model"


def floor_speed(config) -> float:
  """Prompts per second of one encoder pass at this machine's best matrix product."""
  a = jnp.ones((4096, 512), jnp.float32)
  b = jnp.ones((512, 4096), jnp.float32)
  product = jax.jit(lambda a, b: a @ b)
  seconds = best_seconds({"": lambda: jax.block_until_ready(product(a, b))}, 8)[""]
  per_second = 2 * 4096 * 512 * 4096 / seconds
  joined = config.num_heads * config.head_dim
  dense = 4 * config.emb_dim * joined + 3 * config.emb_dim * config.mlp_dim
  attention = 2 * LENGTH * joined
  work = 2 * LENGTH * config.num_encoder_layers * (dense + attention)
  print(f"matrix product   {per_second / 1e9:6.0f} GFLOP/s")
  return per_second / work


def best_seconds(scorers, repeats: int) -> dict[str, float]:
  """The first, compiling call does not count."""
  best = dict.fromkeys(scorers, math.inf)
  for scorer in scorers.values():
    scorer()
  for _ in range(repeats):
    for name, scorer in scorers.items():
      start = time.perf_counter()
      scorer()
      best[name] = min(best[name], time.perf_counter() - start)
  return best


def report(seconds: dict[str, float], prompts: int, floor: float) -> None:
  """One block per number of labels."""
  speeds = {name: prompts / s for name, s in seconds.items()}
  ours = speeds["symtune"]
  for name, speed in speeds.items():
    print(f"  {name:14} {speed:6.2f} prompts/s, symtune is {ours / speed:5.2f}x")
  print(f"  share of floor {ours / floor:6.2f}")


if __name__ == "__main__":
  main()
