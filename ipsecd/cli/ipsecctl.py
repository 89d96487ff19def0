"""``ipsecctl``: asks the running daemon, and tells it what to do."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import RenderableType

import ipsecd
from ipsecd.cli import live, render, render_sas
from ipsecd.cli.client import Client, taking_apart
from ipsecd.cli.kinds import Seconds, shown_of_transport
from ipsecd.cli.output import output
from ipsecd.cli.policies import PolicyCommands
from ipsecd.cli.private_file import make_private, write_private
from ipsecd.cli.program import UNUSABLE, Program
from ipsecd.cli.waiting import wait_until_up
from ipsecd.daemon.options import CONTROL
from ipsecd.daemon.protocol import LEVELS

# Wireshark's names, and those of the files in its profile folder
_TABLES = ("ikev2_decryption_table", "ikev1_decryption_table", "esp_sa")

_NO_KEYS = (
    "no keys: the policy doesn't say keylog: true, or the SAs are older than that (ipsecctl down and up make new ones)"
)

Render = Callable[[Mapping[str, Any], int], Iterable[RenderableType]]  # an answer, and how wide the output is


_json = click.option("--json", "as_json", is_flag=True, help="Print the daemon's answer as JSON.")


def _tell(answer: Mapping[str, Any], as_json: bool, form: Render) -> None:
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    console = output()
    with taking_apart():
        parts = tuple(form(answer, console.width))
    render.show(console, *parts)


@click.group("ipsecctl", cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--control", type=click.Path(path_type=Path, readable=False), default=CONTROL, envvar="IPSECD_CONTROL",
    show_default=True, help="The daemon's socket.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Of any command: print the daemon's answer as JSON.")
@click.version_option(ipsecd.__version__, message="%(prog)s %(version)s")
@click.pass_context
def main(context: click.Context, control: Path, as_json: bool) -> None:
    """Ask and command a running ipsecd.

    Exits with 0 if it was done, 1 if the daemon refused or its answer couldn't be shown, 2 for wrong usage, 3 if no
    daemon runs, 4 without permission, 5 if a reload or an assignment has left rules that can't be used, 130 after
    Ctrl-C.
    """
    context.obj = control
    if as_json:
        context.default_map = _everywhere(main, as_json=True)


@main.command()
@_json
@click.pass_obj
def status(control: Path, as_json: bool) -> None:
    """The daemon, and the state of each rule."""
    with Client(control) as client:
        _tell(client.ask("status"), as_json, render.status)


@main.command()
@_json
@click.pass_obj
def sas(control: Path, as_json: bool) -> None:
    """All security associations, and what they have carried."""
    with Client(control) as client:
        _tell(client.ask("sas"), as_json, render_sas.sas)


@main.group(cls=PolicyCommands, invoke_without_command=True)
@_json
@click.pass_context
def policy(context: click.Context, as_json: bool) -> None:
    """The policy in force, in the order in which it's tried.

    With a command, the policies that stand in policy files.
    """
    if context.invoked_subcommand is not None:
        context.default_map = {name: {"as_json": as_json} for name in ("assign", "list", "unassign")}
        return
    with Client(context.obj) as client:
        _tell(client.ask("policy"), as_json, render.policy)


@main.command()
@click.argument("source")
@click.argument("destination")
@click.argument("protocol", required=False)
@click.argument("source_port", required=False)
@click.argument("destination_port", required=False)
@click.option("--in", "direction", flag_value="in", help="Tell only how it arrives: SOURCE is the remote side.")
@_json
@click.pass_obj
def explain(
    control: Path,
    /,
    as_json: bool,
    protocol: str | None,
    source_port: str | None,
    destination_port: str | None,
    **packet: str | None,
) -> None:
    """What becomes of a packet, and which filter says so.

    SOURCE and DESTINATION are IP addresses, PROTOCOL is a name or a number. SOURCE_PORT and DESTINATION_PORT are
    numbers, or `any` for a port that doesn't matter; of ICMP they are the type, by number or name, and the code.
    Without them it is a packet that doesn't show them, such as a later fragment, and the strictest rule that may be
    meant counts.
    """
    shown = shown_of_transport(protocol, source_port, destination_port)
    with Client(control) as client:
        _tell(client.ask("explain", **packet, protocol=protocol, **shown), as_json, render.explain)


@main.command()
@click.argument("name")
@click.option("--wait", type=Seconds(min=0), help="Wait so many seconds until all of it is up; fail if it isn't.")
@_json
@click.pass_obj
def up(control: Path, name: str, wait: float | None, as_json: bool) -> None:
    """Negotiate child SAs. NAME is a rule, for all of its children, one child, or peer:RULE, for all of a peer's.

    Of a rule without a tunnel RULE@ADDRESS is one host.
    """
    with Client(control) as client:
        begun = time.monotonic()
        answer = client.ask("up", name=name)
        if wait is not None:
            with taking_apart():
                names = [str(name) for name in answer["names"]]
            wait_until_up(client, names, begun, wait)
        _tell(answer, as_json, render.nothing)


@main.command()
@click.argument("name")
@_json
@click.pass_obj
def down(control: Path, name: str, as_json: bool) -> None:
    """Close child SAs, which stay down until `up`. NAME is a rule, a child, or peer:RULE.

    Of a rule without a tunnel RULE@ADDRESS is one host.

    The IKE SA is closed too if a rule or peer is named that leaves no other child to it.
    """
    with Client(control) as client:
        _tell(client.ask("down", name=name), as_json, render.nothing)


@main.command()
@click.argument("name")
@_json
@click.pass_obj
def rekey(control: Path, name: str, as_json: bool) -> None:
    """Replace keys now. NAME is a rule, for all of its child SAs, one child, or peer:RULE, for a peer's IKE SA.

    Of a rule without a tunnel RULE@ADDRESS is one host.
    """
    with Client(control) as client:
        _tell(client.ask("rekey", name=name), as_json, render.nothing)


@main.command()
@_json
@click.pass_obj
def reload(control: Path, as_json: bool) -> None:
    """Read the policy file again, and change what differs. A file with mistakes changes nothing."""
    with Client(control) as client:
        _tell_change(client.ask("reload"), as_json, render.difference)


@main.command()
@click.option("--level", type=click.Choice(LEVELS), default="info", show_default=True, help="And above.")
@click.option("--lines", is_flag=True, help="Events alone, a line each; so it is too where there is no terminal.")
@click.option(
    "--interval", type=Seconds(min=0.1), default=1.0, show_default=True, help="Seconds from one look to the next.",
)  # fmt: skip
@_json
@click.pass_obj
def monitor(control: Path, level: str, lines: bool, interval: float, as_json: bool) -> None:
    """Show what happens, as it happens.

    On a terminal that is rules, SAs, drops and the latest events, until Ctrl-C; else events alone.
    """
    console = output()
    if console.is_terminal and not (lines or as_json):
        live.watch(control, level, interval, console)
    with Client(control) as client:
        client.ask("monitor", level=level)
        for event in client.events():
            if as_json:
                click.echo(json.dumps(event))
            else:
                console.print(render.event(event), soft_wrap=True)


@main.command(name="log-level")
@click.argument("level", required=False, type=click.Choice(LEVELS))
@_json
@click.pass_obj
def log_level(control: Path, level: str | None, as_json: bool) -> None:
    """Show the level of the log, or set it."""
    with Client(control) as client:
        _tell(client.ask("log-level", level=level), as_json, render.level)


@main.group()
def keys() -> None:
    """Keys for Wireshark, of policies that say `keylog: true`."""


@keys.command()
@click.option(
    "--directory", type=click.Path(path_type=Path, file_okay=False),
    help="Write Wireshark's files ikev2_decryption_table, ikev1_decryption_table and esp_sa there, and make it first "
    "if it isn't there.",
)  # fmt: skip
@_json
@click.pass_obj
def export(control: Path, directory: Path | None, as_json: bool) -> None:
    """Print the keys of SAs. For root alone.

    Of those that were made while `keylog: true` stood in the policy.
    """
    with Client(control) as client:
        tables = client.ask("keys-export")
    with taking_apart():
        lines = {name: [str(line) for line in tables[name]] for name in _TABLES}
        unknown = ", ".join(tables["unknown"])
    if directory is not None:
        make_private(directory)
        for name in _TABLES:
            write_private(directory / name, lines[name])
    elif as_json:
        click.echo(json.dumps(tables, indent=2))
    else:
        for name in _TABLES if any(lines.values()) else ():
            click.echo("\n".join([f"# {name}", *lines[name]]))
    if unknown:
        click.echo(f"Wireshark can't decrypt {unknown}: those keys aren't here", err=True)
    elif not any(lines.values()) and not as_json:
        click.echo(_NO_KEYS, err=True)


@main.command()
@click.argument("name")
@_json
@click.pass_obj
def assign(control: Path, name: str, as_json: bool) -> None:
    """Put policy NAME of the policy file in force.

    The file is read again, and the policy takes the place of the one that is in force in one step. This lasts, over
    restarts too, until the file's `assigned` says something else than now, or another is assigned.
    """
    with Client(control) as client:
        _tell_change(client.ask("assign", name=name), as_json, render.assigned)


@main.command()
@_json
@click.pass_obj
def unassign(control: Path, as_json: bool) -> None:
    """Take the policy out of force: its traffic leaves in clear.

    Persistent rules stay in force. This lasts, over restarts too, until a policy is assigned, or the file's
    `assigned` says something else than now.
    """
    with Client(control) as client:
        _tell(client.ask("unassign"), as_json, render.unassigned)


policy.add_command(assign)  # beside the others that Windows' tools have for a policy
policy.add_command(unassign)


def _tell_change(answer: Mapping[str, Any], as_json: bool, form: Render) -> None:
    """What has changed; ends with a status of its own if not all of it can be used."""
    _tell(answer, as_json, form)
    with taking_apart():
        if answer["incomplete"]:
            click.get_current_context().exit(UNUSABLE)


def _everywhere(group: click.Group, **options: object) -> dict[str, Any]:
    """These options as the defaults of all commands of a group, as click wants them."""
    return {
        name: options | (_everywhere(command, **options) if isinstance(command, click.Group) else {})
        for name, command in group.commands.items()
    }
