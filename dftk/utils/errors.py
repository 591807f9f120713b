"""Errors that a user can mend, each one line: the name, the value, the remedy."""

from collections.abc import Sequence


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's message, or its class if it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


class UserError(Exception):
    """Something the user can mend; its text is one line with the name, the value, the remedy."""

    exit_status = 1


class UsageError(UserError):
    """A flag's value that no run could use.

    Attributes:
      flags: names, without dashes, of the flags whose values together are at fault; may be empty.
    """

    exit_status = 2

    def __init__(self, text: str, flags: Sequence[str] = ()):
        super().__init__(text)
        self.flags = tuple(flags)
