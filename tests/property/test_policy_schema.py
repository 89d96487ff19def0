"""Against a file that uses whatever there is, neither check nor the JSON schema has anything to say."""

from __future__ import annotations

import json

from hypothesis import given
from jsonschema import Draft202012Validator

from ipsecd.policy.check import check
from ipsecd.policy.schema import json_schema
from tests.property.policy_values import Tree, policy_files

VALIDATOR = Draft202012Validator(json_schema())


@given(policy_files(later=True))
def test_what_check_accepts_the_schema_accepts(tree: Tree) -> None:
    assert check(json.dumps(tree), "p.yaml").mistakes == ()
    assert [error.message for error in VALIDATOR.iter_errors(tree)] == []
