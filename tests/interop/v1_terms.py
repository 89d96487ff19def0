"""IKEv1: what both sides are told of how they prove themselves, and of who comes in from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ipsecd.crypto.scrypt_hash import Cost, PasswordHash
from ipsecd.crypto.secret import Secret
from tests.interop import certificates
from tests.interop.certificates import OURS, ROOT, THEIRS
from tests.interop.pair import Terms
from tests.interop.strongswan import Wallet
from tests.unit.crypto.authority import Authority

BASE = Terms(
    ike="aes128-sha256-prfsha256-modp2048",  # the hash of IKEv1 is the PRF of IKEv2
    esp="aes128-sha256-modp2048",
    key_exchange={"versions": ["ikev1"]},
    connection={"version": 1},
    # Only a start of charon changes these. The first is its name for aggressive mode with a key.
    charon={
        "i_dont_care_about_security_and_use_aggressive_mode_psk": "yes",
        "retransmit_timeout": "1.0",
        "send_vendor_id": "yes",
    },
)


def told(terms: Terms, **more: Any) -> Terms:
    """The terms with more, or others; what has names in it is laid over what is there."""
    over = {
        name: {**getattr(terms, name), **value} if isinstance(value, Mapping) else value for name, value in more.items()
    }
    return replace(terms, **over)


def keyed(*, aggressive: bool = False, **more: Any) -> Terms:
    """Both prove themselves by a key that they share."""
    rule = {"i_accept_offline_guessing_in_aggressive_mode": True}
    return told(_in_mode(rule, aggressive=aggressive), **more)


def certified(
    *, aggressive: bool = False, authority: Authority = ROOT, between: int = 0, cert: str = "", **more: Any
) -> Terms:
    """Both prove themselves by signatures, and trust ``ROOT``. Their certificates are vouched for by ``authority``, or
    by the last of so many ``between``; theirs is for ``cert``, if that is given."""
    lower = certificates.below(authority, between)
    issuer, shown = (lower or [authority])[-1], tuple(each.der for each in reversed(lower))
    terms = _in_mode({"i_accept_names_in_clear_in_aggressive_mode": True}, aggressive=aggressive)
    ours_id, theirs_id = (more.get(name, getattr(terms, name)) for name in ("ours_id", "theirs_id"))
    terms = told(
        terms,
        credentials={"gw": {"certificate": {"chain": "gw.pem", "key": "gw.key", "authorities": ["root.pem"]}}},
        files={
            "gw.pem": certificates.pem(certificates.end(issuer, OURS, ours_id), *shown),
            "gw.key": certificates.key_pem(OURS),
            "root.pem": certificates.pem(ROOT.der),
        },
        rule={"authentication": [{"certificate": "gw"}]},
        connection={
            "local": {
                "auth": "pubkey",
                "id": theirs_id,
                "certs": [certificates.end(issuer, THEIRS, cert or theirs_id)],
            },
            "remote": {"auth": "pubkey", "id": ours_id, "cacerts": [ROOT.der]},
        },
        wallet=Wallet(key=certificates.key_der(THEIRS), authorities=shown),
    )
    return told(terms, **more)


def _in_mode(accepted: Mapping[str, bool], *, aggressive: bool) -> Terms:
    return told(BASE, rule=accepted, connection={"aggressive": "yes"}) if aggressive else BASE


# --- who comes in from elsewhere -------------------------------------------------------------------------------------

USER, PASSWORD = "alice", "down the rabbit hole"
USERS = f"{USER}:{PasswordHash.of(Secret(PASSWORD.encode()), b'salt of the tests', Cost(ln=14))}\n"
POOL, LENT = "10.3.0.0/24", "10.3.0.1"  # the first that either side lends


def we_are_the_gateway(terms: Terms, *, push: bool = False, password: str = PASSWORD, **more: Any) -> Terms:
    """strongSwan comes in, from any address, and its user with it."""
    terms = told(
        terms,
        rule={
            "filters": [{"source": terms.ours_ts[0], "destination": POOL}],
            "tunnel": {"remote": "any"},
            "xauth": {"users": "users.txt"},
            "mode_config": {"pools": [POOL], "dns": ["10.1.0.9"], "subnets": [terms.ours_ts[0]], "push": push},
        },
        files={"users.txt": USERS},
        connection={
            "local-2": {"auth": "xauth", "xauth_id": USER},
            "vips": ["0.0.0.0"],
            "pull": "no" if push else "yes",
        },
        child={"local_ts": ["dynamic"]},
        wallet=replace(terms.wallet, users={USER: password}),
    )
    return told(terms, **more)


def we_are_the_client(terms: Terms, *, push: bool = False, password: str = PASSWORD, **more: Any) -> Terms:
    """We come in, and our user with us."""
    terms = told(
        terms,
        rule={
            "filters": [{"source": "me", "destination": terms.theirs_ts[0]}],
            "xauth": {"user": USER, "password": "user"},
            "mode_config": {"accept_push": True} if push else {"request": ["ipv4"]},
        },
        credentials={"user": {"psk": {"file": "user.password"}}},
        files={"user.password": password},
        connection={"remote-2": {"auth": "xauth"}, "pools": ["lent"], "pull": "no" if push else "yes"},
        child={"remote_ts": ["dynamic"]},
        wallet=replace(terms.wallet, users={USER: PASSWORD}, pools={"lent": {"addrs": POOL, "dns": ["10.2.0.9"]}}),
    )
    return told(terms, **more)


def hybrid_gateway(**more: Any) -> Terms:
    """As ``we_are_the_gateway``, and strongSwan has no more than its user's password."""
    terms = we_are_the_gateway(certified(**more))
    xauth = {"users": "users.txt", "hybrid": True}
    local = {"auth": "xauth", "id": terms.theirs_id, "xauth_id": USER}
    connection = {name: value for name, value in terms.connection.items() if name != "local-2"} | {"local": local}
    return replace(told(terms, rule={"xauth": xauth}), connection=connection)


def hybrid_client(**more: Any) -> Terms:
    """As ``we_are_the_client``, and we have no more than our user's password."""
    terms = we_are_the_client(certified(**more))
    xauth = {"user": USER, "password": "user", "hybrid": True}
    trust = {"gw": {"certificate": {"authorities": ["root.pem"]}}}
    connection = {name: value for name, value in terms.connection.items() if name != "remote-2"}
    connection["remote"] = {"auth": "xauth", "id": terms.ours_id}
    return replace(told(terms, rule={"xauth": xauth}, credentials=trust), connection=connection)
