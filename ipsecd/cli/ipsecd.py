"""``ipsecd``: the daemon, and what can be done without it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import click
from click.core import ParameterSource

import ipsecd
from ipsecd.cli.passwords import hash_password
from ipsecd.cli.program import FAILED, Failure, Program
from ipsecd.daemon import log, systemd
from ipsecd.daemon.app import App
from ipsecd.daemon.commands import Commands
from ipsecd.daemon.flush import flush_kernel
from ipsecd.daemon.hardening import harden
from ipsecd.daemon.options import CONTROL, GROUP, OFFLOADS, POLICY, STATE, Options
from ipsecd.daemon.policy_text import read_text
from ipsecd.errors import ConfigError, IpsecdError
from ipsecd.policy.check import check
from ipsecd.policy.schema import schema_json

_PATH = click.Path(path_type=Path, readable=False)  # what is wrong with a file is ours to say
_state = click.option(
    "--state-dir", "state", type=_PATH, default=STATE, envvar="IPSECD_STATE_DIR", show_default=True,
    help="Where the lock and the floor for the next boot are kept.",
)  # fmt: skip


@click.group("ipsecd", cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(ipsecd.__version__, message="%(prog)s %(version)s")
def main() -> None:
    """IPsec for Linux in user space."""


@main.command()
@click.option(
    "--policy", type=_PATH, default=POLICY, envvar="IPSECD_POLICY", show_default=True, help="The policy file."
)
@_state
@click.option(
    "--control", type=_PATH, default=CONTROL, envvar="IPSECD_CONTROL", show_default=True,
    help="The socket that ipsecctl talks to.",
)  # fmt: skip
@click.option(
    "--group", default=GROUP, envvar="IPSECD_GROUP", show_default=True,
    help="Members may use ipsecctl; '' for root alone.",
)  # fmt: skip
@click.option(
    "--log-format", "kind", type=click.Choice(log.FORMATS), default="auto", envvar="IPSECD_LOG_FORMAT",
    show_default=True, help="auto: the journal under systemd, colours on a terminal, else plain.",
)  # fmt: skip
@click.option(
    "--log-level", "level", type=click.Choice(list(log.LEVELS)), default="info", envvar="IPSECD_LOG_LEVEL",
    show_default=True, help="ipsecctl log-level changes it later.",
)  # fmt: skip
@click.option(
    "--without", type=click.Choice(OFFLOADS), multiple=True, envvar="IPSECD_WITHOUT",
    help="An offload of the kernel to do without; may be given several times.",
)  # fmt: skip
@click.option(
    "--data-plane", "plane", type=click.Choice(("processes", "inline")), default="processes",
    envvar="IPSECD_DATA_PLANE", show_default=True,
    help="Who carries packets: two confined processes, or the one that negotiates.",
)  # fmt: skip
@click.pass_context
def run(
    context: click.Context,
    policy: Path,
    state: Path,
    control: Path,
    group: str,
    kind: str,
    level: str,
    without: tuple[str, ...],
    plane: str,
) -> None:
    """Put the assigned policy in force, and keep it in force until SIGTERM or Ctrl-C.

    SIGHUP reloads the policy. Exits with 0 when told to stop, with 1 if it can't start.
    """
    harden()
    journal = log.start(kind, level, os.environ)
    given = context.get_parameter_source("group") is not ParameterSource.DEFAULT
    options = Options(policy.absolute(), state, control, group, given, without, plane == "inline")
    app = App(options, journal, systemd.from_environment())
    try:
        asyncio.run(_until_told(app))
    except IpsecdError:
        sys.exit(1)  # the log has said why
    finally:
        journal.close()
    if app.failed:
        sys.exit(1)


async def _until_told(app: App) -> None:
    await app.run(Commands(app).handlers())
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # while the loop closes, its handlers have nothing left to tell it by


@main.command(name="check")
@click.argument("file", type=_PATH)
def check_file(file: Path) -> None:
    """Read a policy file and say all that is wrong with it, as FILE:LINE:COLUMN: PATH: MESSAGE.

    Exits with 0 if it has no mistake. Notes don't count, though run refuses what one of them says isn't supported yet.
    """
    try:
        verdict = check(read_text(file, ""), str(file))
    except ConfigError as error:
        click.echo(str(error))
        sys.exit(1)
    except IpsecdError as error:
        raise Failure(FAILED, str(error)) from None
    for line in verdict.lines():
        click.echo(line)
    sys.exit(0 if verdict.good else 1)


@main.command()
def schema() -> None:
    """Print the JSON schema of a policy file, for editors."""
    click.echo(schema_json(), nl=False)


main.add_command(hash_password)


@main.command()
@_state
def flush(state: Path) -> None:
    """Remove everything of ipsecd's from the kernel: protected traffic leaves in clear from then on.

    Only while no daemon runs; ipsecctl unassign is for when one does.
    """
    try:
        asyncio.run(flush_kernel(Options(state=state)))
    except IpsecdError as error:
        raise Failure(FAILED, str(error)) from None
