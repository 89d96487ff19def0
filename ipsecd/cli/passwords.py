"""``ipsecd hash-password``: a line of a users file, made of a password that is shown nowhere."""

from __future__ import annotations

import sys

import click

from ipsecd import limits
from ipsecd.cli.program import FAILED, Failure
from ipsecd.daemon.passwords import users_line
from ipsecd.errors import IpsecdError


@click.command(name="hash-password")
@click.argument("user", required=False)
def hash_password(user: str | None) -> None:
    """Make a line of a users file, for those who come in by XAUTH.

    With USER it is the whole line, USER:$scrypt$..., else the hash alone. On a terminal the password is asked for
    without an echo; else it is the first line of standard input.
    """
    password = _asked() if sys.stdin.isatty() else _read()
    try:
        click.echo(users_line(user, password))
    except IpsecdError as error:
        raise Failure(FAILED, str(error)) from None


def _asked() -> bytes:
    text: str = click.prompt("Password", hide_input=True, confirmation_prompt="The same again", err=True)
    return text.encode(errors="surrogateescape")


def _read() -> bytes:
    line = sys.stdin.buffer.readline(limits.MAX_PASSWORD + 3)  # one octet too many, and the end of a line
    return line.removesuffix(b"\n").removesuffix(b"\r")
