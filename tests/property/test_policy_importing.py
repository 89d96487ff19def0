"""Whatever stands in a script of Windows', what comes of it is a good policy file or mistakes, and never a key."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ipsecd.errors import ConfigError
from ipsecd.policy.check import check
from ipsecd.policy.importing.formats import READERS
from ipsecd.policy.writing import to_yaml

KEY = "k3y!nobody.may.see"  # no name of anything
ADDRESSES = ["me", "any", "10.1.0.0/16", "10.2.0.7", "10.*.*.*", "fd01::/64", "one.example", "www", "dns", "0.0.0.0"]
METHODS = ["ESP[3DES,SHA1]", "ESP[none,MD5]", "ESP[DES,none]:1k/1s", "AH[SHA]+ESP[3DES,None]:9999999999k", "AH[MD5]"]
NAMES = [
    "a",
    "A",
    "permit",
    "All IP Traffic",
    "10-net",
    "é",
    "x" * 70,
    "require security",
    "Request Security (Optional)",
]


def words(*options: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(st.one_of(*options), max_size=9).map(" ".join)


def tagged(tag: str, values: list[str]) -> st.SearchStrategy[str]:
    return st.sampled_from(values).map(lambda value: f'{tag}="{value}"')


names = st.sampled_from(NAMES)
NETSH = [
    *(tagged(tag, NAMES) for tag in ("name", "policy", "filterlist", "filteraction", "newname", "description")),
    *(tagged(tag, ["yes", "n", "maybe"]) for tag in ("assign", "activatedefaultrule", "mmpfs", "soft", "inpass")),
    *(tagged(tag, ["yes", "no"]) for tag in ("mirrored", "qmpfs", "kerberos", "activate")),
    *(tagged(tag, ADDRESSES) for tag in ("srcaddr", "dstaddr", "tunnel")),
    tagged("srcmask", ["16", "255.255.0.0", "0.0.0.0", "255.0.255.0", "32"]),
    tagged("protocol", ["TCP", "udp", "ICMP", "58", "raw", "any", "300"]),
    tagged("dstport", ["0", "445", "70000"]),
    tagged("action", ["permit", "block", "negotiate"]),
    tagged("qmsecmethods", [" ".join(METHODS), *METHODS, "nonsense"]),
    tagged("mmsecmethods", ["3DES-SHA1-2", "des-md5-1 3des-sha-3", "3DES-SHA1"]),
    tagged("psk", [KEY]),
    tagged("rootca", ["CN=Root, O=X certmap:yes", "no name", f"CN={'r' * 80}"]),
    tagged("conntype", ["lan", "dialup", "all"]),
    st.just(f"psk={KEY} {KEY}"),
    st.just(f'kerberos={KEY} conntype={KEY} tunnel={KEY} activate="{KEY}'),
]
COMMANDS = [
    f"{verb} {noun}"
    for verb in ("add", "set", "delete")
    for noun in ("policy", "filterlist", "filter", "filteraction", "rule", "defaultrule")
]
IPSECPOL = [
    st.sampled_from(["-soft", "-x", "-y", "-o", "-lan", "-dialup", "-1p", "-w REG", "-w", "-1e 20", "-1k 5q/1s"]),
    st.tuples(st.sampled_from(ADDRESSES[2:]), st.sampled_from("=+"), st.sampled_from(["*", "0:80", "fd02::"])).map(
        lambda parts: f"-f {''.join(parts)}:5:TCP"
    ),
    st.sampled_from(["-f 0+*", "-f (0+*:53:UDP)", "-f [0=*]", "-f default", "-f 0+0", "-f 10.1.*.*=10.2.*.*"]),
    st.sampled_from(["-f 10.2.0.0/255.255.0.0=10.1.0.0/255.255.0.0", "-t 192.0.2.1", "-t 198.51.100.1", "-t any"]),
    st.sampled_from(METHODS).map(lambda method: f"-n {method}"),
    st.sampled_from(["-n PASS", "-n BLOCK", "-n INPASS", "-1s 3DES-SHA-2", "-1s nonsense"]),
    names.map(lambda name: f'-p "{name}:30"'),
    names.map(lambda name: f'-r "{name}"'),
    st.sampled_from([f'-a PRESHARE:"{KEY}"', f"-a P:{KEY} KERBEROS", f"-a {KEY}", f"-t {KEY} -a K", "-a CERT:CN=x"]),
]
netsh_lines = st.lists(st.tuples(st.sampled_from(COMMANDS), words(*NETSH)).map(" ".join), max_size=8)
ipsecpol_lines = st.lists(words(*IPSECPOL).map(lambda line: f"ipseccmd {line}"), max_size=6)


def outcome(reader: str, text: str) -> str:
    """All that is said of an import: the file with what check says of it, or the mistakes."""
    try:
        imported = READERS[reader](text, "f")
    except ConfigError as error:
        return str(error)
    written = to_yaml(imported.tree)
    verdict = check(written, "y")
    assert verdict.mistakes == (), written
    return "\n".join([written, *map(str, imported.remarks), *verdict.lines()])


YES = st.sampled_from(["yes", "no"])
SIDES = st.sampled_from(["me", "any", "10.1.0.0/16", "10.2.0.7", "10.3.0.1-10.3.0.9", "fd01::/64", "www", "gateway"])
ENDS = st.sampled_from(["192.0.2.1", "198.51.100.1", "2001:db8::1", "gw.example"])
good = st.lists(st.sampled_from(METHODS[:4]), min_size=1, max_size=3).map(" ".join)


def line(command: str, required: dict[str, Any], **optional: Any) -> st.SearchStrategy[str]:
    """A command with all of the first tags and any of the others."""
    tags = st.fixed_dictionaries(required, optional=optional)
    return tags.map(lambda found: " ".join([command, *(f'{tag}="{value}"' for tag, value in found.items())]))


@st.composite
def scripts(draw: st.DrawFn) -> str:
    """netsh commands that Windows would take: one policy, two lists, two actions and some rules."""
    one = st.just
    lines = [
        draw(line("add policy", {"name": one("P")}, assign=YES, activatedefaultrule=YES, mmpfs=YES, qmpermm=one(9999),
                  mmlifetime=st.integers(1, 10_080), mmsecmethods=one("3DES-SHA1-2 des-md5-1"))),
    ]  # fmt: skip
    ports = {"srcport": st.integers(0, 65_535), "dstport": st.integers(0, 65_535)}
    for name in ("L", "M"):
        each = line("add filter", {"filterlist": one(name), "srcaddr": SIDES, "dstaddr": SIDES}, mirrored=YES,
                    protocol=st.sampled_from(["tcp", "icmp", "58", "any", "raw"]), **ports)  # fmt: skip
        lines += draw(st.lists(each, min_size=1, max_size=3))
    for name in ("X", "Y"):
        lines.append(draw(line("add filteraction", {"name": one(name)}, qmpfs=YES, soft=YES, inpass=YES,
                               action=st.sampled_from(["permit", "negotiate"]), qmsecmethods=good)))  # fmt: skip
    for number in range(draw(st.integers(0, 5))):
        named = {"name": one(f"r {number}"), "policy": one("p"), "filterlist": st.sampled_from("lM")}
        action = {"filteraction": st.sampled_from(["X", "y", "Permit", "Require Security"])}
        lines.append(draw(line("add rule", named | action, tunnel=ENDS, psk=one(KEY), kerberos=YES, activate=YES,
                               conntype=st.sampled_from(["lan", "dialup"]))))  # fmt: skip
    return "\n".join(lines)


@given(scripts())
def test_of_what_windows_takes_there_are_no_mistakes(text: str) -> None:
    assert READERS["netsh"](text, "f").tree
    assert KEY not in outcome("netsh", text)


@given(netsh_lines)
def test_of_netsh(lines: list[str]) -> None:
    assert KEY not in outcome("netsh", "\n".join(lines))


@given(ipsecpol_lines)
def test_of_ipsecpol(lines: list[str]) -> None:
    assert KEY not in outcome("ipsecpol", "\n".join(lines))


@given(st.text(), st.sampled_from(["ipsecpol", "netsh", "windows"]))
def test_of_any_text(text: str, reader: str) -> None:
    outcome(reader, text)


values: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(-1, 2**33), st.sampled_from(["x", "ESP", "3DES", "SHA1", "negotiate", "me"])
)
FIELDS = [
    *("name", "object", "description", "main_mode", "rules", "methods", "encryption", "hash", "integrity", "special"),
    *("oakley_group", "filter_action", "filter_list", "auth_methods", "type", "action", "security_methods", "filters"),
    *("algorithms", "protocol", "source", "destination", "is_tunnel", "tunnel_endpoint", "connection_type", "psk"),
    *("lifetime_seconds", "source_port"),
]
objects: st.SearchStrategy[Any] = st.recursive(
    values, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6)
)


@given(st.lists(objects, max_size=3))
def test_of_any_objects(policies: list[Any]) -> None:
    outcome("windows", json.dumps({"policies": policies}))
