"""The one exception that stands for a user's mistake, and others' messages in one line."""

from __future__ import annotations


class UserError(ValueError):
    """Something the user can mend: a wrong flag value, a missing folder, a corrupt file.

    The message is one line that says what is wrong, where, and how to mend it. The command line
    prints it as it is and exits with status 2; any other exception is a bug and keeps its
    traceback.
    """


def first_line(error: BaseException, longest: int = 200) -> str:
    """The first line of an error's message, or its type's name where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:longest]
