"""What a server's version means, and what is left open if there is none."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from discomfort.server_features import (
    COMBO_CHECK,
    FACTS,
    JOB_CANCEL,
    JOB_TIMES,
    NODE_REPLACEMENTS,
    PROMPT_UUIDS,
    REACHED_OUTPUTS,
    ServerFeatures,
    release_of,
    server_features,
)


def told(version: Any, **system: Any) -> ServerFeatures:
    """The features of a server that tells this version."""
    return server_features({"system": {"comfyui_version": version, **system}}, {})


def test_table_is_in_order_and_complete() -> None:
    """Each fact has a name of its own, what it is, and how to see it; the oldest come first."""
    assert [fact.since for fact in FACTS] == sorted(fact.since for fact in FACTS)
    assert len({fact.name for fact in FACTS}) == len(FACTS)
    for fact in FACTS:
        assert re.fullmatch(r"[a-z_]+", fact.name)
        assert fact.what
        assert fact.seen


@pytest.mark.parametrize(
    ("version", "release"),
    [
        ("0.33.0", (0, 33, 0)),
        ("0.3.64", (0, 3, 64)),
        (" v0.33.1\n", (0, 33, 1)),
        ("0.33", (0, 33, 0)),
        ("0.33.0-12-g783545f6", (0, 33, 0)),
        ("0.33.0rc1+cu130", (0, 33, 0)),
        ("1.0.0", (1, 0, 0)),
        ("nightly", None),
        ("", None),
        ("33", None),
        ("0.12345678901234", None),
    ],
)
def test_number_in_a_version(version: str, release: tuple[int, int, int] | None) -> None:
    """It stands at the beginning; what follows is a build's own."""
    assert release_of(version) == release


def test_a_version_decides_every_fact() -> None:
    """Each holds from its own release on, and not before."""
    old, new = told("0.3.64"), told("0.33.0")
    assert [old.has(fact) for fact in FACTS] == [False] * len(FACTS)
    assert [new.has(fact) for fact in FACTS] == [True] * len(FACTS)
    for fact in FACTS:
        first = ".".join(map(str, fact.since))
        assert told(first).has(fact) is True
        major, minor, patch = fact.since
        before = (major, minor, patch - 1) if patch else (major, minor - 1, 999)
        assert told(".".join(map(str, before))).has(fact) is False
    # 0.4.0 came after 0.3.76.
    assert told("0.3.76").has(JOB_TIMES) is True
    assert told("0.4.0").has(REACHED_OUTPUTS) is True


def test_a_version_that_cannot_be_read_is_the_newest() -> None:
    """A build of somebody's own is more likely new than old."""
    assert [told("my fork").has(fact) for fact in FACTS] == [True] * len(FACTS)
    assert told("x" * 1000).version == "x" * 100


def test_without_a_version_the_signs_decide() -> None:
    """What they show is sure, all else is open."""
    found = server_features({"system": {"deploy_environment": "local-git"}}, {"extension": {}})
    assert (found.version, found.at_least) == (None, (0, 25, 0))
    assert [found.has(fact) for fact in (COMBO_CHECK, NODE_REPLACEMENTS, PROMPT_UUIDS)] == [True] * 3
    assert found.has(JOB_CANCEL) is None

    assert server_features(None, {"node_replacements": True}).has(NODE_REPLACEMENTS) is True
    assert [ServerFeatures().has(fact) for fact in FACTS] == [None] * len(FACTS)


@pytest.mark.parametrize("stats", [None, {}, {"system": None}, {"system": []}, {"system": {"comfyui_version": 33}}])
@pytest.mark.parametrize("features", [None, {}, {"assets": False}])
def test_odd_answers_are_no_obstacle(stats: Any, features: Any) -> None:
    """Whatever their shape, nothing is claimed that they do not show."""
    found = server_features(stats, features, problem="p")
    assert (found.version, found.release, found.problem) == (None, None, "p")
    assert found.at_least == ((0, 17, 0) if features else (0, 0, 0))


def test_report() -> None:
    """Plain JSON with the version, each fact by name, and what the server announces."""
    found = server_features({"system": {"comfyui_version": "0.26.0"}}, {"assets": False}).to_dict()
    assert json.loads(json.dumps(found)) == found
    assert (found["version"], found["at_least"], found["features"]) == ("0.26.0", "0.26.0", {"assets": False})
    assert found["facts"] == {fact.name: True for fact in FACTS}
    assert ServerFeatures().to_dict()["at_least"] == "0.0.0"
