"""Boot modes: what each adds to the floor."""

from __future__ import annotations

from ipsecd.policy.boot import ADDED, after_start
from ipsecd.policy.schema import json_schema
from tests.unit.policy.texts import load, mistakes

STATEFUL = """\
table inet ipsecd {
	chain boot_input {
		type filter hook input priority 1001; policy drop;
		ct state established,related accept
		iif "lo" accept
		jump exempt_arriving
	}

	chain boot_forward {
		type filter hook forward priority 1001; policy drop;
	}
}
"""
BLOCK = """\
table inet ipsecd {
	chain boot_input {
		type filter hook input priority 1001; policy drop;
		iif "lo" accept
		jump exempt_arriving
	}

	chain boot_output {
		type filter hook output priority 1001; policy drop;
		oif "lo" accept
		jump exempt_departing
	}

	chain boot_forward {
		type filter hook forward priority 1001; policy drop;
	}
}
"""


def test_each_mode_of_the_schema_adds_something_of_its_own() -> None:
    assert ADDED == {"last": "", "stateful": STATEFUL, "block": BLOCK, "permit": "delete table inet ipsecd\n"}
    assert json_schema()["properties"]["boot"]["enum"] == list(ADDED)


def test_a_failure_takes_no_floor_away() -> None:
    assert [after_start(added) for added in ADDED.values()] == ["", STATEFUL, BLOCK, ""]


def test_the_file_says_which_and_the_last_floor_is_what_stands_otherwise() -> None:
    assert load("boot: stateful\n").content.boot == "stateful"
    assert load("description: none\n").content.boot == "last"
    assert mistakes("boot: first\n") == ["1:7: boot: 'first' isn't one of last, stateful, block, permit"]
