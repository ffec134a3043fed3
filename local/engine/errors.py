"""What goes wrong with the engine, as messages for the user."""


class EngineError(Exception):
    """The engine could not be had, or an operation failed; the message is complete and meant for the user.

    `exit_code` is what a command should end with: the engine's own where it ran, 1 otherwise.
    """

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class EngineInterruptedError(EngineError):
    """The user stopped an operation (SIGINT or SIGTERM) and the engine has ended in good order."""

    def __init__(self, message: str) -> None:
        super().__init__(message, 130)
