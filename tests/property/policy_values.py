"""Policy files as trees of plain values: any that ``ipsecd check`` calls good, of every field there is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from ipsecd import limits
from ipsecd.policy import proposals, traffic

Tree = dict[str, Any]
Values = st.SearchStrategy[Any]

FOUR = ["10.1.0.0/16", "10.2.0.7", "10.3.0.1-10.3.0.9", "0.0.0.0/0", "192.0.2.0/255.255.255.0"]
SIX = ["fd01::/48", "2001:db8::7", "fd02::1-fd02::ffff", "::/0"]
EITHER = ["any", "one.example", "both.example", "six.example", "none.example"]
IDENTITIES = [
    "gw.example",
    "192.0.2.7",
    "2001:db8::7",
    "a@b.example",
    "keyid:0x0a0b",
    "C=CH, O=Example, CN=gw",
    "fqdn:gw",
]
ENDS = ["192.0.2.1", "192.0.2.2", "one.example", "both.example", "none.example", "any"]


def some(required: Mapping[str, Values], optional: Mapping[str, Values] | None = None) -> st.SearchStrategy[Tree]:
    """A mapping with all of the required fields and any of the optional ones."""
    return st.fixed_dictionaries(dict(required), optional=dict(optional or {}))


def from_table(table: Mapping[str, Any], *, later: bool, most: int = 6) -> Values:
    """A keyword, in any case, or a list of them; ``later`` adds those that aren't supported yet."""
    words = st.sampled_from([word for word in table if later or word not in proposals.NOT_YET])
    return words | words.map(str.upper) | st.lists(words, min_size=1, max_size=most, unique=True)


def ciphers(table: Mapping[str, Any] = proposals.ENCRYPTION, *, later: bool) -> st.SearchStrategy[Tree]:
    """``encryption`` with ``integrity`` where it has to be."""
    whole = {word: value for word, value in table.items() if proposals.is_aead(word)}
    bare = {word: value for word, value in table.items() if word not in whole}
    return some({"encryption": from_table(whole, later=later, most=30)}) | some(
        {"encryption": from_table(bare, later=later), "integrity": from_table(proposals.MACS, later=later)}
    )


def lifetimes() -> st.SearchStrategy[Tree]:
    return some(
        {},
        {
            "seconds": st.integers(limits.MIN_LIFETIME, limits.MAX_LIFETIME),
            "kilobytes": st.integers(limits.MIN_KILOBYTES, limits.MAX_KILOBYTES),
            "packets": st.integers(limits.MIN_PACKETS, limits.MAX_LIFETIME_PACKETS),
        },
    )


def ike_proposals(*, later: bool) -> st.SearchStrategy[Tree]:
    more = some(
        {"groups": from_table(proposals.GROUPS, later=later, most=19)}, {"prf": from_table(proposals.PRF, later=later)}
    )
    return st.tuples(ciphers(proposals.IKE_ENCRYPTION, later=later), more).map(lambda two: {**two[0], **two[1]})


def key_exchanges(*, later: bool) -> st.SearchStrategy[Tree]:
    optional: dict[str, Values] = {
        "proposals": st.lists(ike_proposals(later=later), max_size=limits.MAX_PROPOSALS),
        "lifetime": some({}, {"seconds": st.integers(limits.MIN_LIFETIME, limits.MAX_LIFETIME)}),
        "dpd": st.integers(1, 86_400),
        "fragmentation": st.booleans(),
        "ports": some({"ike": st.integers(1, 1000)}, {"nat_traversal": st.integers(1001, 65_535)}),
        "cookie_threshold": st.integers(0, limits.MAX_HALF_OPEN),
    }
    if later:
        optional["versions"] = st.permutations(["ikev1", "ikev2"])
        optional["sessions"] = st.integers(0, limits.MAX_CHILDREN_PER_IKE_SA)
        optional["master_key_pfs"] = st.booleans()
    return some({}, optional)


def filter_actions(*, later: bool) -> st.SearchStrategy[Tree]:
    method = some({"esp": ciphers(later=later)})
    optional: dict[str, Values] = {
        "security_methods": st.lists(method, max_size=limits.MAX_PROPOSALS),
        "lifetime": lifetimes(),
        "pfs": st.booleans() | from_table(proposals.GROUPS, later=later),
        "description": st.just("two\nlines"),
    }
    if later:
        signed = some(
            {"ah": some({"integrity": from_table(proposals.INTEGRITY, later=True)})}, {"lifetime": lifetimes()}
        )
        optional["security_methods"] = st.lists(method | signed, max_size=4)
        optional["inbound_passthrough"] = st.booleans()
    return some({"action": st.just("negotiate")}, optional)


def hiding_actions(*, later: bool) -> st.SearchStrategy[Tree]:
    """Of which one method encrypts, or that have the default ones."""
    padding = st.just("mtu") | st.integers(limits.MIN_PADDING, 65_535)
    numbers = st.integers(1, limits.MAX_DUMMIES)
    tfc = some({"padding": padding}, {"dummies": numbers}) | some({"dummies": numbers})
    encrypting = st.just({"esp": {"encryption": ["NULL", "aes128"], "integrity": "sha256"}})
    methods = st.lists(some({"esp": ciphers(later=later)}), max_size=3).flatmap(
        lambda drawn: encrypting.map(lambda one: [*drawn, one])
    )
    return some({"action": st.just("negotiate"), "tfc": tfc}, {"security_methods": methods})


def falling_actions() -> st.SearchStrategy[Tree]:
    """Of rules without a tunnel."""
    return some(
        {"action": st.just("negotiate")},
        {"fallback_to_clear": st.booleans() | some({}, {"after": st.integers(1, 60)})},
    )


def traffic_kinds() -> st.SearchStrategy[Tree]:
    """Protocol and what goes with it, of IPv4 or of either family."""
    span = st.tuples(st.integers(1, 65_535), st.integers(1, 65_535)).map(lambda two: f"{min(two)}-{max(two)}")
    port = st.just("any") | st.integers(1, 65_535) | span
    named = some(
        {"protocol": st.sampled_from(["tcp", "UDP", "sctp", 6, "udplite"])},
        {"source_port": port, "destination_port": port},
    )
    icmp = some({"protocol": st.just("icmp"), "icmp_type": st.sampled_from([*traffic.ICMP_TYPES, 0, 255])},
                {"icmp_code": st.integers(0, 255)})  # fmt: skip
    return some({}) | some({"protocol": st.sampled_from(["any", "gre", 0, 47, 255, "icmp"])}) | named | icmp


@st.composite
def filters(draw: st.DrawFn, *, negotiated: bool, later: bool) -> Tree:
    six = draw(st.integers(0, 4)) == 0
    kind = draw(traffic_kinds())
    if six and "icmp" in kind.values():
        kind = {"protocol": "icmpv6", "icmp_type": "echo-request"}
    side = st.sampled_from([*(SIX if six else FOUR), *EITHER])
    sides = [draw(side | st.just("me")), draw(side)]
    tree = {"source": sides[0], "destination": sides[1], **kind}
    if (later or not negotiated) and draw(st.booleans()):
        tree["mirrored"] = draw(st.booleans())
    return tree


@st.composite
def rules(draw: st.DrawFn, name: str, *, later: bool) -> Tree:
    negotiated = draw(st.integers(0, 2)) > 0
    rule: Tree = {"name": name}
    if draw(st.integers(0, 4)) == 0:
        rule["filter_list"] = draw(st.sampled_from(["all-ip", "all-icmp", "shared"]))
    else:
        rule["filters"] = draw(st.lists(filters(negotiated=negotiated, later=later), min_size=1, max_size=4))
    if draw(st.integers(0, 9)) == 0:
        rule["enabled"] = draw(st.booleans())
    if not negotiated:
        return rule | {"action": draw(st.sampled_from(["permit", "block", "quiet"]))}
    falling = ["request-security", "falling"] if later else []
    rule["action"] = draw(st.sampled_from(["require-security", "own", "own", *falling]))
    rule["authentication"] = [{"psk": "hq"}, {"psk": "other"}][: draw(st.integers(1, 2))]
    encapsulation = st.sampled_from(["auto", "udp", *(["native"] if later else [])])
    if rule["action"] in falling:  # in a tunnel only its far end may be talked to in clear
        return rule | draw(some({}, {"encapsulation": encapsulation}))
    local, remote = draw(st.permutations(ENDS).map(lambda ends: ends[:2]))
    ends = {"local": local, "remote": remote}
    if draw(st.booleans()) and remote != "any":
        ends["remote_port"] = draw(st.integers(1, 65_535))
    rule["tunnel"] = ends
    identity = dict(zip(("local", "remote"), draw(st.permutations(IDENTITIES)), strict=False))
    rule["identity"] = {side: text for side, text in identity.items() if ends[side] == "any" or draw(st.booleans())}
    return rule | draw(
        some(
            {},
            {
                "encapsulation": encapsulation,
                "children": st.sampled_from(["per-filter", "merged"]),
                "start": st.sampled_from(["on-traffic", *(["always"] if remote != "any" else [])]),
            },
        )
    )


@st.composite
def policy_files(draw: st.DrawFn, *, later: bool = False) -> Tree:
    """A good file with one assigned policy; ``later`` lets it ask for what isn't supported yet."""
    names = [f"r{number}" for number in range(draw(st.integers(0, 4)))]
    policy = draw(
        some(
            {"rules": st.tuples(*(rules(name, later=later) for name in names)).map(list)},
            {
                "key_exchange": key_exchanges(later=later),
                "default_action": st.sampled_from(["permit", "block"]),
                "keylog": st.booleans(),
                "description": st.just("é"),
            },
        )
    )
    shared = st.lists(filters(negotiated=True, later=later), min_size=1, max_size=3)
    return {
        "assigned": "p",
        "credentials": {"hq": {"psk": {"file": "hq.psk"}}, "other": {"psk": {"command": ["/bin/pass", "show"]}}},
        "filter_lists": {"shared": draw(shared)},
        "filter_actions": {
            "own": draw(filter_actions(later=later) | hiding_actions(later=later)),
            "quiet": {"action": "block"},
            **({"falling": draw(falling_actions())} if later else {}),
        },
        "policies": {"p": policy},
        "settings": draw(
            some(
                {},
                {
                    "esn": st.booleans(),
                    "mtu": st.integers(1280, 65_535),
                    "table": st.integers(1, 252),
                    "replay_window": st.integers(limits.REPLAY_WINDOW_MIN, limits.REPLAY_WINDOW_MAX),
                },
            )
        ),
    }
