"""Machine code in what nft prints, as it sends a table and as it finds one."""

from __future__ import annotations

import pytest

from ipsecd.io.machine_code import machine_code

SENT = """\
inet (null) (null) use 0
clear t 10
clear t 0
ours t 2 size 2
ours t 0
\telement 00000002  : 0 [end]\telement 00000004  : 0 [end]
__map%d t 8f size 2
__map%d t 0
\telement 0000000a 00000006  - ffffff0a 00000006  : goto -> v1 0 [end]\
\telement 0000010a 00000000  - 0900010a 000000ff  : return 0 [end]
inet t u
  [ payload load 4b @ network header + 12 => reg 1 ]
  [ meta load l4proto => reg 9 ]
  [ lookup reg 1 set __map%d dreg 0 ]

__set%d t 3 size 2
__set%d t 0
\telement 00000006  : 0 [end]\telement 00000011  : 0 [end]
inet t u
  [ meta load l4proto => reg 1 ]
  [ lookup reg 1 set __set%d ]
  [ immediate reg 0 return ]

inet t v1
  [ lookup reg 1 set clear ]
  [ objref type 1 name d1 ]
  [ immediate reg 0 drop ]

clear t 0
\telement 04030201  : 0 [end]
"""
HELD = """\
inet t @clear
\telement 04030201 05030201  : 0 [end]
inet t @ours
\telement 00000004  : 0 [end]
\telement 00000002  : 0 [end]
inet t @__map0
\telement 0000010a 00000000  - 0900010a 000000ff  : return 0 [end]
\telement 0000000a 00000006  - ffffff0a 00000006  : goto -> v1 0 [end]
inet t @__set0
\telement 00000011  : 0 [end]
\telement 00000006  : 0 [end]
inet t v1 5
  [ lookup reg 1 set clear 0x0 ]
  [ objref type 1 name d1 ]
  [ immediate reg 0 drop ]

inet t u 7
  [ payload load 4b @ network header + 12 => reg 1 ]
  [ meta load l4proto => reg 9 ]
  [ lookup reg 1 set __map0 dreg 0 0x0 ]

inet t u 9 7
  [ meta load l4proto => reg 1 ]
  [ lookup reg 1 set __set0 0x0 ]
  [ immediate reg 0 return ]

inet others @__map0
\telement 00000001  : drop 0 [end]
inet others u 3
  [ lookup reg 1 set __map0 dreg 0 0x0 ]

"""


def test_what_was_sent_is_what_is_held_in_whatever_order_maps_and_sets_are() -> None:
    assert machine_code(SENT, "t", ["ours"]) == machine_code(HELD, "t", ["ours"])
    assert [len(rules) for rules in machine_code(HELD, "t").values()] == [1, 2]


@pytest.mark.parametrize(
    ("held", "instead"),
    [
        ("goto -> v1 0", "goto -> v2 0"),
        ("return 0", "drop 0"),
        ("- ffffff0a 00000006", "- ffffff0a 00000007"),
        ("\telement 00000011  : 0 [end]\n", ""),
        ("set __map0 dreg 0", "set __set0 dreg 0"),
        ("\telement 00000002  : 0 [end]\n", "\telement 00000003  : 0 [end]\n"),
        ("set clear 0x0", "set cleared 0x0"),
        ("immediate reg 0 drop", "immediate reg 0 accept"),
    ],
)
def test_whatever_differs_is_seen(held: str, instead: str) -> None:
    assert held in HELD
    assert machine_code(HELD.replace(held, instead, 1), "t", ["ours"]) != machine_code(SENT, "t", ["ours"])
