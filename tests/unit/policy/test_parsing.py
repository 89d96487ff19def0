"""YAML text to values with places: what YAML allows and a policy file doesn't."""

from __future__ import annotations

import pytest

from ipsecd import limits
from ipsecd.errors import ConfigError
from ipsecd.policy.nodes import Mark, Tree, in_order
from ipsecd.policy.parsing import parse


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
    hint = "write true or false; quote it if it is text"
    assert remarks(
        "credentials: {a: {psk: 12:34}, b: {psk: !S3cret x}, c: {psk: {S3cret}}, d: {psk: {S3cret: 1, S3cret: 2}}}\n"
        "policies: {p: {rules: [{authentication: [{psk: no}, {S3cret: !S3cret x}, {psk: !S3cret x}]}]}}\n"
        "filter_lists: !seen []\n"
    ) == [
        "f:1:24: credentials.a.psk: is a number in base 60 in YAML 1.1 (quote it if it is text)",
        "f:1:41: credentials.b.psk: a tag (remove it)",
        "f:1:69: credentials.c.psk.…: has no value (write one, or leave the key out)",
        "f:1:94: credentials.d.psk.…: this key stands here a second time; the first is in line 1",
        f"f:2:48: policies.p.rules.0.authentication.0.psk: is a boolean in one YAML and text in another ({hint})",
        "f:2:62: policies.p.rules.0.authentication.1.…: a tag (remove it)",
        "f:2:80: policies.p.rules.0.authentication.2.psk: a tag (remove it)",
        "f:3:15: filter_lists: a tag, !seen (remove it)",
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
        ("é: ü\x00\n", "f:1:5: a control character"),
        ("a: 1\nb: \ud800\n", "f:2:4: half of a surrogate pair, which isn't a character"),
    ],
)
def test_what_is_not_yaml_is_told_in_plain_words(text: str, said: str) -> None:
    assert failure(text) == said


def test_a_syntax_error_comes_with_the_mistakes_before_it() -> None:
    assert failure("a: no\nb: 'c\n").splitlines() == [
        "f:1:4: a: 'no' is a boolean in one YAML and text in another (write true or false; quote it if it is text)",
        "f:2:4: this quote isn't closed",
    ]


def test_addresses_in_braces_need_quotes_where_a_colon_begins_or_ends_them_or_yaml_sees_a_number() -> None:
    """What docs/policy.md says of them."""
    assert parse("a: [fd01::/64, fd01::1, fd01::1-fd01::9, '::1', 'fd01::', '1:2:3:4:5:6:7:8']\n", "f").mistakes == []
    assert parse("a: ::1\n", "f").value == {"a": "::1"}
    assert failure("a: [::1]\n") == "f:1:5: ':' stands where a value should (quote text that begins so)"
    assert failure("a: [fd01::]\n") == "f:1:10: text in [...] or {...} can't end with ':' (quote the text)"
    [said] = remarks("a: 1:2:3:4:5:6:7:8\n")
    assert said == "f:1:4: a: '1:2:3:4:5:6:7:8' is a number in base 60 in YAML 1.1 (quote it if it is text)"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_are_counted_alike_by_everyone(end: str) -> None:
    """Those that libyaml numbers, those of tabs, and those that can't be read."""
    assert remarks(end.join(["a: 1", "b: no", "c: [2,", "\td]", ""])) == [
        "f:2:4: b: 'no' is a boolean in one YAML and text in another (write true or false; quote it if it is text)",
        "f:4:1: a tab in the indentation (use spaces)",
    ]
    assert failure(end.join(["a: 1", "b: 2", "c: \x00"])) == "f:3:4: a control character"
    assert failure(end.join(["a: 1", "b: 2", "c: \ud800"])).startswith("f:3:4: half of a surrogate pair")
    assert failure(end.join(["a: 1", "b: 2", "c: @"])).startswith("f:3:4: text can't begin with '@'")


@pytest.mark.parametrize("letter", ["\x85", "\u2028", "\u2029"])
def test_what_ends_a_line_for_some_readers_only_is_refused_and_moves_no_other_mistake(letter: str) -> None:
    """Behind it, a comment goes on to editors and YAML 1.2, and is over to YAML 1.1."""
    said = f"the character U+{ord(letter):04X}, which not every reader takes alike (remove it)"
    assert [str(mistake) for mistake in in_order(parse(f"a: 1 # x{letter}b: no\nc: no\n", "f").mistakes)] == [
        f"f:1:9: {said}",
        "f:2:4: c: 'no' is a boolean in one YAML and text in another (write true or false; quote it if it is text)",
    ]
    assert failure(f"# {letter}\na: 'b") == f"f:1:3: {said}\nf:2:4: this quote isn't closed"
    assert parse('a: "\\L\\N\\P"\n', "f").mistakes == []


def test_a_byte_order_mark_belongs_to_the_beginning_only() -> None:
    assert remarks("\ufeffa: no\n")[0].startswith("f:1:4: a: 'no' is a boolean")
    assert failure("\ufeffa: @\n").startswith("f:1:4: text can't begin with '@'")
    assert remarks("a: 1\n\ufeffb: 2\n") == [
        "f:2:1: the character U+FEFF, which not every reader takes alike (remove it)"
    ]


def test_what_is_shown_of_a_file_that_is_not_yaml_is_bounded() -> None:
    said = failure("x: no\n" * 300 + "'").splitlines()
    assert len(said) == limits.MAX_MISTAKES + 1
    assert said[-1] == "f:51:4: 500 more mistakes from here on"


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
