"""GGUF files of decoder-only models, read through Transformers (extra [hf]).

Transformers turns the file's numbers into float32 or bfloat16 and writes a folder,
which is then read as any other. It passes over scaled rotations without a word, and
draws what it does not find at random; both are refused here.
"""

import collections
import contextlib
import dataclasses
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

from symtune.convert.decoder.families import family_of
from symtune.convert.decoder.folder import DecoderCheckpoint, read_decoder
from symtune.convert.decoder.tensors import stored_tensors
from symtune.convert.model_folder import CONFIG
from symtune.convert.source import GGUF
from symtune.convert.tensors import list_some
from symtune.convert.tokenizer.read import read_vocab
from symtune.errors import SymtuneError

# Types that hold a number each; all others round blocks of numbers together.
_PLAIN = ("F32", "F16", "BF16")
_SCALING = ".rope.scaling."


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Content:
  """What a GGUF file says of itself.

  Attributes:
    types: how many tensors it has of each type.
    scaling: what it says about scaled rotary positions.
    has_frequencies: whether it holds scaled frequencies as a tensor.
  """

  types: collections.Counter[str]
  scaling: tuple[str, ...]
  has_frequencies: bool


def find_gguf(source: str) -> pathlib.Path | None:
  """The GGUF file that an address names, or None if it names something else.

  Args:
    source: a .gguf file, or a folder with one such file and no config.json.

  Raises:
    SymtuneError: there is no such file, or a folder has several.
  """
  path = pathlib.Path(source).expanduser()
  if path.is_dir() and not (path / CONFIG).exists():
    files = sorted(path.glob(f"*{GGUF}"))
    if len(files) > 1:
      raise SymtuneError(
        f"{path} has several GGUF files, expected one: "
        f"{list_some(file.name for file in files)}. Give the path of one of them."
      )
    return files[0] if files else None
  if path.suffix.lower() != GGUF or "://" in source:
    return None
  if not path.is_file():
    raise SymtuneError(f"no file at {path}; expected a GGUF file.")
  return path


@contextlib.contextmanager
def opened_gguf(
  path: pathlib.Path, *, dtype: str, place: pathlib.Path
) -> Iterator[DecoderCheckpoint]:
  """Opens a GGUF file; its numbers lie in a folder that ends with the context.

  Args:
    path: the file.
    dtype: float32 or bfloat16, into which its numbers are turned.
    place: where that folder is made; what a killed conversion left there is removed.

  Returns:
    The model with its tokenizer, both read as symtune reads any folder. Its note says
    how the file's numbers were rounded.

  Raises:
    SymtuneError: an extra is missing, the file is damaged, Transformers or symtune does
      not support the model, or the tokenizer is not supported.
  """
  _check_installed(path)
  content = _read_content(path)
  _check_supported(path, content)
  shutil.rmtree(place, ignore_errors=True)
  place.mkdir(parents=True)
  try:
    _write_folder(path, dtype, place)
    try:
      opened = read_decoder(place)
      read_vocab(place)
    except SymtuneError as error:
      raise SymtuneError(str(error).replace(str(place), str(path))) from error
    _check_all_used(path, content, opened)
    note = _describe(path, content)
    yield dataclasses.replace(opened, where=str(path), note=note)
  finally:
    shutil.rmtree(place, ignore_errors=True)


def _check_installed(path: pathlib.Path) -> None:
  try:
    import gguf  # noqa: F401
    import torch  # noqa: F401
    import transformers  # noqa: F401
  except ImportError as error:
    raise SymtuneError(
      f"{path}: GGUF files need PyTorch, Transformers and gguf ({error}): "
      f"pip install 'symtune[hf]'."
    ) from error


def _read_content(path: pathlib.Path) -> _Content:
  import gguf

  try:
    reader = gguf.GGUFReader(path)
    types = collections.Counter(t.tensor_type.name for t in reader.tensors)
    names = [tensor.name for tensor in reader.tensors]
    scaling = tuple(
      f"{name} = {field.contents()!r:.40}"
      for name, field in reader.fields.items()
      if _SCALING in name
    )
  except Exception as error:  # the reader lets through whatever damage raises
    raise _unreadable(path, error) from error
  is_scaled = any(not line.endswith(" = 'none'") for line in scaling)
  return _Content(
    types=types,
    scaling=scaling if is_scaled else (),
    has_frequencies=any(name.startswith("rope_freqs") for name in names),
  )


def _check_supported(path: pathlib.Path, content: _Content) -> None:
  """Refuses models whose positions Transformers would rotate by other angles."""
  found = [*content.scaling, *(["rope_freqs"] if content.has_frequencies else [])]
  if found:
    raise SymtuneError(
      f"{path}: its rotary positions are scaled ({', '.join(found)}), which "
      "Transformers ignores in GGUF files, so every answer would differ. Convert the "
      "published folder of the model instead (config.json and safetensors)."
    )


def _write_folder(path: pathlib.Path, dtype: str, place: pathlib.Path) -> None:
  """Writes the model and its tokenizer as Transformers reads them from the file."""
  import torch
  import transformers

  try:
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
      path.parent,
      gguf_file=path.name,
      dtype=getattr(torch, dtype),
      output_loading_info=True,
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(
      path.parent, gguf_file=path.name
    )
    _check_complete(path, info)
    # Saved as what it is now: a model like any other.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
      del model.config.quantization_config
    model.save_pretrained(place)
    tokenizer.save_pretrained(place)
  except SymtuneError:
    raise
  except OSError as error:  # such as a full disk: the file itself was read above
    raise SymtuneError(
      f"{path} cannot be converted in {place} ({error}). Check the space on that disk, "
      "and its permissions."
    ) from error
  except Exception as error:  # Transformers has no class for what it cannot read
    raise _unreadable(path, error) from error


def _check_complete(path: pathlib.Path, info: dict[str, Any]) -> None:
  """Refuses a model of which Transformers drew parts at random."""
  missing = [*info["missing_keys"], *map(str, info["mismatched_keys"])]
  if missing:
    raise SymtuneError(
      f"{path}: Transformers finds no numbers for {list_some(sorted(missing))}. Its "
      "version may not know this kind of model: update Transformers, or convert the "
      "published folder of the model."
    )


def _check_all_used(
  path: pathlib.Path, content: _Content, opened: DecoderCheckpoint
) -> None:
  """Refuses a file with tensors that have no place in the network."""
  found = content.types.total()
  used = len(stored_tensors(family_of(opened.config), list(opened.tensors)))
  if found != used:
    raise SymtuneError(
      f"{path}: got {found} tensors, expected {used}, as the network has. Transformers "
      "leaves out what it does not know, so every answer would differ. Convert the "
      "published folder of the model instead (config.json and safetensors)."
    )


def _describe(path: pathlib.Path, content: _Content) -> str:
  """How the file's numbers were rounded, for people."""
  listed = ", ".join(f"{name} ({n})" for name, n in content.types.most_common())
  about = f"{path.name} holds tensors of the types {listed}"
  if all(name in _PLAIN for name in content.types):
    return f"{about}: it is not quantized."
  return (
    f"{about}: its numbers were rounded when it was made. These are not the published "
    "weights, and results with them are results of this file."
  )


def _unreadable(path: pathlib.Path, error: Exception) -> SymtuneError:
  first = (str(error).splitlines() or [""])[0]
  return SymtuneError(
    f"{path} cannot be converted ({type(error).__name__}: {first[:200]}). Expected one "
    "whole GGUF file of a decoder-only model that Transformers supports: download it "
    "again, or convert the published folder of the model."
  )
