"""The commands of ``ipsecctl policy`` that read and write policy files; none of them needs a daemon."""

from __future__ import annotations

import json
from os.path import lexists
from pathlib import Path
from typing import Any, Final

import click

from ipsecd.cli import render
from ipsecd.cli.output import output as standard_output
from ipsecd.cli.policy_saving import Destination, destination_options, prepared, readable, write
from ipsecd.cli.program import FAILED, Failure
from ipsecd.cli.questions import QUESTIONS
from ipsecd.cli.wizard import ask, options, policy_of
from ipsecd.daemon.options import POLICY
from ipsecd.errors import ConfigError
from ipsecd.policy.complaint import did_you_mean
from ipsecd.policy.extracting import Section, extracted
from ipsecd.policy.importing.formats import FORMATS_IN_WORDS, READERS, format_of
from ipsecd.policy.load import load_policy
from ipsecd.policy.merging import ONCE
from ipsecd.policy.model import PolicyFile
from ipsecd.policy.writing import to_yaml

_AUTO: Final = "auto"
_path = click.Path(path_type=Path, readable=False)  # what is wrong with a file is ours to say
_file = click.option(
    "--file", "file", type=_path, default=POLICY, envvar="IPSECD_POLICY", show_default=True, help="The policy file."
)


def _loaded(file: Path) -> PolicyFile:
    """The policy file. Raises Failure with all its mistakes."""
    text = readable(file, "--file names another, ipsecctl policy new makes one")
    try:
        return load_policy(text, str(file))
    except ConfigError as error:
        raise Failure(FAILED, f"{file} has mistakes", lines=tuple(map(str, error.mistakes))) from None


def _of(loaded: PolicyFile, names: list[str]) -> Section:
    """These policies with what they need. Raises Failure for one that isn't there."""
    for name in names:
        if name not in loaded.content.policies:
            raise Failure(FAILED, f"{loaded.file} has no policy {name!r}", did_you_mean(name, loaded.content.policies))
    tree = loaded.tree.value
    return extracted(tree if isinstance(tree, dict) else {}, names)


@click.command("list")
@_file
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_policies(file: Path, as_json: bool) -> None:
    """The policies of the file, and which it assigns."""
    loaded = _loaded(file)
    assigned = loaded.content.assigned
    found: list[dict[str, Any]] = [
        {"name": name, "assigned": name == assigned, "rules": len(each.rules), "description": each.description}
        for name, each in loaded.content.policies.items()
    ]
    if as_json:
        click.echo(json.dumps({"file": str(file), "policies": found}, indent=2))
        return
    rows = [
        (each["name"], "assigned" if each["assigned"] else "", each["rules"], each["description"]) for each in found
    ]
    console = standard_output()
    if rows:
        render.show(console, render.grid(("policy", "", "rules", "description"), rows, console.width))


@click.command()
@click.argument("name")
@_file
def show(name: str, file: Path) -> None:
    """One policy as YAML, without the comments of the file."""
    policies = _of(_loaded(file), [name])["policies"]
    click.echo(to_yaml({"policies": policies}), nl=False)


@click.command()
@click.argument("name", required=False)
@click.option("--output", type=_path, help="Write it into this file, which mustn't be there yet.")
@_file
def export(name: str | None, output: Path | None, file: Path) -> None:
    """A policy file with the policy NAME, or with all, and the lists, actions and credentials that they need.

    Keys aren't in it: a policy file only says where they are.
    """
    loaded = _loaded(file)
    tree = _of(loaded, [name] if name else list(loaded.content.policies))
    if output is None:
        click.echo(to_yaml(tree), nl=False)
        return
    if lexists(output):  # a link that leads nowhere would lead us there
        raise Failure(FAILED, f"{output} is there already")
    write(to_yaml(tree), Destination(output), list(loaded.content.policies) if name is None else [name])


@click.command("import")
@click.argument("file", type=_path)
@click.option(
    "--format", "form", type=click.Choice((_AUTO, *READERS)), default=_AUTO, show_default=True,
    help="Of the file: lines of ipsecpol or ipseccmd, a script of netsh ipsec static, Windows' objects in JSON.",
)  # fmt: skip
@destination_options
def import_policies(file: Path, form: str, **where: Any) -> None:
    """Make a policy file of what was written for Windows, or take policies from another policy file.

    Shows what comes of it, and says what couldn't be carried over and what is another than it was.
    """
    destination = Destination(**where)
    text = readable(file, "name the file to import", "the file")
    try:
        imported = READERS[_format(text, file) if form == _AUTO else form](text, str(file))
    except ConfigError as error:
        raise Failure(FAILED, f"{file} can't be imported", lines=tuple(map(str, error.mistakes))) from None
    for remark in imported.remarks:
        click.echo(f"{remark} [remark]", err=True)
    policies = imported.tree.get("policies")
    if not any(imported.tree.get(what) for what in ("policies", *ONCE)):
        raise Failure(FAILED, f"{file} makes no policy", "it has to add one, with its rules")
    write(prepared(imported.tree, destination), destination, list(policies) if isinstance(policies, dict) else [])


def _format(text: str, file: Path) -> str:
    """The format that the text has. Raises Failure if it has none."""
    if not text.strip():
        raise Failure(FAILED, f"{file} is empty", "name a file that holds something to import")
    if not (form := format_of(text)):
        told = f"{file} shows nothing of what can be imported: {FORMATS_IN_WORDS}"
        raise Failure(FAILED, told, "if it is one of them, --format says which, and all that is wrong with it is named")
    return form


@click.command()
@options(QUESTIONS)
@destination_options
@click.option("--yes", is_flag=True, help="Ask nothing: what has no option is as it is by default.")
def new(yes: bool, output: Path | None, into: Path | None, replace: bool, **given: str | None) -> None:
    """Ask for a policy and its first rule, show and check them, and write them into the policy file.

    Each answer can be given as an option, and isn't asked for then.
    """
    destination = Destination(output, into if into or output else POLICY, replace)
    answers = ask(QUESTIONS, {name: text for name, text in given.items() if text is not None}, quiet=yes)
    text = prepared(policy_of(answers), destination)
    if not yes and not click.confirm(f"Write it into {destination.path}?", default=True, err=True):
        raise Failure(FAILED, "nothing is written")
    write(text, destination, [answers["name"]])


COMMANDS: Final = (list_policies, show, export, import_policies, new)
