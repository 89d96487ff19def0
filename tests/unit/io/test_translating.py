"""What nft is given to translate for an owner, and what is put together again of that."""

from __future__ import annotations

import pytest

from ipsecd.io.compiled import RULE, Message, Unreadable
from ipsecd.io.netlink_parts import attribute
from ipsecd.io.translating import Known, Shortened

CHAIN, FLUSH = 0x0A03, 0x0A08
TEXT = """\
table inet t {
	chain one {
		type filter hook input priority 0; policy accept;
		ip daddr 10.0.0.1 drop
		th dport { 1, 2 } drop
		goto b1
	}

	chain b1 {
		ip daddr 10.0.0.1 drop
		accept
	}
}
flush chain inet t two
table inet t {
	chain two {
		accept
		ip daddr 10.0.0.1 drop
	}
}
"""
RULES = ("ip daddr 10.0.0.1 drop", "th dport { 1, 2 } drop", "goto b1", "accept")
WHOLE = [("one", 0), ("one", 1), ("one", 2), ("b1", 0), ("b1", 3), ("two", 3), ("two", 0)]


def message(chain: str, rule: int, table: str = "t") -> Message:
    names = attribute(1, table.encode() + b"\0") + attribute(2, chain.encode() + b"\0")
    return Message(RULE, 0xC01, b"\x01\0\0\0" + names + RULES[rule].encode())


def other(kind: int, what: str) -> Message:
    return Message(kind, 0x401, what.encode())


MADE, FLUSHED, SET = other(CHAIN, "chains"), other(FLUSH, "two"), other(0x0A09, "set")
EVERYTHING = [
    MADE,
    message("one", 0),
    SET,
    *(message(*each) for each in WHOLE[1:5]),
    FLUSHED,
    *(message(*each) for each in WHOLE[5:]),
]


def known(*rules: int) -> dict[str, Known]:
    return {f"\t\t{RULES[rule]}": Known(0xC01, RULES[rule].encode()) for rule in rules}


def test_rules_that_stand_there_twice_are_translated_once_and_the_last_of_each_block_in_any_case() -> None:
    short = Shortened(TEXT, "t", {})
    assert short.text == TEXT.replace("\tchain b1 {\n\t\tip daddr 10.0.0.1 drop\n", "\tchain b1 {\n").replace(
        "\tchain two {\n\t\taccept\n\t\tip daddr 10.0.0.1 drop\n\t}\n",
        "\tchain two {\n\t}\n\tchain two {\n\t\tip daddr 10.0.0.1 drop\n\t}\n",
    )
    translated = [
        MADE,
        message("one", 0),
        SET,
        *(message(*each) for each in WHOLE[1:3]),
        message("b1", 3),
        FLUSHED,
        message("two", 0),
    ]
    assert short.messages(translated) == (EVERYTHING, known(0, 2, 3))


def test_what_is_known_is_not_translated_again() -> None:
    short = Shortened(TEXT, "t", known(0, 2, 3))
    assert [line.strip() for line in short.text.splitlines() if line.strip() in RULES] == [
        "th dport { 1, 2 } drop",
        "accept",
        "ip daddr 10.0.0.1 drop",
    ]
    translated = [MADE, SET, message("one", 1), message("b1", 3), FLUSHED, message("two", 0)]
    messages, rules = short.messages(translated)
    assert [each for each in messages if each.kind == RULE] == [message(*each) for each in WHOLE]
    assert [each for each in messages if each.kind != RULE] == [MADE, SET, FLUSHED]
    assert messages.index(MADE) < messages.index(message("one", 0))
    assert messages.index(SET) < messages.index(message("one", 1))
    assert messages.index(message("b1", 3)) < messages.index(FLUSHED) < messages.index(message("two", 3))
    assert rules == known(0, 2, 3)


def test_a_text_without_rules_is_as_it_was() -> None:
    text = "flush set inet t peers\nadd element inet t peers { 192.0.2.1 timeout 10ms }\n"
    short = Shortened(text, "t", known(0))
    assert short.text == text
    assert short.messages([FLUSHED]) == ([FLUSHED], {})


@pytest.mark.parametrize(
    "translated",
    [
        [MADE],
        [MADE, message("one", 0), message("b1", 3)],
        [MADE, *(message("two", rule) for _, rule in WHOLE)],
        [MADE, *(Message(RULE, 0xC01, b"\x01\0\0\0" + attribute(3, b"one\0")) for _ in WHOLE)],
    ],
    ids=["none", "too few", "of another chain", "named elsewhere"],
)
def test_what_nft_makes_otherwise_is_not_taken(translated: list[Message]) -> None:
    with pytest.raises(Unreadable):
        Shortened(TEXT, "t", {}).messages(translated)
