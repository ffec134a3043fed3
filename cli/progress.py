"""How long errands are shown: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from local.engine.events import Step
from local.engine.progress import Progress as News

LOG_INTERVAL = 15.0
SHOWN = {"create": "creating", "update": "updating", "delete": "deleting", "replace": "replacing", "read": "reading"}


@contextmanager
def engine_news(console: Console) -> Iterator[Callable[[News], None]]:
    """Yield a listener for `ensure_engine`: sentences are printed, counted steps become one moving bar."""
    if not console.is_terminal:
        yield _logging(console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[count]}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def show(news: News) -> None:
            if news.total is None:
                console.print(str(news), highlight=False)
                return
            if news.text not in tasks:
                tasks[news.text] = progress.add_task(news.text, total=news.total, count="")
            count = f"{news.done} of about {news.total} {news.unit}" if news.unit != "bytes" else ""
            progress.update(tasks[news.text], completed=news.done, total=max(news.total, news.done), count=count)

        yield show


def _logging(console: Console) -> Callable[[News], None]:
    last = time.monotonic() - LOG_INTERVAL

    def show(news: News) -> None:
        nonlocal last
        now = time.monotonic()
        if news.total is None or now - last >= LOG_INTERVAL:
            console.print(str(news), highlight=False)
            last = now

    return show


@contextmanager
def file_news(console: Console, size: int, what: str) -> Iterator[Callable[[int, str], None]]:
    """Yield a listener that is told how many of a file's `size` bytes are done, and what to say about it."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"), TimeElapsedColumn())
    if console.is_terminal:
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task(what, total=max(size, 1), said="")
            yield lambda done, said: progress.update(task, completed=done, said=said)
        return
    last = time.monotonic()

    def show(done: int, said: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= LOG_INTERVAL:
            console.print(f"{what}: {100 * done // max(size, 1)}%, {said}", highlight=False)
            last = now

    yield show


def resource_news(update: Callable[[str], None], what: str) -> Callable[[Step, bool], None]:
    """Return a listener for engine steps that says, through `update`, what is being done and how much is done."""
    done = 0

    def show(step: Step, ended: bool) -> None:
        nonlocal done
        done += ended
        verb = SHOWN.get(step.op.partition("-")[0])
        doing = f": {verb} {step.type.rpartition(':')[2]} {step.name}" if verb and not ended else ""
        update(f"{what} … {done} done{doing}")

    return show
