"""Scripts of netsh ipsec static."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.policy.importing.imports import imported, mistakes, remarks, written

BRANCH = r"""
    @echo off
    # the branch, as seen from its gateway
    netsh ipsec static add policy name="Branch Policy" description="Branch, office" mmpfs=no qmpermm=0 mmlifetime=60 activatedefaultrule=no assign=yes mmsecmethods="3DES-SHA1-2 3DES-MD5-3"
    netsh ipsec static add filter filterlist=out srcaddr=10.1.0.0 srcmask=255.255.0.0 dsta=10.2.0.0 dstm=16 proto=ANY mir=no
    netsh ipsec static add filter filterlist=back dsta=10.1.0.0 dstmask=16 srca=10.2.0.0 srcmask=16 mirrored=no
    netsh ipsec static add filteraction name="Secure It" qmpfs=yes soft=no inpass=no action=negotiate qmsec="ESP[3DES,SHA1]:100000k/900s AH[MD5]+ESP[3DES,None]:100000k/900s"
    netsh ipsec static add rule name=hq policy="Branch Policy" filterlist=out filteraction="Secure It" tunnel=198.51.100.1 psk="a secret key"
    netsh ipsec static add rule name=hq-back policy="branch policy" filterlist=back filteraction="secure it" tunnel=192.0.2.1 psk="a secret key"
    netsh ipsec static add rule name=ping policy="Branch Policy" filterlist="All ICMP Traffic" filteraction=Permit conntype=lan desc="let them"
"""  # noqa: E501 - as it stands in a batch file


def rules(text: str) -> Any:
    """The rules of the policy p that a script makes."""
    tree: Any = imported("netsh", "add policy p activatedefaultrule=no\n" + text).tree
    return tree["policies"]["p"]["rules"]


def made_of(filters: str) -> list[str]:
    """The filters that commands make of the list l, as a policy file has them."""
    text = f"add policy p act=no\n{filters}\nadd rule r p l Permit"
    return [line.strip(" -") for line in written("netsh", text).splitlines() if line.startswith("    - {")]


def test_two_rules_of_a_tunnel_become_one_and_all_else_keeps_its_meaning() -> None:
    assert written("netsh", BRANCH) == (
        """\
assigned: branch-policy

credentials:
  hq: {psk: {file: secrets/hq.psk}}

filter_lists:
  all-icmp-traffic:
    - {source: me, destination: any, protocol: icmp}

filter_actions:
  secure-it:
    action: negotiate
    security_methods:
      - {esp: {encryption: 3des, integrity: sha1}}
      - {esp: {encryption: 3des, integrity: md5}, ah: {integrity: md5}}
    lifetime: {seconds: 900, kilobytes: 100000}
    pfs: true

policies:
  branch-policy:
    description: Branch, office
    rules:
      - name: hq
        filters:
          - {source: 10.1.0.0/16, destination: 10.2.0.0/16}
        action: secure-it
        tunnel: {local: 192.0.2.1, remote: 198.51.100.1}
        authentication: [{psk: hq}]
      - name: ping
        description: let them
        filter_list: all-icmp-traffic
        action: permit
        connections: lan
    key_exchange:
      versions: [ikev2, ikev1]
      proposals:
        - {encryption: 3des, integrity: sha1, prf: prfsha1, groups: modp1024}
        - {encryption: 3des, integrity: md5, prf: prfmd5, groups: modp2048}
      lifetime: {seconds: 3600}
"""
    )


def test_what_is_another_than_it_was_is_remarked_at_its_line() -> None:
    assert remarks("netsh", BRANCH) == [
        "4:36: 'Branch Policy' is called branch-policy here",
        (
            "4:36: Windows of that time speaks IKEv1 alone: it is allowed, behind IKEv2 "
            "(take ikev1 away where all peers speak IKEv2)"
        ),
        "4:36: offers what is obsolete: 3des, modp1024, md5 (kept as legacy; remove it where no peer needs it)",
        "7:42: 'Secure It' is called secure-it here",
        "7:42: offers what is obsolete: 3des, md5 (kept as legacy; remove it where no peer needs it)",
        "7:133: 3des under AH has an integrity of its own here, that of AH (RFC 8221 section 4)",
        (
            "8:34: taken for the way out, to the peer 198.51.100.1, as it stands first (if 192.0.2.1 is the peer, "
            "exchange source and destination, and the tunnel's ends)"
        ),
        (
            "8:124: the pre-shared key isn't carried over: write it into secrets/hq.psk, beside the policy file "
            "(nothing but the key, readable by its owner alone)"
        ),
        "9:34: joined with the rule of line 8: here one rule is for both directions",
        "10:73: 'All ICMP Traffic' is called all-icmp-traffic here",
    ]


def test_the_side_of_me_is_the_way_out_wherever_it_stands() -> None:
    """And then nothing has to be guessed."""
    text = """
        add policy p activatedefaultrule=no
        add filter filterlist=in srcaddr=10.2.0.0 srcmask=16 dstaddr=me mirrored=no
        add filter filterlist=out srcaddr=me dstaddr=10.2.0.0 dstmask=16 mirrored=no
        add filteraction name=a qmsecmethods="ESP[DES,SHA1]"
        add rule name=in policy=p filterlist=in filteraction=a tunnel=192.0.2.1 kerberos=yes
        add rule name=out policy=p filterlist=out filteraction=a tunnel=198.51.100.1 kerberos=yes
    """
    tree: Any = imported("netsh", text).tree
    assert tree["policies"]["p"]["rules"] == [
        {
            "name": "out",
            "action": "a",
            "filters": [{"source": "me", "destination": "10.2.0.0/16"}],
            "tunnel": {"local": "192.0.2.1", "remote": "198.51.100.1"},
            "authentication": [{"kerberos": "machine"}],
        }
    ]
    assert "filter_lists" not in tree
    assert [line for line in remarks("netsh", text) if "way out" in line] == []


@pytest.mark.parametrize(
    ("command", "made"),
    [
        ("add filter l me dns protocol=udp dstport=53",
         "{source: me, destination: dns, protocol: udp, destination_port: 53}"),
        ("add filter l srcaddr=me dstaddr=gateway", "{source: me, destination: default-gateway}"),
        ("add filter l me dhcp", "{source: me, destination: dhcp}"),
        ("add filter l wins any", "{source: wins, destination: any}"),
        ("add filter l 0.0.0.0 0.0.0.0 srcmask=255.255.255.255 dstmask=0.0.0.0", "{source: me, destination: any}"),
        ("add filter l 10.1.0.0/16 10.3.0.1-10.3.0.9", "{source: 10.1.0.0/16, destination: 10.3.0.1-10.3.0.9}"),
        ("add filter l 10.1.2.3 www.example srcmask=255.255.0.0", "{source: 10.1.0.0/16, destination: www.example}"),
        ("add filter l me www protocol=47", "{source: me, destination: www., protocol: gre}"),
        ("add filter l me any protocol=RAW mirrored=no",
         "{source: me, destination: any, protocol: 255, mirrored: false}"),
        ("add filter l fd01::1 fd02:: dstmask=64 description=six",
         '{source: "fd01::1", destination: "fd02::/64", description: six}'),
        ("add filter l me any protocol=tcp srcport=0 dstport=445",
         "{source: me, destination: any, protocol: tcp, destination_port: 445}"),
    ],
)  # fmt: skip
def test_filters_take_all_their_forms(command: str, made: str) -> None:
    assert made_of(command) == [made]


def test_a_filter_that_we_cannot_say_is_left_out_with_the_reason() -> None:
    text = """
        add policy p activatedefaultrule=no
        add filter l me me
        add filter l 10.1.0.1 fd01::1
        add filter l me any protocol=icmp dstport=8
        add filter m me me
        add filter unused me any
        add rule one p l Permit
        add rule two p m Permit
    """
    assert remarks("netsh", text) == [
        "3:1: this filter is left out: from me to me is traffic that never leaves",
        "4:1: this filter is left out: the source is IPv4, the destination IPv6: no packet is both",
        "5:1: protocol 1 has no ports: 8 is left out",
        "6:1: this filter is left out: from me to me is traffic that never leaves",
        "7:12: no rule uses the filter list 'unused': it is left out",
        "9:10: this rule covers nothing that could be carried over: it is left out",
    ]
    assert "- {source: me, destination: any, protocol: icmp}" in written("netsh", text)


def test_commands_change_and_delete_what_others_have_made() -> None:
    text = """
        add filterlist old
        add filter old me 10.9.0.1
        add filter old me 10.9.0.2
        delete filter old me 10.9.0.2
        set filterlist name=old newname=new
        add filteraction a action=permit
        add filteraction b action=permit
        delete filteraction b
        add rule r p NEW a activate=no
        add rule s p new a
        delete rule s policy=p
        set filteraction name=a newname=stop action=block
        set rule name=r policy=p newname=t connt=dialup
    """
    assert rules(text) == [
        {"name": "t", "enabled": False, "filter_list": "new", "action": "block", "connections": "remote-access"}
    ]


def test_the_default_response_is_active_unless_a_command_says_otherwise() -> None:
    response: Any = imported("netsh", "add policy p").tree["policies"]
    assert response["p"]["default_response"] == {"authentication": [{"kerberos": "machine"}]}
    text = 'add policy p\nset defaultrule p qmsecmethods="AH[SHA1]:300s" psk=x rootca="CN=Root, O=X certmap:no"'
    changed: Any = imported("netsh", text.replace(":300s", ":0k/300s")).tree["policies"]
    assert changed["p"]["default_response"] == {
        "security_methods": [{"ah": {"integrity": "sha1"}, "lifetime": {"seconds": 300}}],
        "authentication": [{"psk": "p"}, {"certificate": "root"}],
    }
    silent: Any = imported("netsh", "add policy p\nset defaultrule p activate=no").tree["policies"]
    assert silent == {"p": {"rules": []}}


def test_predefined_actions_become_the_built_in_ones() -> None:
    text = (
        'add rule r p "All IP Traffic" "Require Security"\nadd rule s p "all ip traffic" "Request Security (Optional)"'
    )
    assert [rule["action"] for rule in rules(text)] == ["require-security", "request-security"]
    said = remarks("netsh", "add policy p activatedefaultrule=no\n" + text)
    stricter = "Windows' Require Security lets clear packets in and answers with protected ones; here none come in"
    assert f"2:31: {stricter}" in said


def test_soft_negotiation_and_inbound_passthrough_are_said_in_our_words() -> None:
    text = "add filter l me any\nadd filteraction a inpass=yes soft=yes qmsec=ESP[DES,MD5]\nadd rule r p l a"
    tree: Any = imported("netsh", "add policy p\n" + text).tree
    assert tree["filter_actions"] == {
        "a": {
            "action": "negotiate",
            "security_methods": [{"esp": {"encryption": "des", "integrity": "md5"}}],
            "inbound_passthrough": True,
            "fallback_to_clear": True,
        }
    }


def test_in_a_tunnel_nothing_falls_back_to_clear() -> None:
    text = """\
        add policy p
        add filter net 10.1.0.0 10.2.0.0 srcmask=16 dstmask=16 mirrored=no
        add filter all me any
        add filteraction a soft=yes qmsec=ESP[DES,MD5]
        add filteraction b soft=yes qmsec=ESP[3DES,MD5]
        add rule r p net a tunnel=192.0.2.2
        add rule s p all a
        add rule t p net b tunnel=192.0.2.3
    """
    tree: Any = imported("netsh", text).tree
    assert [rule["action"] for rule in tree["policies"]["p"]["rules"]] == ["a", "a-2", "b"]
    assert {name: action.get("fallback_to_clear") for name, action in tree["filter_actions"].items()} == {
        "a": None,
        "a-2": True,
        "b": None,
    }
    left_out = "talks in clear where the tunnel's other end doesn't answer: that is for hosts alone, and left out"
    said = [remark for remark in remarks("netsh", text) if left_out in remark or "uses the filter action" in remark]
    assert said == [f"6:10: {left_out}", f"8:10: {left_out}"]


def test_the_exemptions_of_the_machine_become_those_of_each_policy() -> None:
    text = "netsh ipsec dynamic set config property=ipsecexempt value=1\nadd policy p activatedefaultrule=no"
    assert imported("netsh", text).tree["policies"] == {"p": {"rules": [], "exemptions": {"level": 1}}}


PERSISTENT = """
    netsh ipsec static set store location=persistent
    netsh ipsec static add policy name=Floor activatedefaultrule=no mmlifetime=60
    netsh ipsec static add filterlist name=web
    netsh ipsec static add filter filterlist=web srcaddr=me dstaddr=10.9.0.1
    netsh ipsec static add rule name=ping policy=Floor filterlist="All ICMP Traffic" filteraction=Permit
    netsh ipsec static add rule name=web policy=Floor filterlist=web filteraction=Permit
    netsh ipsec static set policy name=Floor assign=yes
    netsh ipsec static add policy name=Spare activatedefaultrule=no
    netsh ipsec static set store location=local
    netsh ipsec static add policy name=Floor activatedefaultrule=no assign=yes
    netsh ipsec static add filter filterlist=web srcaddr=me dstaddr=10.9.0.2
    netsh ipsec static add rule name=ping policy=Floor filterlist="All ICMP Traffic" filteraction=Permit
    netsh ipsec static add rule name=web policy=Floor filterlist=web filteraction=Permit
"""


def test_what_is_assigned_in_the_persistent_store_becomes_persistent_rules() -> None:
    """Each store has its own names; what is the same in both is there once."""
    assert written("netsh", PERSISTENT) == (
        """\
assigned: floor

filter_lists:
  all-icmp-traffic:
    - {source: me, destination: any, protocol: icmp}
  web:
    - {source: me, destination: 10.9.0.2}
  web-2:
    - {source: me, destination: 10.9.0.1}

policies:
  floor:
    rules:
      - name: ping
        filter_list: all-icmp-traffic
        action: permit
      - name: web
        filter_list: web
        action: permit
  spare:
    rules: []

persistent:
  rules:
    - name: ping
      filter_list: all-icmp-traffic
      action: permit
    - name: web
      filter_list: web-2
      action: permit
"""
    )


def test_what_persistent_rules_cannot_keep_of_their_policy_is_remarked() -> None:
    text = PERSISTENT.replace("add policy name=Floor activatedefaultrule=no mm", "add policy name=Floor mm")
    spare = "isn't assigned in the persistent store, so it holds nowhere: it is a policy like others here"
    exchange = "persistent rules have the key exchange of the policy that is assigned: their own is left out"
    response = "the default response belongs to the policy that is assigned: that of the persistent one is left out"
    assert [line for line in remarks("netsh", text) if line.startswith(("3:", "9:"))] == [
        "3:36: its rules are under persistent, and hold whichever policy is assigned",
        f"3:36: {exchange}",
        f"3:36: {response}",
        f"9:36: {spare} (move its rules under persistent to have them hold always)",
    ]


@pytest.mark.parametrize(("value", "tree"), [("Stateful", "stateful"), ("block", "block"), ("permit", "permit")])
def test_the_boot_mode_becomes_that_of_the_file(value: str, tree: str) -> None:
    text = f"netsh ipsec dynamic set config bootmode {value}"
    assert imported("netsh", text).tree == {"policies": {}, "boot": tree}
    assert remarks("netsh", text) == []


def test_a_store_and_a_boot_mode_that_there_are_not_are_mistakes() -> None:
    text = "set store\nset store location=here\ndynamic set config property=bootmode value=open"
    assert mistakes("netsh", text) == [
        "1:1: location is missing (location=local or location=persistent)",
        "2:20: this isn't one of the words that belong here (local, persistent, domain)",
        "3:44: this isn't one of the words that belong here (stateful, block, permit)",
    ]


def test_what_has_no_meaning_here_is_remarked() -> None:
    text = """
        netsh ipsec static set store location=domain domain=example.com
        netsh ipsec static show all
        netsh ipsec static importpolicy file=c:\\p.ipsec
        netsh ipsec dynamic set config property=strongcrlcheck value=2
        add policy p activatedefaultrule=no pollinginterval=600
    """
    assert remarks("netsh", text) == [
        "2:20: what follows is of a domain's store: here it comes as policies of this file",
        "3:20: this command shows what there is: it is left out",
        "4:20: this command reads or writes a file of Windows' own: it is left out",
        "5:13: this command changes what holds at the moment, and no stored policy: it is left out",
        "6:53: ipsecd reads a policy when it is told to: ipsecctl reload",
    ]


def test_every_mistake_is_named_at_once_with_its_place_and_a_hint() -> None:
    text = """\
        add policy p activatedefaultrule=perhaps mmlifetime=99999 mmsec=3DES-SHA1
        add policy P
        add filter l 10.1.0.0 any srcmask=255.0.255.0
        add filter filterlist=l srcaddr=me
        add filteraction a qmsec="ESP[DES,SHA9]:1k/1s" qmsec=x
        add rule r q l a
        add rule r p alll a psk="my key"
        add rule name=s policy=p filterlist=l pks="my key" connt="my key" tunnel="my key
        set rule name=x policy=p
        delete filteraction a
        add nonsense
    """
    tags = "name, policy, filterlist, filteraction, tunnel, conntype, activate, description, kerberos, psk, rootca"
    commands = [f"{verb} {noun}" for noun in ("policy", "filterlist") for verb in ("add", "set", "delete")]
    commands += ["add filter", "delete filter"]
    commands += [f"{verb} {noun}" for noun in ("filteraction", "rule") for verb in ("add", "set", "delete")]
    assert mistakes("netsh", text) == [
        "1:34: this isn't one of the words that belong here (yes, no)",
        "1:53: this isn't a number that belongs here (0 to 10080)",
        "1:65: this isn't a key exchange method (such as 3DES-SHA1-2)",
        "2:12: there is a policy of that name already (set policy changes it)",
        "3:1: '255.0.255.0' isn't a mask of '10.1.0.0' (such as 255.255.0.0, or 16)",
        "4:1: dstaddr is missing (dstaddr=me, any, an address or a DNS name)",
        "5:26: 'SHA9' isn't a hash of Windows' (one of none, md5, sha1, sha256, sha384)",
        "5:48: qmsecmethods stands here twice",
        "6:12: there is no policy of that name (one of p)",
        "7:14: there is no filterlist of that name (one of l)",
        "8:1: this rule has no filteraction (filteraction=NAME)",
        f"8:39: there is no such tag here (its tags: {tags})",
        "8:58: this isn't one of the words that belong here (lan, dialup, all)",
        "8:74: a quotation mark that isn't closed (close it with \")",
        "8:74: this can't be the end of a tunnel (an address or a DNS name)",
        "9:15: there is no rule of that name (one of r, s)",
        "10:21: there are rules that use this filteraction (delete them first)",
        f"11:1: this isn't a command of netsh ipsec static ({', '.join([*commands, 'set defaultrule'])})",
    ]


def test_a_value_that_fell_out_of_its_quotation_marks_is_taken_for_no_other() -> None:
    text = "add policy p\nadd filter l me any\nadd rule name=r policy=p filterlist=l filteraction=Permit psk=my key"
    assert mistakes("netsh", text) == [
        "3:66: this has no tag, and stands behind one that has (quote what has spaces in it)"
    ]
