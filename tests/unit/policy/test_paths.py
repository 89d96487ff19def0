"""What is shown of a path, and what may be a key."""

from __future__ import annotations

from typing import Any

import pytest

from ipsecd.policy.paths import CREDENTIAL_KINDS, PRIVATE_FIELDS, Path, dotted, is_private
from ipsecd.policy.schema import json_schema


def test_a_path_reads_as_people_would_write_it_and_is_fit_for_terminals() -> None:
    assert dotted(("policies", "branch", "rules", 0, "name"), {}) == "policies.branch.rules.0.name"
    assert dotted(("policies", "a\x1b[2Jb", 3), {}) == "policies.a\\x1b[2Jb.3"
    assert dotted((), {}) == ""


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (("credentials", "hq", "psk", "file"), "credentials.hq.psk.file"),
        (("credentials", "hq", "psk", "S3cret"), "credentials.hq.psk.…"),
        (("credentials", "hq", "S3cret", "deeper", 0), "credentials.hq.….….0"),
        (("credentials", "half"), "credentials.…"),
        (("credentials", "half", "file"), "credentials.….file"),
        (("credentials", "text"), "credentials.…"),
        (("credentials", "none", "psk"), "credentials.….psk"),
        (("policies", "p", "rules", 0, "authentication", 0, "psk"), "policies.p.rules.0.authentication.0.psk"),
        (("policies", "p", "rules", 0, "authentication", 0, "S3cret"), "policies.p.rules.0.authentication.0.…"),
        (("policies", "p", "rules", 0, "psk", "S3cret"), "policies.p.rules.0.psk.…"),
        (("policies", "p", "credentials", "hq"), "policies.p.credentials.…"),
        (("psk", "S3cret"), "psk.…"),
        # things may be called so
        (("policies", "authentication", "rules", 0), "policies.authentication.rules.0"),
        (("filter_lists", "psk", 0, "source"), "filter_lists.psk.0.source"),
    ],
)
def test_words_that_may_be_keys_are_left_out(path: Path, shown: str) -> None:
    whole: Any = {"credentials": {"hq": {"psk": {"file": "f"}}, "half": {"file": "f"}, "text": "S3cret"}}
    assert dotted(path, whole) == shown
    assert dotted(path[:2], []) in (".".join(map(str, path[:2])), f"{path[0]}.…")


def test_values_below_what_holds_keys_are_private() -> None:
    assert is_private(("credentials", "hq", "psk", "file"))
    assert is_private(("credentials",))
    assert is_private(("policies", "p", "default_response", "authentication", 0, "psk"))
    assert is_private(("persistent", "rules", 0, "authentication"))
    assert not is_private(("policies", "credentials", "rules"))
    assert not is_private(("policies", "p", "rules", 0, "identity", "local"))
    assert not is_private(())


_PRIVATE = ("Credential", "PskSource", "CertificateSource", "KerberosSource", "Xauth")


def test_the_words_that_are_shown_there_are_those_of_the_grammar() -> None:
    parts = json_schema()["$defs"]
    fields = [parts[name]["properties"] for name in _PRIVATE]
    assert {*PRIVATE_FIELDS} == {word for part in fields for word in part}
    assert {*parts["Authentication"]["properties"]} == {*parts["Credential"]["properties"]} == {*CREDENTIAL_KINDS}
