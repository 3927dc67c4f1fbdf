"""Prompts in a batch get the numbers that they have alone, or are not batched."""

import pytest

from symtune.probe.answer.hf import batched, forward

pytestmark = pytest.mark.hf
torch = pytest.importorskip("torch", reason="needs the extra [hf]")
transformers = pytest.importorskip("transformers", reason="needs the extra [hf]")

VOCAB = 60
SAMPLE = list(range(10, 26))
PROMPTS = [[*range(3, 30)], [5, 6], [7, 8, 9, 10, 11, 12, 13], [9]]
TARGETS = [[[4, 5, 6], [4, 7]], [[8], [9]], [[1, 2, 3, 4], [1]], [[5, 5], [5]]]
_SIZES = {
  "vocab_size": VOCAB,
  "hidden_size": 32,
  "intermediate_size": 48,
  "num_hidden_layers": 2,
  "num_attention_heads": 4,
  "num_key_value_heads": 2,
  "max_position_embeddings": 64,
  "initializer_range": 0.3,
}


def _made(family, **settings):
  torch.manual_seed(0)
  if family == "GPT2":
    config = transformers.GPT2Config(
      vocab_size=VOCAB, n_embd=32, n_layer=2, n_head=4, initializer_range=0.3
    )
    return transformers.GPT2LMHeadModel(config).eval()
  config = getattr(transformers, f"{family}Config")(**{**_SIZES, **settings})
  return getattr(transformers, f"{family}ForCausalLM")(config).eval()


@pytest.mark.parametrize("family", ["Llama", "Qwen2", "Qwen3", "GPTNeoX", "GPT2"])
def test_batches_equal_prompts_alone(family):
  model = _made(family)
  assert batched.can_batch(model, SAMPLE)
  with torch.inference_mode():
    together = batched.score_batch(model, PROMPTS, TARGETS)
    for prompt, targets, found in zip(PROMPTS, TARGETS, together, strict=True):
      alone = forward.score_without_cache(model, prompt, targets)
      assert found == pytest.approx(alone, abs=1e-4)


@pytest.mark.parametrize("family", ["Llama", "Qwen3", "GPTNeoX", "GPT2"])
@pytest.mark.parametrize("several", [False, True])
def test_text_written_in_a_batch_is_that_of_generate(family, several):
  model = _made(family)
  model.generation_config = transformers.GenerationConfig(pad_token_id=0)
  with torch.inference_mode():
    free = [forward.generate(model, prompt, 9) for prompt in PROMPTS]
    assert batched.generate_batch(model, PROMPTS, 9) == free
    ends = [free[0][3], free[1][5]]
    model.generation_config.eos_token_id = ends if several else ends[0]
    alone = [forward.generate(model, prompt, 9) for prompt in PROMPTS]
    assert batched.generate_batch(model, PROMPTS, 9) == alone
    assert len(alone[0]) < 9


@pytest.mark.parametrize("family", ["Mistral", "Gemma3"])
def test_models_with_windows_are_asked_one_by_one(family):
  kind = {"Gemma3": "Gemma3Text"}.get(family, family)
  settings = {"sliding_window": 8}
  torch.manual_seed(0)
  config = getattr(transformers, f"{kind}Config")(**_SIZES, **settings)
  model = getattr(transformers, f"{family}ForCausalLM")(config).eval()
  assert not batched.can_batch(model, SAMPLE)


class _Noisy(torch.nn.Module):
  """A model whose numbers depend on its company."""

  def __init__(self, model):
    super().__init__()
    self.inner, self.dtype, self.device = model, model.dtype, model.device

  def forward(
    self,
    input_ids,
    attention_mask=None,
    position_ids=None,
    past_key_values=None,
    use_cache=None,
  ):
    out = self.inner(
      input_ids=input_ids, past_key_values=past_key_values, use_cache=use_cache
    )
    out.logits = out.logits * (1 + len(input_ids) // 3)
    return out


def test_a_model_whose_numbers_change_in_a_batch_is_not_batched():
  assert not batched.can_batch(_Noisy(_made("Llama")), SAMPLE)


def test_a_scorer_gives_the_same_at_any_number_of_tokens(
  family_folder, load, make_item, monkeypatch
):
  folder, sizes, score = family_folder("llama"), [], batched.score_batch
  items = [
    make_item((*["the film was good", "a bad film"] * n, "dull"), choices)
    for n in (1, 2, 3)
    for choices in (("good", "bad"), ("good", "bad", "dull"), ("a film", "the fox"))
  ]
  alone = load(folder, tokens_per_batch=1)(items)

  def noted(model, prompts, targets):
    sizes.append(max(map(len, prompts)) * len(prompts) * len(targets[0]))
    return score(model, prompts, targets)

  monkeypatch.setattr(batched, "score_batch", noted)
  together = load(folder, tokens_per_batch=1000)([*items, items[0]])
  assert together[0] == together[-1]
  assert len(sizes) > 1
  assert max(sizes) <= 1000
  for found, expected in zip(together, alone, strict=False):
    assert found.tokens == expected.tokens
    assert found.exemplars == expected.exemplars
    assert found.log_likelihoods == pytest.approx(expected.log_likelihoods, abs=1e-4)
