"""The commands of ``ipsecctl policy`` that read and write policy files; none of them needs a daemon."""

from __future__ import annotations

import json
from os.path import lexists
from pathlib import Path
from typing import Any, Final

import click

from ipsecd.cli import render
from ipsecd.cli.output import output as standard_output
from ipsecd.cli.policy_saving import (
    Destination,
    destination_options,
    key_files,
    known,
    loaded,
    prepared,
    readable,
    runs,
    tell_missing_key,
    write,
)
from ipsecd.cli.program import FAILED, Failure
from ipsecd.cli.questions import QUESTIONS, questions
from ipsecd.cli.wizard import ask, lockout, options, policy_of
from ipsecd.daemon.options import POLICY
from ipsecd.errors import ConfigError
from ipsecd.policy.complaint import did_you_mean
from ipsecd.policy.extracting import Section, extracted
from ipsecd.policy.importing.formats import FORMATS_IN_WORDS, READERS, format_of
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
    return loaded(readable(file, "--file names another, ipsecctl policy new makes one"), file)


def _of(whole: PolicyFile, names: list[str]) -> Section:
    """These policies with what they need. Raises Failure for one that isn't there."""
    for name in names:
        if name not in whole.content.policies:
            raise Failure(FAILED, f"{whole.file} has no policy {name!r}", did_you_mean(name, whole.content.policies))
    tree = whole.tree.value
    return extracted(tree if isinstance(tree, dict) else {}, names)


@click.command("list")
@_file
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_policies(file: Path, as_json: bool) -> None:
    """The policies of the file, and which it assigns."""
    content = _loaded(file).content
    assigned = content.assigned
    found: list[dict[str, Any]] = [
        {"name": name, "assigned": name == assigned, "rules": len(each.rules), "description": each.description}
        for name, each in content.policies.items()
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
    """A policy file with one policy, or all, and what they need.

    That is the filter lists, filter actions and credentials that the policy NAME uses, or without NAME all. Keys
    aren't in it: a policy file only says where they are.
    """
    whole = _loaded(file)
    names = [name] if name else list(whole.content.policies)
    tree = _of(whole, names)
    if output is None:
        click.echo(to_yaml(tree), nl=False)
        return
    if lexists(output):  # a link that leads nowhere would lead us there
        raise Failure(FAILED, f"{output} is there already")
    write(to_yaml(tree), Destination(output), names)


@click.command("import")
@click.argument("file", type=_path)
@click.option(
    "--format", "form", type=click.Choice((_AUTO, *READERS)), default=_AUTO, show_default=True,
    help="Of the file: lines of ipsecpol or ipseccmd, a script of netsh ipsec static, Windows' objects in JSON.",
)  # fmt: skip
@destination_options
def import_policies(file: Path, form: str, **where: Any) -> None:
    """Make a policy file of what was written for Windows.

    Or take policies from another policy file. Shows what comes of it, and says what couldn't be carried over and
    what is another than it was.
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
    written = prepared(imported.tree, destination)
    write(written, destination, list(policies) if isinstance(policies, dict) else [])
    for key_file in key_files(written, imported.tree):
        tell_missing_key(destination, key_file)


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
@_file
@click.option("--yes", is_flag=True, help="Ask nothing: what has no option is as it is by default.")
@click.option("--unsupported", is_flag=True, help="With --yes: write even what this release can't put in force yet.")
def new(
    yes: bool, unsupported: bool, file: Path, output: Path | None, into: Path | None, replace: bool, **given: str | None
) -> None:
    """Ask for a policy and its first rule, and write them.

    They are shown and checked before, and go into the policy file unless --output or --into names another. Each
    answer can be given as an option, and isn't asked for then.
    """
    destination = Destination(output, into if into or output else file, replace)
    found = known(destination)
    answers = ask(questions(found), {name: text for name, text in given.items() if text is not None}, quiet=yes)
    text = prepared(policy_of(answers), destination)
    if warning := lockout(answers):
        click.echo(warning, err=True)
    fit = runs(text, destination, answers["name"])
    if yes and not fit and not unsupported:
        hint = "what isn't supported yet stands above; other answers, or --unsupported to write it all the same"
        raise Failure(FAILED, "nothing is written: this release can't put that policy in force", hint)
    if not yes and not _agreed(destination, fit=fit):
        raise Failure(FAILED, "nothing is written")
    write(text, destination, [answers["name"]])
    tell_missing_key(destination, answers.get("key_file"))


def _agreed(destination: Destination, *, fit: bool) -> bool:
    """Whether somebody says so. What ``ipsecd run`` would refuse isn't written by default."""
    if fit:
        return click.confirm(f"Write it into {destination.path}?", default=True, err=True)
    told = "This release can't put that policy in force: what isn't supported yet stands above."
    return click.confirm(f"{told} Write it into {destination.path} all the same?", default=False, err=True)


COMMANDS: Final = (list_policies, show, export, import_policies, new)
