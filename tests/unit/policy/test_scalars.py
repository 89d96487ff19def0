"""Unquoted scalars: what two readers could understand differently is refused."""

from __future__ import annotations

import pytest

from ipsecd.policy.scalars import SurpriseError, plain


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("false", False),
        ("0", 0),
        ("28800", 28800),
        ("-5", -5),
        ("0x1F", 31),
        ("branch", "branch"),
        ("10.1.0.0/16", "10.1.0.0/16"),
        ("192.0.2.1", "192.0.2.1"),
        ("fd01::/64", "fd01::/64"),
        ("20:30::", "20:30::"),
        ("1024-65535", "1024-65535"),
        ("aes128gcm16", "aes128gcm16"),
        ("3des", "3des"),
        ("nobody", "nobody"),
        ("1h", "1h"),
        ("e5", "e5"),
        ("-", "-"),
    ],
)
def test_plain_text_and_whole_numbers_mean_what_they_look_like(text: str, value: object) -> None:
    found = plain(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", ["no", "No", "NO", "n", "yes", "Y", "on", "Off", "True", "FALSE"])
def test_words_that_are_booleans_in_yaml_1_1_are_refused(text: str) -> None:
    with pytest.raises(SurpriseError, match="is a boolean in one YAML and text in another"):
        plain(text)


@pytest.mark.parametrize("text", ["", "~", "null", "Null", "NULL"])
def test_nothing_is_refused(text: str) -> None:
    with pytest.raises(SurpriseError, match="has no value"):
        plain(text)


@pytest.mark.parametrize("text", ["12:30", "12:30:45", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8", "190:20:30.15", "-1:30"])
def test_numbers_in_base_60_are_refused(text: str) -> None:
    with pytest.raises(SurpriseError, match="base 60"):
        plain(text)


@pytest.mark.parametrize("text", ["007", "010", "08", "00", "0o17", "0b101", "-017", "0_7"])
def test_octal_and_binary_numbers_are_refused(text: str) -> None:
    with pytest.raises(SurpriseError, match="octal or binary"):
        plain(text)


@pytest.mark.parametrize("text", ["1_000", "+5", "0x1_F", "-0x1F", "+0x1F"])
def test_other_spellings_of_numbers_are_refused(text: str) -> None:
    with pytest.raises(SurpriseError, match="is a number in one YAML only"):
        plain(text)


@pytest.mark.parametrize("text", ["1.5", "1e3", "1.0e+3", ".5", "-2.5", "1.", ".inf", "-.INF", ".NaN"])
def test_fractions_are_refused(text: str) -> None:
    with pytest.raises(SurpriseError, match="isn't a whole number"):
        plain(text)


@pytest.mark.parametrize("text", ["2026-11-24", "2001-12-14t21:59:43.10-05:00", "2001-12-14 21:59:43"])
def test_dates_are_refused(text: str) -> None:
    with pytest.raises(SurpriseError, match="is a date"):
        plain(text)


@pytest.mark.parametrize("text", ["=", "<<"])
def test_special_keys_are_refused(text: str) -> None:
    with pytest.raises(SurpriseError, match="has a meaning of its own"):
        plain(text)


def test_a_number_with_more_digits_than_any_field_has_is_refused() -> None:
    assert plain("9" * 20) == int("9" * 20)
    with pytest.raises(SurpriseError, match="too large"):
        plain("9" * 21)
