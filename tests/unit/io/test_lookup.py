"""A name is what the system says, for as long as the DNS says if it says the same."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any

import dns.message
import dns.resolver
import dns.rrset
import pytest

from ipsecd.io import lookup
from ipsecd.io.lookup import Answer, NotAnswered, look_up

ONE, TWO, NINE = ip_address("192.0.2.1"), ip_address("2001:db8::2"), ip_address("192.0.2.9")
Records = Mapping[str, tuple[str, ...]]
Patch = Callable[["Server", Any], None]

SOA = "example. 900 IN SOA ns.example. root.example. 1 2 3 4 77"


class Server:
    """In the place of the DNS: ``records`` are the lines of each answer, by type; an answer of none has ``denial`` for
    its authority. Without records it says nothing, as long as it may."""

    def __init__(self, records: Records | None, *, denial: tuple[str, ...] = (SOA,), rcode: str = "NOERROR") -> None:
        self.records, self.denial, self.rcode = records, denial, rcode

    def __call__(self) -> Any:
        return self

    timeout = 0.0

    def resolve(self, name: str, kind: str, **how: object) -> dns.resolver.Answer:
        assert how == {"raise_on_no_answer": False, "lifetime": 1.0, "search": True}
        assert self.timeout == 0.5
        if self.records is None:
            raise dns.resolver.LifetimeTimeout(timeout=1.0, errors=[])
        response = self.response(name, kind)
        if self.rcode == "NXDOMAIN":
            raise dns.resolver.NXDOMAIN(qnames=[response.question[0].name], responses={name: response})
        return dns.resolver.Answer(response.question[0].name, response.question[0].rdtype, 1, response)

    def response(self, name: str, kind: str) -> dns.message.QueryMessage:
        assert self.records is not None
        query = dns.message.make_query(name + ".", kind)
        response = dns.message.make_response(query)
        response.set_rcode(dns.rcode.from_text(self.rcode))
        lines = self.records.get(kind, ())
        response.answer = [_record(line) for line in lines]
        response.authority = [] if lines else [_record(line) for line in self.denial]
        read = dns.message.from_wire(response.to_wire())  # as it arrives
        assert isinstance(read, dns.message.QueryMessage)
        return read


def _record(line: str) -> dns.rrset.RRset:
    name, ttl, kind_class, kind, *data = line.split()
    return dns.rrset.from_text(name, int(ttl), kind_class, kind, " ".join(data))


def system(*addresses: str) -> Any:
    return lambda *_, **__: [(2, 2, 17, "", (address, 0)) for address in addresses]


@pytest.fixture
def patch(monkeypatch: pytest.MonkeyPatch) -> Patch:
    def replaced(server: Server, getaddrinfo: Any) -> None:
        monkeypatch.setattr(lookup, "Dns", server)
        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    return replaced


A = "hq.example. 60 IN A 192.0.2.1"
AAAA = "hq.example. 30 IN AAAA 2001:db8::2"


@pytest.mark.parametrize(
    ("records", "addresses", "found", "ttl"),
    [
        ({"A": (A,), "AAAA": (AAAA,)}, ("192.0.2.1", "2001:db8::2"), (ONE, TWO), 30.0),
        ({"A": (A,), "AAAA": (AAAA,)}, ("2001:db8::2", "192.0.2.1", "192.0.2.1"), (ONE, TWO), 30.0),
        # of a family without addresses the denial has a TTL: the least of its SOA's own and its last field
        ({"A": (A.replace("60", "90"),)}, ("192.0.2.1",), (ONE,), 77.0),
        # the way there over aliases counts
        ({"A": ("hq.example. 5 IN CNAME b.example.", "b.example. 60 IN A 192.0.2.1")}, ("192.0.2.1",), (ONE,), 5.0),
        # /etc/hosts, or whatever else the system asks, says something else, or of another moment
        ({"A": (A,)}, ("192.0.2.9",), (NINE,), None),
        ({"A": (A,)}, ("192.0.2.1", "192.0.2.9"), (ONE, NINE), None),
        ({}, ("192.0.2.1",), (ONE,), None),
        (None, ("192.0.2.1",), (ONE,), None),
        # a link-local address has no scope in a packet
        (None, ("fe80::1%eth0",), (ip_address("fe80::1"),), None),
    ],
)
def test_a_ttl_counts_for_the_addresses_it_came_with(
    patch: Patch, records: Records | None, addresses: tuple[str, ...], found: tuple[Any, ...], ttl: float | None
) -> None:
    patch(Server(records), system(*addresses))
    assert look_up("hq.example") == Answer(found, ttl)


def refuse(number: int) -> Any:
    def getaddrinfo(*_: object, **__: object) -> object:
        raise socket.gaierror(number, "no")

    return getaddrinfo


@pytest.mark.parametrize("error", [socket.EAI_NONAME, socket.EAI_NODATA])
def test_that_there_is_no_such_name_has_a_ttl_too(patch: Patch, error: int) -> None:
    patch(Server({}, rcode="NXDOMAIN"), refuse(error))
    assert look_up("hq.example") == Answer((), 77.0)
    patch(Server({}), refuse(error))
    assert look_up("hq.example") == Answer((), 77.0)
    patch(Server(None), refuse(error))
    assert look_up("hq.example") == Answer(())


@pytest.mark.parametrize("error", [socket.gaierror(socket.EAI_AGAIN, "try again"), UnicodeError("label too long")])
def test_a_system_that_can_not_tell_is_not_taken_for_a_no(patch: Patch, error: Exception) -> None:
    def getaddrinfo(*_: object, **__: object) -> object:
        raise error

    patch(Server({"A": (A,)}), getaddrinfo)
    with pytest.raises(NotAnswered):
        look_up("hq.example")


def test_a_machine_without_a_dns_has_no_ttl(monkeypatch: pytest.MonkeyPatch) -> None:
    def unconfigured() -> Any:
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr(lookup, "Dns", unconfigured)
    monkeypatch.setattr(socket, "getaddrinfo", system("192.0.2.1"))
    assert look_up("hq.example") == Answer((ONE,))
