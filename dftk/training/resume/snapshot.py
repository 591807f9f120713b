"""The values of variables at one moment, to go back to later."""

from collections.abc import Sequence

import keras
import numpy as np


class VariableSnapshot:
    """Values of Keras variables.

    Args:
      variables: in an order that is the same in every process.
      values: one array for each variable; read from the variables if not given.
    """

    def __init__(
        self, variables: Sequence[keras.Variable], values: Sequence[np.ndarray] | None = None
    ):
        self._variables = variables
        self.values = values or [variable.numpy() for variable in variables]

    def restore(self) -> None:
        """Assigns the values in place, so that compiled functions stay valid."""
        for variable, value in zip(self._variables, self.values, strict=True):
            variable.assign(value)
