"""Where a policy goes that was imported or asked for: it is shown and checked, then written, or put into a file that is
there already."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from os.path import lexists
from pathlib import Path
from typing import Any, Final

import click

from ipsecd.cli.program import FAILED, Failure
from ipsecd.cli.questions import Known
from ipsecd.cli.whole_file import rewrite
from ipsecd.daemon.policy_text import read_text
from ipsecd.errors import ConfigError, OperatorError
from ipsecd.policy.check import Verdict, check
from ipsecd.policy.load import load_policy
from ipsecd.policy.merging import ONCE, SECTIONS, merge
from ipsecd.policy.model import PolicyFile
from ipsecd.policy.paths import Value
from ipsecd.policy.unsupported import unsupported
from ipsecd.policy.writing import to_yaml

Tree = dict[str, Value]
_OTHER: Final = "--into names another file, or one to make"

_path = click.Path(path_type=Path, dir_okay=False, readable=False)


@dataclass(frozen=True, slots=True)
class Destination:
    """``output`` is a file of its own, ``into`` one that may hold other policies; with neither nothing is written.
    ``replace`` lets what is there go."""

    output: Path | None = None
    into: Path | None = None
    replace: bool = False

    def __post_init__(self) -> None:
        if self.output and self.into:
            raise click.UsageError("--output and --into can't both be meant.")

    @property
    def path(self) -> Path | None:
        return self.output or self.into


def destination_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--output``, ``--into`` and ``--replace``."""
    for option in (
        click.option(
            "--replace", is_flag=True, help="Let what has the same name, or the file of --output, be replaced."
        ),
        click.option("--into", type=_path, help="Put it into this policy file, beside what is there."),
        click.option("--output", type=_path, help="Write it into this file."),
    ):
        command = option(command)
    return command


def readable(path: Path, hint: str, what: str = "the policy") -> str:
    """The text of a file that messages are to call so; the hint is for who has named one that can't be read. Raises
    Failure."""
    try:
        return read_text(path, hint, what)
    except ConfigError as error:
        raise Failure(FAILED, f"{path} can't be read", lines=tuple(map(str, error.mistakes))) from None
    except OperatorError as error:
        raise Failure(FAILED, str(error)) from None


def loaded(text: str, path: Path) -> PolicyFile:
    """What a policy file's text says. Raises Failure with all its mistakes."""
    try:
        return load_policy(text, str(path))
    except ConfigError as error:
        raise Failure(FAILED, f"{path} has mistakes", lines=tuple(map(str, error.mistakes))) from None


def known(destination: Destination) -> Known:
    """What the destination has that a new policy may clash with, or use. Raises Failure if it has mistakes."""
    if destination.replace or destination.into is None or not destination.into.exists():
        return Known()
    content = loaded(readable(destination.into, _OTHER), destination.into).content
    keys = frozenset(name for name, each in content.credentials.items() if each.psk is not None)
    return Known(frozenset(content.policies), keys)


def runs(text: str, destination: Destination, name: str) -> bool:
    """Whether this release can put the policy of this name in force; the notes have said what it can't."""
    return not unsupported(loaded(text, destination.path or Path("policy")), name)


def key_files(text: str, tree: Tree) -> list[str]:
    """The files of the pre-shared keys in a good policy file's text, as far as they are of credentials of the tree."""
    credentials, named = load_policy(text, "").content.credentials, tree.get("credentials")
    own = [each.psk for name, each in credentials.items() if isinstance(named, dict) and name in named]
    return [psk.file for psk in own if psk is not None and psk.file is not None]


def tell_missing_key(destination: Destination, file: str | None) -> None:
    """Say that a key has to be written where there is none."""
    if file is not None and destination.path is not None and not lexists(path := destination.path.parent / file):
        told = f"there is no key yet: write it into {path}, readable by the user ipsecd alone"
        click.echo(f"{told}; the peer needs the same", err=True)


def good(verdict: Verdict, what: str) -> None:
    """Say the notes of a verdict, or raise Failure with its mistakes."""
    if not verdict.good:
        raise Failure(FAILED, f"{what} has mistakes, and nothing is written", lines=tuple(verdict.lines()))
    for line in verdict.lines():
        click.echo(line, err=True)


def prepared(tree: Tree, destination: Destination) -> str:
    """The text to write, after the new policy was shown and the whole text was checked. Raises Failure."""
    text = to_yaml(tree)
    click.echo(text, nl=False)
    path = destination.path
    if destination.output is not None and lexists(destination.output) and not destination.replace:
        raise Failure(FAILED, f"{destination.output} is there already", "--replace writes it anew, --into adds to it")
    if destination.into is not None and destination.into.exists():
        text = _merged(destination.into, tree, replace=destination.replace)
    good(check(text, str(path or "policy")), "it" if path is None else str(path))
    return text


def _merged(path: Path, tree: Tree, *, replace: bool) -> str:
    """The text of a file with the sections of the tree in it."""
    before = readable(path, _OTHER)
    if not (verdict := check(before, str(path))).good:
        raise Failure(FAILED, f"{path} has mistakes, and nothing is written", lines=tuple(verdict.lines()))
    try:
        found = merge(before, str(path), tree, replace=replace)
    except ConfigError as error:
        lines = tuple(map(str, error.mistakes))
        raise Failure(FAILED, "nothing is written", "--replace puts the new ones in their place", lines) from None
    if others := [name for name in tree if name not in (*SECTIONS, *ONCE)]:
        click.echo(f"not taken over, as a machine has them once: {', '.join(others)}", err=True)
    if not found.kept:
        click.echo(f"{path} is written anew as a whole: its comments are lost", err=True)
    return found.text


def write(text: str, destination: Destination, names: list[str]) -> None:
    """Write what was prepared, and say how its policies come in force, or that they can't. Raises Failure."""
    path = destination.path
    if path is None:
        return
    whole = loaded(text, path)
    rewrite(path, text)
    refused = [name for name in names if unsupported(whole, name)]
    usable = [name for name in names if name not in refused]
    if not usable and (refused or unsupported(whole)):
        click.echo(f"{path} is written, but this release can't put it in force: ipsecd check {path} says why", err=True)
        return
    click.echo(f"{path} is written; if that is the daemon's file, {_how(usable, whole.content.assigned)}", err=True)
    if refused:
        told = f"this release can't put in force: {', '.join(refused)}; ipsecd check {path} says why"
        click.echo(told, err=True)


def _how(names: list[str], assigned: str | None) -> str:
    """How one of these policies comes in force, or the rules of a file that has none."""
    if not names or assigned in names:
        return "ipsecctl reload puts it in force"
    if len(names) == 1:
        return f"ipsecctl assign {names[0]} puts it in force"
    return f"ipsecctl assign puts one of them in force: {', '.join(names)}"
