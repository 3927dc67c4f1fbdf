"""What is learned in context: classes of linear functions, and shifted evaluations.

A function is y = w x + noise, with a weight vector w of its own for each episode. The
classes are those of Akyurek et al. 2022 (arXiv:2211.15661), Garg et al. 2022
(arXiv:2208.01066) and Raventos et al. 2023 (arXiv:2306.15063).
"""

import dataclasses
import enum

from symtune.checks import check_types, parse_choice
from symtune.errors import SymtuneError

MAX_POINTS = 1000
MAX_DIM = 1000


class Family(enum.StrEnum):
  """How weight vectors are drawn.

  Members:
    LINEAR: every coordinate is Gaussian.
    SPARSE: all but a few coordinates are zero; which ones differs by episode.
    POOL: one of a fixed number of Gaussian vectors (Raventos et al. 2023).
  """

  LINEAR = "linear"
  SPARSE = "sparse"
  POOL = "pool"


class Shift(enum.StrEnum):
  """How an evaluation differs from training (Garg et al. 2022, sections 4 and 5).

  Members:
    STANDARD: it does not.
    RANDOM_QUADRANTS: all exemplars of an episode lie in one orthant, drawn at random;
      queries do not.
    ORTHOGONAL: the query is orthogonal to all exemplars, and as long as a typical x;
      asked with fewer exemplars than dimensions only.
    OVERLAPPING: the query is one of the exemplars.
    HALF_SUBSPACE: all x lie in one subspace of half the dimensions.
    SKEWED: the covariance of x has the eigenvalues 1, 1/4, 1/9, ..., times a constant.
    SCALE_X: all x are multiplied by `factor`.
    SCALE_Y: all weights are multiplied by `factor`.
    NOISY: Gaussian noise with deviation `factor` is added to y, which is then scaled to
      the variance that it has without noise.
  """

  STANDARD = "standard"
  RANDOM_QUADRANTS = "random_quadrants"
  ORTHOGONAL = "orthogonal"
  OVERLAPPING = "overlapping"
  HALF_SUBSPACE = "half_subspace"
  SKEWED = "skewed"
  SCALE_X = "scale_x"
  SCALE_Y = "scale_y"
  NOISY = "noisy"


@dataclasses.dataclass(frozen=True, kw_only=True)
class FunctionClass:
  """A class of functions and the length of its episodes.

  Attributes:
    dim: coordinates of x; x is Gaussian with variance 1 in each.
    points: pairs (x, y) of an episode. The last is asked about after points - 1
      exemplars.
    family: how weight vectors are drawn; a name becomes the member.
    noise: standard deviation of the noise of y; sigma in Akyurek et al.
    weight_scale: standard deviation of each weight; tau in Akyurek et al.
    nonzero: SPARSE: number of weights that are not zero.
    pool_size: POOL: number of weight vectors.
    pool_seed: POOL: seed of these vectors, the same in training and evaluation.

  Raises:
    SymtuneError: a value is out of range, or is missing for this family.
  """

  dim: int
  points: int
  family: Family | str = Family.LINEAR
  noise: float = 0.0
  weight_scale: float = 1.0
  nonzero: int | None = None
  pool_size: int | None = None
  pool_seed: int = 0

  def __post_init__(self):
    check_types(self)
    family = parse_choice(Family, self.family, "FunctionClass.family")
    object.__setattr__(self, "family", family)
    _check_range("FunctionClass.dim", self.dim, 1, MAX_DIM)
    _check_range("FunctionClass.points", self.points, 2, MAX_POINTS)
    if not self.noise >= 0.0:
      raise SymtuneError(f"FunctionClass.noise is {self.noise}; expected 0 or more.")
    if not self.weight_scale > 0.0:
      raise SymtuneError(
        f"FunctionClass.weight_scale is {self.weight_scale}; expected more than 0."
      )
    for name, owner in (("nonzero", Family.SPARSE), ("pool_size", Family.POOL)):
      if (getattr(self, name) is not None) != (family is owner):
        raise SymtuneError(
          f"FunctionClass.{name} is {getattr(self, name)} and family is {family}; it "
          f"belongs to the family {owner}, which needs it."
        )
    if self.nonzero is not None:
      _check_range("FunctionClass.nonzero", self.nonzero, 1, self.dim)
    if self.pool_size is not None:
      _check_range("FunctionClass.pool_size", self.pool_size, 1, 2**24)

  @property
  def y_variance(self) -> float:
    """Variance of y without noise, which is the squared error of predicting zero."""
    return self.weight_scale**2 * (self.nonzero or self.dim)

  @property
  def bayes_penalty(self) -> float:
    """The penalty with which ridge regression is the posterior mean, for LINEAR."""
    return (self.noise / self.weight_scale) ** 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
  """An evaluation of a trained model.

  Attributes:
    shift: how it differs from training; a name becomes the member.
    factor: of SCALE_X, SCALE_Y and NOISY; the others ignore it.

  Raises:
    SymtuneError: a value is out of range or not among the choices.
  """

  shift: Shift | str = Shift.STANDARD
  factor: float = 1.0

  def __post_init__(self):
    check_types(self)
    shift = parse_choice(Shift, self.shift, "Evaluation.shift")
    object.__setattr__(self, "shift", shift)
    if not self.factor > 0.0:
      raise SymtuneError(f"Evaluation.factor is {self.factor}; expected more than 0.")

  @property
  def name(self) -> str:
    """Such as "standard" or "scale_x 0.5"."""
    scaled = self.shift in (Shift.SCALE_X, Shift.SCALE_Y, Shift.NOISY)
    return f"{self.shift} {self.factor:.3g}" if scaled else str(self.shift)


STANDARD = Evaluation()
# Every shifted evaluation of Garg et al. 2022.
ALL_SHIFTS = (
  Evaluation(shift=Shift.RANDOM_QUADRANTS),
  Evaluation(shift=Shift.ORTHOGONAL),
  Evaluation(shift=Shift.OVERLAPPING),
  Evaluation(shift=Shift.HALF_SUBSPACE),
  Evaluation(shift=Shift.SKEWED),
  *(Evaluation(shift=Shift.SCALE_X, factor=f) for f in (1 / 3, 1 / 2, 2.0, 3.0)),
  *(Evaluation(shift=Shift.SCALE_Y, factor=f) for f in (1 / 3, 1 / 2, 2.0, 3.0)),
  Evaluation(shift=Shift.NOISY, factor=1.0),
)


def _check_range(name: str, value: int, low: int, high: int) -> None:
  if not low <= value <= high:
    raise SymtuneError(f"{name} is {value}; expected {low} to {high}.")
