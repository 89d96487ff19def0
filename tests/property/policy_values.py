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
def coming_in(draw: st.DrawFn, rule: Tree, number: int) -> Tree:
    """The same rule for hosts that come in from elsewhere, or of one of these, with a peer that no other rule has."""
    tunnel = {side: end for side, end in rule["tunnel"].items() if side != "remote_port"}
    credentials = draw(
        st.sampled_from([[{"psk": "hq"}], [{"certificate": "gw"}, {"psk": "hq"}], [{"certificate": "gw"}]])
    )
    hybrid = {"psk": "hq"} not in credentials and draw(st.booleans())
    identity = {"local": "gw.example", "remote": f"keyid:peer-{number}"}
    rule = {**rule, "tunnel": tunnel, "identity": identity, "authentication": credentials}
    pool, servers = f"10.77.{number}.0/24", st.lists(st.sampled_from(["10.1.0.53", "fd01::53"]), max_size=4)
    if draw(st.booleans()):
        nets = st.lists(st.sampled_from([pool, "10.1.0.7", "fd01::/64"]), max_size=3)
        config = some(
            {"pools": st.just([pool])}, {"dns": servers, "nbns": servers, "subnets": nets, "push": st.booleans()}
        )
        user = some({"users": st.just("users.txt"), "hybrid": st.just(hybrid)})
    else:
        asked = st.permutations(["ipv4", "ipv6"]) | st.just(["ipv4"])
        config = some({"request": asked}) | st.just({"accept_push": True})
        user = some({"user": st.just("é"), "password": st.just("other"), "hybrid": st.just(hybrid)})
        tunnel["remote"] = f"192.0.2.{number + 100}"
    filters = [*rule.get("filters", ()), {"source": "10.1.0.0/16", "destination": pool}]
    rule = {field: value for field, value in rule.items() if field not in ("filter_list", "start")}
    fields = draw(
        some({"xauth": user}, {"mode_config": config}) if hybrid else some({}, {"xauth": user, "mode_config": config})
    )
    return rule | {"filters": filters} | fields


def by_ikev1(draw: st.DrawFn, tree: Tree) -> Tree:
    """The same file with a policy that allows IKEv1, alone or beside IKEv2."""
    policy, own = tree["policies"]["p"], tree["filter_actions"]["own"]
    versions = draw(st.permutations(["ikev1", "ikev2"]) | st.just(["ikev1"]))
    exchange = {**policy.get("key_exchange", {}), "versions": versions}
    known = {"encryption": "aes128", "integrity": "sha256"}
    for holder, field, one in (
        (exchange, "proposals", {**known, "groups": "x25519"}),
        (own, "security_methods", {"esp": known}),
    ):
        if holder.get(field):
            holder[field] = [*holder[field][1:], one]
    rules = []
    for number, plain in enumerate(policy["rules"]):
        comes = versions == ["ikev1"] and "tunnel" in plain and draw(st.booleans())
        rule = draw(coming_in(plain, number)) if comes else plain
        options: Tree = {}
        kinds = {kind for method in rule.get("authentication", ()) for kind in method}
        for kind, what in (("psk", "offline_guessing"), ("certificate", "names_in_clear")):
            if kind in kinds and draw(st.booleans()):
                options[f"i_accept_{what}_in_aggressive_mode"] = draw(st.booleans())
        rules.append(rule | options)
    return {**tree, "policies": {"p": {**policy, "rules": rules, "key_exchange": exchange}}}


@st.composite
def policy_files(draw: st.DrawFn, *, later: bool = False) -> Tree:
    """A good file with one assigned policy; ``later`` lets it ask for what isn't supported yet."""
    tree = draw(plain_files(later=later))
    return by_ikev1(draw, tree) if draw(st.integers(0, 3)) == 0 else tree


@st.composite
def plain_files(draw: st.DrawFn, *, later: bool) -> Tree:
    """With IKEv2 alone."""
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
        "credentials": {
            "hq": {"psk": {"file": "hq.psk"}},
            "other": {"psk": {"command": ["/bin/pass", "show"]}},
            "gw": {"certificate": {"chain": "c.pem", "key": "k.pem", "authorities": ["a.pem"]}},
        },
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
