"""A fault of a built dataset, and the line that reports it."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Fault:
    """What is wrong with a built dataset.

    Attributes:
      what: the file, and what is wrong with it.
      remedy: what to do about it; "" if the dataset has to be built again.
    """

    what: str
    remedy: str = ""

    def line(self, build_again: str) -> str:
        """The fault and its remedy on one line, whatever characters a filename has.

        Args:
          build_again: how the dataset is built again.
        """
        what = "".join(c if c.isprintable() else repr(c)[1:-1] for c in self.what)
        return f"{what}; {self.remedy or build_again}"
