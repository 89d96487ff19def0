"""What isn't YAML is told in plain words, where people would look, and never in libyaml's."""

from __future__ import annotations

import pytest
import yaml

from ipsecd.errors import ConfigError
from ipsecd.policy.nodes import Mark
from ipsecd.policy.parsing import parse
from ipsecd.policy.syntax import lines_of, place_of, problem_of

TAG = "a tag, or what looks like one (remove it, or quote text that begins with '!')"
REFERENCE = "an anchor or alias without a name (quote text that begins with '&' or '*')"
DIRECTIVE = "a directive, a line that begins with % (remove it)"
BLOCK = "a block of text doesn't begin so (put the text on the lines below, or quote text that begins with '|' or '>')"
ESCAPE = "this isn't an escape of YAML's (write \\\\ for a backslash, or use single quotes)"
OUT_OF_LINE = "this line doesn't fit those above it (check its indentation)"
GOES_ON = "this line goes on with the one above it, and can't hold a ': ' (check its indentation)"
SECOND = "a second ': ' in one line (quote text that holds one, and give nested keys lines of their own)"
BEHIND = "something stands behind the value (quote all of it, or begin a new line)"
OVER = "this stands behind the end of the document (a policy file is one document)"
TAB = "a tab where YAML wants spaces (use spaces)"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 'c\nd: e\n", "2:4: this quote isn't closed"),
        ('a: "b\n---\n', "1:4: this quote isn't closed"),
        ("a: [1\n", "1:4: this '[' isn't closed (end it with ']')"),
        ("{a: 1", "1:1: this '{' isn't closed (end it with '}')"),
        ("a: [1, 2\nb: 3\n", "2:2: a ',' or ']' is missing before this ('[' stands in line 1)"),
        ("a: {b: 1\nc: 2\n", "2:2: a ',' or '}' is missing before this ('{' stands in line 1)"),
        ("a: [\n", "2:1: the file ends where a value should stand (is every '[' and '{' closed?)"),
        ("a: [1,, 2]\n", "1:7: ',' stands where a value should (quote text that begins so)"),
        ("a: 1\n}\n", "2:1: this '}' closes nothing (quote it if it is text)"),
        ("a: 1\nb\nc: 2\n", "2:1: a key without a ': ' behind it (write key: value)"),
        ("a\nb: 1\n", f"2:2: {GOES_ON}"),
        ("a: 1\n b: 2\n", f"2:3: {GOES_ON}"),
        ("a: b: c\n", f"1:5: {SECOND}"),
        ("--- a: 1\n", f"1:6: {SECOND}"),
        ("k" * 1_025 + ": 1\n", "1:1026: this is too long for a key (quote text that holds ': ')"),
        ("a:\n  - b\n c: 1\n", f"3:2: {OUT_OF_LINE}"),
        ("- a\nb: 1\n", f"2:1: {OUT_OF_LINE}"),
        ("a: 'b' c\n", f"1:8: {BEHIND}"),
        ("a: [b] c\n", f"1:8: {BEHIND}"),
        ("a: - b\n", "1:4: a '- ' can't stand here (begin a list on a line of its own)"),
        ("a: ? b\n", "1:4: a '? ' can't stand here (quote text that begins with one)"),
        ("a: 1\n...\nb: 2\n", f"3:1: {OVER}"),
        ("{a: 1}\nb: 2\n", f"2:1: {OVER}"),
        ("# x\n%YAML 1.1\na: 1\n", f"2:1: {DIRECTIVE}"),
        ("%FOO\n---\na: 1\n", f"1:5: {DIRECTIVE}"),
        ("%YAML 3.0\n---\na: 1\n", f"1:1: {DIRECTIVE}"),
        ("%TAG !a! x\n%TAG !a! y\n---\na: 1", f"2:1: {DIRECTIVE}"),
        ("a:\n\tb: 1\n", f"2:1: {TAB}"),
        ("a: >-\n\tb\n", f"2:1: {TAB}"),
        ("a: @b\n", "1:4: text can't begin with '@' in YAML (quote the text)"),
        ("a: %b\n", "1:4: text can't begin with '%' in YAML (quote the text)"),
        ("a: !<x\n", f"1:4: {TAG}"),
        ("a: !foo!bar x\n", f"1:4: {TAG}"),
        ("a: !b%zz c\n", f"1:4: {TAG}"),
        ("a: & b\n", f"1:4: {REFERENCE}"),
        ("a: *\n", f"1:4: {REFERENCE}"),
        ("a: |x\n", f"1:4: {BLOCK}"),
        ("a: >0\n", f"1:4: {BLOCK}"),
        ('a: "\\q"\n', f"1:5: {ESCAPE}"),
        ('a: "\\x1"\n', f"1:7: {ESCAPE}"),
        ('a: "\\ud800"\n', f"1:7: {ESCAPE}"),
        ("a: {b: fd01::}\n", "1:13: text in [...] or {...} can't end with ':' (quote the text)"),
    ],
)
def test_it_is_told_where_it_began_and_with_what_to_do(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "f")
    assert str(caught.value).splitlines()[-1] == f"f:{said}"


def test_words_that_nobody_foresaw_are_not_passed_on() -> None:
    odd = yaml.MarkedYAMLError("while doing this", None, "did not find expected flux", None)
    error = problem_of(odd, "a: 1\n")
    assert (error.message, error.mark) == ("this isn't YAML", Mark(1, 1))


def test_a_place_is_counted_in_lines_that_end_as_yaml_ends_them() -> None:
    assert lines_of("a\r\nb\rc\nd") == ["a", "b", "c", "d"]
    assert place_of("a\r\nbc", 4) == Mark(2, 2)
    assert place_of("", 0) == Mark(1, 1)
