"""P3, a tiny language of tape programs, and all of its short programs.

P3 is the language of simple Turing concepts (Telle et al. 2019, after Böhm's P''). The
BIG-bench files that use it are not at hand, so the language is defined here in full:

- The tape is endless in both directions; a cell holds 0, 1 or blank. The input is in
  cells 0, 1, ...; all other cells are blank. The head starts at cell 0.
- `>` and `<` move the head right and left. `+` replaces the character of the cell by
  its successor in the cycle blank, 0, 1, blank; `-` by its predecessor.
- `[` jumps past its matching `]` if the cell is blank; `]` jumps back to its matching
  `[` if the cell is not blank, or to the start of the program if it has none. So a
  program of three instructions can loop: `o>]` copies the input. A `[` without a `]` is
  no program.
- `o` appends the character of the cell to the output; at a blank cell it ends the
  program.
- A program ends after its last instruction. A program that has not ended after 1,000
  instructions is taken never to end.

A concept is a function from inputs to outputs: programs that give the same output for
every input are one concept. Its name is the shortest of them, and of several equally
short ones the first in the order `<>+-o[]`: a loop only where it is needed.

The *witness set* of a concept is what BIG-bench shows of it at least: examples that
hold for no concept with an earlier name, so that a learner who prefers short programs
finds it. Here it is the smallest such set, and of several the first in the order of
`all_inputs`.
"""

import functools
import itertools
from collections.abc import Sequence

INSTRUCTIONS = "<>+-o[]"
MAX_INSTRUCTIONS = 3
MAX_INPUT_LENGTH = 5
_CYCLE = ".01"  # "." is blank
_MAX_STEPS = 1_000


def run_program(program: str, text: str) -> str | None:
  """Returns the output of a program.

  Args:
    program: instructions, without an opening bracket that has no partner.
    text: the input, a text of 0 and 1.

  Returns:
    The output, a text of 0 and 1; None if the program does not end.
  """
  jumps = _match_brackets(program)
  assert jumps is not None, f"brackets of {program!r} do not match"
  tape = dict(enumerate(text))
  head = place = 0
  output: list[str] = []
  for _ in range(_MAX_STEPS):
    if place >= len(program):
      return "".join(output)
    symbol = tape.get(head, ".")
    match program[place]:
      case "<":
        head -= 1
      case ">":
        head += 1
      case "+":
        tape[head] = _CYCLE[(_CYCLE.index(symbol) + 1) % 3]
      case "-":
        tape[head] = _CYCLE[(_CYCLE.index(symbol) - 1) % 3]
      case "[" if symbol == ".":
        place = jumps[place]
      case "]" if symbol != ".":
        place = jumps.get(place, -1)  # -1 is before the first instruction
      case "o":
        if symbol == ".":
          return "".join(output)
        output.append(symbol)
    place += 1
  return None


def all_inputs() -> tuple[str, ...]:
  """Every text of 0 and 1 with one to five characters, the shortest first."""
  return tuple(
    "".join(bits)
    for length in range(1, MAX_INPUT_LENGTH + 1)
    for bits in itertools.product("01", repeat=length)
  )


@functools.cache
def all_concepts() -> dict[str, tuple[str, ...]]:
  """The outputs of each concept of at most three instructions, by its program.

  Concepts whose program does not end for some input, or writes nothing for any input,
  are left out: their examples would teach nothing.

  Returns:
    For each program, its outputs in the order of `all_inputs`.
  """
  program_by_outputs: dict[tuple[str, ...], str] = {}
  for length in range(1, MAX_INSTRUCTIONS + 1):
    for instructions in itertools.product(INSTRUCTIONS, repeat=length):
      program = "".join(instructions)
      if _match_brackets(program) is None:
        continue
      outputs = [run_program(program, text) for text in all_inputs()]
      ended = tuple(output for output in outputs if output is not None)
      if len(ended) == len(outputs) and any(ended):
        program_by_outputs.setdefault(ended, program)
  return {program: outputs for outputs, program in program_by_outputs.items()}


@functools.cache
def witness_sets() -> dict[str, tuple[int, ...]]:
  """The witness set of each concept, as places in `all_inputs`, ascending."""
  concepts = all_concepts()
  found: dict[str, tuple[int, ...]] = {}
  for program, outputs in concepts.items():
    # For each earlier concept, the inputs that tell this one from it.
    differences = [
      {place for place, output in enumerate(outputs) if other[place] != output}
      for other in (concepts[earlier] for earlier in found)
    ]
    found[program] = _smallest_hitting_set(differences, len(outputs))
  return found


def _smallest_hitting_set(sets: Sequence[set[int]], inputs: int) -> tuple[int, ...]:
  """The first of the smallest sets of places that meet every one of `sets`."""
  for size in range(1, inputs + 1):
    for places in itertools.combinations(range(inputs), size):
      if all(not wanted.isdisjoint(places) for wanted in sets):
        return places
  raise AssertionError("all inputs together tell different concepts apart")


def _match_brackets(program: str) -> dict[int, int] | None:
  """The place of each bracket's partner; None if a `[` has none."""
  partners: dict[int, int] = {}
  opened: list[int] = []
  for place, instruction in enumerate(program):
    if instruction == "[":
      opened.append(place)
    elif instruction == "]" and opened:
      partners[place] = opened.pop()
      partners[partners[place]] = place
  return None if opened else partners
