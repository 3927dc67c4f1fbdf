"""Every probe by its name."""

import pathlib
from collections.abc import Callable, Sequence

from symtune.errors import SymtuneError, did_you_mean
from symtune.probe.probe import Probe
from symtune.probe.probes.bbh import Bbh
from symtune.probe.probes.exemplars.choice import ExemplarChoice
from symtune.probe.probes.flip_share import FlipShare
from symtune.probe.probes.flipped_labels import FlippedLabels
from symtune.probe.probes.format_sensitivity import FormatSensitivity
from symtune.probe.probes.label_semantics import LabelSemantics
from symtune.probe.probes.linear_classification import LinearClassification
from symtune.probe.probes.list_functions import ListFunctions
from symtune.probe.probes.mmlu import Mmlu
from symtune.probe.probes.nonce_words import NonceWords
from symtune.probe.probes.order_sensitivity import OrderSensitivity
from symtune.probe.probes.settings import FourSettings
from symtune.probe.probes.shots import NumberOfShots
from symtune.probe.probes.turing_concepts import TuringConcepts
from symtune.probe.probes.unrelated_labels import UnrelatedLabels

ALL = "all"

# Most need no data folder; some read data files, which they look for when they are run.
PROBES: dict[str, Callable[[pathlib.Path | None], Probe]] = {
  "settings": lambda _: FourSettings(),
  "flipped_labels": lambda _: FlippedLabels(),
  "flip_share": lambda _: FlipShare(),
  "unrelated_labels": lambda _: UnrelatedLabels(),
  "shots": lambda _: NumberOfShots(),
  "order": lambda _: OrderSensitivity(),
  "exemplar_choice": lambda _: ExemplarChoice(),
  "format": lambda _: FormatSensitivity(),
  "label_semantics": lambda _: LabelSemantics(),
  "nonce_words": lambda _: NonceWords(),
  "linear_classification": lambda _: LinearClassification(),
  "linear_classification_64": lambda _: LinearClassification(dimensions=(32, 64)),
  "turing_concepts": lambda _: TuringConcepts(),
  "list_functions": ListFunctions,
  "list_functions_250": lambda data: ListFunctions(data, functions=None, queries=2),
  "mmlu": Mmlu,
  "bbh": Bbh,
}
# Part of another probe, too long for most models, or about how other probes are asked:
# run only if asked for by name.
_BY_NAME_ONLY = ("linear_classification_64", "list_functions_250", "exemplar_choice")


def make_probes(
  probes: Sequence[str | Probe], data_dir: pathlib.Path | None
) -> tuple[Probe, ...]:
  """Makes probes by name, in the order of the catalog; those of one's own come last.

  Args:
    probes: names of probes, and probes that are none of the catalog; "all" means all
      but those that must be asked for by name.
    data_dir: folder with data files, or None.

  Raises:
    SymtuneError: there are no probes, or a name is unknown. A name is never a file:
      only a command line may name one (`own.read_probes`).
  """
  names = [probe for probe in probes if isinstance(probe, str)]
  unknown = [name for name in names if name not in (*PROBES, ALL)]
  if unknown or not probes:
    raise SymtuneError(
      f"probes: got {', '.join(unknown) or 'none'}, expected some of "
      f"{', '.join(PROBES)}, or {ALL}.{did_you_mean(''.join(unknown[:1]), PROBES)}"
    )
  chosen = [
    name
    for name in PROBES
    if name in names or (ALL in names and name not in _BY_NAME_ONLY)
  ]
  own = [probe for probe in probes if not isinstance(probe, str)]
  return (*(PROBES[name](data_dir) for name in chosen), *own)
