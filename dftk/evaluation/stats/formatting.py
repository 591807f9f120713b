"""Numbers as people read them."""

import math


def number(value: float | None, style: str) -> str:
    """A dash for what is not defined, such as an AUC with one class."""
    return "–" if value is None or math.isnan(value) else format(value, style)
