"""Our one nftables table, by way of the nft program.

A new table is applied as one transaction and then read back. Of the first one what is compared is the machine code of
every rule: what nft makes of our text, against what it finds in the kernel. (Its listings can't be compared with our
text: each release words rules in its own way, and 1.0.6 prints some wrongly.) So this nft and this kernel are known to
understand each other. Later ones are whole if nobody else has changed any table meanwhile, which the kernel's
generation of tables tells; else they are compared too. From then on what the kernel holds is remembered, octet by
octet (``table.py``), and ``holds`` says whether it is still the same. As long as it is, the next table doesn't take the
place of the whole: what differs is changed (``rewriting.py``), in one transaction too, and that is read back.

Where the kernel can, the table is one that nobody but its owner can change, and that outlives it (``owner.py``); then
``nft flush ruleset`` leaves it alone. nft says what there is to send (``compiled.py``), and the owner sends it.
Elsewhere nft sends it, and the table is watched, and put back when it's gone.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from math import ceil
from typing import NamedTuple

from ipsecd.errors import REPORT, KernelError, LocalError
from ipsecd.io.compiled import KNOWN, Compiled, Message, Unreadable
from ipsecd.io.machine_code import machine_code
from ipsecd.io.owner import Owner
from ipsecd.io.rewriting import Written, rewriting, written
from ipsecd.io.table import Content, content, content_after, following, generation
from ipsecd.io.translating import Known, Shortened
from ipsecd.limits import KNOWN_RULES, NFT_TIME, TABLE_READS

_PATH = "/usr/sbin:/sbin:/usr/local/sbin:/usr/bin:/bin"
_BASE_CHAIN = re.compile(r"chain (\S+) \{\s*type (\S+) hook (\S+) priority (-?\d+); policy (\S+);")
_CONSTANT = re.compile(r"\tset (\S+) \{\n\t\ttype \S+\n\t\tflags constant\n")
_OBJECT = re.compile(r"^\s*(counter|set) (\S+) \{", re.MULTILINE)
_NO_SUCH, _NOT_SUPPORTED = "No such file or directory", "Operation not supported"
_CODE = "--debug=netlink"
_PIECE = 65_536  # octets of what nft says
_STILL = ("--stateless", "--terse", "--numeric-priority")  # as we say it, and without what changes by itself


class Element(NamedTuple):
    """A member of a named set, which the kernel takes out after so many seconds."""

    name: str  # of the set
    value: str
    seconds: float


Elements = Collection[Element]
Take = Callable[[bytes], None]


class Nftables:
    """The table ``inet <table>`` of the network namespace this process is in."""

    def __init__(self, table: str, owner: Owner | None = None) -> None:
        """With an owner the table is this process's alone from the first ``replace`` on, if the kernel can."""
        self.table = table
        self._owner = owner
        self.text = ""  # what replaced the table last
        self._written: Written | None = None  # the same, taken apart, if it says nothing but what the table is
        self._held: Content | None = None
        self._translated: dict[str, Known] = {}  # rules for the owner to send
        self._understood = False  # the kernel was seen to hold what nft had sent
        self.unreadable = ""  # why the table has no owner, though the kernel could give it one

    async def replace(self, text: str, elements: Elements = ()) -> None:
        """Apply the transaction ``text``, which replaces the table whole, and see that the kernel holds it; of a table
        that is sure to be what was put there, only what differs. Its sets have these elements from the first moment on.

        Raises KernelError: either nothing has changed, or it isn't certain that the kernel holds what was asked.
        """
        new = written(text, self.table)
        if not (self._understood and new and await self._rewritten(new, elements)):
            await self._whole(text, elements)
        self.text, self._written = text, new

    async def _whole(self, text: str, elements: Elements) -> None:
        self._held = None
        before = generation()
        await self._commit(text + self._with(elements))  # nothing comes before this
        held = content(self.table)
        if not self._understood or held.generation != following(before):
            held = await self._compared(text)
            self._understood = True
        if held.rules != _counted(text):
            raise KernelError("the kernel holds more rules than it was given, or fewer", REPORT)
        self._held = held

    async def _rewritten(self, new: Written, elements: Elements) -> bool:
        """Change what differs, and see that the kernel holds that. False if the whole has to be written instead: the
        table isn't what was put there, or is no more while this is done. Raises KernelError."""
        less = rewriting(self._written, new, self.table) if self._written is not None else None
        if less is None or not await self.holds() or self._held is None:
            return False
        before, self._held = self._held, None
        try:
            await self._commit(less.text + self._with(elements))
            held = content_after(before, self.table, less.chains, less.gone)
        except KernelError:
            return False
        if held.generation != following(before.generation) or held.rules != new.count:
            return False
        self._held = held
        return True

    async def change(self, add: Elements, delete: Elements) -> None:
        """Put elements into their sets, each with its whole time whether it is there already or not, and take others
        out, as far as they are there. Raises KernelError."""
        await self._commit(self._without([*delete, *add]) + self._with(add))

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

    async def _compared(self, text: str) -> Content:
        """What the kernel holds, if that is what nft makes of the text. Raises KernelError."""
        constant = _CONSTANT.findall(text)
        sent = machine_code((await self._checked(text, _CODE)).decode(), self.table, constant)
        if not any(sent.values()):
            raise KernelError("nft doesn't say what it makes of the rules", KNOWN)
        for _ in range(TABLE_READS):
            held = content(self.table)
            said = await self._nft("", _CODE, *_STILL, "list", "table", "inet", self.table)
            if generation() == held.generation:
                break
        else:
            raise KernelError("somebody changes nftables all the time", "nft monitor shows what is changed")
        code, _, listed = said.partition(f"table inet {self.table} {{")
        found = machine_code(code, self.table, constant)
        for chain in sent.keys() | found.keys():
            if sent.get(chain) != found.get(chain):
                what = "members in set" if chain.startswith("@") else "rules in chain"
                raise KernelError(f"the kernel holds other {what} {chain} than it was given", REPORT)
        if _declared(listed) != _declared(text):
            raise KernelError("the kernel holds other chains, sets or counters than it was given", REPORT)
        return held

    async def holds(self) -> bool:
        """Whether the table is exactly as it was after ``replace``; counters and elements of sets apart."""
        if self._held is None:
            return False
        if generation() != self._held.generation:
            now = content(self.table)
            if not now.same(self._held):
                return False
            self._held = now
        return True

    async def exists(self) -> bool:
        """Whether there is a table of that name at all."""
        return bool(content(self.table).digest)

    async def counters(self) -> dict[str, int]:
        """Packets by counter name; empty without a table."""
        try:
            said = await self._nft("", "-j", "list", "counters", "table", "inet", self.table)
        except KernelError as error:
            if _NO_SUCH in error.message:
                return {}
            raise
        objects = json.loads(said)["nftables"]
        return {item["counter"]["name"]: item["counter"]["packets"] for item in objects if "counter" in item}

    async def remove(self) -> None:
        """Remove the table; none is fine too."""
        await self._commit(f"{self._begun}delete table inet {self.table}\n")
        self.text, self._written, self._held = "", None, None

    @property
    def _begun(self) -> str:
        """What a transaction begins with that deletes a table which may not be there."""
        return f"table inet {self.table}\n"

    async def _commit(self, text: str) -> None:
        """Make one transaction of the text. Raises KernelError."""
        if self._owner is not None and self._owner.able():
            try:
                messages = await self._messages(text)
                await asyncio.to_thread(self._owner.send, messages)  # of 1,000 rules the kernel makes a second's work
            except Unreadable as error:
                self.unreadable = str(error)
                self._owner.release()
                self._owner = None
            else:
                return
        try:
            await self._nft(text, "-f", "-")
        except KernelError as error:
            if _NOT_SUPPORTED not in error.message or not text.startswith(self._begun):
                raise
            await self._nft(text.removeprefix(self._begun), "-f", "-")  # one that an owner has left is there

    async def _messages(self, text: str) -> list[Message]:
        compiled, short = Compiled(), Shortened(text, self.table, self._translated)
        await self._checked(short.text, "--debug=mnl", compiled.take)
        translated = compiled.messages()
        if text and not translated:
            raise KernelError("nft doesn't say what it makes of the rules", KNOWN)
        messages, rules = short.messages(translated)
        self._translated = (self._translated if len(self._translated) < KNOWN_RULES else {}) | rules
        return messages

    async def _checked(self, text: str, debug: str, take: Take | None = None) -> bytes:
        """What nft prints of a transaction that isn't made. It is refused what only the owner may do, having told all
        by then."""
        status, output, complaint = await self._run(text, ("--check", debug, "-f", "-"), take)
        if status and (self._owner is None or not _by_kernel(complaint)):
            raise _refused(text, complaint)
        return output

    async def _nft(self, text: str, *words: str) -> str:
        status, output, complaint = await self._run(text, words)
        if status:
            raise _refused(text, complaint, words[-1])
        return output.decode()

    async def _run(self, text: str, words: Sequence[str], take: Take | None = None) -> tuple[int, bytes, bytes]:
        """How nft ends, and what it says and complains of; what it says goes to ``take`` if there is one."""
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
                if take is None:
                    output, complaint = await process.communicate(text.encode())
                else:
                    output, complaint = b"", await _passed_on(process, text.encode(), take)
        except TimeoutError as error:
            raise KernelError(f"nft took longer than {NFT_TIME:.0f} s", "is the machine overloaded?") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()  # asyncio waits for ever for the end of one whose output nobody reads
        return process.returncode or 0, output, complaint


async def _passed_on(process: asyncio.subprocess.Process, text: bytes, take: Take) -> bytes:
    """Give nft the text, pass on what it says, a piece at a time, and return what it complains of."""
    given, said, complained = process.stdin, process.stdout, process.stderr
    if given is None or said is None or complained is None:
        raise LocalError("nft was started without pipes")
    given.write(text)
    given.close()
    complaint = asyncio.create_task(complained.read())
    try:
        while piece := await said.read(_PIECE):
            take(piece)
        await process.wait()
        return await complaint
    finally:
        complaint.cancel()


def _by_kernel(complaint: bytes) -> bool:
    return b"Could not process rule" in complaint


def _refused(text: str, complaint: bytes, word: str = "") -> KernelError:
    said = complaint.decode(errors="replace").strip().splitlines()
    hint = "ipsecd needs CAP_NET_ADMIN" if "not permitted" in "".join(said) else ""
    return KernelError(f"nft {word if text == '' else 'refused the table'}: {' '.join(said[:3])}", hint)


def _declared(text: str) -> set[tuple[str, ...]]:
    """The base chains, sets and counters in nft's words."""
    return set(_BASE_CHAIN.findall(text)) | set(_OBJECT.findall(text))


def _counted(text: str) -> Counter[str]:
    """Rules by chain."""
    counts: Counter[str] = Counter()
    chain = ""
    for line in text.splitlines():
        if line.startswith("\tchain "):
            chain = line.split()[1]
        elif line.startswith("\t}"):
            chain = ""
        elif chain and line.startswith("\t\t") and not line.startswith("\t\ttype "):
            counts[chain] += 1
    return counts
