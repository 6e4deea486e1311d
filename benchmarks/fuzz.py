"""Damaged workflows, prompts, histories, socket frames, configurations: what breaks the parsers?

    python benchmarks/fuzz.py [--seconds 300] [--seed 0] [--only NAME]

Each parser gets an equal share of the time. A finding is any exception but an error of ours, an input that takes more
than 10 s, or more than 256 MiB of growth of memory; it is printed with the smallest input that shows it, and the exit
code is then 1. The parsers and what they are fed are those of tests/unit/core/test_fuzz.py.
"""

from __future__ import annotations

import argparse
import logging
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from types import FrameType

from hypothesis import HealthCheck, Phase, given, seed, settings

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from fuzzing import TARGETS, Target

LONGEST = 10.0
LARGEST = 256 * 1024  # KiB
ROUND = 500


class HangError(Exception):
    """An input took longer than ``LONGEST`` seconds."""


class Tally:
    """What came of the inputs of one parser."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.executions = self.results = 0
        self.slowest = 0.0
        self.findings: list[str] = []

    def feed(self, value: object) -> None:
        """One input, by an alarm clock."""
        began = time.perf_counter()
        signal.setitimer(signal.ITIMER_REAL, LONGEST)
        try:
            self.results += self.target.feed(value)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self.executions += 1
            self.slowest = max(self.slowest, time.perf_counter() - began)

    def round(self, number: int) -> None:
        """Some hundred inputs; hypothesis makes the one that fails as small as it can be."""

        @seed(number)
        @settings(
            max_examples=ROUND,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
            report_multiple_bugs=False,
        )
        @given(value=self.target.strategy)
        def feed(value: object) -> None:
            self.feed(value)

        try:
            feed()
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            self.findings.append("".join(traceback.format_exception(error)[-6:]))

    def __str__(self) -> str:
        return (
            f"{self.target.name:<26} {self.executions:>10,} {self.results:>10,} {self.slowest * 1000:>9.0f} ms "
            f"{len(self.findings):>8}"
        )


def _ring(_number: int, _frame: FrameType | None) -> None:
    raise HangError(f"longer than {LONGEST:.0f} s")


def main() -> int:
    """Run; print a line for each parser."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=300.0)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--only", help="the name of one parser")
    given_options = options.parse_args()
    signal.signal(signal.SIGALRM, _ring)
    logging.disable(logging.CRITICAL)
    targets = [target for target in TARGETS if given_options.only in {None, target.name}]
    tallies = []
    print(f"{'parser':<26} {'inputs':>10} {'accepted':>10} {'slowest':>12} {'findings':>8}")
    os.chdir(tempfile.mkdtemp())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for target in targets:
        tally = Tally(target)
        tallies.append(tally)
        deadline, number = time.monotonic() + given_options.seconds / len(targets), given_options.seed
        while time.monotonic() < deadline and len(tally.findings) < 3:
            tally.round(number)
            number += 1
        print(tally, flush=True)
    growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    findings = [finding for tally in tallies for finding in tally.findings]
    total = sum(tally.executions for tally in tallies)
    print(f"{total:,} inputs, {len(findings)} findings, memory grew by {growth >> 10} MiB at most")
    for finding in findings:
        print("\n" + finding)
    return 1 if findings or growth > LARGEST else 0


if __name__ == "__main__":
    sys.exit(main())
