"""What libmnl prints of messages, octet by octet."""

from __future__ import annotations

import pytest

from ipsecd.io.compiled import Compiled, Message, Unreadable

BETWEEN = "----------------\t------------------\n"
HEAD = """\
|  {length:010}  |\t| message length |
| {kind:05} | R--- |\t|  type | flags  |
|  {number:010}  |\t| sequence number|
|  0000000000  |\t|     port ID    |
"""
GENERIC = "| 01 00 00 00  |\t|  extra header  |\n"
SIZE = "|\x1b[1;31m{:05}\x1b[0m|\x1b[1;32m{}\x1b[0m|\x1b[1;34m{:05}\x1b[0m|\t|len |flags| type|\n"
CHAIN = (
    GENERIC
    + SIZE.format(7, "--", 1)
    + "| 69 70 73 00  |\t|      data      |\t i p s  \n"
    + SIZE.format(12, "N-", 4)
    + SIZE.format(8, "-B", 2)
    + "| 00 00 03 e8  |\t|      data      |\t   | é  \n"
)


def printed(kind: int, number: int, length: int, body: str) -> str:
    return BETWEEN + HEAD.format(length=length, kind=kind, number=number) + BETWEEN + body + BETWEEN


BEGIN = printed(0x0010, 0, 20, "| 00 00 00 0a  |\t|  extra header  |\n")
ASKED = printed(0x0A04, 0, 20, GENERIC)
ADDED = printed(0x0A03, 1, 40, CHAIN)
BODY = bytes.fromhex("01000000 07000100 69707300 0c000480 08000240 000003e8".replace(" ", ""))


def messages(text: str, piece: int = 7) -> list[Message]:
    compiled, octets = Compiled(), text.encode()
    for start in range(0, len(octets), piece):
        compiled.take(octets[start : start + piece])
    return compiled.messages()


def test_the_messages_of_the_transaction_are_put_together_from_pieces_of_any_size() -> None:
    flags = {0x0A06: 0xC01, 0x0A05: 0x001, 0x0A08: 0x001, 0x0A0E: 0x001, 0x0A14: 0x001}
    wanted = [Message(0x0A03, 0x401, BODY), *(Message(kind, each, BODY) for kind, each in flags.items())]
    text = ASKED + BEGIN + ADDED + "".join(printed(kind, 2, 40, CHAIN) for kind in flags)
    for piece in (1, 7, len(text.encode())):
        assert messages(text, piece) == wanted


def test_what_is_asked_before_or_behind_it_is_no_part_of_it() -> None:
    assert messages(ASKED) == []
    assert messages("") == []
    assert messages(BEGIN + printed(0x0011, 1, 20, GENERIC) + ASKED) == []


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(BEGIN + ADDED.replace("0000000040", "0000000044"), id="shorter than it says"),
        pytest.param(BEGIN + ADDED.replace("0000000040", "0000000036") + ADDED, id="longer than it says"),
        pytest.param(BEGIN + ADDED.replace("0000000040", "0000000000"), id="of no length"),
        pytest.param(BEGIN + ADDED.replace("| 69 70 73 00  |", "| 69707300 |"), id="in other words"),
        pytest.param(BEGIN + ADDED + "something else\n", id="with more"),
        pytest.param(BEGIN + ADDED[:-1], id="without an end"),
        pytest.param(BEGIN + printed(0x0A17, 1, 40, CHAIN), id="of a kind that no floor has"),
    ],
)
def test_what_is_said_in_another_way_is_not_guessed(text: str) -> None:
    with pytest.raises(Unreadable, match="another way"):
        messages(text)
