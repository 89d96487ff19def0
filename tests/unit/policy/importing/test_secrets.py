"""What holds a key on its way through an import doesn't show it, not even in a traceback."""

from __future__ import annotations

from ipsecd.policy.importing.draft import Proof
from ipsecd.policy.importing.words import Word
from ipsecd.policy.nodes import Mark


def test_neither_words_nor_authentication_methods_show_a_key() -> None:
    mark = Mark(3, 7)
    assert repr(Word("psk=a key", mark)) == "Word(Mark(line=3, column=7))"
    assert repr(Proof("psk", mark, secret="a key")) == "Proof(kind='psk', mark=Mark(line=3, column=7), authority='')"


def test_equal_keys_are_told_from_others() -> None:
    one = Proof("psk", Mark(1, 1), secret="a key")
    assert one == Proof("psk", Mark(2, 1), secret="a key")
    assert one != Proof("psk", Mark(1, 1), secret="another")
