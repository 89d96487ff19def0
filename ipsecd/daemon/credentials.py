"""Pre-shared keys, from where the policy says they are: a private file, a systemd credential, or a command.

A key that can't be had is an OperatorError whose hint is the next step; whoever asked goes on without the rules that
need it. One newline at the end isn't part of a key, as editors and ``echo`` leave one.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import pwd
import signal
import stat
from collections.abc import Sequence
from pathlib import Path

from ipsecd import limits
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
    _check_way(path, users)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _not_opened(path, error) from None
    try:
        _check_private(path, os.fstat(descriptor), users)
        return _key(_read(descriptor), f"the key file {path}")
    finally:
        os.close(descriptor)


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
        return _key(_read(descriptor), f"systemd credential {quoted(name)}")
    finally:
        os.close(descriptor)


async def run_command(words: Sequence[str], users: frozenset[int]) -> bytes:
    """The key that a command prints. It runs without a shell, with nothing on its standard input and an empty
    environment but PATH, and must end by itself in time. Raises OperatorError."""
    program = Path(words[0])
    shown = f"the credential command {program}"
    if not program.is_absolute():
        raise OperatorError(f"{shown} isn't an absolute path", "name it from / on")
    _check_way(program, users)
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


def _read(descriptor: int) -> bytes:
    octets = b""
    while len(octets) <= limits.CREDENTIAL_OCTETS:
        more = os.read(descriptor, limits.CREDENTIAL_OCTETS + 1 - len(octets))
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


def _check_private(path: Path, status: os.stat_result, users: frozenset[int]) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OperatorError(f"the key file {path} isn't a regular file")
    if status.st_uid not in users:
        message = f"the key file {path} belongs to user {_user(status.st_uid)}, and ipsecd runs as {_user()}"
        raise OperatorError(message, f"chown {_user()} {path}")
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise OperatorError(f"the key file {path} is open to others (mode {mode:04o})", f"chmod 600 {path}")


def _check_way(path: Path, users: frozenset[int]) -> None:
    """Nobody else may be able to put another file in this one's place: not in its folder, nor in those above it."""
    for folder in (
        path.resolve().parents if path.is_symlink() else (path.parent.resolve(), *path.parent.resolve().parents)
    ):
        try:
            status = folder.stat()
        except FileNotFoundError:  # nor is the file there: whoever opens it will say so
            continue
        except OSError as error:
            raise OperatorError(f"{folder}: {error.strerror}") from None
        if status.st_uid not in users:
            owner = _user(status.st_uid)
            message = f"{path} can be exchanged by user {owner}, whose folder {folder} is; ipsecd runs as {_user()}"
            raise OperatorError(message, f"run ipsecd as {owner}, or chown {_user()} {folder}")
        if status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX:
            message = f"{path} can be exchanged by others: they may write to {folder}"
            raise OperatorError(message, f"chmod go-w {folder}")


def _not_opened(path: Path, error: OSError) -> OperatorError:
    match error.errno:
        case errno.ENOENT:
            owner = _owner()
            folder = "" if path.parent.exists() else f"install -d {owner}-m 700 {path.parent}; "
            hint = _PUT_IT.format(path=path, folder=folder, owner=owner, key=_A_KEY)
            return OperatorError(f"the key file {path} doesn't exist", hint)
        case errno.ELOOP:
            return OperatorError(f"the key file {path} is a symbolic link", "name the file it leads to")
        case errno.EACCES:
            hint = f"chown {_user()} {path}, and see that {_user()} may enter its folder"
            return OperatorError(f"ipsecd may not read the key file {path}", hint)
        case _:
            return OperatorError(f"the key file {path} can't be opened: {error.strerror}")


def _owner() -> str:
    """What makes ``install`` give a file to the user of this process."""
    return f"-o {_user()} " if os.geteuid() else ""


def _user(number: int | None = None) -> str:
    """The name of a user; of that of this process without a number."""
    number = os.geteuid() if number is None else number
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:  # it has no name, as happens in containers
        return str(number)
