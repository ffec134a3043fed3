"""What `parley` says when it cannot go on, and with which exit code."""

from __future__ import annotations

OK = 0
FAILED = 1
CANNOT_TELL = 2
TAKEN_PORT = 3
DRIFT = 7
INTERRUPTED = 130


class UserError(Exception):
    """One message for the person at the keyboard: the thing, what is wrong, and the way out.

    `exit_code` is one of the documented codes of this module.
    """

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code
