"""The facts about ComfyUI that depend on its version, each once, and which of them hold for a server. Pure.

A server's version is read from ``/system_stats``. One that cannot be read (a build's own name) counts as the newest.
Without any version, the keys of ``/system_stats`` and ``/features`` show which release the server has at least.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from discomfort._json import JsonObject

Release = tuple[int, int, int]

_NUMBER = re.compile(r"v?(\d{1,6})\.(\d{1,6})(?:\.(\d{1,6}))?(?!\d)", re.ASCII)
_LONGEST_VERSION: Final = 100


@dataclass(frozen=True, slots=True)
class VersionFact:
    """One thing that ComfyUI does since the release ``since``. ``seen`` says how a client can detect it."""

    name: str
    since: Release
    what: str
    seen: str


JOB_TIMES: Final = VersionFact(
    "job_times",
    (0, 3, 69),
    "the extra data of a queued prompt has the time at which it was accepted, create_time, in milliseconds",
    "extra_data of an item of GET /queue",
)
REACHED_OUTPUTS: Final = VersionFact(
    "reached_outputs",
    (0, 3, 68),
    "a record lists the outputs of nodes that ran and of the output nodes that were reached; before, of every node of "
    "the prompt that was in the cache",
    "a record of a cached run",
)
COMBO_CHECK: Final = VersionFact(
    "combo_check",
    (0, 8, 0),
    "values of combos of the newer kind are compared with their options, and type * fits every type",
    "POST /prompt is refused with value_not_in_list",
)
MISSING_NODE_TYPE: Final = VersionFact(
    "missing_node_type",
    (0, 12, 0),
    "an unknown class is an error of type missing_node_type with the class as data; before, invalid_prompt with a text",
    "POST /prompt with an unknown class",
)
NODE_REPLACEMENTS: Final = VersionFact(
    "node_replacements",
    (0, 14, 0),
    "a class that is not installed may have a replacement, which takes its place before the prompt is checked; a node "
    "that is not an object, or whose inputs are not, is answered with 500, and no longer queued",
    "key node_replacements of GET /features",
)
CYCLE_ERRORS: Final = VersionFact(
    "cycle_errors",
    (0, 20, 0),
    "each node of a cycle has an error of type dependency_cycle; before, the refusal named no node",
    "POST /prompt with a cycle",
)
RAM_CACHE: Final = VersionFact(
    "ram_cache",
    (0, 23, 0),
    "results are dropped from the cache while memory is short, so a repeated prompt may run again in part",
    "the line 'Using RAM pressure cache.' of its log",
)
PROMPT_UUIDS: Final = VersionFact(
    "prompt_uuids",
    (0, 25, 0),
    "a prompt id must be a UUID in lower case with hyphens, or the prompt is refused with invalid_prompt_id",
    "key deploy_environment of GET /system_stats",
)
JOB_CANCEL: Final = VersionFact(
    "job_cancel",
    (0, 26, 0),
    "POST /api/jobs/{id}/cancel takes a prompt off the queue or interrupts it, whichever it is at that moment",
    "that request is answered 200; before, 404 or 405",
)

FACTS: Final = (
    REACHED_OUTPUTS,
    JOB_TIMES,
    COMBO_CHECK,
    MISSING_NODE_TYPE,
    NODE_REPLACEMENTS,
    CYCLE_ERRORS,
    RAM_CACHE,
    PROMPT_UUIDS,
    JOB_CANCEL,
)
"""Every fact of this kind that the client relies on or has to live with, oldest first."""

_SIGNS: Final[tuple[tuple[str, str, Release], ...]] = (
    ("features", "extension", (0, 4, 0)),
    ("features", "node_replacements", (0, 14, 0)),
    ("features", "assets", (0, 17, 0)),
    ("system", "comfy_package_versions", (0, 22, 0)),
    ("system", "deploy_environment", (0, 25, 0)),
    ("features", "supports_model_type_tags", (0, 28, 0)),
)
"""Keys that show a release: where, which, since when."""


@dataclass(frozen=True, slots=True)
class ServerFeatures:
    """The version and features that one server reports. ``problem`` is why it reports none, empty otherwise.

    ``version`` is its own text. ``release`` is the number in it; ``None`` if there is no version, or none that can be
    read. ``at_least`` is the release that it has by all signs.
    """

    version: str | None = None
    release: Release | None = None
    at_least: Release = (0, 0, 0)
    features: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""

    def has(self, fact: VersionFact) -> bool | None:
        """Whether ``fact`` holds for this server; ``None`` if that is not known, so that it has to be tried."""
        if self.release is not None:
            return self.release >= fact.since
        if self.version is not None or self.at_least >= fact.since:
            return True
        return None

    def to_dict(self) -> JsonObject:
        """The same as JSON, for reports."""
        return {
            "version": self.version,
            "at_least": ".".join(map(str, self.release or self.at_least)),
            "facts": {fact.name: self.has(fact) for fact in FACTS},
            "features": dict(self.features),
            "problem": self.problem,
        }


def server_features(
    stats: Mapping[str, Any] | None, features: Mapping[str, Any] | None, *, problem: str = ""
) -> ServerFeatures:
    """The features by the answers of ``/system_stats`` and ``/features``; ``None`` for one that did not come."""
    system = (stats or {}).get("system")
    sources: dict[str, Mapping[str, Any]] = {
        "system": system if isinstance(system, Mapping) else {},
        "features": features or {},
    }
    signs = [since for place, key, since in _SIGNS if key in sources[place]]
    told = sources["system"].get("comfyui_version")
    version = told[:_LONGEST_VERSION] if isinstance(told, str) and told.strip() else None
    release = release_of(version) if version is not None else None
    return ServerFeatures(version, release, release or max(signs, default=(0, 0, 0)), sources["features"], problem)


def release_of(version: str) -> Release | None:
    """The number at the beginning of a version's text, such as ``0.33.0`` of ``v0.33.0-12-gabc``; ``None`` if none."""
    found = _NUMBER.match(version.strip())
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else None
