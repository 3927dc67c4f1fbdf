"""ModelScorer on a decoder-only network: prompts that begin alike share a cache."""

import dataclasses
import gc
import json
import weakref

import hypothesis
import hypothesis.strategies as st
import jax
import numpy as np
import pytest
import tokenizers

from symtune.data.draw.index import Shots
from symtune.data.text.causal_vocab import CausalVocab
from symtune.data.tokens.causal import CausalTokenizer
from symtune.model.decoder.config import DecoderConfig, PromptAttention
from symtune.model.decoder.network import Decoder, init_params
from symtune.probe.answer.cache import MemoryCache
from symtune.probe.answer.decoder_batches import fill_rows, padded_length
from symtune.probe.answer.model_scorer import ModelScorer
from symtune.probe.answer.native_decoder import NativeDecoder
from symtune.probe.probe import AnswerKind, ProbeSettings
from symtune.probe.probes.settings import FourSettings

CLOSE = {"atol": 1e-4, "rtol": 0}
EOS, BOS = 256, 257


@pytest.fixture(scope="module")
def toy_content() -> dict:
  """One id per byte, and GPT-2's rule for what is cut where."""
  letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
  made = tokenizers.Tokenizer(
    tokenizers.models.BPE({letter: i for i, letter in enumerate(letters)}, [])
  )
  made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
  made.decoder = tokenizers.decoders.ByteLevel()
  made.add_special_tokens(["<eos>", "<bos>"])
  return json.loads(made.to_str())


@pytest.fixture(scope="module")
def vocab(toy_content) -> CausalVocab:
  return CausalVocab(toy_content, where="toy", eos_id=EOS, bos_id=BOS)


@pytest.fixture(scope="module")
def model() -> tuple[Decoder, dict]:
  network = Decoder(
    DecoderConfig(
      vocab_size=258,
      emb_dim=16,
      num_layers=2,
      num_heads=4,
      num_kv_heads=2,
      head_dim=8,
      mlp_dim=16,
      logits_via_embedding=True,
      window=24,
      windowed_layers=(0,),
    )
  )
  params = init_params(network, jax.random.key(0))
  return network, jax.tree.map(lambda x: 8 * x if x.ndim > 1 else x, params)


@pytest.fixture
def items(make_task, toy_pools):
  settings = ProbeSettings(
    pool=toy_pools[1], shots=Shots(minimum=1, maximum=1), max_queries=4, seeds=(0,)
  )
  task = make_task(("animal", "fruit"))
  return list(FourSettings().items(task, settings))


def _scorer(model, vocab, max_inputs=400, tokens_per_batch=1024, max_targets=12):
  tokenizer = CausalTokenizer(vocab, max_inputs=max_inputs, max_targets=max_targets)
  return ModelScorer(model, tokenizer, tokens_per_batch=tokens_per_batch)


def _same_exemplars(items):
  """The first item's exemplars before every query of its setting."""
  first = items[0].prompt
  return [
    dataclasses.replace(
      item,
      prompt=dataclasses.replace(
        first,
        turns=(*first.turns[:-1], ("Input: ", f"number {i}" * (1 + i), "\nOutput:")),
      ),
    )
    for i, item in enumerate(items)
  ]


def _read(network, params, row, **about):
  return network.apply({"params": params}, row, **about)


_READ = jax.jit(_read, static_argnums=0)


def _whole_row(network, params, tokenizer, item):
  """Log p of each choice, from whole rows without a cache."""
  prompt = tokenizer.tokenize(item.prompt)
  scores = []
  for choice in prompt.choices:
    row = np.concatenate([prompt.inputs, choice])
    padded = np.zeros((1, 400), np.int32)
    padded[0, : len(row)] = row
    log_p = jax.nn.log_softmax(_READ(network, params, padded)[0])
    places = np.arange(len(prompt.inputs) - 1, len(row) - 1)
    scores.append(float(log_p[places, choice].sum()))
  return scores


def test_scores_are_those_of_whole_rows(model, vocab, items):
  tokenizer = CausalTokenizer(vocab, max_inputs=400)
  scores = _scorer(NativeDecoder(*model), vocab)(items[:4])
  for item, score in zip(items, scores, strict=False):
    expected = _whole_row(*model, tokenizer, item)
    np.testing.assert_allclose(score.log_likelihoods, expected, **CLOSE)
    # A space, the word and two newlines, at a byte each.
    assert score.tokens == tuple(len(c) + 3 for c in item.prompt.choices)


class _Spy:
  """Notes what a model is asked."""

  def __init__(self, model):
    self._model = model
    self.identity, self.attention = model.identity, PromptAttention.CAUSAL
    self.prefixes, self.prompts, self.shapes, self.nodes = [], 0, [], []

  def read_prefix(self, tokens, count, slots):
    self.prefixes.append(count)
    return self._model.read_prefix(tokens, count, slots)

  def score(self, prefix, rows):
    self.prompts += int((rows.edge_tokens.max(axis=1) > 0).sum())
    self.shapes.append(rows.tokens.shape)
    self.nodes.append(rows.places.size)
    return self._model.score(prefix, rows)

  def generate(self, inputs, lengths, ends, max_length):
    self.shapes.append(inputs.shape)
    return self._model.generate(inputs, lengths, ends, max_length)


class _Adds:
  """Scores an edge by its token, the last token of its prompt and the prefix."""

  identity, attention = "adds", PromptAttention.CAUSAL

  def read_prefix(self, tokens, count, slots):
    assert count <= tokens.shape[1] <= slots
    return int(tokens[:, :count].sum())

  def score(self, prefix, rows):
    last = rows.tokens.reshape(-1)[rows.places[:, :1]]
    return -(rows.edge_tokens + last + prefix) * 1e-3

  def generate(self, inputs, lengths, ends, max_length):
    raise AssertionError("nothing is generated")


def test_shared_exemplars_are_read_once_and_change_no_score(model, vocab, items):
  asked = _same_exemplars(items)
  spy = _Spy(NativeDecoder(*model))
  shared = _scorer(spy, vocab)(asked)
  tokenizer = CausalTokenizer(vocab)
  start = tokenizer.tokenize(asked[0].prompt).query_start
  assert spy.prefixes == [start]
  assert spy.prompts == len(asked)
  assert sum(rows for rows, _ in spy.shapes) < len(asked)  # short ones share a row
  alone = _scorer(NativeDecoder(*model), vocab)
  for item, score in zip(asked[:3], shared, strict=False):
    (own,) = alone([item])
    assert own.tokens == score.tokens
    np.testing.assert_allclose(score.log_likelihoods, own.log_likelihoods, **CLOSE)


class _CountsPrefixes(_Adds):
  """Counts the prefixes that are in memory at once."""

  def __init__(self):
    self.known, self.most = [], 0

  def read_prefix(self, tokens, count, slots):
    prefix = np.array(float(super().read_prefix(tokens, count, slots)))
    self.known.append(weakref.ref(prefix))
    gc.collect()
    self.most = max(self.most, sum(prefix() is not None for prefix in self.known))
    return prefix


def test_one_prefix_is_kept_at_a_time(vocab, items):
  asked = [twin for item in items[::4] for twin in _same_exemplars([item] * 3)]
  model = _CountsPrefixes()
  assert len(_scorer(model, vocab)(asked)) == len(asked)
  assert len(model.known) == 6
  assert model.most == 1


def test_a_prompt_that_is_seen_both_ways_shares_nothing(model, vocab, items):
  network, params = model
  both = dataclasses.replace(network.config, attention=PromptAttention.PREFIX)
  scorer = _scorer(NativeDecoder(Decoder(both), params), vocab)
  asked = _same_exemplars(items)[:3]
  tokenizer = CausalTokenizer(vocab)
  for item, score in zip(asked, scorer(asked), strict=True):
    prompt = tokenizer.tokenize(item.prompt)
    choice = prompt.choices[0]
    row = np.zeros((1, 400), np.int32)
    size = len(prompt.inputs)
    row[0, : size + len(choice)] = [*prompt.inputs, *choice]
    is_prefix = jax.numpy.arange(400)[None] < size
    logits = _READ(network, params, row, is_prefix=is_prefix)
    log_p = jax.nn.log_softmax(logits[0])
    expected = log_p[np.arange(size - 1, size + len(choice) - 1), choice].sum()
    np.testing.assert_allclose(score.log_likelihoods[0], expected, **CLOSE)


def test_batches_are_bounded_and_depend_on_the_questions_alone(vocab, items):
  asked = [*_same_exemplars(items), *items]
  spies = [_Spy(_Adds()) for _ in range(2)]
  first = _scorer(spies[0], vocab, tokens_per_batch=512)(asked)
  again = _scorer(spies[1], vocab, tokens_per_batch=512)(asked[::-1])
  assert first == again[::-1]
  assert spies[0].shapes == spies[1].shapes
  assert all(rows * length <= 512 for rows, length in spies[0].shapes)


def test_prompts_that_cannot_share_a_row_are_not_padded_for_it(vocab, items):
  first, spy = items[0].prompt, _Spy(_Adds())
  asked = []
  for i in range(8):
    turns = (*first.turns[:-1], ("Input: ", f"number {i} " * 15, "\nOutput:"))
    prompt = dataclasses.replace(first, turns=turns)
    asked.append(dataclasses.replace(items[0], prompt=prompt))
  _scorer(spy, vocab, tokens_per_batch=4096)(asked)
  tokenizer = CausalTokenizer(vocab)
  prompts = [tokenizer.tokenize(item.prompt) for item in asked]
  (size,) = {len(p.inputs) - p.query_start for p in prompts}
  assert 128 < size < 192
  assert spy.shapes == [(8, 192)]


def test_a_wide_tree_makes_batches_of_few_prompts(vocab, items):
  choices = tuple(f"{i:03d}" for i in range(64))
  wide, *narrow = _same_exemplars(items)[:10]
  wide = dataclasses.replace(
    wide, prompt=dataclasses.replace(wide.prompt, choices=choices)
  )
  spy = _Spy(_Adds())
  _scorer(spy, vocab, max_inputs=800, tokens_per_batch=1024)([wide, *narrow])
  assert max(spy.nodes) <= 1024


def test_what_is_cached_is_not_read_again(vocab, items):
  asked = _same_exemplars(items)
  spy = _Spy(_Adds())
  scorer = _scorer(spy, vocab)
  first = scorer(asked)
  spy.prefixes.clear()
  spy.shapes.clear()
  assert scorer(asked) == first
  assert spy.prefixes == spy.shapes == []


class _Speaks:
  """Generates the given texts, row by row."""

  identity, attention = "speaks", PromptAttention.CAUSAL

  def __init__(self, *ids):
    self._ids, self.stops = ids, []

  def read_prefix(self, tokens, count, slots):
    raise AssertionError("nothing is ranked")

  score = read_prefix

  def generate(self, inputs, lengths, ends, max_length):
    assert ends.eos_id == EOS
    self.stops.append(ends.stops)
    assert (inputs[:, 0] == BOS).all()
    rows = np.full((len(inputs), 24), -1)
    for row, ids in zip(rows, self._ids, strict=False):
      row[: len(ids)] = ids
    return rows


@pytest.mark.parametrize(
  ("text", "answer"),
  [
    (" animal\n\n", "animal"),
    (" animal\n\nInput: a", "animal"),
    (" two\nlines", "two\nlines"),
    ("\n\nanimal", ""),
  ],
)
def test_a_generated_answer_ends_at_the_blank_line(vocab, items, text, answer):
  asked = dataclasses.replace(items[0], kind=AnswerKind.GENERATE)
  model = _Speaks(vocab.encode(text).tolist())
  (score,) = _scorer(model, vocab)([asked])
  assert score.text == answer
  assert [[len(stop) for stop in stops] for stops in model.stops] == [[2]]


def test_every_token_that_the_model_ends_with_ends_an_answer(toy_content, items):
  """Instruction models end a turn with another token than a text."""
  other = toy_content["model"]["vocab"]["x"]
  vocab = CausalVocab(
    toy_content, where="toy", eos_id=EOS, bos_id=BOS, end_ids=(other, EOS)
  )
  assert vocab.end_ids == (EOS, other)
  asked = dataclasses.replace(items[0], kind=AnswerKind.GENERATE)
  model = _Speaks(vocab.encode(" animalx and more").tolist())
  (score,) = _scorer(model, vocab)([asked])
  assert score.text == "animal"
  assert model.stops[0][1:] == ((other,),)


def test_an_answer_that_ends_elsewhere_is_not_taken_from_the_cache(toy_content, items):
  asked = dataclasses.replace(items[0], kind=AnswerKind.GENERATE)
  cache, model = MemoryCache(), _Speaks([5, EOS])
  for end_ids, calls in (((), 1), ((), 1), ((BOS,), 2), ((BOS,), 2)):
    vocab = CausalVocab(
      toy_content, where="toy", eos_id=EOS, bos_id=BOS, end_ids=end_ids
    )
    tokenizer = CausalTokenizer(vocab, max_inputs=400, max_targets=12)
    ModelScorer(model, tokenizer, tokens_per_batch=1024, cache=cache)([asked])
    assert len(model.stops) == calls


def test_generated_text_is_that_of_an_argmax_loop(model, vocab, items):
  network, params = model
  asked = dataclasses.replace(items[0], kind=AnswerKind.GENERATE)
  (score,) = _scorer(NativeDecoder(network, params), vocab)([asked])
  inputs = CausalTokenizer(vocab).tokenize(asked.prompt).inputs
  row = np.zeros((1, 400), np.int32)
  row[0, : len(inputs)] = inputs
  ids = []
  for place in range(len(inputs), len(inputs) + 12):
    row[0, place] = int(_READ(network, params, row)[0, place - 1].argmax())
    ids.append(int(row[0, place]))
  end = ids.index(EOS) if EOS in ids else len(ids)
  assert score.text == vocab.decode(ids[:end]).split("\n\n")[0].strip()


@pytest.mark.parametrize(
  ("tokens", "steps", "length"),
  [
    (1, 8, 8),
    (64, 8, 64),
    (65, 8, 72),
    (129, 8, 144),
    (1025, 8, 1152),
    (257, 16, 272),
    (9, 2, 16),
    (65, 2, 96),
    (97, 2, 128),
    (300, 2, 384),
  ],
)
def test_lengths_are_few(tokens, steps, length):
  assert padded_length(tokens, steps) == length


@pytest.mark.parametrize(
  ("tokens", "length"), [(1, 64), (65, 128), (1024, 1024), (2048, 2048), (2049, 2176)]
)
def test_lengths_may_be_coarse(tokens, length):
  assert padded_length(tokens, 16, 64) == length


@pytest.mark.parametrize(
  ("sizes", "most", "row_of", "rows"),
  [
    ([100], 8, [0], 1),
    ([60, 50, 40], 8, [0, 0, 0], 1),  # 150 tokens: the whole of a row
    ([90, 80, 75], 8, [0, 1], 2),  # a fourth row would be empty
    ([90, 80, 75, 76], 8, [0, 1, 2, 3], 4),
    ([90, 80, 75, 76], 1, [0], 1),
    ([90] * 7, 8, [0, 1, 2, 3, 4, 5, 6], 8),  # one row of eight is empty
    ([90] * 5, 8, [0, 1, 2, 3], 4),
    ([150] * 2, 8, [0, 1], 2),
  ],
)
def test_rows_are_filled_in_order(sizes, most, row_of, rows):
  assert fill_rows(sizes, 150, most) == (row_of, rows)


@hypothesis.given(
  sizes=st.lists(st.integers(1, 256), min_size=1, max_size=60),
  length=st.integers(256, 300),
  most=st.integers(1, 40),
)
def test_filled_rows_hold_their_prompts(sizes, length, most):
  row_of, rows = fill_rows(sizes, length, most)
  assert 1 <= rows <= most
  assert rows.bit_count() == 1
  assert row_of
  assert row_of == sorted(row_of)
  assert row_of[-1] < rows
  held = [0] * rows
  for size, row in zip(sizes, row_of, strict=False):
    held[row] += size
  assert max(held) <= length
