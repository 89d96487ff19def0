"""ipsecd and other VPNs between two sites in network namespaces, measured in turn: in each round each of them once."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from scripts import interruption, packages
from scripts.measuring import picture, table
from scripts.measuring.contestants.contestant import Contestant
from scripts.measuring.contestants.field import RIVALS, contestants
from scripts.measuring.ends import TOPOLOGIES
from scripts.measuring.figures import FIGURES
from scripts.measuring.machine import machine
from scripts.measuring.results import Results
from scripts.measuring.turn import Course, take

PROGRAMS = ("ethtool", "ip", "iperf3", "nft", "ping")


@dataclass(frozen=True, slots=True)
class Plan:
    """What the command line asks for."""

    field: dict[str, Contestant]
    course: Course
    rounds: int
    output: Path

    @property
    def stem(self) -> str:
        """What the files of this course are called, so that those of another stand beside them."""
        return f"{self.course.topology}-offload-{'on' if self.course.offload else 'off'}"


def main() -> int:
    plan = _command_line()
    if os.geteuid() != 0:
        print("scripts/bench builds network namespaces and needs root: sudo scripts/bench", file=sys.stderr)
        return 1
    os.environ["PATH"] += ":/usr/sbin:/sbin"  # where Debian keeps openvpn and nft
    needs = {program: packages.NETWORK[program] for program in PROGRAMS}
    for contestant in plan.field.values():
        needs |= contestant.needs
    packages.ensure(needs)
    if absent := packages.missing(needs):
        print(f"needs {' '.join(absent)}", file=sys.stderr)
        return 1
    interruption.expect()
    try:
        return _measure(plan)
    except KeyboardInterrupt:
        interruption.end_what_was_starting()
        print("\ninterrupted, and cleaned up", file=sys.stderr)
        return 130


def _command_line() -> Plan:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description=f"{__doc__} docs/performance.md says what the figures mean.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    everybody, figures = ",".join(contestants()), ",".join(FIGURES)
    parser.add_argument("--rounds", type=_positive, default=7, help="how often each contestant is measured")
    parser.add_argument("--contestants", default=everybody, help="whom to measure")
    parser.add_argument("--figures", default=figures, help="what to measure, besides the set-up")
    parser.add_argument("--topology", choices=TOPOLOGIES, default="hosts", help="whose traffic the gateways carry")
    parser.add_argument("--offload", choices=("on", "off"), default="on", help="whether links cut and sum for us")
    parser.add_argument("--seconds", type=_positive, default=5, help="how long each figure takes; of UDP, each blast")
    parser.add_argument("--wireguard-go", metavar="PATH", default="", help="the program, instead of Debian's")
    parser.add_argument(
        "--output", type=Path, default=Path("bench-results"), help="the folder for the results, seen from the checkout"
    )
    chosen = parser.parse_args()
    if chosen.wireguard_go and not os.access(chosen.wireguard_go, os.X_OK):
        parser.error(f"can't be run: {chosen.wireguard_go}")
    known = contestants(chosen.wireguard_go and str(Path(chosen.wireguard_go).resolve()))
    for words, what in ((chosen.contestants, known), (chosen.figures, FIGURES)):
        if strange := [word for word in words.split(",") if word not in what]:
            parser.error(f"unknown: {', '.join(strange)}; there is {', '.join(what)}")
    return Plan(
        {name: known[name] for name in chosen.contestants.split(",")},
        Course(tuple(chosen.figures.split(",")), chosen.topology, chosen.offload == "on", chosen.seconds),
        chosen.rounds,
        chosen.output,
    )


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def _measure(plan: Plan) -> int:
    """What is there is written after each turn, so that little is lost if the next one is interrupted."""
    course = plan.course
    options = {"topology": course.topology, "offload": "on" if course.offload else "off"}
    options |= {"seconds": str(course.seconds)}
    versions = {name: contestant.version() for name, contestant in plan.field.items()}
    results = Results(machine(), options, versions)
    for number in range(1, plan.rounds + 1):
        for name, contestant in plan.field.items():
            print(f"round {number} of {plan.rounds}: {name}", flush=True)
            results.turns.append(take(number, name, contestant, course, lambda text: print(f"  {text}", flush=True)))
            _write(plan, results)
    print(f"written to {plan.output / plan.stem}.json, .md and .svg")
    return 1 if any(turn.error for turn in results.turns) else 0


def _write(plan: Plan, results: Results) -> None:
    plan.output.mkdir(parents=True, exist_ok=True)
    texts = {
        "json": json.dumps(asdict(results), indent=1) + "\n",
        "md": table.document(results, RIVALS),
        "svg": picture.picture(results),
    }
    for suffix, text in texts.items():
        (plan.output / f"{plan.stem}.{suffix}").write_text(text)


if __name__ == "__main__":
    sys.exit(main())
