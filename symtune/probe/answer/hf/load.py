"""A folder or hub name -> HfScorer, once everything that the folder brings is checked.

PyTorch and Transformers are imported only here and in the other files of this folder,
inside functions, when a user names such a model (extra [hf]).
"""

import pathlib
import re
from typing import Any

from symtune.convert.model_folder import ModelFolder, read_model_folder
from symtune.data.text.vocab import SentencePieceVocab, Vocab
from symtune.errors import SymtuneError
from symtune.probe.answer.cache import ScoreCache
from symtune.probe.answer.hf import checks
from symtune.probe.answer.hf.scorer import HfScorer, describe

_HUB_NAME = re.compile(r"[\w.-]+(?:/[\w.-]+)?(?:@[\w./-]+)?")
_HUB_FILES = ("*.json", "model*.safetensors", "*.model", "*.txt")


def check_installed() -> None:
  """Raises SymtuneError, which names the extra, if torch or transformers is missing."""
  try:
    import torch  # noqa: F401
    import transformers  # noqa: F401
  except ImportError as error:
    raise SymtuneError(
      f"transformers models need PyTorch and Transformers ({error}): "
      f"pip install 'symtune[hf]'."
    ) from error


def find_folder(name: str) -> ModelFolder:
  """Finds a model, downloads it if it is on the hub, and checks its JSON files.

  Args:
    name: a folder, or a name on the hub, optionally with `@` and a branch, tag or
      commit.

  Raises:
    SymtuneError: there is no such model, it has no tokenizer, or its files say
      something that cannot be given its effect.
  """
  path = pathlib.Path(name).expanduser()
  if not path.is_dir():
    if not _HUB_NAME.fullmatch(name) or ".." in name:
      raise SymtuneError(
        f"transformers:{name} cannot be read: there is no such folder, and it is no "
        "name on the hub. Expected a folder with config.json, a tokenizer and "
        "*.safetensors, or ORGANISATION/MODEL[@REVISION]."
      )
    path = _download(name)
  folder = read_model_folder(path)
  if not folder.has_tokenizer:
    raise SymtuneError(
      f"{path} has no tokenizer, and another model's would give other ids. Save the "
      "model's own beside it (tokenizer.save_pretrained), or convert a checkpoint that "
      "has its vocabulary."
    )
  return folder


def _download(name: str) -> pathlib.Path:
  import huggingface_hub

  repository, _, revision = name.partition("@")
  try:
    path = huggingface_hub.snapshot_download(
      repository,
      revision=revision or None,
      allow_patterns=list(_HUB_FILES),
      ignore_patterns=["*/*"],
    )
  except Exception as error:  # of the network, the hub or the disk
    first = (str(error).splitlines() or [""])[0]
    raise SymtuneError(
      f"transformers:{name} cannot be read: there is no such folder, and it cannot be "
      f"downloaded ({type(error).__name__}: {first}). Check the name and the network. "
      "Without a network, set HF_HUB_OFFLINE=1 to use earlier downloads."
    ) from error
  return pathlib.Path(path)


def load_scorer(
  folder: ModelFolder,
  *,
  max_inputs: int,
  max_targets: int,
  tokens_per_batch: int = 2048,
  dtype: str = "float32",
  vocab: Vocab | None = None,
  cache: ScoreCache | None = None,
) -> HfScorer:
  """Loads a model and its tokenizer; never runs remote code.

  Args:
    folder: from `find_folder`.
    max_inputs: length of the longest prompt in tokens; longer prompts lose exemplars.
    max_targets: largest number of tokens to generate.
    tokens_per_batch: as of `HfScorer`.
    dtype: type of parameters and activations, whatever the stored type.
    vocab: a T5 with as many pieces must have these; None compares nothing.
    cache: cache of answers; None keeps them in memory.

  Raises:
    SymtuneError: the model cannot be read, is not one that can answer, or does not
      match its tokenizer.
  """
  stored = checks.check_files(folder.path)
  model = _read_model(folder, dtype)
  checks.check_tied(folder, model, stored)
  checks.check_numbers(folder.path, model)
  tokenizer = _read_tokenizer(folder)
  checks.check_tokenizer(folder, tokenizer, model)
  if isinstance(vocab, SentencePieceVocab) and model.config.model_type == "t5":
    _check_pieces(folder, tokenizer, vocab)
  try:
    scorer = HfScorer(
      model,
      tokenizer,
      max_inputs=max_inputs,
      max_targets=max_targets,
      tokens_per_batch=tokens_per_batch,
      cache=cache,
    )
  except SymtuneError:
    raise
  except Exception as error:  # the model is run on a short text
    raise SymtuneError(
      f"{folder.path}: {type(model).__name__} cannot be asked, since it fails on a "
      f"short text ({describe(error)}). Give a causal or an encoder-decoder model that "
      "this release of Transformers can run."
    ) from error
  checks.check_control_tokens(folder, scorer.tokens, tokenizer, model)
  checks.check_kind(folder.path, model, scorer.sample)
  return scorer


def _read_model(folder: ModelFolder, dtype: str) -> Any:
  import torch
  import transformers

  where = str(folder.path)
  try:
    config = transformers.AutoConfig.from_pretrained(where, trust_remote_code=False)
    kind = (
      transformers.AutoModelForSeq2SeqLM
      if config.is_encoder_decoder
      else transformers.AutoModelForCausalLM
    )
    model, info = kind.from_pretrained(
      where,
      config=config,
      trust_remote_code=False,
      use_safetensors=True,
      dtype=getattr(torch, dtype),
      output_loading_info=True,
      ignore_mismatched_sizes=True,  # they are named below
    )
  except Exception as error:  # a stranger's files can fail anywhere in the library
    raise _unreadable(folder, error) from error
  checks.check_tensors(folder.path, info)
  return model


def _read_tokenizer(folder: ModelFolder) -> Any:
  import transformers

  try:
    return transformers.AutoTokenizer.from_pretrained(
      str(folder.path), trust_remote_code=False
    )
  except Exception as error:  # as above
    raise _unreadable(folder, error) from error


def _unreadable(folder: ModelFolder, error: Exception) -> SymtuneError:
  return SymtuneError(
    f"{folder.path} cannot be read ({describe(error)}). Expected "
    "config.json of a causal or encoder-decoder model, its tokenizer and its "
    "*.safetensors; a pytorch_model.bin is not read, because loading one can run its "
    "author's code."
  )


def _check_pieces(
  folder: ModelFolder, tokenizer: Any, vocab: SentencePieceVocab
) -> None:
  """Refuses a T5's tokenizer with as many pieces as a vocabulary, but other ones."""
  count = vocab.num_ids
  added = {token.id for token in folder.added}
  if len(tokenizer) < count or not added.issuperset(range(count, len(tokenizer))):
    return  # another model's
  theirs = tokenizer.convert_ids_to_tokens(list(range(count)))
  differ = [
    (i, mine, other)
    for i, (mine, other) in enumerate(
      zip(theirs, vocab.pieces(range(count)), strict=True)
    )
    if mine != other
  ]
  if differ:
    i, mine, other = differ[0]
    raise SymtuneError(
      f"{folder.path}: its tokenizer has {count} pieces like the vocabulary of this "
      f"experiment, but {len(differ)} are others (id {i} is {mine!r}, not {other!r}). "
      "Give the vocabulary that the model was trained with as --vocab, and save its "
      "tokenizer in the folder."
    )
