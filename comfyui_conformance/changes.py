"""Changes of ComfyUI's interface between the releases that the checks know, and which of them a server has. No I/O.

This table is the suite's only record of versions: a check names a change that it needs (``since``) or that ends it
(``before``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from discomfort._json import JsonObject

OLDEST = "0.3.64"
"""The oldest ComfyUI release whose behaviour the checks describe."""
NEWEST = "0.33.0"
"""The newest ComfyUI release whose behaviour the checks describe."""

Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class InterfaceChange:
    """One change of the interface: its name, the first release that has it, what holds since, and where it is made."""

    name: str
    since: str
    says: str
    source: str


_FOLDERS = "folder_paths.py"
_TABLE = (
    ("subgraphs", "0.3.67", "node packs offer subgraphs", "app/subgraph_manager.py"),
    ("reached-outputs", "0.3.68", "a record has the outputs that were reached, not all that are cached",
     "execution.py: PromptExecutor.execute_async"),
    ("create-time", "0.3.69", "the server notes the time of submission in extra_data", "server.py: post_prompt"),
    ("folder-upscale-latents", "0.3.71", "there is a model folder latent_upscale_models", _FOLDERS),
    ("move-refusals", "0.3.76", "moving user data out of its folder is forbidden", "app/user_manager.py"),
    ("manager-extension", "0.4.0", "/features has the manager, and the system's name is Python's",
     "comfy_api/feature_flags.py, server.py: system_stats"),
    ("dynamic-inputs", "0.4.0", "inputs of nodes can grow, match each other and depend on a choice",
     "comfy_api/latest/_io.py"),
    ("hidden-files", "0.5.0", "hidden files are not listed", "api_server/routes/internal/internal_routes.py"),
    ("jobs", "0.6.0", "prompts are also jobs, and the queue shows no secrets", "server.py: get_jobs"),
    ("checked-combos", "0.8.0", "choices of nodes in the newer schema are checked", "execution.py: validate_inputs"),
    ("cancelled-jobs", "0.9.0", "an interrupted job is cancelled, not failed", "comfy_execution/jobs.py"),
    ("search-aliases", "0.11.0", "definitions have search_aliases", "server.py: node_info"),
    ("missing-node-type", "0.12.0", "a class that is missing has an error type of its own",
     "execution.py: validate_prompt"),
    ("input-lists", "0.12.0", "definitions say whether a node takes lists", "server.py: node_info"),
    ("node-replacements", "0.14.0", "classes that are gone are replaced before validation",
     "app/node_replace_manager.py"),
    ("text-previews", "0.16.0", "a text can be the preview of a job", "comfy_execution/jobs.py"),
    ("assets", "0.17.0", "files can be managed as assets", "app/assets/api/routes.py"),
    ("no-store", "0.18.0", "the page and its scripts are not stored by browsers", "server.py: get_root"),
    ("cross-site", "0.19.0", "requests from pages of other sites are refused",
     "server.py: create_origin_only_middleware"),
    ("intermediate-outputs", "0.19.0", "a node that is not an output can show something in each run",
     "execution.py: PromptExecutor.execute_async"),
    ("dependency-cycles", "0.20.0", "a cycle names its nodes", "execution.py: validate_inputs"),
    ("typed-file-names", "0.20.0", "listed files are annotated with their folder",
     "api_server/routes/internal/internal_routes.py"),
    ("folder-interpolation", "0.20.0", "there is a model folder frame_interpolation", _FOLDERS),
    ("milliseconds", "0.21.0", "times of user data are whole milliseconds", "app/user_manager.py: get_file_info"),
    ("option-values", "0.21.0", "a choice that is not offered is reported as Python writes it",
     "execution.py: validate_inputs"),
    ("folder-backgrounds", "0.21.0", "there are model folders background_removal and optical_flow", _FOLDERS),
    ("package-versions", "0.22.0", "/system_stats has the versions of ComfyUI's packages", "server.py: system_stats"),
    ("folder-geometry", "0.22.0", "there is a model folder geometry_estimation", _FOLDERS),
    ("ram-pressure", "0.23.0", "results of earlier prompts are kept while there is memory",
     "execution.py: CacheType"),
    ("folder-detection", "0.23.0", "there is a model folder detection", _FOLDERS),
    ("uuid-ids", "0.25.0", "prompt ids must be UUIDs in their canonical form", "server.py: post_prompt"),
    ("usage-source", "0.25.0", "the header Comfy-Usage-Source goes to extra_data", "server.py: post_prompt"),
    ("deployment", "0.25.0", "/system_stats says how ComfyUI was installed", "server.py: system_stats"),
    ("audio-names", "0.25.0", "names of audio files have no underscore after the number",
     "comfy_api/latest/_ui.py: AudioSaveHelper"),
    ("job-cancel", "0.26.0", "jobs can be cancelled", "server.py: cancel_job_by_id"),
    ("downloads", "0.28.0", "files that a browser would run are downloads, and types are not guessed",
     "server.py: view_image, app/user_manager.py: getuserdata"),
    ("model-extensions", "0.28.0", "model folders are listed with the file extensions that they accept",
     "app/model_manager.py"),
    ("svg-images", "0.30.0", "an SVG is sent as a picture to a browser that shows it as one",
     "folder_paths.py: renders_safely_as_image"),
    ("folder-datasets", "0.30.0", "there is a model folder datasets", _FOLDERS),
    ("previewable-counts", "0.32.0", "jobs count the outputs that can be previewed", "comfy_execution/jobs.py"),
)  # fmt: skip

CHANGES = {name: InterfaceChange(name, since, says, source) for name, since, says, source in _TABLE}
"""The changes by name, oldest first."""


def parse(version: object) -> Version | None:
    """The numbers of a version such as ``0.3.64``, ``v0.33`` or ``0.33.0-rc1``, or None for anything else."""
    found = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?(?![\d.])", version) if isinstance(version, str) else None
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else None


@dataclass(frozen=True, slots=True)
class Rules:
    """The behaviour that is expected of a server: that of the release ``follows``.

    ``doubt`` says why that is not the server's own version, if so.
    """

    follows: str
    doubt: str = ""

    def has(self, change: str) -> bool:
        """Whether that change is expected. Raises KeyError for a change that is not in the table."""
        return _numbers(CHANGES[change].since) <= _numbers(self.follows)


def rules_for(system: JsonObject) -> Rules:
    """The rules for a server with this ``system`` of ``/system_stats``."""
    said = system.get("comfyui_version")
    version = parse(said)
    if version is None:
        return Rules(NEWEST, f"the server does not report its version; it is checked as ComfyUI {NEWEST}")
    if version < _numbers(OLDEST):
        return Rules(OLDEST, f"ComfyUI {said} is older than the checks know; it is checked as {OLDEST}")
    if version[:2] > _numbers(NEWEST)[:2]:
        return Rules(NEWEST, f"ComfyUI {said} is newer than the checks know; it is checked as {NEWEST}")
    return Rules(".".join(map(str, version)))


def _numbers(version: str) -> Version:
    numbers = parse(version)
    if numbers is None:
        raise ValueError(f"{version!r} is not a version of ComfyUI")
    return numbers
