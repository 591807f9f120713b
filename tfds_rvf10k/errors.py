"""The errors of this package. Each says what is wrong and what to do about it, in separate fields.

The text of an error names the options of `python -m tfds_rvf10k.build`. A program that has other
options reads the fields and writes a remedy of its own.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfds_rvf10k.sources.source_images import Problem


class DatasetError(ValueError):
    """A dataset cannot be built or read.

    Attributes:
      what: what is wrong.
      remedy: what to do about it; "" if there is nothing to add.
      option: the option of the command, or the field of its config, that the remedy asks for; ""
        if it asks for neither.
      found: the values that were found instead, such as the labels in a table.
      settings: fields of the config, with values that let the build go on.
      example: an option that sets `settings`, as a user may type it; "" until `suggest` adds it.
    """

    def __init__(
        self,
        what: str,
        remedy: str = "",
        *,
        option: str = "",
        found: Sequence[str] = (),
        settings: Mapping[str, Any] | None = None,
    ):
        # Beam makes another error of this class with a longer text, and with no more arguments.
        super().__init__("; ".join(filter(None, (what, remedy))))
        self.what = what
        self.remedy = remedy
        self.option = option
        self.found = tuple(found)
        self.settings = dict(settings or {})
        self.example = ""

    def suggest(self, example: str) -> None:
        """Adds an example to the remedy; only the caller knows the rest of the config."""
        self.example = example

    def advice(self) -> str:
        """The remedy and its example."""
        return f"{self.remedy}, such as {self.example}" if self.example else self.remedy

    def __str__(self) -> str:
        return "; ".join(filter(None, (self.what, self.advice())))

    def __reduce__(self) -> Any:  # Beam sends errors from its workers
        return _restore, (type(self), self.__dict__)


def _restore(kind: type[DatasetError], fields: Mapping[str, Any]) -> DatasetError:
    error = kind("")
    error.__dict__.update(fields)
    return error


class ConfigError(DatasetError):
    """A config has a field or a value that it cannot have."""


class SourceNotFound(DatasetError, FileNotFoundError):
    """There are no images where the user said that they are."""


class BadSource(DatasetError):
    """Files, folders or rows of a source are wrong.

    Attributes:
      problems: all of them, sorted by filename.
    """

    def __init__(self, source: Any, problems: Sequence["Problem"] = (), enough: bool = True):
        """As above.

        Args:
          source: where the images are.
          problems: as above.
          enough: whether the other images would fill the folds; only then it says how to build
            them.
        """
        noun = "problem" if len(problems) == 1 else "problems"
        super().__init__(
            f"{len(problems)} {noun} in {source}, nothing was built",
            'Correct them. Or build the other images: give the config "on_bad": "quarantine" and a '
            "name of its own"
            if enough
            else "Correct them; the other images are too few for the folds",
            settings={"on_bad": "quarantine"} if enough else {},
        )
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join([f"{self.what}:", *(f"  {each}" for each in self.problems), self.advice()])
