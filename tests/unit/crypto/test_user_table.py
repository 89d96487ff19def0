"""Users and the hashes of their passwords."""

from __future__ import annotations

import pytest

from ipsecd import limits
from ipsecd.crypto import scrypt_hash
from ipsecd.crypto.scrypt_hash import Cost, PasswordHash
from ipsecd.crypto.secret import Secret
from ipsecd.crypto.user_table import UserTable
from ipsecd.errors import OperatorError

COST = Cost(14)


def line(user: str, password: bytes, salt: bytes = b"sixteen octets..", cost: Cost = COST) -> str:
    return f"{user}:{PasswordHash.of(Secret(password), salt, cost)}"


ALICE, BOB = line("alice", b"correct horse"), line("bob", b"battery", b"another salt....")
TEXT = f"# users of the gateway\n\n{ALICE}\n  {BOB}  \n"


def test_the_right_password_of_the_right_user_is_right() -> None:
    table = UserTable(TEXT, "users")
    assert len(table) == 2
    assert table.verify("alice", Secret(b"correct horse"))
    assert table.verify("bob", Secret(b"battery"))
    for user, password in (
        ("alice", b"battery"),
        ("alice", b""),
        ("bob", b"correct horse"),
        ("Alice", b"correct horse"),
        ("carol", b"correct horse"),
        ("", b""),
        ("# users of the gateway", b""),
    ):
        assert not table.verify(user, Secret(password))


def test_who_is_not_in_it_costs_what_others_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    table, empty, costs = UserTable(TEXT, "users"), UserTable("", "users"), []

    def noted(password: Secret, salt: bytes, cost: Cost) -> bytes:
        costs.append((len(password), len(salt), cost))
        return bytes(32)

    monkeypatch.setattr(scrypt_hash, "_scrypt", noted)
    for each, user in ((table, "alice"), (table, "carol"), (empty, "alice")):
        assert not each.verify(user, Secret(b"x" * 9))  # also where nobody's hash is what comes out
    assert costs == [(9, 16, COST), (9, 16, COST), (9, 16, Cost())]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("alice", "users:1: not a name of up to 256 octets and a hash"),
        (f"#\n:{ALICE.partition(':')[2]}", "users:2: not a name"),
        (line("é" * 129, b"x"), "users:1: not a name"),
        ("alice:secret-in-clear", r"users:1: a hash reads \$scrypt\$"),
        (f"{ALICE}\n{line('alice', b'other')}", "users:2: this user is in it twice"),
        (f"{ALICE}\n{line('bob', b'battery', cost=Cost(15))}", "users:2: this hash costs something else"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_without_its_text(text: str, said: str) -> None:
    with pytest.raises(OperatorError, match=said) as caught:
        UserTable(text, "users")
    assert "secret-in-clear" not in str(caught.value)


def test_a_name_of_256_octets_is_one() -> None:
    assert UserTable(line("é" * 128, b"x"), "users").verify("é" * 128, Secret(b"x"))


def test_so_many_users_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_USERS", 1)
    with pytest.raises(OperatorError, match="users: 2 users"):
        UserTable(TEXT, "users")
