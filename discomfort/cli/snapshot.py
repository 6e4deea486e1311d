"""``discomfort snapshot``: saves a server's node definitions for ``discomfort serve --object-info``."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from discomfort import _json
from discomfort._json import JsonObject
from discomfort._system.atomic_files import write_atomically
from discomfort._system.http_sessions import make_route, open_session
from discomfort.cli.batch import exit_code
from discomfort.cli.exit_codes import FAILED, OK
from discomfort.cli.inputs import STDIN, UsageError, check_directory
from discomfort.cli.progress_bars import make_display
from discomfort.cli.runner import Interrupted, run
from discomfort.cli.terminal import Terminal
from discomfort.exceptions import ServerResponseError
from discomfort.redaction import split_credentials


@dataclass(frozen=True, slots=True)
class SnapshotOptions:
    """The options of ``discomfort snapshot``. ``headers`` and both URLs may contain secrets."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    output: Path = Path(STDIN)
    force: bool = False
    proxy: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The definitions of a server, and its ``/system_stats`` (empty if they cannot be read)."""

    definitions: JsonObject = field(repr=False)
    system: JsonObject

    def describe(self) -> str:
        """One line: how many classes, of which versions."""
        versions = [
            f"{name} {self.system[key]}"
            for key, name in (("comfyui_version", "ComfyUI"), ("required_frontend_version", "frontend"))
            if self.system.get(key)
        ]
        return f"{len(self.definitions)} node classes" + (f" of {', '.join(versions)}" if versions else "")


def snapshot_command(options: SnapshotOptions, terminal: Terminal) -> int:
    """Fetch, check and write the definitions; returns the exit code.

    The file is written completely or not at all. Raises UsageError for an existing file (without ``force``), and
    ConfigurationError for a folder that is not writable, both before the server is contacted.
    """
    to_file = str(options.output) != STDIN
    if to_file:
        _check_output(options)
    display = make_display(terminal)
    display.phase("fetching node definitions")
    try:
        snapshot = run(
            lambda: fetch_snapshot(options.url, options.headers, options.proxy),
            on_stop=lambda name: terminal.note(f"{name}: stopping"),
            on_force=lambda: None,
        )
        data = encode(snapshot.definitions, is_gzip=options.output.suffix == ".gz")
        display.close()
        if to_file:
            options.output.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(options.output, data)
            terminal.write(f"{options.output}\n")
        else:
            terminal.write(data.decode())
    except Interrupted as error:
        terminal.fail(str(error))
        return FAILED
    except Exception as error:  # noqa: BLE001 - the border of the program: everything becomes a message
        display.close()
        terminal.explain(error)
        return exit_code(error)
    finally:
        display.close()
    terminal.note(snapshot.describe())
    return OK


async def fetch_snapshot(url: str, headers: Mapping[str, str], proxy: str | None = None) -> Snapshot:
    """The definitions of the server at ``url``, reached through ``proxy``; both URLs may contain credentials.

    Raises ConfigurationError for a proxy that is not an HTTP URL, ServerConnectionError if there is no answer,
    ServerResponseError if it is not ComfyUI's. Safe to cancel.
    """

    from discomfort.client.rest import RestClient

    address, credentials = split_credentials(url)
    async with open_session(route=make_route(proxy=proxy)) as session:
        rest = RestClient(session, address, {**credentials, **headers})
        definitions = await rest.object_info()
        problem = _problem_of(definitions)
        if problem:
            raise ServerResponseError(
                f"this is not ComfyUI: {problem}", method="GET", url=f"{address}/object_info", status=200
            )
        return Snapshot(definitions, await _system_of(rest))


def encode(definitions: JsonObject, *, is_gzip: bool) -> bytes:
    """The file's bytes: JSON, gzipped without name and time, so that equal definitions are equal files."""
    data = _json.dumps(definitions) + b"\n"
    return gzip.compress(data, mtime=0) if is_gzip else data


def _problem_of(definitions: JsonObject) -> str:
    if not definitions:
        return "it has no node definitions"
    wrong = [name for name, value in definitions.items() if not isinstance(value, dict) or "input" not in value]
    return f"{wrong[0]!r} is not a node definition" if wrong else ""


async def _system_of(rest: Any) -> JsonObject:
    """The server's ``/system_stats``. They are only displayed, so a server without them is not an error."""
    try:
        found = (await rest.system_stats()).get("system")
    except ServerResponseError:
        return {}
    return found if isinstance(found, dict) else {}


def _check_output(options: SnapshotOptions) -> None:
    output = options.output
    if output.is_dir():
        raise UsageError(f"--output {output} is a folder; name a file, such as {output / 'object_info.json.gz'}")
    if output.exists() and not options.force:
        raise UsageError(f"--output {output}: the file exists; give another name, or --force to replace it")
    check_directory(output.parent)
