"""The suite checks shapes while it runs."""

import jaxtyping
import numpy as np
import pytest

from symtune.data.draw.words import Use, draw_words


@pytest.mark.parametrize("test", [1, 2])
def test_a_wrong_shape_is_found_in_every_test(test):
  draw_words(0, Use.PLACE, np.arange(3))
  with pytest.raises(jaxtyping.TypeCheckError, match="positions"):
    draw_words(0, Use.PLACE, np.zeros((test, 2), np.int64))
  for _ in range(20):
    draw_words(0, Use.PLACE, np.arange(3))
