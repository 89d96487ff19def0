"""YAML text to values with places: what YAML allows and a policy file doesn't."""

from __future__ import annotations

import pytest

from ipsecd import limits
from ipsecd.errors import ConfigError
from ipsecd.policy.nodes import Mark, Tree, dotted, parse


def failure(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text, "f")
    return str(caught.value)


def remarks(text: str) -> list[str]:
    return [str(mistake) for mistake in parse(text, "f").mistakes]


def test_a_document_becomes_plain_values_with_their_places() -> None:
    tree = parse("a:\n  - {b: 5, c: 'no'}\n  - true\n", "f")
    assert tree.value == {"a": [{"b": 5, "c": "no"}, True]}
    assert tree.mistakes == []
    assert tree.mark(("a", 0, "c")) == Mark(2, 15)
    assert tree.key(("a", 0, "c")) == Mark(2, 12)
    assert tree.mark(("a", 1)) == Mark(3, 5)


def test_what_is_not_in_the_text_is_placed_at_what_would_hold_it() -> None:
    tree = parse("a:\n  - {b: 5}\n", "f")
    assert tree.mark(("a", 0, "zzz")) == Mark(2, 5)
    assert tree.key(("a", 0, "zzz")) == Mark(2, 5)
    assert Tree("f").mark(("a",)) == Mark(1, 1)


def test_quoted_and_block_text_is_text_whatever_it_looks_like() -> None:
    assert parse('a: "no"\nb: \'12\'\nc: |\n  on\nd: "true"\n', "f").value == {
        "a": "no",
        "b": "12",
        "c": "on\n",
        "d": "true",
    }


def test_a_byte_order_mark_and_a_document_start_are_allowed() -> None:
    assert parse("\ufeff---\na: 1\n...\n", "f").value == {"a": 1}


def test_keys_that_stand_twice_are_named_with_both_lines() -> None:
    assert remarks("a: 1\nb:\n  c: 2\n  c: 3\na: 4\n") == [
        "f:4:3: b.c: 'c' stands here a second time; the first is in line 3",
        "f:5:1: a: 'a' stands here a second time; the first is in line 1",
    ]


def test_anchors_aliases_merge_keys_and_tags_are_refused() -> None:
    assert remarks("a: &x {b: 1}\nc: *x\nd: !!str 5\ne: {<<: 1}\nf: !secret g\n&k h: 1\n") == [
        "f:1:4: a: an anchor (write the value out where it is needed)",
        "f:2:4: c: an alias (write the value out again)",
        "f:3:4: d: a tag, tag:yaml.org,2002:str (remove it)",
        "f:4:5: e.<<: '<<' has a meaning of its own in YAML 1.1 (quote it if it is text)",
        "f:5:4: f: a tag, !secret (remove it)",
        "f:6:1: h: an anchor (write the value out where it is needed)",
    ]


def test_surprising_scalars_are_named_as_values_and_as_keys() -> None:
    assert remarks("a: no\nb:\non: 1\n5: 2\nc: [yes]\n") == [
        "f:1:4: a: 'no' is a boolean in one YAML and text in another (write true or false; quote it if it is text)",
        "f:2:3: b: has no value (write one, or leave the key out)",
        "f:3:1: on: 'on' is a boolean in one YAML and text in another (write true or false; quote it if it is text)",
        "f:4:1: 5: a key has to be text (quote it)",
        "f:5:5: c.0: 'yes' is a boolean in one YAML and text in another (write true or false; quote it if it is text)",
    ]


def test_what_stands_among_credentials_is_never_shown() -> None:
    """Someone may have put the key itself there."""
    assert remarks("credentials: {a: {psk: 12:34}}") == [
        "f:1:24: credentials.a.psk: is a number in base 60 in YAML 1.1 (quote it if it is text)"
    ]


def test_what_was_complained_about_is_spoilt_with_all_below_it() -> None:
    tree = parse("a: no\nb: {c: 1}\n", "f")
    assert tree.is_spoilt(("a",))
    assert tree.is_spoilt(("a", "deeper", 3))
    assert not tree.is_spoilt(("b",))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "f:1:1: the file is empty (a policy file that protects nothing says: policies: {})"),
        ("# nothing\n", "f:1:1: the file is empty (a policy file that protects nothing says: policies: {})"),
        ("a: 1\n---\nb: 2\n", "f:2:1: a second document begins here (a policy file is one document)"),
        ("? [a, b]\n: 1\n", "f:1:3: a key has to be text"),
        ("? {a: b}\n: 1\n", "f:1:3: a key has to be text"),
        (
            "a: &x 1\n*x : 2\n",
            "f:1:4: a: an anchor (write the value out where it is needed)\nf:2:1: a key has to be text",
        ),
        ("a:\n\tb: 1\n", "f:2:1: a tab where YAML wants spaces (use spaces)"),
        ("a: @b\n", "f:1:4: text can't begin with '@' in YAML (quote the text)"),
        ("a: %b\n", "f:1:4: text can't begin with '%' in YAML (quote the text)"),
        (
            "a: b: c\n",
            "f:1:5: a second ': ' in one line (quote text that holds one, and give nested keys lines of their own)",
        ),
        ("a:\n  - b\n c: 1\n", "f:3:2: this line doesn't fit those above it (check its indentation)"),
        ("a: [1\n", "f:2:1: did not find expected ',' or ']'"),
        ("a: 'b\n", "f:2:1: found unexpected end of stream"),
        ("é: ü\x00\n", "f:1:5: a control character"),
        ("a: 1\nb: \ud800\n", "f:2:4: half of a surrogate pair, which isn't a character"),
    ],
)
def test_what_is_not_yaml_is_told_in_plain_words(text: str, said: str) -> None:
    assert failure(text) == said


def test_a_syntax_error_comes_with_the_mistakes_before_it() -> None:
    assert failure("a: no\nb: 'c\n").splitlines() == [
        "f:1:4: a: 'no' is a boolean in one YAML and text in another (write true or false; quote it if it is text)",
        "f:3:1: found unexpected end of stream",
    ]


def test_tabs_are_refused_in_indentation_alone() -> None:
    assert remarks("a: {b:\t1,\n\tc: 2}\n") == ["f:2:1: a tab in the indentation (use spaces)"]


def test_nesting_is_bounded() -> None:
    depth = limits.MAX_POLICY_DEPTH
    assert parse("[" * depth + "]" * depth, "f").mistakes == []
    assert failure("[" * (depth + 1)) == f"f:1:{depth + 1}: nested deeper than {depth} levels"
    assert failure("[" * 900_000).endswith(f": nested deeper than {depth} levels")


def test_size_is_bounded_in_octets() -> None:
    head = "a: 1\n#"
    assert parse(head + "x" * (limits.MAX_POLICY_FILE - len(head)), "f").value == {"a": 1}
    text = head + "x" * (limits.MAX_POLICY_FILE - len(head) - 1)
    assert failure(text + "é") == "f:1:1: the file has more than 1048576 octets"


def test_paths_are_fit_for_terminals() -> None:
    assert dotted(("policies", "a\x1b[2Jb", 3)) == "policies.a\\x1b[2Jb.3"
