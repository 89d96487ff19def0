"""`ipsecctl policy new`: what is asked, what can be given instead, and what comes of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ipsecd.cli import ipsecctl
from ipsecd.cli.questions import QUESTIONS
from ipsecd.policy.check import check

TUNNEL = {
    "name": "branch",
    "description": "Branch, office",
    "default-response": "no",
    "rule": "to-hq",
    "traffic": "filter",
    "source": "10.1.0.0/16",
    "destination": "10.2.0.0/16",
    "protocol": "tcp",
    "source-port": "any",
    "destination-port": "443",
    "mirrored": "yes",
    "action": "require-security",
    "connections": "all",
    "tunnel": "any",
    "tunnel-local": "192.0.2.1",
    "local-identity": "",
    "remote-identity": "gw.hq.example",
    "authentication": "psk",
    "credential": "hq",
    "key-file": "secrets/hq.psk",
    "versions": "ikev2",
}
DOMAIN = {
    "name": "domain",
    "description": "",
    "default-response": "yes",
    "default-response-authentication": "kerberos",
    "rule": "everything",
    "traffic": "all-ip",
    "action": "request-security",
    "connections": "lan",
    "tunnel": "none",
    "authentication": "certificate",
    "certificate-file": "tls/host.pem",
    "certificate-key": "tls/host.key",
    "authority-file": "tls/ca.pem",
    "versions": "both",
}
OPEN = {
    "name": "open",
    "description": "",
    "default-response": "no",
    "rule": "one-way",
    "traffic": "filter",
    "source": "me",
    "destination": "any",
    "protocol": "47",
    "mirrored": "no",
    "action": "permit",
    "connections": "all",
}
WRITTEN = {
    "branch": """\
credentials:
  hq: {psk: {file: secrets/hq.psk}}

policies:
  branch:
    description: Branch, office
    rules:
      - name: to-hq
        filters:
          - {source: 10.1.0.0/16, destination: 10.2.0.0/16, protocol: tcp, destination_port: 443}
        action: require-security
        tunnel: {local: 192.0.2.1, remote: any}
        identity: {remote: gw.hq.example}
        authentication: [{psk: hq}]
""",
    "domain": """\
credentials:
  machine-certificate: {certificate: {chain: tls/host.pem, key: tls/host.key, authorities: [tls/ca.pem]}}
  machine: {kerberos: {}}

policies:
  domain:
    rules:
      - name: everything
        filter_list: all-ip
        action: request-security
        authentication: [{certificate: machine-certificate}]
        connections: lan
    default_response: {authentication: [{kerberos: machine}]}
    key_exchange: {versions: [ikev2, ikev1]}
""",
    "open": """\
policies:
  open:
    rules:
      - name: one-way
        filters:
          - {source: me, destination: any, protocol: 47, mirrored: false}
        action: permit
""",
}


def new(*words: str | Path, typed: str | None = None, code: int = 0) -> Result:
    """`ipsecctl policy new WORDS`, with what somebody types."""
    done = CliRunner().invoke(ipsecctl.main, ["policy", "new", *map(str, words)], input=typed, prog_name="ipsecctl")
    assert done.exit_code == code, done.output
    return done


def as_options(answers: dict[str, str]) -> list[str]:
    return [word for name, answer in answers.items() for word in (f"--{name}", answer)]


def as_typed(answers: dict[str, str]) -> str:
    return "".join(f"{answer}\n" for answer in answers.values())


@pytest.mark.parametrize("answers", [TUNNEL, DOMAIN, OPEN], ids=list(WRITTEN))
def test_what_is_typed_and_what_is_given_come_to_the_same_file(answers: dict[str, str], tmp_path: Path) -> None:
    """And it passes the check."""
    path = tmp_path / "policy.yaml"
    expected = WRITTEN[answers["name"]]
    typed = new("--into", path, typed=as_typed(answers) + "y\n")
    assert (typed.stdout, path.read_text()) == (expected, expected)
    path.unlink()
    given = new("--into", path, "--yes", "--unsupported", *as_options(answers))
    assert (given.stdout, path.read_text()) == (expected, expected)
    assert check(expected, "y").good


def test_every_question_is_asked_in_one_of_these_policies() -> None:
    asked = {name for answers in (TUNNEL, DOMAIN, OPEN) for name in answers}
    assert {question.option[2:] for question in QUESTIONS} == asked


@pytest.mark.parametrize("left_out", [question.option[2:] for question in QUESTIONS])
def test_what_has_no_option_is_asked_for_and_nothing_else(left_out: str, tmp_path: Path) -> None:
    answers = next(each for each in (TUNNEL, DOMAIN, OPEN) if left_out in each)
    given = {name: answer for name, answer in answers.items() if name != left_out}
    done = new("--into", tmp_path / "p.yaml", *as_options(given), typed=f"{answers[left_out]}\ny\n")
    (text,) = (question.text for question in QUESTIONS if question.option[2:] == left_out)
    prompts = {
        f"{text}{mark}": question.text
        for question in QUESTIONS
        for text in (question.text, question.whole_text)
        for mark in (" [", " (", ":")
    }
    lines = done.stderr.splitlines()
    assert [asked for prompt, asked in prompts.items() if any(line.startswith(prompt) for line in lines)] == [text]
    assert done.stdout == WRITTEN[answers["name"]]


def test_an_empty_answer_is_the_default(tmp_path: Path) -> None:
    """The name has none; our identity needn't be told where our address is known."""
    path = tmp_path / "p.yaml"
    typed = "simple\n" + "\n" * 6 + "192.0.2.2\n192.0.2.1\n" + "\n" * 7
    assert new("--into", path, typed=typed).stdout == (
        """\
credentials:
  rule: {psk: {file: secrets/rule.psk}}

policies:
  simple:
    rules:
      - name: rule
        filter_list: all-ip
        action: require-security
        tunnel: {local: 192.0.2.1, remote: 192.0.2.2}
        authentication: [{psk: rule}]
"""
    )
    assert path.read_text() == new("--yes", "--replace", "--into", path, "--name", "simple", "--tunnel", "192.0.2.2",
                                   "--tunnel-local", "192.0.2.1").stdout  # fmt: skip


def test_without_a_tunnel_the_rule_protects_from_host_to_host(tmp_path: Path) -> None:
    text = new("--yes", "--into", tmp_path / "p.yaml", "--name", "hosts", "--action", "request-security").stdout
    assert (
        text
        == """\
credentials:
  rule: {psk: {file: secrets/rule.psk}}

policies:
  hosts:
    rules:
      - name: rule
        filter_list: all-ip
        action: request-security
        authentication: [{psk: rule}]
"""
    )
    verdict = check("assigned: hosts\n" + text, "p.yaml")
    assert (verdict.mistakes, verdict.refused, verdict.notes) == ((), (), ())


def test_an_answer_that_can_not_be_is_asked_for_again(tmp_path: Path) -> None:
    typed = as_typed(
        OPEN | {"name": "1st\nopen", "source": "10.1.0.1/16\nme", "protocol": "tpc\n47", "action": "x\npermit"}
    )
    done = new("--into", tmp_path / "p.yaml", typed=typed + "y\n")
    assert done.stdout == WRITTEN["open"]
    for told in (
        "'1st' isn't fit as a name (a letter, then letters, digits, '_', '.' or '-')",
        "10.1.0.1/16 has bits set behind its prefix (the subnet is 10.1.0.0/16, the address 10.1.0.1)",
        "'tpc' isn't a protocol known by name (did you mean 'tcp'?)",
    ):
        assert f"Error: {told}\n" in done.stderr or f": {told}\n" in done.stderr
    assert "'x' is not one of 'permit', 'block', 'request-security', 'require-security'." in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--name", "1st"), "Invalid value for '--name': '1st' isn't fit as a name"),
        (("--name", "a", "--tunnel", "me"), "Invalid value for '--tunnel': me may be several addresses"),
        (("--name", "a", "--action", "permit", "--tunnel", "any"),
         ("--tunnel means nothing with the other answers: it belongs to an --action that negotiates, such as "
         "require-security.")),
        (("--name", "a", "--source", "me"),
         "--source means nothing with the other answers: it belongs to --traffic filter."),
        (("--name", "a", "--traffic", "filter", "--source-port", "9"),
         ("--source-port means nothing with the other answers: it belongs to --traffic filter and a protocol with "
         "ports, such as --protocol tcp.")),
        (("--name", "a", "--authentication", "kerberos", "--key-file", "k"),
         ("--key-file means nothing with the other answers: it belongs to --authentication psk and a --credential that "
         "the file hasn't yet.")),
        ((), ("--name has no default here, and so has to be given with --yes. "
             "Name of the policy: for example --name office")),
        (("--name", "a", "--tunnel", "gw.example"),
         ("--local-identity has no default here, and so has to be given with --yes. "
         "Who we are: for example --local-identity gw.office.example")),
        (("--name", "a", "--tunnel", "any", "--tunnel-local", "192.0.2.1"),
         ("--remote-identity has no default here, and so has to be given with --yes. "
         "Who the peer is: for example --remote-identity gw.hq.example")),
        (("--name", "a", "--connections", "moon"), "'moon' is not one of 'all', 'lan', 'remote-access'."),
    ],
)  # fmt: skip
def test_options_that_can_not_be_are_wrong_usage(words: tuple[str, ...], told: str, tmp_path: Path) -> None:
    done = new("--yes", "--output", tmp_path / "p.yaml", *words, code=2)
    assert told in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_without_a_yes(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    done = new("--into", path, *as_options(OPEN), typed="n\n", code=1)
    assert done.stderr.endswith(f"Write it into {path}? [Y/n]: n\nipsecctl: nothing is written\n")
    assert new("--into", path, *as_options(OPEN), typed="", code=1).stderr.endswith("Aborted!\n")
    assert list(tmp_path.iterdir()) == []


def test_the_policy_stands_beside_those_that_are_there(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("# Ours.\npolicies:\n  first: {rules: []}   # empty\n")
    told = new("--into", path, "--yes", *as_options(OPEN)).stderr
    assert (
        path.read_text() == "# Ours.\npolicies:\n  first: {rules: []}   # empty\n" + WRITTEN["open"].partition("\n")[2]
    )
    assert f"{path} is written; if that is the daemon's file, ipsecctl assign open puts it in force" in told


@pytest.mark.parametrize("by", ["--file", "IPSECD_POLICY"])
def test_the_policy_file_is_where_it_goes(tmp_path: Path, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "own.yaml"
    monkeypatch.setenv("IPSECD_POLICY", str(file if by == "IPSECD_POLICY" else tmp_path / "another.yaml"))
    words = ["policy", "new", "--yes", "--name", "open", "--action", "permit"]
    done = CliRunner().invoke(ipsecctl.main, [*words, *(["--file", str(file)] if by == "--file" else [])])
    assert done.exit_code == 0, done.output
    assert [each.name for each in tmp_path.iterdir()] == ["own.yaml"]


def test_a_name_that_is_taken_is_told_before_anything_else_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("policies: {branch: {rules: []}}\n")
    told = "the file has a policy 'branch' already (take another name; --replace replaces it)"
    given = new("--into", path, "--yes", "--name", "branch", code=2)
    assert given.stderr.endswith(f"Error: Invalid value for '--name': {told}\n")
    typed = new("--into", path, typed="branch\nbranch-2\n", code=1)
    first, *others = typed.stderr.splitlines()
    assert first.startswith("Name of the policy, such as office: ")
    assert told in " ".join(others[:2])
    assert path.read_text() == "policies: {branch: {rules: []}}\n"
    replaced = new("--into", path, "--yes", "--replace", *as_options(OPEN | {"name": "branch"}))
    assert "rule" in replaced.stdout


def test_a_key_that_the_file_has_is_used_and_not_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("credentials: {hq: {psk: {systemd: hq.psk}}}\n")
    given = {name: answer for name, answer in TUNNEL.items() if name != "key-file"}
    done = new("--into", path, "--yes", *as_options(given))
    assert done.stdout == WRITTEN["branch"].partition("\n\n")[2]
    assert "key yet" not in done.stderr
    assert path.read_text().startswith("credentials: {hq: {psk: {systemd: hq.psk}}}\n")


def test_a_key_that_is_not_there_yet_is_to_be_written(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    told = f"there is no key yet: write it into {tmp_path}/secrets/hq.psk, readable by the user ipsecd alone; "
    told += "the peer needs the same\n"
    assert new("--into", path, "--yes", *as_options(TUNNEL)).stderr.endswith(told)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "hq.psk").write_text("0123456789abcdefghij")
    assert "key yet" not in new("--into", path, "--yes", "--replace", *as_options(TUNNEL)).stderr


def test_a_file_with_mistakes_is_told_before_anything_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("policies: []\n")
    done = new("--into", path, typed="", code=1)
    assert done.stderr == f"{path}:1:11: policies: expected a mapping of names\nipsecctl: {path} has mistakes\n"


def test_what_this_release_can_not_put_in_force_is_written_only_when_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    given = as_options(TUNNEL | {"authentication": "kerberos"})
    given = [*given[: given.index("--credential")], "--versions", "ikev2"]
    refused = new("--into", path, "--yes", *given, code=1)
    assert "not supported yet: Kerberos [note]\n" in refused.stderr
    assert refused.stderr.endswith(
        "ipsecctl: nothing is written: this release can't put that policy in force (what isn't supported yet stands "
        "above; other answers, or --unsupported to write it all the same)\n"
    )
    question = (
        "This release can't put that policy in force: what isn't supported yet stands above. "
        f"Write it into {path} all the same? [y/N]:"
    )
    assert question in new("--into", path, *given, typed="\n", code=1).stderr
    assert not path.exists()
    new("--into", path, *given, typed="y\n")
    assert "kerberos" in path.read_text()
    new("--into", path, "--yes", "--unsupported", "--replace", *given)


@pytest.mark.parametrize(
    ("action", "who"),
    [("block", "nobody gets through"), ("require-security", "only peers that prove who they are get through")],
)
def test_a_rule_that_cuts_the_machine_off_is_warned_of(action: str, who: str, tmp_path: Path) -> None:
    """Before somebody who is logged in over the network assigns it."""
    words = ("--output", tmp_path / "p.yaml", "--yes", "--unsupported", "--replace", "--name", "p", "--action", action)
    warning = "this rule is for all that this machine sends and gets, DNS and SSH too: once it is assigned, "
    assert f"{warning}{who}; rules that permit may be added beside it\n" in new(*words).stderr
    assert warning not in new(*words, "--traffic", "all-icmp").stderr


@pytest.mark.parametrize("action", ["permit", "block", "require-security"])
@pytest.mark.parametrize("traffic", ["all-ip", "all-icmp", "filter"])
def test_what_the_defaults_of_a_tunnel_come_to_can_be_put_in_force(action: str, traffic: str, tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    tunnel = ["--tunnel", "192.0.2.2", "--tunnel-local", "192.0.2.1"] if action == "require-security" else []
    new("--into", path, "--yes", "--name", "p", "--action", action, "--traffic", traffic, *tunnel)
    assert check("assigned: p\n" + path.read_text(), "y").refused == ()


def test_what_the_check_refuses_is_not_written(tmp_path: Path) -> None:
    """Two answers that are right each for itself."""
    given = OPEN | {"source": "10.0.0.1", "destination": "fd01::1"}
    done = new("--output", tmp_path / "p.yaml", "--yes", *as_options(given), code=1)
    assert "the source is IPv4, the destination IPv6: no packet is both" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_certificates_are_for_a_policy_of_ikev1_alone(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    given = as_options({**DOMAIN, "default-response": "no", "versions": "ikev1"})
    at = given.index("--default-response-authentication")
    written = new("--into", path, "--yes", *given[:at], *given[at + 2 :]).stdout
    assert "    key_exchange: {versions: [ikev1]}\n" in written
    refused = new("--into", path, "--yes", "--replace", *given[:at], *given[at + 2 : -1], "ikev2", code=1)
    assert "not supported yet: certificates by IKEv2, which this policy allows [note]\n" in refused.stderr
