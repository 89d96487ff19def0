"""Our one nftables table, by way of the nft program.

A new table is applied as one transaction and then read back. What is compared is the machine code of every rule:
what nft makes of our text, against what it finds in the kernel. (Its listings can't be compared with our text: each
release words rules in its own way, and 1.0.6 prints some wrongly.) From then on the kernel's listing is remembered,
and ``holds`` says whether it is still the same.

The kernel offers tables that nobody but their owner can change, and that outlive it (flags owner and persist, Linux
6.9). They aren't used: nft 1.0.6 doesn't know ``persist``, and an owner is a netlink socket that stays open, which is
neither the nft of the boot unit nor the one that runs here for a moment. An owned table without ``persist`` would
vanish with the daemon. So the table is watched instead, and put back when it's gone.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import Collection, Mapping
from math import ceil
from typing import Any, NamedTuple

from ipsecd.errors import KernelError
from ipsecd.limits import NFT_TIME

_PATH = "/usr/sbin:/sbin:/usr/local/sbin:/usr/bin:/bin"
_BASE_CHAIN = re.compile(r"chain (\S+) \{\s*type (\S+) hook (\S+) priority (-?\d+); policy (\S+);")
_OBJECT = re.compile(r"^\s*(counter|set) (\S+) \{", re.MULTILINE)
_UNNAMED = re.compile(r"(set|map) (__\S+)(?: 0x0)?")
_NAMED = re.compile(r"( set [^_]\S*) 0x0")  # flags, which only the kernel's listing has
_NO_SUCH = "No such file or directory"


class Element(NamedTuple):
    """A member of a named set, which the kernel takes out after so many seconds."""

    name: str  # of the set
    value: str
    seconds: float


Elements = Collection[Element]
Code = dict[str, list[str]]  # machine code of each rule in a chain, in order


class Nftables:
    """The table ``inet <table>`` of the network namespace this process is in."""

    def __init__(self, table: str) -> None:
        self.table = table
        self.text = ""  # what replaced the table last
        self._held: Any = None

    async def replace(self, text: str, elements: Elements = ()) -> None:
        """Apply the transaction ``text``, which replaces the table whole, and see that the kernel holds it. Its sets
        have these elements from the first moment on.

        Raises KernelError: either nothing has changed, or the kernel holds something else than was asked.
        """
        if text != self.text or self._held is None:
            await self._replace(text, elements)
            return
        await self._apply(text, elements)  # its machine code is known to be right: nothing comes before this
        if not await self.holds():
            await self._replace(text, elements)

    async def change(self, add: Elements, delete: Elements) -> None:
        """Put elements into their sets, each with its whole time whether it is there already or not, and take others
        out, as far as they are there. Raises KernelError."""
        await self._nft(self._without([*delete, *add]) + self._with(add), "-f", "-")

    def _with(self, elements: Elements) -> str:
        return "".join(
            f"add element inet {self.table} {each.name} {{ {each.value} timeout {ceil(each.seconds * 1_000)}ms }}\n"
            for each in elements
        )

    def _without(self, elements: Elements) -> str:
        """Only what is there can be deleted, and to add what is there changes nothing."""
        verbs = ("add", "delete")
        return "".join(
            f"{verb} element inet {self.table} {each.name} {{ {each.value} }}\n" for each in elements for verb in verbs
        )

    async def _apply(self, text: str, elements: Elements) -> None:
        await self._nft(text + self._with(elements), "-f", "-")

    async def _replace(self, text: str, elements: Elements) -> None:
        self._held = None
        expected = machine_code(await self._nft(text, "--check", "--debug=netlink", "-f", "-"), self.table)
        if not any(expected.values()):
            raise KernelError("nft doesn't say what it makes of the rules", "known to work: nftables 1.0.6")
        await self._apply(text, elements)
        actual = machine_code(await self._nft("", "--debug=netlink", "list", "table", "inet", self.table), self.table)
        for chain in expected.keys() | actual.keys():
            if expected.get(chain) != actual.get(chain):
                raise KernelError(f"the kernel holds other rules in chain {chain} than it was given", _REPORT)
        listing = await self._listing()
        if _objects(listing) != _asked(text):
            raise KernelError("the kernel holds other chains, sets or counters than it was given", _REPORT)
        self.text, self._held = text, _comparable(listing)

    async def holds(self) -> bool:
        """Whether the table is exactly as it was after ``replace``; counters and elements of sets apart."""
        return self._held is not None and _comparable(await self._listing()) == self._held

    async def exists(self) -> bool:
        """Whether there is a table of that name at all."""
        return bool(await self._listing())

    async def counters(self) -> dict[str, int]:
        """Packets by counter name; empty without a table."""
        objects = await self._listing("counters")
        return {item["counter"]["name"]: item["counter"]["packets"] for item in objects if "counter" in item}

    async def remove(self) -> None:
        """Remove the table; none is fine too."""
        await self._nft(f"table inet {self.table}\ndelete table inet {self.table}\n", "-f", "-")
        self.text, self._held = "", None

    async def _listing(self, *kind: str) -> list[dict[str, Any]]:
        """What is in the table, or the objects of one kind that are."""
        try:
            text = await self._nft("", "-j", "list", *kind, "table", "inet", self.table)
        except KernelError as error:
            if _NO_SUCH in error.message:
                return []
            raise
        return [item for item in json.loads(text)["nftables"] if "metainfo" not in item]

    async def _nft(self, text: str, *words: str) -> str:
        program = shutil.which("nft", path=_PATH)
        if program is None:
            raise KernelError("there is no nft program", "apt-get install nftables")
        process = await asyncio.create_subprocess_exec(
            program,
            *words,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"LC_ALL": "C"},
        )
        try:
            async with asyncio.timeout(NFT_TIME):
                output, complaint = await process.communicate(text.encode())
        except TimeoutError as error:
            raise KernelError(f"nft took longer than {NFT_TIME:.0f} s", "is the machine overloaded?") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()  # asyncio waits for ever for the end of one whose output nobody reads
        if process.returncode:
            said = complaint.decode(errors="replace").strip().splitlines()
            hint = "ipsecd needs CAP_NET_ADMIN" if "not permitted" in "".join(said) else ""
            raise KernelError(f"nft {words[-1] if text == '' else 'refused the table'}: {' '.join(said[:3])}", hint)
        return output.decode()


_REPORT = "please report this as a bug in ipsecd"


def machine_code(output: str, table: str) -> Code:
    """The rules in what ``nft --debug=netlink`` prints, by chain and in order: their instructions, one a line, with
    the members of the unnamed sets they look into. Handles and set numbers are left out.

    Unnamed sets stand before their rule, all called ``__set%d``, in what nft is about to send; in what the kernel has
    they stand before all rules, with numbers.
    """
    chains: Code = {}
    numbered: dict[str, list[str]] = {}
    ahead: list[list[str]] = []
    members: list[str] = []
    rules: list[str] = []
    for line in output.splitlines():
        if match := re.match(rf"(?:inet {table} @|)(__(?:set|map)\S+)(.*)", line):
            if "size" in match[2]:
                ahead.append(members := [])
            elif "%" not in match[1]:
                members = numbered.setdefault(match[1], [])
        elif line.startswith("\telement"):
            members += re.findall(r"element (\w+)", line)
        elif match := re.match(rf"inet {table} ([^@\s]+)( \d+)*$", line):
            rules = chains.setdefault(match[1], [])
            rules.append("")
        elif line.startswith("  [") and rules:
            if match := _UNNAMED.search(line):
                found = ahead.pop(0) if "%" in match[2] and ahead else numbered.get(match[2], [])
                line = _UNNAMED.sub(rf"\1 of {' '.join(sorted(found))}", line)  # noqa: PLW2901  the same line, clearer
            rules[-1] += _NAMED.sub(r"\1", line).strip() + "\n"
    return chains


def _asked(text: str) -> set[tuple[str, ...]]:
    chains = {("chain", *match) for match in _BASE_CHAIN.findall(text)}
    return chains | set(_OBJECT.findall(text))


def _objects(listing: list[dict[str, Any]]) -> set[tuple[str, ...]]:
    found: set[tuple[str, ...]] = set()
    for item in listing:
        for kind, value in item.items():
            if kind == "chain" and "hook" in value:
                words = ("name", "type", "hook", "prio", "policy")
                found.add((kind, *(str(value[word]) for word in words)))
            elif kind in {"counter", "set"}:
                found.add((kind, value["name"]))
    return found


def _comparable(listing: list[dict[str, Any]]) -> list[Any]:
    """The listing without what changes by itself."""
    return [_without(item, {"handle", "packets", "bytes"} | ({"elem"} if "set" in item else set())) for item in listing]


def _without(value: Any, keys: set[str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _without(inner, keys) for key, inner in value.items() if key not in keys}
    if isinstance(value, list):
        return [_without(inner, keys) for inner in value]
    return value
