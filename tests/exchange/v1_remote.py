"""Two ends of IKEv1, one of which comes in from elsewhere: a client with a user, and a gateway with addresses."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import ip_address, ip_network

from ipsecd.crypto.keymat_v1 import hash_1
from ipsecd.crypto.secret import Secret
from ipsecd.ike.address_pool import AddressPool
from ipsecd.ike.v1.access import Client, Gateway, Handing, User
from ipsecd.ike.v1.gate import Gate
from ipsecd.ike.v1.phase_1 import IsakmpSa
from ipsecd.ike.v1.protected import Protected
from ipsecd.ike.v1.quick_terms import Ends, QuickTerms
from ipsecd.ike.v1.session import Settings
from ipsecd.wire.ikev1_attributes import Attribute
from ipsecd.wire.ikev1_payloads import AnyPayload, Attributes
from ipsecd.wire.registry import ConfigType
from ipsecd.wire.registry_v1 import Exchange, OakleyAuth
from ipsecd.wire.selector import Selector
from tests.exchange.network import Link
from tests.exchange.phase_1 import suite
from tests.exchange.phase_2 import RIGHT, mirrored, terms
from tests.exchange.v1_gateways import Gateways

PASSWORDS = {"alice": b"correct horse", "bob": b"battery staple"}
POOL = Selector.net("10.3.0.0/24")
DNS, INSIDE = ip_address("10.2.0.1"), ip_network("10.2.0.0/24")


class Users:
    """Knows them at once. ``looked`` is who was looked at."""

    def __init__(self) -> None:
        self.looked: list[str] = []

    def judge(self, user: str, password: Secret, then: Callable[[bool], None]) -> None:
        self.looked.append(user)
        then(PASSWORDS.get(user) == password.reveal())


def user(name: str = "alice", password: bytes | None = None) -> User:
    return User(name, Secret(PASSWORDS[name] if password is None else password))


def handing(network: str = "10.3.0.0/24", *, pushes: bool = False) -> Handing:
    return Handing((AddressPool(ip_network(network)),), (DNS,), (), (INSIDE,), pushes)


def remote(
    client: Client | None = None,
    gateway: Gateway | None = None,
    *,
    method: OakleyAuth = OakleyAuth.XAUTH_INIT_PSK,
    of_client: QuickTerms | None = None,
    link: Link | None = None,
    seed: int | str = 0,
    alter: Callable[[bool, bytes], bytes | None] = lambda _, data: data,
    dpd: float = 1e9,
) -> Gateways:
    """The initiator is the client. What is None is made for one user, without an address."""
    allowed = of_client or terms(local=POOL, remote=RIGHT)
    client = client or Client(user())
    gateway = gateway or Gateway(Gate(Users().judge))
    return Gateways(
        Settings((allowed,), dpd, access=client),
        Settings((mirrored(allowed),), dpd, access=gateway),
        suites=(suite(method=method),),
        link=link,
        seed=seed,
        alter=alter,
    )


def call(net: Gateways) -> Gateways:
    return net.act(net.i.all.renew)


def ends_of(address: str) -> Ends:
    return Ends(Selector(ip_address(address), ip_address(address)), RIGHT)


def want_host(net: Gateways, address: str) -> Gateways:
    """SAs for one address of the client's."""
    return net.act(lambda: net.i.all.want(net.i.settings.terms[0], ends_of(address)))


# --- what is on the wire --------------------------------------------------------------------------------------------


def transaction(
    sa: IsakmpSa,
    kind: ConfigType,
    *attributes: Attribute,
    id_: int = 9,
    identifier: int = 0,
    right: bool = True,
    more: Iterable[AnyPayload] = (),
) -> bytes:
    """A first message of somebody who has the keys, or who has no more than that of the cipher."""
    exchange, prf_id, a = Protected(sa, Exchange.TRANSACTION, id_), sa.suite.prf.id, sa.keys.a
    said = (Attributes(kind, identifier, attributes), *more)
    return exchange.seal(said, lambda tail: hash_1(prf_id, a, id_, tail) if right else bytes(32))
