"""What of a table has to be written so that it becomes another."""

from __future__ import annotations

import pytest

from ipsecd.io.rewriting import Rewriting, Written, rewriting, written

HEAD = "table inet t\ndelete table inet t\ntable inet t {\n"
SET = "\tset peers {\n\t\ttype ipv4_addr\n\t\tflags timeout\n\t}\n\n"
FIXED = "\tset ours {\n\t\ttype fib_addrtype\n\t\tflags constant\n\t\telements = { local }\n\t}\n\n"
HOOK = "type filter hook input priority 0; policy accept;"


def counters(*names: str) -> str:
    return "".join(f"\tcounter {name} {{\n\t}}\n\n" for name in names)


def chains(**chains: list[str]) -> str:
    return "\n".join(
        "\n".join([f"\tchain {name} {{", *(f"\t\t{rule}" for rule in rules), "\t}", ""])
        for name, rules in chains.items()
    )


def table(more: str = "", sets: str = SET + FIXED, /, **named: list[str]) -> str:
    return f"{HEAD}{more}{sets}{chains(**named)}}}\n"


def known(text: str) -> Written:
    found = written(text, "t")
    assert found is not None
    return found


def between(old: str, new: str) -> Rewriting | None:
    return rewriting(known(old), known(new), "t")


BASE = [HOOK, "jump one"]
OTHERS = {f"other{number}": [f"ip daddr 10.0.0.{number} drop"] * 3 for number in range(4)}
BEFORE = table(counters("a", "b"), base=BASE, one=["goto b1"], b1=["drop", 'counter name "a" drop'], **OTHERS)


def test_a_text_is_taken_apart() -> None:
    assert known("# whose it is\n" + table(counters("a"), base=BASE, one=[])) == Written(
        frozenset({"a"}),
        {
            "peers": "\t\ttype ipv4_addr\n\t\tflags timeout\n",
            "ours": "\t\ttype fib_addrtype\n\t\tflags constant\n\t\telements = { local }\n",
        },
        {"base": f"\t\t{HOOK}", "one": ""},
        {"base": ("\t\tjump one",), "one": ()},
    )
    assert known(BEFORE).count == {"base": 1, "one": 1, "b1": 2} | dict.fromkeys(OTHERS, 3)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "table inet t {\n}\n",
        BEFORE + "delete table inet t\n",
        BEFORE + "table inet t {\n\tchain boot {\n\t\tdrop\n\t}\n}\n",
        "flush ruleset\n" + BEFORE,
        BEFORE.replace("\tcounter a", "\tquota a"),
        BEFORE.replace("inet t", "inet u"),
        BEFORE.replace("\t\tdrop", "drop"),
    ],
)
def test_a_text_that_says_more_than_what_the_table_is_is_not(text: str) -> None:
    assert written(text, "t") is None


def test_what_differs_is_changed_and_nothing_else() -> None:
    after = table(counters("b", "c"), base=BASE, one=["goto b2"], b2=['counter name "c" drop'], **OTHERS)
    assert between(BEFORE, after) == Rewriting(
        """\
table inet t {
	counter c {
	}

	chain b2 {
		counter name "c" drop
	}

}
flush chain inet t one
flush chain inet t b1
table inet t {
	chain one {
		goto b2
	}

}
delete chain inet t b1
delete counter inet t a
flush set inet t peers
""",
        ("b2", "one"),
        ("b1",),
    )


def test_of_a_base_chain_the_rules_change_and_the_hook_stays() -> None:
    changed = between(BEFORE, BEFORE.replace("\t\tjump one\n", "\t\tjump one\n\t\tdrop\n"))
    assert changed is not None
    assert "flush chain inet t base\n" in changed.text
    assert "\tchain base {\n\t\tjump one\n\t\tdrop\n\t}\n" in changed.text
    assert changed.chains == ("base",)


@pytest.mark.parametrize(
    "after",
    [
        BEFORE.replace("priority 0", "priority 1"),
        BEFORE.replace("elements = { local }", "elements = { local, anycast }"),
        BEFORE.replace(SET, ""),
        BEFORE.replace("chain base", "chain base2"),
        BEFORE.replace("chain one {", f"chain one {{\n\t\t{HOOK}"),
        BEFORE.replace("10.0.0.", "10.0.1."),
    ],
    ids=["hook", "members of a constant set", "no set", "another base chain", "a hook more", "nearly everything"],
)
def test_some_changes_are_those_of_the_whole(after: str) -> None:
    assert between(BEFORE, after) is None
