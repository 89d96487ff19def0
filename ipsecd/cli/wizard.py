"""Asks for what makes a policy, and makes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import click

from ipsecd.cli.questions import VERSIONS, Answers, Question, negotiates, number_or_word, proves_by, tunnelled
from ipsecd.policy.complaint import Complaint
from ipsecd.policy.paths import Value

_CREDENTIALS: Final = {"certificate": "machine-certificate", "kerberos": "machine"}


def options(questions: Sequence[Question]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An option for each question."""

    def with_options(command: Callable[..., Any]) -> Callable[..., Any]:
        for question in reversed(questions):
            kind = click.Choice(question.choices) if question.choices else None
            command = click.option(question.option, type=kind, help=f"{question.whole_text}.")(command)
        return command

    return with_options


def ask(questions: Sequence[Question], given: Mapping[str, str], *, quiet: bool = False) -> dict[str, str]:
    """The answers: those given, and for what is open the user's, or if ``quiet`` the defaults. Raises click.UsageError
    for what is given and isn't asked, or can't be so."""
    answers: dict[str, str] = {}
    for question in questions:
        if not question.asked(answers):
            if question.name in given:
                told = f"{question.option} means nothing with the other answers: it belongs to {question.belongs_to}."
                raise click.UsageError(told)
        elif question.name in given:
            answers[question.name] = _checked(question, given[question.name])
        elif quiet:
            answers[question.name] = _default(question, answers)
        else:
            answers[question.name] = _prompted(question, answers)
    return answers


def _default(question: Question, answers: Answers) -> str:
    default = question.default_of(answers)
    if default is None:
        told = f"{question.option} has no default here, and so has to be given with --yes"
        raise click.UsageError(f"{told}. {question.text}: for example {question.option} {question.example}")
    return default


def _prompted(question: Question, answers: Answers) -> str:
    default = question.default_of(answers)
    kind = click.Choice(question.choices) if question.choices else None
    text = question.whole_text if default is None else question.text
    answer: str = click.prompt(
        text, default, type=kind, value_proc=None if kind else partial(_checked, question), show_default=bool(default),
        err=True,
    )  # fmt: skip
    return answer


def _checked(question: Question, text: str) -> str:
    try:
        question.check(text.strip())
    except Complaint as error:
        told = "; ".join(f"{each.message} ({each.hint})" if each.hint else each.message for each in error.remarks)
        raise click.BadParameter(told, param_hint=f"'{question.option}'") from None
    return text.strip()


def policy_of(answers: Answers) -> dict[str, Value]:
    """The policy file that these answers describe."""
    policy: dict[str, Value] = {"rules": [_rule(answers)]}
    if answers["description"]:
        policy["description"] = answers["description"]
    if method := answers.get("default_response_authentication"):
        policy["default_response"] = {"authentication": [_method(method, answers)]}
    if (versions := answers.get("versions", "ikev2")) != "ikev2":
        policy["key_exchange"] = {"versions": [*VERSIONS[versions]]}
    credentials = _credentials(answers)
    return {**({"credentials": credentials} if credentials else {}), "policies": {answers["name"]: policy}}


def lockout(answers: Answers) -> str:
    """A warning where the rule leaves this machine nobody to talk to but those who hold to it; empty if there is no
    need."""
    if answers["traffic"] != "all-ip" or answers["action"] not in ("block", "require-security"):
        return ""
    who = "nobody gets through" if answers["action"] == "block" else "only peers that prove who they are get through"
    return (
        f"this rule is for all that this machine sends and gets, DNS and SSH too: once it is assigned, {who}; rules "
        "that permit may be added beside it"
    )


def _rule(answers: Answers) -> dict[str, Value]:
    rule: dict[str, Value] = {"name": answers["rule"], "action": answers["action"]}
    if answers["traffic"] == "filter":
        rule["filters"] = [_filter(answers)]
    else:
        rule["filter_list"] = answers["traffic"]
    if tunnelled(answers):
        rule["tunnel"] = {"local": answers["tunnel_local"], "remote": answers["tunnel"]}
        identity: dict[str, Value] = {
            side: answers[f"{side}_identity"] for side in ("local", "remote") if answers[f"{side}_identity"]
        }
        if identity:
            rule["identity"] = identity
    if negotiates(answers):
        rule["authentication"] = [_method(answers["authentication"], answers)]
    if answers["connections"] != "all":
        rule["connections"] = answers["connections"]
    return rule


def _filter(answers: Answers) -> dict[str, Value]:
    found: dict[str, Value] = {"source": answers["source"], "destination": answers["destination"]}
    for field in ("protocol", "source_port", "destination_port"):
        if answers.get(field, "any") != "any":
            found[field] = number_or_word(answers[field])
    if answers["mirrored"] == "no":
        found["mirrored"] = False
    return found


def _method(method: str, answers: Answers) -> dict[str, Value]:
    return {method: answers["credential"] if method == "psk" else _CREDENTIALS[method]}


def _credentials(answers: Answers) -> dict[str, Value]:
    found: dict[str, Value] = {}
    if "key_file" in answers:
        found[answers["credential"]] = {"psk": {"file": answers["key_file"]}}
    if proves_by("certificate")(answers):
        found[_CREDENTIALS["certificate"]] = {
            "certificate": {
                "chain": answers["certificate_file"],
                "key": answers["certificate_key"],
                "authorities": [answers["authority_file"]],
            }
        }
    if proves_by("kerberos")(answers):
        found[_CREDENTIALS["kerberos"]] = {"kerberos": {}}
    return found
