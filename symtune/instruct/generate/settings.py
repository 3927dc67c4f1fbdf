"""The content of a recipe for Self-Instruct; the defaults are the paper's settings.

Wang et al. 2022 (arXiv 2212.10560), section 3.2 and appendix A, and its code.
"""

import dataclasses
import hashlib
import json
from collections.abc import Sequence

from symtune.checks import check_types
from symtune.errors import SymtuneError
from symtune.instruct.generate.filters import KEYWORDS, MOST_INSTANCES
from symtune.instruct.generate.generators import Sampling
from symtune.instruct.generate.models.server import ServerSettings

PROPOSE = Sampling(
  max_tokens=1024,
  temperature=0.7,
  top_p=0.5,
  presence_penalty=2.0,
  stops=("\n\n", "\n16", "16.", "16 ."),
)
CLASSIFY = Sampling(max_tokens=3, stops=("\n", "Task"))
INPUT_FIRST = Sampling(
  max_tokens=350, presence_penalty=1.5, stops=("Example 6", "Task:")
)
OUTPUT_FIRST = Sampling(
  max_tokens=300, presence_penalty=1.5, stops=("Example 6", "Task:")
)
SERVER = ServerSettings()
# What identifies a generator or is about its speed and price is no part of the hash.
_UNHASHED = ("name", "generator", "seeds", "templates", "server")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelfInstructRecipe:
  """What is generated, by whom, and how.

  Attributes:
    name: of the recipe.
    generator: a checkpoint, transformers:PATH, or a server's address.
    seeds: JSONL file of seed tasks.
    templates: folder of templates (`templates.PLACES`); None takes symtune's.
    instructions: how many new ones are wanted.
    seed: of what is drawn.
    shown: instructions in a prompt for new ones.
    shown_new: how many of these are new ones, once there are so many.
    requests: prompts that are sent together; what they bring is not in each other's
      prompts.
    patience: requests in a row without any new instruction that end the search.
    most_alike: an instruction with a larger ROUGE-L to any other is rejected.
    keywords: words that an instruction may not have.
    classification_only: ask for classification tasks, from such seeds only.
    instances: most instances per instruction.
    propose: how new instructions are generated.
    classify: how it is decided whether an instruction is a classification task.
    input_first: how instances of other tasks are generated.
    output_first: how instances of classification tasks are generated.
    server: how a server is asked.
  """

  name: str = "self_instruct"
  generator: str = ""
  seeds: str = ""
  templates: str | None = None
  instructions: int = 52_445
  seed: int = 0
  shown: int = 8
  shown_new: int = 2
  requests: int = 8
  patience: int = 100
  most_alike: float = 0.7
  keywords: Sequence[str] = KEYWORDS
  classification_only: bool = False
  instances: int = MOST_INSTANCES
  propose: Sampling = PROPOSE
  classify: Sampling = CLASSIFY
  input_first: Sampling = INPUT_FIRST
  output_first: Sampling = OUTPUT_FIRST
  server: ServerSettings = SERVER

  def __post_init__(self):
    check_types(self)
    for name, is_right, expected in (
      ("instructions", self.instructions >= 1, "at least 1"),
      ("shown", self.shown >= 1, "at least 1"),
      ("shown_new", 0 <= self.shown_new < self.shown, "0 or more, and below shown"),
      ("requests", self.requests >= 1, "at least 1"),
      ("patience", self.patience >= 1, "at least 1"),
      ("most_alike", 0.0 < self.most_alike <= 1.0, "above 0 and at most 1"),
      ("keywords", all(self.keywords), "words that are not empty"),
      ("instances", self.instances >= 1, "at least 1"),
    ):
      if not is_right:
        value = getattr(self, name)
        raise SymtuneError(
          f"SelfInstructRecipe.{name} is {value}, expected {expected}."
        )

  def check_given(self) -> None:
    """Refuses a recipe without generator or seeds, which options may add.

    Raises:
      SymtuneError: names the option.
    """
    for name in ("generator", "seeds"):
      if not getattr(self, name):
        raise SymtuneError(
          f"instruct generate: got no {name}, expected some. Give --{name}."
        )


def recipe_to_json(recipe: SelfInstructRecipe) -> str:
  """Canonical JSON of every setting."""
  return json.dumps(dataclasses.asdict(recipe), sort_keys=True, indent=2)


def config_hash(
  recipe: SelfInstructRecipe, seeds: str, templates: str, generator: str
) -> str:
  """16 hexadecimal digits that identify all that the answers depend on.

  Args:
    recipe: all settings.
    seeds: fingerprint of the seed tasks.
    templates: fingerprint of the templates.
    generator: what identifies the generator.
  """
  plain = dataclasses.asdict(recipe)
  for name in _UNHASHED:
    del plain[name]
  text = json.dumps([plain, seeds, templates, generator], sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:16]
