"""Every parser of what others wrote: damaged input ends in a result or in an error of ours."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzzing import TARGETS, Target
from hypothesis import HealthCheck, given, settings


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_damaged_input(target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No exception but those that the parser documents; benchmarks/fuzz.py looks much longer."""
    monkeypatch.chdir(tmp_path)
    outcomes = set()

    @settings(
        max_examples=60,
        derandomize=True,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(value=target.strategy)
    def feed(value: object) -> None:
        outcomes.add(target.feed(value))

    feed()
    assert outcomes
