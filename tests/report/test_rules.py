"""Rules and outcomes: hand-computed from a kept matrix."""

import math

import pytest

from symtune.errors import SymtuneError
from symtune.probe.probe import parse_answer
from symtune.probe.results import SCHEMA_VERSION, ResultRow
from symtune.report.outcomes import Outcome, judge
from symtune.report.rules import Rule, apply_rule


def _row(log_likelihoods, **changes):
  values = {
    "schema_version": SCHEMA_VERSION,
    "identity": "weights",
    "checkpoint": "c",
    "step": 0,
    "parameters": None,
    "dtype": None,
    "probe": "p",
    "setting": "s",
    "task": "t",
    "seed": 0,
    "query": 0,
    "prompt_hash": 1,
    "shares": (),
    "group": None,
    "family": None,
    "symtune_version": "0.1.0",
    "kind": "rank",
    "num_classes": len(log_likelihoods),
    "label": 0,
    "context": 0,
    "prior": None,
    "prediction": 0,
    "correct": True,
    "chance": 0.5,
    "text": None,
    "log_likelihoods": tuple(log_likelihoods),
    "tokens": (2, 4),
    "null_log_likelihoods": (),
    "content_free_log_prior": (),
    "domain_log_prior": (),
    "choices": ("no", "a long label"),
    "references": (),
    "natural": (),
    "exemplars": 4,
    "exemplars_asked": 4,
    "config_hash": "c",
    "data_fingerprint": "f",
    "vocab_hash": "v",
    "git_commit": None,
  }
  return ResultRow(**{**values, **changes})


def _predictions(rows, rule):
  return [row.prediction for row in apply_rule(rows, rule)]


def test_sum_token_and_byte():
  # sums -3 and -5; per token -1.5 and -1.25; per byte -1.5 and -0.42
  rows = [_row([-3.0, -5.0])]
  assert _predictions(rows, Rule.SUM) == [0]
  assert _predictions(rows, Rule.TOKEN) == [1]
  assert _predictions(rows, Rule.BYTE) == [1]
  # sums -1 and -13: per byte -0.5 and -1.08
  assert _predictions([_row([-1.0, -13.0])], Rule.BYTE) == [0]
  assert apply_rule(rows, Rule.TOKEN)[0].correct is False


def test_bytes_are_utf_8():
  # Two characters, six bytes: -6 / 6 beats -4 / 2.
  rows = [_row([-4.0, -6.0], choices=("ab", "日本"))]
  assert _predictions(rows, Rule.BYTE) == [1]


def test_pmi_takes_off_what_is_likely_anyway():
  rows = [_row([-3.0, -5.0], null_log_likelihoods=(-2.0, -6.0))]
  assert _predictions(rows, Rule.PMI) == [1]  # -1 and +1


@pytest.mark.parametrize(
  ("rule", "field"),
  [
    (Rule.CONTEXTUAL, "content_free_log_prior"),
    (Rule.DOMAIN, "domain_log_prior"),
  ],
)
def test_calibration_divides_by_the_prior(rule, field):
  shares = [math.log(0.6), math.log(0.4)]
  prior = (math.log(0.8), math.log(0.2))
  rows = [_row([s - 7.0 for s in shares], **{field: prior})]
  assert _predictions(rows, rule) == [1]  # 0.6 / 0.8 < 0.4 / 0.2
  even = (math.log(0.5), math.log(0.5))
  assert _predictions([_row(shares, **{field: even})], rule) == [0]


def test_batch_calibration_divides_by_the_mean_over_rows():
  # Mean shares 0.8 and 0.2: the second row's 0.3 is above its mean.
  rows = [_row([math.log(p), math.log(1 - p)]) for p in (0.9, 0.7)]
  assert _predictions(rows, Rule.BATCH) == [0, 1]
  other = _row([math.log(0.7), math.log(0.3)], task="other")
  assert _predictions([*rows, other], Rule.BATCH)[:2] == [0, 1]  # groups are apart


def test_rules_without_their_extra_prompts_say_how_to_get_them():
  with pytest.raises(SymtuneError, match=r"calibration=\['pmi'\]"):
    apply_rule([_row([-1.0, -2.0])], Rule.PMI)


@pytest.mark.parametrize("rule", list(Rule))
def test_baselines_keep_their_answers(rule):
  """Their scores are no likelihoods of text: an oracle would fall to chance."""
  of = {"identity": "baseline:oracle", "null_log_likelihoods": (-0.1, -2.0)}
  rows = [_row([-0.1, -2.3], **of), _row([-2.3, -0.1], label=1, prediction=1, **of)]
  assert list(apply_rule(rows, rule)) == rows


def test_generated_answers_have_no_rule():
  row = _row([], kind="generate", num_classes=2, tokens=(), text="no")
  assert apply_rule([row], Rule.PMI)[0] == row


@pytest.mark.parametrize(
  ("prediction", "context", "prior", "outcome"),
  [
    (0, 0, 1, Outcome.CONTEXT),
    (1, 0, 1, Outcome.PRIOR),
    (2, 0, 1, Outcome.NEITHER),
    (None, 0, 1, Outcome.UNPARSED),
    (0, 0, 0, None),
    (0, None, 0, None),
    (0, 0, None, None),
    (None, 1, 1, None),
  ],
)
def test_outcomes(prediction, context, prior, outcome):
  assert judge(prediction, context, prior) is outcome


@pytest.mark.parametrize(
  ("text", "choices", "expected"),
  [
    ("yes", ("yes", "no"), 0),
    ("  No \n", ("yes", "no"), 1),
    ("no.", ("yes", "no"), None),
    ("yes no", ("yes", "no"), None),
    ("", ("yes", "no"), None),
    ("a", ("A", "a"), 1),
    ("research  institute", ("research institute",), 0),
    ("ab", ("Ab", "aB"), None),  # which one?
  ],
)
def test_parsing(text, choices, expected):
  assert parse_answer(text, choices) == expected
