"""A command whose end is bound to that of the process that starts it, as far as the system can do that.

`kill -9` leaves nobody to tell the children. Linux can: prctl(PR_SET_PDEATHSIG), which holds beyond `exec` and sends
its signal when the *thread* that started the child ends. So that thread has to wait for the child, as all of ours do.
Of a process with several threads it may come twice, as the child is handed from the one to the next: an engine then
ends at once, as from a second Ctrl-C, and the next operation looks for what it was making.

This file is also what runs in the child first (`python bound.py PID SIGNAL COMMAND…`) and then becomes the command: a
`preexec_fn` would run Python between fork and exec, which may lock up where there are threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def bound(command: Sequence[str | os.PathLike[str]], number: signal.Signals) -> list[str | os.PathLike[str]]:
    """Return the command so that it is sent `number` when this process ends; on other systems than Linux unchanged."""
    if sys.platform != "linux":
        return list(command)
    # -I -S: nothing but the standard library, 12 ms.
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(int(number)), *command]


def main(arguments: Sequence[str]) -> None:
    """Bind this process to its parent and become the command."""
    parent, number, *command = arguments
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit(128 + int(number))  # it ended before it could be asked for news of its end
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python, and `exec` would pass that on
        signal.signal(ignored, signal.SIG_DFL)
    os.execv(command[0], command)  # noqa: S606 - to become the command is the point


if __name__ == "__main__":
    main(sys.argv[1:])
