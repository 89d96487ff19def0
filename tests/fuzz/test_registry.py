"""No reader of octets is left out of the registry that the fuzz tests enumerate."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from types import CodeType, FrameType

from ipsecd import wire
from ipsecd.wire import registry_v1
from ipsecd.wire.decoders import DECODERS
from ipsecd.wire.registry import Payload

WIRE = Path(wire.__file__).parent


def refusing_functions() -> set[tuple[str, str]]:
    """Every function of the room that raises WireError itself, as (module, function)."""
    found = set()
    for path in WIRE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and "raise WireError(" in ast.unparse(node):
                found.add((path.stem, node.name))
    return found


def reached_functions() -> set[tuple[str, str]]:
    """Every function of the room that the samples of the registry run through."""
    codes: set[CodeType] = set()

    def note(frame: FrameType, event: str, arg: object) -> None:
        if event == "call":
            codes.add(frame.f_code)

    for module in [module for name, module in sys.modules.items() if name.startswith("ipsecd.wire.")]:
        for each in vars(module).values():
            if hasattr(each, "cache_clear"):  # what is remembered isn't reached again
                each.cache_clear()
    before = sys.getprofile()
    sys.setprofile(note)
    try:
        for decoder in DECODERS.values():
            for sample in decoder.samples:
                decoder.decode(sample)
    finally:
        sys.setprofile(before)
    return {(Path(code.co_filename).stem, code.co_name) for code in codes if Path(code.co_filename).parent == WIRE}


def test_every_function_that_can_refuse_octets_is_reached_by_a_sample() -> None:
    assert refusing_functions() - reached_functions() == set()


def test_every_payload_that_is_not_sealed_has_a_decoder() -> None:
    payloads = {f"payload-{kind.name.lower().replace('_', '-')}" for kind in Payload}
    assert payloads - DECODERS.keys() == {"payload-none", "payload-sk", "payload-skf"}


def test_every_payload_of_ikev1_that_has_a_meaning_has_a_decoder() -> None:
    payloads = {f"v1-{kind.name.lower().replace('_', '-')}" for kind in registry_v1.Payload}
    assert payloads - DECODERS.keys() == {"v1-none", "v1-proposal", "v1-transform", "v1-gss"}


def test_names_are_those_of_the_decoders() -> None:
    assert all(decoder.name == name for name, decoder in DECODERS.items())
