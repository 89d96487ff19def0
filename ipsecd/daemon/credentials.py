"""Pre-shared keys, from where the policy says they are: a private file, a systemd credential, or a command.

A key that can't be had is an OperatorError whose hint is the next step; whoever asked goes on without the rules that
need it. One newline at the end isn't part of a key, as editors and ``echo`` leave one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from ipsecd import limits
from ipsecd.daemon.owned_file import File, check_way, owner_option, read_owned, read_some
from ipsecd.errors import OperatorError
from ipsecd.printable import quoted

_A_KEY = "head -c 32 /dev/urandom | base64"
_PUT_IT = (
    "the same key as the peer's: {folder}install {owner}-m 600 KEY {path}; to make a first one: " + _A_KEY + " > KEY"
)
_OF_THE_UNIT = "ipsecd.psk"  # what LoadCredential= of ipsecd.service names; whatever else is there, a drop-in has added


def read_file(path: Path, users: frozenset[int]) -> bytes:
    """The key in a file that belongs to one of ``users`` and that nobody else can read, replace or redirect.

    Raises OperatorError. What is checked is the file that was opened, so it can't be exchanged in between.
    """
    return _key(read_owned(path, users, File("key file", put_it=_how_to_put_it)), f"the key file {path}")


def _how_to_put_it(path: Path) -> str:
    owner = owner_option()
    folder = "" if path.parent.exists() else f"install -d {owner}-m 700 {path.parent}; "
    return _PUT_IT.format(path=path, folder=folder, owner=owner)


def read_systemd(name: str, directory: str | None) -> bytes:
    """The key that systemd handed over as ``LoadCredential=NAME:...`` (systemd.exec(5)); raises OperatorError.

    ``directory`` is $CREDENTIALS_DIRECTORY. systemd makes it, private to the service, so the files are trusted.
    """
    if name == _OF_THE_UNIT:
        first = f"put the key into /etc/credstore/{name}"
    else:
        first = f"systemctl edit ipsecd, and there, below [Service], LoadCredential={name}:/path/of/the/key"
    hint = f"{first}; then systemctl restart ipsecd, as a reload reads no new credentials"
    if not directory:
        raise OperatorError(f"there is no systemd credential {quoted(name)}: ipsecd wasn't given any", hint)
    if "/" in name or name in ("", ".", ".."):
        raise OperatorError(f"{quoted(name)} can't be the name of a systemd credential")
    try:
        descriptor = os.open(Path(directory, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise OperatorError(f"systemd credential {quoted(name)}: {error.strerror}", hint) from None
    try:
        return _key(read_some(descriptor, limits.CREDENTIAL_OCTETS), f"systemd credential {quoted(name)}")
    finally:
        os.close(descriptor)


async def run_command(words: Sequence[str], users: frozenset[int]) -> bytes:
    """The key that a command prints. It runs without a shell, with nothing on its standard input and an empty
    environment but PATH, and must end by itself in time. Raises OperatorError."""
    program = Path(words[0])
    shown = f"the credential command {program}"
    if not program.is_absolute():
        raise OperatorError(f"{shown} isn't an absolute path", "name it from / on")
    check_way(program, users)
    reader, pipe, output = await _pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.DEVNULL,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            start_new_session=True,
        )
    except OSError as error:
        pipe.close()
        raise OperatorError(f"{shown} can't be run: {error.strerror}", "try it by hand as the user of ipsecd") from None
    finally:
        os.close(output)
    seconds = limits.CREDENTIAL_COMMAND_TIME
    code = 0
    try:
        async with asyncio.timeout(seconds):
            octets = await _bounded(reader)
            if len(octets) <= limits.CREDENTIAL_OCTETS:  # else it would wait for ever to write the rest
                code = await process.wait()
    except TimeoutError:
        raise OperatorError(f"{shown} took longer than {seconds:g} seconds", "it must print the key and end") from None
    finally:
        pipe.close()
        with contextlib.suppress(ProcessLookupError):  # also what it may have left behind in its session
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    if code != 0:
        raise OperatorError(f"{shown} ended with exit code {code}", "try it by hand as the user of ipsecd")
    return _key(octets, f"the output of {shown}")


async def _pipe() -> tuple[asyncio.StreamReader, asyncio.ReadTransport, int]:
    """A pipe of our own: asyncio waits for its pipes to a process for ever if a grandchild keeps the other end."""
    reading, writing = os.pipe()
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, os.fdopen(reading, "rb", 0))
    return reader, transport, writing


async def _bounded(reader: asyncio.StreamReader) -> bytes:
    """All there is to read, or one octet more than is accepted."""
    octets = b""
    while len(octets) <= limits.CREDENTIAL_OCTETS:
        more = await reader.read(limits.CREDENTIAL_OCTETS + 1 - len(octets))
        if not more:
            break
        octets += more
    return octets


def _key(octets: bytes, where: str) -> bytes:
    """The octets without the newline at their end."""
    if len(octets) > limits.CREDENTIAL_OCTETS:
        raise OperatorError(f"{where} has more than {limits.CREDENTIAL_OCTETS} octets", "a key is a few dozen octets")
    octets = octets.removesuffix(b"\n").removesuffix(b"\r")
    if not octets:
        raise OperatorError(f"{where} is empty", f"put a random key there: {_A_KEY}")
    return octets
