"""A DNS server whose answers change when a test says so, and a place that asks it."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.interop.waiting import eventually
from tests.netns.sites import Sites

_SERVE = """
import json, pathlib, socket, sys
import dns.message, dns.rcode, dns.rrset
address, zone, asked = sys.argv[1], *map(pathlib.Path, sys.argv[2:])
opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
opened.bind((address, 53))
asked.touch()
while True:
    data, asker = opened.recvfrom(4096)
    query = dns.message.from_wire(data)
    name, kind = query.question[0].name, query.question[0].rdtype
    with asked.open("a") as file:
        file.write(f"{name}\\n")
    names = json.loads(zone.read_text())
    if names is None:
        continue
    ttl, addresses = names.get(name.to_text(omit_final_dot=True), (1, []))
    response = dns.message.make_response(query)
    found = [each for each in addresses if (":" in each) == (kind == 28)] if kind in (1, 28) else []
    if found:
        response.answer.append(dns.rrset.from_text_list(name, ttl, "IN", kind, found))
    else:
        response.set_rcode(dns.rcode.NOERROR if addresses else dns.rcode.NXDOMAIN)
        soa = f"ns.test. root.test. 1 1 1 1 {ttl}"
        response.authority.append(dns.rrset.from_text("test.", ttl, "IN", "SOA", soa))
    opened.sendto(response.to_wire(), asker)
"""


@contextlib.contextmanager
def etc(sites: Sites, place: str, server: str) -> Iterator[Path]:
    """The folder of files that a place has in place of those in /etc: it asks this server for names."""
    folder = Path("/etc/netns", sites.namespace(place))
    folder.mkdir(parents=True)
    (folder / "resolv.conf").write_text(resolv_conf(server))
    (folder / "nsswitch.conf").write_text("hosts: files dns\n")
    (folder / "hosts").write_text("127.0.0.1 localhost\n")
    yield folder
    shutil.rmtree(folder)


def resolv_conf(*servers: str) -> str:
    return "".join(f"nameserver {server}\n" for server in servers) + "options timeout:1 attempts:1\n"


class NameServer:
    """Answers at an IPv4 address of a place, while it is entered."""

    def __init__(self, sites: Sites, place: str, address: str, folder: Path) -> None:
        self._sites, self._place, self._address = sites, place, address
        self._zone, self._asked = folder / f"{address}.zone", folder / f"{address}.asked"
        self.says({})

    def __enter__(self) -> Self:
        command = [sys.executable, "-c", _SERVE, self._address, self._zone, self._asked]
        self._process = self._sites.popen(self._place, command, stderr=subprocess.DEVNULL)
        eventually(self._asked.exists, "the DNS server listens")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()

    def says(self, names: dict[str, tuple[int, list[str]]] | None) -> None:
        """From now on these names have a TTL and addresses, and there are no others; None: it says nothing at all."""
        fresh = self._zone.with_suffix(".new")
        fresh.write_text(json.dumps(names))
        fresh.replace(self._zone)

    def asked(self) -> int:
        """How many questions have come."""
        return len(self._asked.read_text().splitlines())
