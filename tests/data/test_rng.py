"""Generators depend on their key alone; their numbers are pinned.

If a NumPy release changes these, every episode of every published run changes: do not
update the numbers without saying so in the changelog.
"""

from symtune.cards.load import load_suite
from symtune.data.episodes import TUNING_SHOTS, EpisodeSource
from symtune.data.mixture import Ingredient, Mixture
from symtune.data.rng import keyed_generator
from symtune.data.text.symbols import PoolSplit, make_pool


def test_numbers_are_pinned():
  rng = keyed_generator(0, "a")
  assert rng.integers(1000, size=5).tolist() == [781, 278, 292, 677, 753]
  assert rng.permutation(6).tolist() == [3, 1, 5, 0, 2, 4]
  assert rng.choice(20, size=4, replace=False, shuffle=False).tolist() == [
    11,
    4,
    16,
    12,
  ]


def test_strings_and_integers_are_different_keys():
  keys = [(1,), ("1",), (1, 1), ("1,1",), (11,), ()]
  drawn = [keyed_generator(*key).integers(2**62) for key in keys]
  assert len(set(drawn)) == len(keys)


def test_an_episode_is_pinned(toy_task):
  source = EpisodeSource(toy_task, TUNING_SHOTS)
  episode = source.episode(toy_task.examples[3], seed=0, variant=0)
  assert [exemplar.row for exemplar in episode.exemplars] == [16, 12, 17, 7, 11, 8]


def test_a_prompt_is_pinned():
  tasks = load_suite("microworld_train", None)
  mixture = Mixture([Ingredient(tasks=tasks)], make_pool(PoolSplit.TUNING), seed=0)
  prompt = mixture.prompt(7)
  assert prompt.choices == ("5760", "appearances")
  assert prompt.turns[-1] == ("Input: ", "they like this lorry", "\nLabel:")
