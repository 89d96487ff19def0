"""How a program of ours ends: with an exit code and, if something was wrong, a line on standard error."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any

import click

FAILED, NOT_RUNNING, NO_PERMISSION, UNUSABLE, INTERRUPTED = 1, 3, 4, 5, 130  # exit codes; 2 is click's for wrong usage


class Failure(Exception):
    """What was asked for couldn't be done. ``code`` is what the program exits with; ``lines`` are more to print, before
    the message."""

    def __init__(self, code: int, message: str, hint: str = "", lines: tuple[str, ...] = ()) -> None:
        super().__init__(f"{message} ({hint})" if hint else message)
        self.code = code
        self.lines = lines


class Program(click.Group):
    """A group of commands. An output that can't be written is a failure like others; Ctrl-C ends quietly.

    A pipe that nobody reads any more ends it with 1, as click has it.
    """

    def main(self, *arguments: Any, **options: Any) -> Any:
        """See click."""
        _fill_gaps()
        try:
            return super().main(*arguments, **options)
        except OSError as error:
            click.echo(f"{self.name}: can't write to standard output: {error.strerror}", err=True)
            _let_go_of_output()
            sys.exit(FAILED)

    def invoke(self, ctx: click.Context) -> Any:
        """See click."""
        try:
            return super().invoke(ctx)
        except Failure as failure:
            for line in (*failure.lines, f"{self.name}: {failure}"):
                click.echo(line, err=True)
            ctx.exit(failure.code)
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)


def _fill_gaps() -> None:
    """A standard descriptor that is closed would be taken by the next file or socket that is opened, and what is
    meant for the terminal would go there. In the place of the output stands one that can't be written."""
    for descriptor, way in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, way)  # takes the lowest number that is free, which is this one
    if sys.stdout is None:  # what Python makes of a closed descriptor
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)


def _let_go_of_output() -> None:
    """What couldn't be written isn't tried again at exit."""
    with contextlib.suppress(OSError):  # no descriptor: not a file at all
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
