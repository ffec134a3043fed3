"""Run one Pulumi program in an interpreter of its own; the language host starts this file for each `Run`.

It is started by path with whatever Python the project names, so it imports the standard library and `pulumi` only.
The settings come as one JSON object on stdin: stack configuration holds secrets, which an environment or a command
line would show to every process of the user. The behaviour is that of the vendor's `pulumi-language-python-exec`
(github.com/pulumi/pulumi, sdk/python/cmd), but for three things: a trace never shows this file's own frames, a
`pulumi.RunError` (the user's mistake, told in one message) is not followed by "exited with non-zero exit code", and the
SDK's own debug messages are not sent.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import runpy
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

# The host answers the engine "already told the user" on this exit code (the vendor's own number).
TOLD_THE_USER = 32
INTERRUPTED = 130


def _user_frames(frames: traceback.StackSummary) -> traceback.StackSummary:
    """Return the frames from the program's first own one on; all of what is before is the machinery's."""
    machinery = {__file__, runpy.__file__}
    packages = tuple(f"{Path(module.__file__ or '').parent}{os.sep}" for module in (sys.modules["pulumi"], asyncio))
    for index, frame in enumerate(frames):
        if frame.filename not in machinery and not frame.filename.startswith(("<frozen ", *packages)):
            return traceback.StackSummary.from_list(frames[index:])
    return traceback.StackSummary.from_list([])


def _trace(error: BaseException) -> str:
    """Render an exception and its causes as Python would, without the frames that are not the program's."""
    rendered = traceback.TracebackException.from_exception(error)
    pending: list[traceback.TracebackException | None] = [rendered]
    while pending:
        if (one := pending.pop()) is not None:
            one.stack = _user_frames(one.stack)
            pending += [one.__cause__, one.__context__]
    return "".join(rendered.format())


def _read_settings() -> dict[str, Any]:
    """Take the settings off stdin and leave an empty stdin to the program."""
    settings: dict[str, Any] = json.loads(sys.stdin.buffer.read())
    with Path(os.devnull).open(encoding="utf-8") as empty:
        os.dup2(empty.fileno(), 0)
    return settings


def _configure(settings: dict[str, Any]) -> None:
    """Hand project, stack, configuration and the engine's addresses to the SDK."""
    from pulumi import runtime  # noqa: PLC0415 - a Python without the SDK has to reach the message in main()

    runtime.set_all_config(settings["config"], settings["secret_keys"])
    runtime.configure(
        runtime.Settings(
            project=settings["project"],
            stack=settings["stack"],
            organization=settings["organization"],
            root_directory=settings["root"],
            monitor=settings["monitor"],
            engine=settings["engine"],
            parallel=settings["parallel"],
            dry_run=settings["dry_run"],
        )
    )


def _silent(*_: object, **__: object) -> None:
    """Say nothing."""


def _run(program: str, parallel: int) -> int:
    """Run the program to its end, tell the user about a failure and return the exit code."""
    import pulumi  # noqa: PLC0415 - as in _configure
    from pulumi import runtime  # noqa: PLC0415

    # Each debug message is a call of the engine that is waited for (1,700 of them), and what is collected meanwhile
    # is little: a tenth of the program's time both.
    pulumi.log.debug = _silent
    gc.disable()
    # Outputs that are never awaited are normal when a program fails; asyncio's complaints about them are noise.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    executor = ThreadPoolExecutor(max_workers=max(parallel, 1) * 4)
    loop.set_default_executor(executor)

    def run_program() -> None:
        runpy.run_path(program, run_name="__main__")

    try:
        loop.run_until_complete(runtime.run_in_stack(run_program))
    except pulumi.RunError as mistake:
        pulumi.log.error(str(mistake))
        return TOLD_THE_USER
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - whatever the program raises is told, as Python would
        pulumi.log.error(f"Program failed with an unhandled exception:\n{_trace(error)}")
        return TOLD_THE_USER
    finally:
        executor.shutdown(wait=True)
        loop.close()
        sys.stdout.flush()
        sys.stderr.flush()
        gc.freeze()  # else the interpreter looks through everything once more before it ends
    return 0


def main() -> int:
    """Read the settings, run the program, return the exit code."""
    sys.path.pop(0)  # this file's folder: its modules are not the program's
    settings = _read_settings()
    try:
        _configure(settings)
    except ModuleNotFoundError as error:
        if error.name != "pulumi":
            raise
        print(  # noqa: T201 - without the SDK there is no other way to the engine
            f"The Python of this project, {sys.executable}, has no Pulumi SDK. Install the project's dependencies into "
            "it (`pulumi install`), or name another environment in Pulumi.yaml: runtime.options.virtualenv.",
            file=sys.stderr,
        )
        return TOLD_THE_USER
    os.chdir(settings["pwd"])
    sys.argv = [settings["program"], *settings["args"]]
    target = Path(settings["program"])
    if target.is_dir() and not (target / "__main__.py").is_file():
        from pulumi import log  # noqa: PLC0415

        log.error(
            f"There is no program to run: {target.resolve()} has no __main__.py. Write one, or set `main` in "
            "Pulumi.yaml."
        )
        return TOLD_THE_USER
    return _run(settings["program"], settings["parallel"])


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
