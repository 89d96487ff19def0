"""`ipsecctl policy` on policy files: list, show, export, import. No daemon is asked."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from click.testing import Result

from ipsecd.policy.check import check
from ipsecd.policy.parsing import parse
from tests.unit.cli.scripted import Scripted, always
from tests.unit.daemon.daemons import ctl

FILE = """\
# Ours.
assigned: branch
settings: {mtu: 1400}
credentials:
  hq: {psk: {file: secrets/hq.psk}}    # from the safe
  other: {psk: {file: secrets/other.psk}}
filter_lists:
  web: [{source: me, destination: any, protocol: tcp, destination_port: 443}]
  mail: [{source: me, destination: any, protocol: tcp, destination_port: 25}]
filter_actions:
  strong: {action: negotiate, pfs: true}
  weak: {action: negotiate}
policies:
  branch:
    description: To headquarters
    rules:
      - {name: web, filter_list: web, action: strong, tunnel: {local: 192.0.2.1, remote: 192.0.2.2}, authentication: [{psk: hq}]}
      - {name: ping, filter_list: all-icmp, action: permit}
  closed:
    rules: [{name: all, filter_list: all-ip, action: block}]
"""  # noqa: E501 - a rule in one line
BRANCH = """\
credentials:
  hq: {psk: {file: secrets/hq.psk}}

filter_lists:
  web:
    - {source: me, destination: any, protocol: tcp, destination_port: 443}

filter_actions:
  strong:
    action: negotiate
    pfs: true

policies:
  branch:
    description: To headquarters
    rules:
      - name: web
        filter_list: web
        action: strong
        tunnel: {local: 192.0.2.1, remote: 192.0.2.2}
        authentication: [{psk: hq}]
      - name: ping
        filter_list: all-icmp
        action: permit
"""
NETSH = """\
netsh ipsec static add policy name="New One" activatedefaultrule=no
netsh ipsec static add filter filterlist=web srcaddr=me dstaddr=10.0.0.1
netsh ipsec static add rule name=web policy="New One" filterlist=web filteraction=Permit
"""
NEW_ONE = """\
filter_lists:
  web:
    - {source: me, destination: 10.0.0.1}

policies:
  new-one:
    rules:
      - name: web
        filter_list: web
        action: permit
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(FILE)
    return path


def policy(*words: str | Path, code: int = 0) -> Result:
    """`ipsecctl policy WORDS`, where no daemon is."""
    done = ctl(Path("/nowhere"), "policy", *map(str, words))
    assert done.exit_code == code, done.output
    return done


# --- list, show, export ----------------------------------------------------------------------------------------------


def test_list_has_the_policies_of_the_file_and_marks_the_assigned_one(file: Path) -> None:
    lines = policy("list", "--file", file).stdout.splitlines()
    shown = [line.split() for line in lines if line.strip() and "──" not in line]
    assert shown == [
        ["policy", "rules", "description"],
        ["branch", "assigned", "2", "To", "headquarters"],
        ["closed", "1"],
    ]


@pytest.mark.parametrize("before", [True, False])
def test_list_has_a_form_for_programs(file: Path, before: bool) -> None:
    words = ["policy", "list", "--file", str(file)]
    done = ctl(Path("/nowhere"), *(["--json", *words] if before else [*words, "--json"]))
    assert json.loads(done.stdout) == {
        "file": str(file),
        "policies": [
            {"name": "branch", "assigned": True, "rules": 2, "description": "To headquarters"},
            {"name": "closed", "assigned": False, "rules": 1, "description": ""},
        ],
    }


def test_the_command_without_a_command_asks_the_daemon_as_ever(tmp_path: Path) -> None:
    answer = {"policy": "p", "file": "f", "entries": [], "peers": []}
    with Scripted(tmp_path / "control", always(answer)) as server:
        for words in (("--json", "policy"), ("policy", "--json")):
            assert json.loads(ctl(server.path, *words).stdout) == answer
    assert [request["command"] for request in server.asked] == ["policy", "policy"]


def test_a_policy_is_assigned_among_the_other_commands_too(tmp_path: Path) -> None:
    answer = {"policy": None, "bare": False}
    with Scripted(tmp_path / "control", always(answer)) as server:
        for words in (("--json", "policy", "unassign"), ("policy", "--json", "unassign"), ("unassign", "--json")):
            assert json.loads(ctl(server.path, *words).stdout) == answer
    assert [request["command"] for request in server.asked] == ["unassign"] * 3


def test_show_writes_one_policy_as_it_stands_in_the_file(file: Path) -> None:
    assert policy("show", "branch", "--file", file).stdout == BRANCH[BRANCH.index("policies:") :]


def test_export_has_what_the_policy_needs_and_nothing_else(file: Path) -> None:
    shown = policy("export", "branch", "--file", file).stdout
    assert shown == BRANCH
    assert check(shown, "y").good


def test_export_has_the_password_of_a_user_and_what_is_written_of_ikev1_as_it_is(tmp_path: Path) -> None:
    example = (Path(__file__).parents[3] / "etc/examples/ikev1-client.yaml").read_text()
    text = example.replace("alice: {psk", "other: {psk: {file: other}}\n  alice: {psk")
    (tmp_path / "p.yaml").write_text(text)
    shown = policy("export", "hq", "--file", tmp_path / "p.yaml").stdout
    told = parse(example, "p").value
    assert isinstance(told, dict)
    assert parse(shown, "p").value == {name: value for name, value in told.items() if name != "assigned"}
    assert "        xauth: {user: alice, password: alice, hybrid: true}\n" in shown


def test_export_without_a_name_has_all_policies_and_no_assignment(file: Path, tmp_path: Path) -> None:
    shown = policy("export", "--file", file).stdout
    assert shown.startswith("credentials:\n  hq:")
    assert shown.endswith(
        "  closed:\n    rules:\n      - name: all\n        filter_list: all-ip\n        action: block\n"
    )
    policy("export", "--file", file, "--output", tmp_path / "new.yaml")
    assert (tmp_path / "new.yaml").read_text() == shown
    assert "is there already" in policy("export", "--file", file, "--output", file, code=1).stderr


def test_what_is_written_into_a_new_file_follows_no_link_that_leads_nowhere(file: Path, tmp_path: Path) -> None:
    link, planted = tmp_path / "link.yaml", tmp_path / "planted"
    link.symlink_to(planted)
    for command in (("export", "--file", file), ("import", file)):
        assert "is there already" in policy(*command, "--output", link, code=1).stderr
    assert not planted.exists()


@pytest.mark.parametrize("command", ["show", "export"])
def test_a_policy_that_is_not_there_is_named_with_one_that_may_be_meant(file: Path, command: str) -> None:
    told = policy(command, "brunch", "--file", file, code=1).stderr
    assert told == f"ipsecctl: {file} has no policy 'brunch' (did you mean 'branch'?)\n"


def test_a_file_with_mistakes_or_none_at_all_is_refused_with_all_of_them(file: Path) -> None:
    file.write_text("assigned: x\nsettings: {mtu: 1}\n")
    assert policy("list", "--file", file, code=1).stderr == (
        f"{file}:1:11: assigned: there is no policy 'x'\n"
        f"{file}:2:17: settings.mtu: 1 is out of range (at least 1280)\n"
        f"ipsecctl: {file} has mistakes\n"
    )
    told = policy("list", "--file", file.with_name("none"), code=1).stderr
    advice = "(--file names another, ipsecctl policy new makes one)"
    assert told == f"ipsecctl: can't read the policy {file.with_name('none')}: No such file or directory {advice}\n"


# --- import ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.bat"
    path.write_text(NETSH)
    return path


def test_import_shows_the_file_and_says_its_remarks_apart(script: Path) -> None:
    done = policy("import", script)
    assert done.stdout == NEW_ONE
    assert done.stderr == (
        f"{script}:1:36: 'New One' is called new-one here [remark]\n"
        "policy:1:1: no policy is assigned: nothing is protected (assigned: one of new-one) [note]\n"
    )


def test_import_writes_a_file_that_everybody_may_read_and_none_that_is_there(script: Path, tmp_path: Path) -> None:
    path = tmp_path / "new.yaml"
    told = policy("import", script, "--output", path).stderr
    assert f"{path} is written; if that is the daemon's file, ipsecctl assign new-one puts it in force" in told
    assert path.read_text() == NEW_ONE
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    script.write_text(NETSH.replace("policy name=", "policy assign=yes name="))
    told = policy("import", script, "--output", path, "--replace").stderr
    assert f"{path} is written; if that is the daemon's file, ipsecctl reload puts it in force" in told
    script.write_text(NETSH)
    path.write_text("mine")
    assert "--replace writes it anew, --into adds to it" in policy("import", script, "--output", path, code=1).stderr
    assert path.read_text() == "mine"
    policy("import", script, "--output", path, "--replace")
    assert path.read_text() == NEW_ONE


def test_import_puts_policies_beside_what_a_file_has_and_keeps_its_mode_and_comments(file: Path, script: Path) -> None:
    file.write_text(FILE.replace("  web: [", "  http: [").replace("filter_list: web", "filter_list: http"))
    file.chmod(0o640)
    before = file.read_text()
    policy("import", script, "--into", file)
    after = file.read_text()
    assert after == before.replace(
        "filter_actions:", "  web:\n    - {source: me, destination: 10.0.0.1}\nfilter_actions:"
    ) + ("  new-one:\n    rules:\n      - name: web\n        filter_list: web\n        action: permit\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert sorted(path.name for path in file.parent.iterdir()) == ["policy.yaml", "script.bat"]


def test_import_changes_nothing_that_has_the_same_name_unless_it_is_told_to(file: Path, script: Path) -> None:
    assert policy("import", script, "--into", file, code=1).stderr.endswith(
        f"{file}:8:3: filter_lists.web: there is a filter list 'web' already\n"
        "ipsecctl: nothing is written (--replace puts the new ones in their place)\n"
    )
    assert file.read_text() == FILE
    policy("import", script, "--into", file, "--replace")
    assert "  web:\n    - {source: me, destination: 10.0.0.1}\n  mail:" in file.read_text()


def test_import_follows_a_link_to_the_file(file: Path, script: Path, tmp_path: Path) -> None:
    (tmp_path / "link.yaml").symlink_to(file)
    policy("import", script, "--into", tmp_path / "link.yaml", "--replace")
    assert (tmp_path / "link.yaml").is_symlink()
    assert "new-one:" in file.read_text()


def test_import_makes_the_file_where_there_is_none(script: Path, tmp_path: Path) -> None:
    policy("import", script, "--into", tmp_path / "fresh.yaml")
    assert (tmp_path / "fresh.yaml").read_text() == NEW_ONE


def test_import_takes_policies_from_another_policy_file(file: Path, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("policies: {other: {rules: []}}\n")
    told = policy("import", file, "--into", tmp_path / "other.yaml").stderr
    assert "not taken over, as a machine has them once: assigned, settings\n" in told
    after = (tmp_path / "other.yaml").read_text()
    assert check(after, "y").good
    assert "  other:\n    rules: []\n  branch:" in after
    assert "assigned" not in after


REFUSED = """
credentials: {k: {kerberos: {}}}
policies:
  old: {rules: [{name: r, filter_list: all-ip, action: require-security, authentication: [{kerberos: k}]}]}
"""


@pytest.mark.parametrize("assigned", ["", "assigned: old\n"])
def test_import_does_not_say_that_what_this_release_refuses_comes_in_force(tmp_path: Path, assigned: str) -> None:
    (tmp_path / "old.yaml").write_text(assigned + REFUSED)
    path = tmp_path / "new.yaml"
    told = policy("import", tmp_path / "old.yaml", "--into", path).stderr
    assert told.endswith(f"{path} is written, but this release can't put it in force: ipsecd check {path} says why\n")
    assert "puts it in force" not in told
    assert path.exists()


def test_so_it_is_where_persistent_rules_are_refused_with_whatever_policy(tmp_path: Path) -> None:
    rule = "{name: p, filter_list: all-ip, action: require-security, authentication: [{kerberos: k}]}"
    (tmp_path / "old.yaml").write_text(f"credentials: {{k: {{kerberos: {{}}}}}}\npersistent: {{rules: [{rule}]}}\n")
    path = tmp_path / "new.yaml"
    told = policy("import", tmp_path / "old.yaml", "--into", path).stderr
    assert f"{path} is written, but this release can't put it in force" in told


def test_import_says_which_of_several_policies_this_release_refuses(tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text("assigned: old\n" + REFUSED + "  one: {rules: []}\n  two: {rules: []}\n")
    path = tmp_path / "new.yaml"
    assert policy("import", tmp_path / "old.yaml", "--into", path).stderr.endswith(
        f"{path} is written; if that is the daemon's file, ipsecctl assign puts one of them in force: one, two\n"
        f"this release can't put in force: old; ipsecd check {path} says why\n"
    )


def test_import_says_how_one_of_several_policies_comes_in_force_and_which_keys_are_missing(tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text(
        "credentials: {a: {psk: {file: a.psk}}, b: {psk: {file: secrets/b.psk}}, c: {psk: {systemd: c}}}\n"
        "policies: {one: {rules: []}, two: {rules: []}}\n"
    )
    (tmp_path / "a.psk").write_text("there already")
    path = tmp_path / "new.yaml"
    assert policy("import", tmp_path / "two.yaml", "--into", path).stderr.endswith(
        f"{path} is written; if that is the daemon's file, ipsecctl assign puts one of them in force: one, two\n"
        f"there is no key yet: write it into {tmp_path}/secrets/b.psk, readable by the user ipsecd alone; "
        "the peer needs the same\n"
    )
    assert "no key yet" not in policy("import", tmp_path / "two.yaml").stderr


def test_import_says_all_mistakes_and_writes_nothing(script: Path, tmp_path: Path) -> None:
    script.write_text("ipseccmd -f nonsense -a PRESHRE:secret\nipseccmd -x -q\n")
    done = policy("import", script, "--output", tmp_path / "new.yaml", code=1)
    assert done.stdout == ""
    assert done.stderr.count(f"{script}:1:") == 2
    assert done.stderr.count(f"{script}:2:") == 1
    assert done.stderr.endswith(f"ipsecctl: {script} can't be imported\n")
    assert "secret" not in done.stderr
    assert not (tmp_path / "new.yaml").exists()


NOTHING_TO_IMPORT = (
    "shows nothing of what can be imported: a script of netsh ipsec static, lines of ipsecpol or ipseccmd, Windows' "
    "objects in JSON, or a policy file (if it is one of them, --format says which, and all that is wrong with it is "
    "named)"
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty (name a file that holds something to import)"),
        ("\n  \n", "is empty (name a file that holds something to import)"),
        ("# nothing\n", NOTHING_TO_IMPORT),
        ("Dear all,\nhello\n", NOTHING_TO_IMPORT),
        ("netsh advfirewall firewall add rule name=x\n", NOTHING_TO_IMPORT),
        ('{"a": 1}', NOTHING_TO_IMPORT),
        ("netsh ipsec static show all\n", "makes no policy (it has to add one, with its rules)"),
        ("policies: {}\n", "makes no policy (it has to add one, with its rules)"),
    ],
)
def test_a_file_without_anything_to_import_is_called_so(script: Path, text: str, told: str) -> None:
    script.write_text(text)
    assert policy("import", script, code=1).stderr.splitlines()[-1] == f"ipsecctl: {script} {told}"


def test_a_file_to_import_that_is_not_there_is_called_no_policy(tmp_path: Path) -> None:
    told = policy("import", tmp_path / "none" / "x.bat", code=1).stderr
    assert (
        told
        == f"ipsecctl: can't read the file {tmp_path}/none/x.bat: No such file or directory (name the file to import)\n"
    )
    told = policy("import", tmp_path, code=1).stderr
    assert told == f"ipsecctl: can't read the file {tmp_path}: Is a directory (name the file to import)\n"


def test_persistent_rules_alone_are_put_in_force_by_a_reload(script: Path, tmp_path: Path) -> None:
    script.write_text(
        "netsh ipsec static set store location=persistent\n"
        "netsh ipsec static add policy p activatedefaultrule=no assign=yes\n"
        'netsh ipsec static add rule r p "All ICMP Traffic" Permit\n'
    )
    path = tmp_path / "new.yaml"
    told = policy("import", script, "--into", path).stderr
    assert f"{path} is written; if that is the daemon's file, ipsecctl reload puts it in force" in told
    assert "persistent:\n  rules:\n    - name: r\n" in path.read_text()


def test_import_reads_a_file_as_the_format_that_is_told(script: Path) -> None:
    assert "this isn't a line of ipsecpol" in policy("import", script, "--format", "ipsecpol", code=1).stderr


def test_import_leaves_a_file_with_mistakes_as_it_is(file: Path, script: Path) -> None:
    file.write_text("policies: []\n")
    done = policy("import", script, "--into", file, code=1)
    assert f"{file} has mistakes, and nothing is written" in done.stderr
    assert file.read_text() == "policies: []\n"


def test_one_place_alone_can_be_meant(file: Path, script: Path) -> None:
    assert "can't both be meant" in policy("import", script, "--into", file, "--output", file, code=2).stderr


def test_what_can_not_be_written_leaves_nothing_behind(script: Path, tmp_path: Path) -> None:
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    done = policy("import", script, "--output", tmp_path / "nowhere" / "new.yaml", code=1)
    advice = f"(mkdir -p {tmp_path / 'nowhere'} makes the folder)"
    assert done.stderr.endswith(f"nowhere/new.yaml: No such file or directory {advice}\n")
    assert (
        policy("import", script, "--output", tmp_path / "loop.yaml", "--replace", code=1)
        .stderr.splitlines()[-1]
        .startswith("ipsecctl: can't write")
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["loop.yaml", "script.bat"]
