"""Which checks apply to which release of ComfyUI, and what every release may add."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import pytest
from unit.conformance.deviations import verbose_app, versioned_app
from unit.conformance.test_conformance import serving

from comfyui_conformance import Report, Rules, all_checks, run_checks
from comfyui_conformance.changes import CHANGES, NEWEST, OLDEST, parse, rules_for
from comfyui_conformance.model import AREAS, add
from comfyui_conformance.probe import Probe
from discomfort import server_features

SAME = {
    "reached_outputs": "reached-outputs",
    "job_times": "create-time",
    "combo_check": "checked-combos",
    "missing_node_type": "missing-node-type",
    "node_replacements": "node-replacements",
    "cycle_errors": "dependency-cycles",
    "ram_cache": "ram-pressure",
    "prompt_uuids": "uuid-ids",
    "job_cancel": "job-cancel",
}
"""The facts that the client relies on, and the changes that the checks know them as."""


def statuses(report: Report) -> dict[str, str]:
    """The results by name: whether a check applied, and if not, why."""
    return {r.check.name: r.reason if r.status == "not-applicable" else "applied" for r in report.results}


def test_the_table_of_changes() -> None:
    """Changes are sorted by release, all after the oldest and none after the newest; each is used by a check."""
    releases = [parse(change.since) or (0, 0, 0) for change in CHANGES.values()]
    used = {name for check in all_checks() for name in (check.since_change, check.before_change)}

    assert releases == sorted(releases)
    assert (parse(OLDEST) or ()) < releases[0]
    assert releases[-1] <= (parse(NEWEST) or ())
    assert set(CHANGES) == used - {""}
    assert [change.name for change in CHANGES.values() if not change.says or not change.source] == []


def test_the_client_and_the_checks_agree() -> None:
    """Each fact that the client relies on is also checked, from the same release on."""
    since = {SAME[fact.name]: fact.since for fact in server_features.FACTS}

    assert since == {name: parse(CHANGES[name].since) for name in SAME.values()}


def test_a_change_that_is_not_in_the_table() -> None:
    """A check cannot name a change that the table does not have."""
    with pytest.raises(KeyError, match="unheard-of"):
        add("routes", "x", "X.", "server.py", lambda _: None, since="unheard-of")  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("0.3.64", (0, 3, 64)),
        ("0.33", (0, 33, 0)),
        ("v1.2.3", (1, 2, 3)),
        ("0.33.0-rc1", (0, 33, 0)),
        ("0.33.0+local.1", (0, 33, 0)),
        ("0.3.64.1", None),
        ("newest", None),
        ("", None),
        (None, None),
        (0.33, None),
    ],
)
def test_versions_are_read(text: Any, numbers: Any) -> None:
    """Suffixes do not count; any other text gives no version."""
    assert parse(text) == numbers


@pytest.mark.parametrize(
    ("version", "follows", "doubt"),
    [
        ("0.3.64", "0.3.64", ""),
        ("0.24.0", "0.24.0", ""),
        ("0.33.1", "0.33.1", ""),
        ("0.34.0", NEWEST, "0.34.0 is newer than the checks know"),
        ("1.0.0", NEWEST, "1.0.0 is newer than the checks know"),
        ("0.3.63", OLDEST, "0.3.63 is older than the checks know"),
        ("mine", NEWEST, "does not report its version"),
        (None, NEWEST, "does not report its version"),
    ],
)
def test_the_release_that_decides(version: str | None, follows: str, doubt: str) -> None:
    """A known version is its own; one that is newer, older or unknown is checked as the nearest, and told so."""
    rules = rules_for({"comfyui_version": version})

    assert rules.follows == follows
    assert doubt in rules.doubt
    assert bool(rules.doubt) == bool(doubt)


def test_most_checks_hold_always() -> None:
    """Checks with a release apply from there on or up to there; both releases have checks that the other has not."""
    oldest = {check.name for check in all_checks() if not check.why_not(Rules(OLDEST))}
    newest = {check.name for check in all_checks() if not check.why_not(Rules(NEWEST))}
    always = {check.name for check in all_checks() if not check.holds}

    assert oldest & newest == always
    assert len(always) > 100
    assert {"prompts.id-with-a-slash", "jobs.none"} <= oldest - newest
    assert {"prompts.id-not-canonical", "jobs.detail"} <= newest - oldest


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_counts_from_its_release(name: str) -> None:
    """The checks of a change apply from its release on, and those that it ends up to the release before."""
    since = [check for check in all_checks() if check.since_change == name]
    before = [check for check in all_checks() if check.before_change == name]
    major, minor, patch = parse(CHANGES[name].since) or (0, 0, 0)
    earlier = f"{major}.{minor}.{patch - 1}" if patch else f"{major}.{minor - 1}.99"

    for check in since:
        assert not check.why_not(Rules(CHANGES[name].since))
        assert check.why_not(Rules(earlier)).startswith(f"holds since ComfyUI {CHANGES[name].since}: ")
    for check in before:
        assert not check.why_not(Rules(earlier))
        assert check.why_not(Rules(CHANGES[name].since)).startswith(f"holds before ComfyUI {CHANGES[name].since}; ")


@pytest.mark.parametrize(
    ("version", "applied"),
    [
        ("0.24.1", "prompts.id-with-a-slash"),
        ("0.25.0", "prompts.id-not-canonical"),
        ("0.99.0", "prompts.id-not-canonical"),
        (None, "prompts.id-not-canonical"),
    ],
)
async def test_the_server_says_what_applies(tmp_path: Path, version: str | None, applied: str) -> None:
    """Checks of other releases are not run, and count neither as different nor as skipped."""
    only = ["prompts.id-with-a-slash", "prompts.id-not-canonical", "history.unknown"]
    async with serving(versioned_app(tmp_path, version)) as url:
        report = await run_checks(url, only=only)

    told = statuses(report)
    (other,) = set(only) - {applied, "history.unknown"}
    assert told[applied] == told["history.unknown"] == "applied"
    assert "ComfyUI 0.25.0" in told[other]
    assert [result.check.name for result in report.of("not-applicable")] == [other]
    assert report.as_json()["counts"]["not-applicable"] == 1


async def test_more_keys_are_no_difference(tmp_path: Path) -> None:
    """A server's answers may tell more than ComfyUI's, as those of every newer release do."""
    # Checks of the socket compare its messages with the answers, which alone tell more here.
    only = [area for area in AREAS if area != "sockets"]
    async with serving(verbose_app(tmp_path)) as url:
        report = await run_checks(url, only=only, exclusive=True)

    assert {r.check.name: [str(d) for d in r.differences] for r in report.of("differs")} == {}
    assert {r.reason.partition(" is ")[0] for r in report.of("skipped")} <= {"the server's limit of 100 MiB"}


@pytest.mark.parametrize(
    ("found", "expected", "same"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, True),
        ([{"a": 1, "b": 2}], [{"a": 1}], True),
        ({"a": 2}, {"a": 1}, False),
        ({}, {"a": None}, False),
        ([{"a": 1}, {}], [{"a": 1}], False),
        (None, {"a": 1}, False),
        ([], {"a": 1}, False),
    ],
)
async def test_what_has_what_is_expected(found: Any, expected: Any, same: bool) -> None:
    """Objects may have more keys, at any depth; lists have the same length."""
    async with aiohttp.ClientSession() as session:
        probe = Probe(session, "http://127.0.0.1:1", frozenset())

    assert probe.has("x", found, expected) is same
    assert len(probe.differences) == (0 if same else 1)


@pytest.mark.parametrize(
    ("version", "arguments", "cache"),
    [
        ("0.3.64", [], "classic"),
        ("0.22.0", ["main.py", "--cpu"], "classic"),
        ("0.23.0", ["main.py", "--cpu"], "ram"),
        ("0.33.0", ["--cache-classic"], "classic"),
        ("0.33.0", ["--cache-none"], "none"),
        ("0.3.64", ["--cache-lru", "10"], "lru"),
        ("0.33.0", ["--cache-ram", "1"], "ram"),
    ],
)
async def test_how_the_server_keeps_results(version: str, arguments: list[str], cache: str) -> None:
    """The command line says how results are kept; without it, the release does."""
    async with aiohttp.ClientSession() as session:
        system = {"comfyui_version": version, "argv": arguments}
        probe = Probe(session, "http://127.0.0.1:1", frozenset(), system)

    assert probe.cache == cache
