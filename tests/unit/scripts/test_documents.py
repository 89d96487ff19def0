"""The results as a table and as a picture."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from scripts.measuring.figures import FIGURES
from scripts.measuring.picture import SHOWN, picture
from scripts.measuring.quantities import QUANTITIES
from scripts.measuring.results import Results, Turn
from scripts.measuring.table import document, number

SVG = "{http://www.w3.org/2000/svg}"
VERSIONS = {"plain": "Linux 6", "ipsecd": "ipsecd 0.1", "strongswan": "strongSwan 5", "openvpn": "OpenVPN <2.6>"}
RATES = {
    "plain": [12_345.0, 10_000.0, 11_000.0],
    "ipsecd": [3_000.0, 2_000.0, 2_500.0],
    "strongswan": [500.0, 400.0, 250.0],
    "openvpn": [600.0, 200.0, 500.0],
}
RIVALS = {"ipsecd": ("strongswan", "openvpn", "absent"), "absent": ("strongswan",)}


def results() -> Results:
    found = Results({"processor": "2 x fast"}, {"topology": "hosts"}, VERSIONS)
    for who, rates in RATES.items():
        found.turns.extend(Turn(round_, who, 0.5, {"tcp1": rate}) for round_, rate in enumerate(rates, 1))
    return found


def row(text: str, start: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {start}")]
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize(
    ("value", "text"),
    [(12_345.6, "12,346"), (100.0, "100"), (99.94, "99.9"), (9.994, "9.99"), (0.0123, "0.012"), (0.0, "0.000")],
)
def test_numbers_have_three_digits_or_more(value: float, text: str) -> None:
    assert number(value) == text


def test_the_table_has_medians_and_quartiles_of_all_and_only_what_was_measured() -> None:
    text = document(results(), RIVALS)
    assert row(text, "TCP, 1 stream, Mbit/s") == [
        "TCP, 1 stream, Mbit/s",
        "11,000 (10,500 to 11,672)",
        "2,500 (2,250 to 2,750)",
        "400 (325 to 450)",
        "500 (350 to 550)",
    ]
    assert "ping" not in text
    assert "* processor: 2 x fast\n* topology: hosts\n* plain: Linux 6\n" in text


def test_the_table_divides_by_each_rival_and_by_the_best_of_each_round() -> None:
    text = document(results(), RIVALS)
    assert row(text, "TCP, 1 stream, more is better") == [
        "TCP, 1 stream, more is better",
        "6.00 (5.50 to 8.00)",  # 6, 5, 10
        "5.00 (5.00 to 7.50)",  # 5, 10, 5
        "5.00 (5.00 to 5.00)",  # 5, 5, 5
    ]
    assert "absent" not in text


def test_the_table_says_what_failed() -> None:
    found = results()
    assert "failed" not in document(found, RIVALS)
    found.turns.append(Turn(4, "openvpn", 0.5, error="RuntimeError: gone"))
    assert "What failed:\n\n* round 4, openvpn: RuntimeError: gone\n" in document(found, RIVALS)


def test_the_picture_has_a_bar_for_each_vpn_and_no_vpn_in_words() -> None:
    tree = ElementTree.fromstring(picture(results()))
    texts = [element.text for element in tree.iter(f"{SVG}text")]
    assert texts == [
        "TCP, 1 stream, Mbit/s",
        "more is better; without a VPN 11,000",
        *("ipsecd", "2,500", "strongswan", "400", "openvpn", "500"),
    ]
    bars = [float(bar.attrib["width"]) for bar in tree.iter(f"{SVG}rect") if "x" in bar.attrib]
    assert [round(bar / bars[0], 2) for bar in bars] == [1.0, 0.16, 0.2]


def test_bars_of_the_highest_quartile_stay_in_their_panel() -> None:
    tree = ElementTree.fromstring(picture(results()))
    lines = [path.attrib["d"] for path in tree.iter(f"{SVG}path")]
    assert lines[0] == "M285.5 51.0H320.0"


def test_what_the_picture_shows_is_measured() -> None:
    assert set(SHOWN) <= set(QUANTITIES)
    assert set(FIGURES) & set(QUANTITIES) == set(FIGURES) - {"ping", "loaded-ping"}
