"""Hugging Face models as scorers: tiny random ones, against a plain loop."""

import pytest

from symtune.data.draw.index import Shots
from symtune.probe.probe import AnswerKind, ProbeSettings, TellsProgress
from symtune.probe.probes.settings import FourSettings

pytestmark = pytest.mark.hf
torch = pytest.importorskip("torch", reason="needs the extra [hf]")
transformers = pytest.importorskip("transformers", reason="needs the extra [hf]")


@pytest.fixture(scope="module")
def tokenizer():
  """Characters, so that labels have several tokens; ids as in T5."""
  import tokenizers

  pieces = ["<pad>", "</s>", "<unk>", *map(chr, range(32, 127)), "\n"]
  model = tokenizers.models.WordLevel(
    {piece: i for i, piece in enumerate(pieces)}, unk_token="<unk>"
  )
  backend = tokenizers.Tokenizer(model)
  backend.pre_tokenizer = tokenizers.pre_tokenizers.Split("", "isolated")
  return transformers.PreTrainedTokenizerFast(
    tokenizer_object=backend,
    pad_token="<pad>",
    eos_token="</s>",
    unk_token="<unk>",
  )


@pytest.fixture(scope="module")
def seq2seq(tokenizer):
  torch.manual_seed(0)
  config = transformers.T5Config(
    vocab_size=len(tokenizer),
    d_model=16,
    d_kv=4,
    d_ff=32,
    num_layers=2,
    num_heads=4,
    decoder_start_token_id=0,
    pad_token_id=0,
    eos_token_id=1,
    feed_forward_proj="gated-gelu",
  )
  return transformers.T5ForConditionalGeneration(config).eval()


@pytest.fixture(scope="module")
def causal(tokenizer):
  torch.manual_seed(0)
  config = transformers.GPT2Config(
    vocab_size=len(tokenizer),
    n_embd=16,
    n_layer=2,
    n_head=4,
    n_positions=1024,
    bos_token_id=1,
    eos_token_id=1,
  )
  return transformers.GPT2LMHeadModel(config).eval()


@pytest.fixture
def items(toy_task, toy_pools):
  settings = ProbeSettings(
    pool=toy_pools[1],
    shots=Shots(minimum=2, maximum=2),
    max_queries=3,
    seeds=(0,),
  )
  return list(FourSettings().items(toy_task, settings))


def _log_p(logits, ids):
  log_p = logits.log_softmax(-1)
  return sum(float(log_p[i, token]) for i, token in enumerate(ids))


def _scorer(model, tokenizer, max_inputs=1024):
  from symtune.probe.answer.hf.scorer import HfScorer

  return HfScorer(model, tokenizer, max_inputs=max_inputs, max_targets=6)


def test_seq2seq_scores_equal_one_pass_per_candidate(seq2seq, tokenizer, items):
  scores = _scorer(seq2seq, tokenizer)(items)
  for item, score in zip(items, scores, strict=True):
    for choice, value in zip(item.prompt.choices, score.log_likelihoods, strict=True):
      ids = [*tokenizer(choice)["input_ids"], 1]
      with torch.inference_mode():
        logits = seq2seq(
          input_ids=torch.tensor([tokenizer(item.prompt.inputs)["input_ids"]]),
          labels=torch.tensor([ids]),
        ).logits[0]
      assert value == pytest.approx(_log_p(logits, ids), abs=1e-4)
    assert score.tokens == tuple(len(c) + 1 for c in item.prompt.choices)
    assert score.exemplars == 4


def test_every_answered_item_is_told(causal, tokenizer, items):
  scorer, told = _scorer(causal, tokenizer), []
  assert isinstance(scorer, TellsProgress)
  scorer.on_answered = told.append
  scorer([*items, items[0]])
  assert sum(told) == len(items) + 1
  assert len(told) > 1


def test_causal_scores_equal_one_pass_per_candidate(causal, tokenizer, items):
  scores = _scorer(causal, tokenizer)(items)
  for item, score in zip(items, scores, strict=True):
    prompt = tokenizer(item.prompt.inputs)["input_ids"]
    for choice, value in zip(item.prompt.choices, score.log_likelihoods, strict=True):
      ids = tokenizer(f" {choice}\n\n")["input_ids"]
      with torch.inference_mode():
        logits = causal(input_ids=torch.tensor([[*prompt, *ids]])).logits[0]
      expected = _log_p(logits[len(prompt) - 1 : -1], ids)
      assert value == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("kind", ["seq2seq", "causal"])
def test_models_write_text_and_lose_exemplars_to_fit(request, tokenizer, items, kind):
  import dataclasses

  model = request.getfixturevalue(kind)
  asked = [dataclasses.replace(items[1], kind=AnswerKind.GENERATE)]
  whole = _scorer(model, tokenizer)(asked)[0]
  assert isinstance(whole.text, str)
  assert whole.exemplars == 4
  assert _scorer(model, tokenizer, max_inputs=60)(asked)[0].exemplars < 4


def test_sentinels_are_part_of_an_answer(seq2seq, items, monkeypatch):
  import dataclasses

  import tokenizers

  pieces = ["<pad>", "</s>", "<unk>", "five", "<extra_id_0>"]
  backend = tokenizers.Tokenizer(
    tokenizers.models.WordLevel(
      {piece: i for i, piece in enumerate(pieces)}, unk_token="<unk>"
    )
  )
  backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
  words = transformers.PreTrainedTokenizerFast(
    tokenizer_object=backend,
    pad_token="<pad>",
    eos_token="</s>",
    unk_token="<unk>",
    additional_special_tokens=["<extra_id_0>"],
  )
  written = torch.tensor([[0, 4, 3, 1, 0]])
  monkeypatch.setattr(seq2seq, "generate", lambda **_: written)
  asked = [dataclasses.replace(items[1], kind=AnswerKind.GENERATE)]
  assert _scorer(seq2seq, words)(asked)[0].text == "<extra_id_0> five"


def test_a_folder_is_read_back(seq2seq, tokenizer, items, tmp_path):
  from symtune.probe.answer.hf.load import find_folder, load_scorer

  seq2seq.save_pretrained(tmp_path)
  tokenizer.save_pretrained(tmp_path)
  folder = find_folder(str(tmp_path))
  scorer = load_scorer(folder, max_inputs=1024, max_targets=6)
  assert scorer(items) == _scorer(seq2seq, tokenizer)(items)
  assert scorer.num_parameters == sum(p.numel() for p in seq2seq.parameters())


def test_identity_is_that_of_the_weights(seq2seq, causal, tokenizer):
  import copy

  one = _scorer(seq2seq, tokenizer).identity
  assert _scorer(copy.deepcopy(seq2seq), tokenizer).identity == one
  assert _scorer(causal, tokenizer).identity != one
  changed = copy.deepcopy(seq2seq)
  with torch.no_grad():
    changed.lm_head.weight[0, 0] += 1e-3
  assert _scorer(changed, tokenizer).identity != one


def test_answers_are_kept_on_disk(seq2seq, tokenizer, items, tmp_path, monkeypatch):
  import dataclasses

  from symtune.probe.answer.cache import DiskCache
  from symtune.probe.answer.hf.scorer import HfScorer

  asked = [*items, dataclasses.replace(items[0], kind=AnswerKind.GENERATE)]

  def make():
    cache = DiskCache(tmp_path / "scores.sqlite")
    return HfScorer(seq2seq, tokenizer, max_inputs=1024, max_targets=6, cache=cache)

  first = make()(asked)
  again = make()
  for method in ("forward", "generate", "get_encoder"):  # nothing is left to compute
    monkeypatch.setattr(seq2seq, method, None)
  assert again(asked) == first


def test_broken_weights_are_named(seq2seq, tokenizer, items):
  import copy

  from symtune.errors import SymtuneError

  broken = copy.deepcopy(seq2seq)
  with torch.no_grad():
    broken.lm_head.weight.fill_(float("nan"))
  with pytest.raises(SymtuneError, match="expected finite ones"):
    _scorer(broken, tokenizer)(items)


def test_a_path_that_is_no_model_is_named(tmp_path):
  from symtune.errors import SymtuneError
  from symtune.probe.answer.hf.load import find_folder

  with pytest.raises(SymtuneError, match=r"config.json: no such file"):
    find_folder(str(tmp_path))
  with pytest.raises(SymtuneError, match="there is no such folder"):
    find_folder(str(tmp_path / "no such"))
