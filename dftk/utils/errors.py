"""Errors that a user can mend, each one line: the name, the value, the remedy."""


class UserError(Exception):
    """Something the user can mend; its text is one line with the name, the value, the remedy."""

    exit_status = 1


class UsageError(UserError):
    """A flag's value that no run could use."""

    exit_status = 2
