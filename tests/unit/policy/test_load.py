"""A policy file's mistakes: each at its place, in plain words, with a hint, and all of them at once.

Most of the cases stand in mistakes.txt, where a text can be read beside what is said of it.
"""

from __future__ import annotations

import pytest
from pydantic import BaseModel, Field, ValidationError

from ipsecd import limits
from ipsecd.errors import ConfigError
from ipsecd.policy.load import load_policy
from ipsecd.policy.mistakes import fields_at, of
from ipsecd.policy.parsing import parse
from tests.unit.policy.texts import TUNNEL, blocks, load, mistakes, with_filters


@pytest.mark.parametrize(("text", "said"), blocks("mistakes.txt"), ids=[said[0] for _, said in blocks("mistakes.txt")])
def test_a_mistake_is_told_at_its_place_in_plain_words(text: str, said: list[str]) -> None:
    assert mistakes(text) == said


def test_no_message_repeats_what_stands_among_credentials() -> None:
    texts = [(text, said) for text, said in blocks("mistakes.txt") if "s3cret" in text]
    assert len(texts) >= 5
    assert [said for _, said in texts if any("s3cret" in line for line in said)] == []


def test_the_example_of_the_design_loads() -> None:
    policy_file = load(
        """\
        # /etc/ipsecd/policy.yaml
        assigned: branch                     # at most one policy; none assigned protects nothing

        credentials:
          hq: {psk: {file: secrets/hq.psk}}  # or systemd credential, or command; never the key itself

        policies:
          branch:
            description: Branch office to headquarters
            rules:
              - name: to-hq
                filters:
                  - {source: 10.1.0.0/16, destination: 10.2.0.0/16}      # mirrored unless mirrored: false
                action: require-security
                tunnel: {local: 192.0.2.1, remote: 198.51.100.1}          # address, DNS name, or any
                identity: {local: gw.branch.example, remote: gw.hq.example}   # default: the tunnel addresses
                authentication: [{psk: hq}]                               # ordered list
                connections: all                                          # all | lan | remote-access

        filter_lists: {}
        filter_actions: {}
        """
    )
    assert policy_file.assigned is not None
    assert [rule.name for rule in policy_file.assigned.rules] == ["to-hq"]


def test_a_file_that_protects_nothing_is_a_policy_file_too() -> None:
    assert load("policies: {}\n").assigned is None
    assert load("{}").assigned is None


def test_an_identity_that_cannot_be_is_refused_with_the_reason() -> None:
    [found] = mistakes(with_filters("{source: me, destination: any}", rule=TUNNEL + "  identity: {remote: 'keyid:'}\n"))
    assert found.startswith("12:28: policies.p.rules.0.identity.remote: ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("policies: {{p: {{key_exchange: {{proposals: [{}]}}}}}}\n", "1:42: policies.p.key_exchange.proposals"),
        ("filter_actions: {{a: {{action: negotiate, security_methods: [{}]}}}}\n",
         "1:59: filter_actions.a.security_methods"),
        ("policies: {{p: {{default_response: {{active: false, security_methods: [{}]}}}}}}\n",
         "1:68: policies.p.default_response.security_methods"),
    ],
)  # fmt: skip
def test_no_more_is_offered_than_a_peer_of_our_own_kind_would_read(text: str, said: str) -> None:
    one = "{encryption: aes128gcm16, groups: x25519}" if "proposals" in text else "{esp: {encryption: aes128gcm16}}"
    assert load(text.format(", ".join([one] * limits.MAX_PROPOSALS))).assigned is None
    assert mistakes(text.format(", ".join([one] * 33))) == [f"{said}: 33 are too many (at most 32)"]


def test_what_is_shown_of_a_file_is_bounded() -> None:
    text = "policies:\n" + "".join(f"  p{number}: 5\n" for number in range(500))
    found = mistakes(text)
    assert len(found) == limits.MAX_MISTAKES + 1
    assert found[-1] == "102:9: 400 more mistakes from here on"


def test_messages_are_fit_for_terminals() -> None:
    found = mistakes('policies: {p: {default_action: "\\e[2J", "a\\e[1mb": 5}}\n')
    assert found[0] == "1:32: policies.p.default_action: '\\x1b[2J' isn't one of permit, block"
    assert found[1].startswith("1:41: policies.p.a\\x1b[1mb: there is no such field")
    assert all(line.isprintable() for line in found)


def test_what_pydantic_may_say_one_day_is_still_a_mistake() -> None:
    class Odd(BaseModel):
        a: str = Field(max_length=1)

    with pytest.raises(ValidationError) as caught:
        Odd.model_validate({"a": "xy"})
    assert [str(mistake) for mistake in of(caught.value, parse("a: xy", "f"))] == ["f:1:4: a: isn't what belongs here"]


def test_the_fields_at_a_path_are_those_of_the_schema() -> None:
    assert fields_at(("policies", "any", "rules", 3, "tunnel")) == ("local", "remote", "remote_port")
    assert fields_at(("filter_lists", "any", 0))[:2] == ("source", "destination")
    assert fields_at(("filter_actions", "x", "fallback_to_clear")) == ("after", "lifetime")
    assert fields_at(("assigned", "deeper")) == ()


def test_a_config_error_prints_all_its_mistakes_a_line_each() -> None:
    with pytest.raises(ConfigError) as caught:
        load_policy("policies: 1\nassigned: 2\n", "dir/p.yaml")
    assert str(caught.value).splitlines() == [
        "dir/p.yaml:1:11: policies: expected a mapping of names",
        "dir/p.yaml:2:11: assigned: expected text (quote it if it is meant as text)",
    ]


@pytest.mark.parametrize(
    ("text", "looks"),
    [
        ("{" + ", ".join(f"polici{number}: 1" for number in range(500)) + "}", limits.MAX_MISTAKES),
        ("policies:\n  p:\n    rules:\n" + "".join(f"      - {{name: r{number}, action: blokk, filter_list: all-ip}}\n"
                                                   for number in range(500)), limits.MAX_MISTAKES),
        ("assigned: p\npolicies:\n" + "".join(f"  p{number}: {{}}\n" for number in range(limits.MAX_SUGGESTIONS)), 1),
        ("assigned: p\npolicies:\n" + "".join(f"  p{number}: {{}}\n" for number in range(1001)), 0),
    ],
    ids=["fields", "actions", "many names", "too many names"],
)  # fmt: skip
def test_what_was_meant_is_looked_for_so_often_only(text: str, looks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look costs as much as there are names, and mistakes behind the first hundred aren't shown."""
    words = []
    monkeypatch.setattr("ipsecd.policy.complaint.get_close_matches", lambda word, *_, **__: words.append(word) or [])
    mistakes(text)
    assert len(words) == looks
