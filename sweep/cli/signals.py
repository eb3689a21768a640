"""What Ctrl-C, SIGTERM and SIGHUP do while a command runs."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import click

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stop:
    """What Ctrl-C, SIGTERM and SIGHUP do while a command runs.

    The first one asks the command to stop: a loop looks after every block, because an exception that is raised
    anywhere may be swallowed there, as callbacks of the garbage collection do; where no loop runs it is raised at
    once. The second one ends the process. A signal that is ignored already, as under nohup, stays so.
    """

    def __init__(self) -> None:
        self.number = 0
        self._is_looked_at = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Stop":
        """Take the signals over, where Python lets a thread do so."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        """Give them back."""
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _receive(self, number: int, _: Any) -> None:
        self.number = number
        for taken in self._before:
            signal.signal(taken, signal.SIG_DFL)
        if sys.stderr.isatty():
            os.write(2, b"\x1b[?25h")  # the cursor, which a bar hides and a second signal would leave so
        if not self._is_looked_at:
            raise KeyboardInterrupt

    @property
    def code(self) -> int:
        """The exit status: 130, 143 or 129."""
        return 128 + (self.number or signal.SIGINT)

    def look(self, *_: Any) -> None:
        """Stop here if that was asked for; fit to be told of progress."""
        if self.number:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def looked_at(self) -> "Iterator[Callable[..., None]]":
        """Wait for a loop, which calls what is yielded after every block."""
        self._is_looked_at = True
        try:
            yield self.look
        finally:
            self._is_looked_at = False
        self.look()


def stop() -> Stop:
    """The signals of the command that runs; of none, where there is no command."""
    context = click.get_current_context(silent=True)
    return (context and context.find_object(Stop)) or Stop()
