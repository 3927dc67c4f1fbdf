"""A name -> a Generator: a checkpoint, transformers:PATH, or a server's address."""

from typing import Any

from symtune.data.text.causal_vocab import CausalVocab
from symtune.errors import SymtuneError
from symtune.experiment.answerers import Answerer, open_answerers
from symtune.experiment.tokens import Reader
from symtune.instruct.generate.generators import Generator
from symtune.instruct.generate.models.decoder import DecoderGenerator
from symtune.instruct.generate.models.server import ServerGenerator, ServerSettings
from symtune.instruct.generate.models.t5 import T5Generator
from symtune.model.decoder.config import PromptAttention
from symtune.probe.answer.model_scorer import ModelScorer
from symtune.probe.answer.native_decoder import NativeDecoder
from symtune.probe.answer.native_model import NativeModel


def open_generator(
  name: str, server: ServerSettings, reader: Reader, dtype: str | None = None
) -> Generator:
  """Opens what a name stands for, and reads its weights.

  Args:
    name: http://... or https://..., or a model as `symtune ask --model` takes it.
    server: how a server is asked.
    reader: the vocabulary, where none lies beside the checkpoint.
    dtype: float32 or bfloat16; None takes what the checkpoint says.

  Raises:
    SymtuneError: it is unknown, a baseline, or cannot be read.
  """
  if name.startswith(("http://", "https://")):
    return ServerGenerator(name, server)
  if name.startswith("baseline:"):
    raise SymtuneError(
      f"--generator {name}: a baseline writes no texts. Give a checkpoint, "
      "transformers:PATH, or the address of a server."
    )
  (opened,) = open_answerers([name], reader, None, dtype)
  return make_generator(opened.read())


def make_generator(answerer: Answerer) -> Generator:
  """The generator of a model that answers questions.

  Args:
    answerer: a native or Transformers model.

  Raises:
    SymtuneError: a decoder-only model reads prompts in both directions.
  """
  name, scorer = answerer.label.name, answerer.score
  if not isinstance(scorer, ModelScorer):
    from symtune.instruct.generate.models.transformers_model import (
      TransformersGenerator,
    )

    hf_scorer: Any = scorer
    return TransformersGenerator(name, hf_scorer)
  model, vocab = scorer.model, scorer.tokenizer.vocab
  if isinstance(model, NativeModel):
    return T5Generator(name, model, vocab)
  assert isinstance(model, NativeDecoder)
  assert isinstance(vocab, CausalVocab)
  if model.attention is PromptAttention.PREFIX:
    raise SymtuneError(
      f"{name}: this model reads prompts in both directions, so it cannot go on where "
      "a prompt ends. Give a causal model."
    )
  return DecoderGenerator(name, model, vocab)
