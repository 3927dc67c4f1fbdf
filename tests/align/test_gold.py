"""Gold rewards of answers, and the answers that they ask for."""

import dataclasses

import jax.numpy as jnp
import pytest

from symtune.align.answers import describe
from symtune.align.gold import PromptStream, gold_rewards, wanted_choices
from symtune.align.settings import Gold
from symtune.align.setup import build_setup
from symtune.data.ingredients import LabelStyle
from symtune.data.tokens.tokenizer import PromptTokenizer
from symtune.errors import SymtuneError
from symtune.model.decoder.config import DecoderConfig
from symtune.model.decoder.generate import Ends

EXPECTED = jnp.array([[5, 1, -1, -1]] * 5)
ANSWERS = describe(
  jnp.array(
    [[5, 1, -1, -1], [6, 1, -1, -1], [5, 5, 1, -1], [1, -1, -1, -1], [5, 5, 5, 5]]
  ),
  Ends(1),
)


def test_an_answer_has_to_equal_what_is_expected():
  for gold in (Gold.FOLLOW, Gold.PRIOR):
    found = gold_rewards(gold, ANSWERS, EXPECTED, Ends(1))
    assert found.tolist() == [1.0, 0.0, 0.0, 0.0, 0.0]


def test_an_answer_may_end_in_any_way():
  ends = Ends(1, ((6, 7),))
  tokens = [[5, 6, 7, -1], [5, 1, -1, -1], [5, 6, 1, -1], [5, 6, 6, 7], [5, 8, 9, 4]]
  expected = jnp.array([[5, 6, 7, -1]] * 5)
  found = gold_rewards(Gold.FOLLOW, describe(jnp.array(tokens), ends), expected, ends)
  assert found.tolist() == [1.0, 1.0, 0.0, 0.0, 0.0]


def test_brevity_counts_tokens_of_whole_answers():
  found = gold_rewards(Gold.BRIEF, ANSWERS, EXPECTED, Ends(1))
  assert found.tolist() == [1.0, 1.0, 0.5, 0.0, 0.0]  # empty, and without an end: 0


def test_following_asks_for_the_answer_of_the_exemplars(toy_setup):
  setup = toy_setup(labels=LabelStyle.FLIPPED)
  prompts = setup.mixture.prompts(range(8))
  follow, prior = (
    wanted_choices(setup.mixture, gold, range(8), prompts)
    for gold in (Gold.FOLLOW, Gold.PRIOR)
  )
  assert follow == [prompt.answer for prompt in prompts]
  for prompt, choice in zip(prompts, prior, strict=True):
    assert prompt.choices == ("fruit", "animal")  # flipped: class 0 is called a fruit
    assert prompt.choices[choice] == ("animal", "fruit")[prompt.answer]
  assert wanted_choices(setup.mixture, Gold.BRIEF, range(8), prompts) == [None] * 8


def test_symbols_have_no_prior(toy_setup):
  setup = toy_setup(labels=LabelStyle.SYMBOLS)
  with pytest.raises(SymtuneError, match=r"'prior', prompt 0.*labels 'natural'"):
    wanted_choices(setup.mixture, Gold.PRIOR, range(2), setup.mixture.prompts(range(2)))


def test_batches_hold_prompts_and_what_is_expected_and_can_be_resumed(toy_setup):
  setup = toy_setup()
  stream = setup.training_prompts(4)
  first, state, second = next(stream), stream.get_state(), next(stream)
  assert first["prompts"].shape == (4, 16)
  prompt = setup.tokenizer.tokenize(setup.mixture.prompt(0))
  length = first["lengths"][0]
  assert first["prompts"][0, :length].tolist() == prompt.inputs.tolist()
  assert first["expected"][0].tolist() == [*prompt.choices[prompt.answer], -1]
  again = setup.training_prompts(4)
  again.set_state(state)
  assert (next(again)["prompts"] == second["prompts"]).all()
  with pytest.raises(SymtuneError, match="data position: got"):
    again.set_state({"next": "4"})


def test_uses_and_seeds_have_prompts_of_their_own(toy_setup):
  streams = [
    toy_setup(seed=seed).training_prompts(2, pairs=pairs)
    for seed in (0, 1)
    for pairs in (False, True)
  ]
  assert len({stream.get_state()["next"] for stream in streams}) == 4
  held_out = [toy_setup(seed=seed).held_out_prompts(2) for seed in (0, 1)]
  assert held_out[0].get_state() == held_out[1].get_state()


def test_prompts_and_answers_fit_the_positions_of_a_decoder(toy_setup):
  recipe = toy_setup(prompt_length=62).recipe
  model = DecoderConfig(
    vocab_size=32, emb_dim=8, num_layers=1, num_heads=2, num_kv_heads=1, head_dim=4,
    mlp_dim=8, max_positions=64,
  )  # fmt: skip
  recipe = dataclasses.replace(
    recipe, base=dataclasses.replace(recipe.base, model=model)
  )
  with pytest.raises(SymtuneError, match="are 62 and 3, expected at most 64 together"):
    build_setup(recipe, data_dir=None, vocab_path=None)


def test_a_prompt_that_does_not_fit_is_named(toy_setup):
  setup = toy_setup()
  short = PromptTokenizer(setup.tokenizer.vocab, max_inputs=2, max_targets=3)
  stream = PromptStream(setup.mixture, short, Gold.FOLLOW, batch_size=2, first=0)
  with pytest.raises(SymtuneError, match=r"prompt starting .*Raise the input length"):
    next(stream)
