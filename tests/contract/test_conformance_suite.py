"""The conformance checks against both engines: they describe ComfyUI, and the emulator is like it."""

from __future__ import annotations

import pytest

from comfyui_conformance import all_checks, run_checks
from discomfort import ComfyConnector


# On two cores with much else to do, ComfyUI takes a minute.
@pytest.mark.timeout(360)
async def test_the_engine_conforms(connector: ComfyConnector) -> None:
    """Nothing differs of what applies to its version; skipped is only what would need a body of 100 MiB."""
    report = await run_checks(connector.server_address, exclusive=True)

    assert {result.check.name: [str(d) for d in result.differences] for result in report.of("differs")} == {}
    assert [result.check.name for result in report.of("skipped")] == ["uploads.too-large"]
    assert report.rules.follows == report.system["comfyui_version"]
    left_out = {result.check.name for result in report.of("not-applicable")}
    assert left_out == {check.name for check in all_checks() if check.why_not(report.rules)}
