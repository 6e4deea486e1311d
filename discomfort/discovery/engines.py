"""Resolves the server to start: the configured ComfyUI, one found on this machine, or the embedded emulator."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from discomfort._system.server_command import ServerCommand
from discomfort.discovery import command_line, interpreters, locations, node_pack, server_environment
from discomfort.exceptions import ConfigurationError, ServerStartError

_log = logging.getLogger("discomfort.discovery")

_COMFYUI_PATH = "COMFYUI_PATH"
_COMMAND = "API_COMMAND_LINE"
_DIRECTORY = "API_WORKING_DIRECTORY"
_REMEDY = locations.REMEDY


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """The configured values. ``None`` means not configured; relative paths are relative to ``cwd``.

    ``sources`` maps a setting to where its value came from, for error messages. ``environ`` is the environment to read.
    ``server_arguments`` are appended to the server's command line, ``environment`` is added to its variables.
    With ``loads_nodes`` the server loads our node pack.
    """

    kind: Literal["auto", "comfyui", "emulator"]
    comfyui_path: Path | None
    command_line: str | None
    working_directory: Path | None
    python: str | None
    emulator_directory: Path | None
    cwd: Path
    environ: Mapping[str, str] = field(repr=False)
    sources: Mapping[str, str] = field(default_factory=dict)
    server_arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    loads_nodes: bool = False

    def source(self, key: str) -> str | None:
        """Where the value of setting ``key`` came from."""
        return self.sources.get(key) or self.sources.get(key.lower())


@dataclass(frozen=True, slots=True)
class Folders:
    """The server's folders, as absolute paths; some may not exist yet."""

    base: Path
    input: Path
    output: Path
    temp: Path
    user: Path
    models: Path


@dataclass(frozen=True, slots=True)
class Engine:
    """A server that can be started.

    ``argv`` has no port yet, see :meth:`command`. ``front_end_root`` is the folder of the frontend that it serves, if
    known. ``reason`` says briefly why it was chosen. ``private`` lists folders created for this server only,
    which :meth:`discard` removes. ``env`` is its environment; ``None`` means ours. ``is_fallback`` is set if the
    emulator takes the place of a ComfyUI that was not found.
    """

    kind: Literal["comfyui", "emulator"]
    argv: tuple[str, ...]
    cwd: Path
    folders: Folders
    front_end_root: Path | None
    python: str
    reason: str
    private: tuple[Path, ...] = ()
    env: Mapping[str, str] | None = field(default=None, repr=False)
    is_fallback: bool = False
    owner: int = field(default_factory=os.getpid, repr=False, compare=False)

    def command(self, port: int) -> ServerCommand:
        """The command that starts the server on ``port``, which replaces any port in the configured command line."""
        words = [self.argv[0], *command_line.without_option(self.argv[1:], "--port")]
        return ServerCommand((*words, "--port", str(port)), self.cwd, self.env)

    def discard(self) -> None:
        """Remove its private folders with their contents. Idempotent; failures are logged.

        Does nothing in a fork of the process that created them.
        """
        if os.getpid() != self.owner:
            return
        for path in self.private:
            try:
                shutil.rmtree(path)
            except FileNotFoundError:
                continue
            except OSError as error:
                _log.warning("private folder %s could not be removed: %s", path, error)


@dataclass(frozen=True, slots=True)
class _Plan:
    """A ComfyUI, or a wrapper around one, with its command before any option is added."""

    root: Path
    cwd: Path
    words: list[str]
    script: int | None
    reason: str


def resolve_engine(request: EngineRequest) -> Engine:
    """Decide what to start: the configured server, else ``COMFYUI_PATH``, else a ComfyUI found, else the emulator.

    A ComfyUI that was named but is missing is an error, never a reason to look further. Private folders are created
    last, once everything else has been checked. Blocking; usually takes milliseconds.

    Raises:
        ConfigurationError: names setting, value, where it came from, and a remedy.
        ServerStartError: a private folder could not be created.
    """
    if request.kind == "emulator":
        return _emulator(request, "the embedded emulator was asked for")
    words = command_line.split(request.command_line or command_line.DEFAULT_COMMAND, source=request.source(_COMMAND))
    emulator = command_line.emulator_index(words)
    if emulator is not None and request.kind == "comfyui":
        raise ConfigurationError(
            "starts the emulator, while ENGINE is comfyui", key=_COMMAND, value=request.command_line,
            source=request.source(_COMMAND), remedy="Remove one of the two settings",
        )  # fmt: skip
    if emulator == 0:
        source = request.source(_COMMAND)
        return _emulator(request, f"{_COMMAND} {f'from {source} ' if source else ''}starts it")
    if request.comfyui_path or request.working_directory or request.command_line:
        return _comfyui(request, _configured(request, words))
    found, looked = _named_or_found(request)
    if found is not None:
        return _comfyui(request, _plan_in(found.path, words, found.what))
    places = ", ".join(str(place.path) for place in looked)
    if request.kind == "comfyui":
        raise ConfigurationError(
            f"no ComfyUI was found in {places}", key="ENGINE", value="comfyui", source=request.source("ENGINE"),
            remedy=_REMEDY,
        )  # fmt: skip
    reason = f"no ComfyUI was found in {places}; the embedded emulator takes its place"
    return replace(_emulator(request, reason), is_fallback=True)


def _named_or_found(request: EngineRequest) -> tuple[locations.Location | None, list[locations.Location]]:
    named = request.environ.get(_COMFYUI_PATH)
    if not named:
        place, looked = locations.search(request.cwd, request.environ)
        return place and locations.Location(place.path, f"found in {place.what}: {place.path}"), looked
    path = _absolute(Path(named), request.cwd)
    source = "the environment"
    if not locations.is_comfyui(path):
        raise _not_comfyui(path, source)
    return locations.Location(path, f"{_COMFYUI_PATH} from {source}: {path}"), []


def _configured(request: EngineRequest, words: list[str]) -> _Plan:
    path = _absolute(request.comfyui_path, request.cwd) if request.comfyui_path else None
    directory = _absolute(request.working_directory, request.cwd) if request.working_directory else None
    for folder, key in ((path, _COMFYUI_PATH), (directory, _DIRECTORY)):
        if folder is not None and not folder.is_dir():
            raise _not_comfyui(folder, request.source(key), key)
    key = next(k for k, v in ((_COMFYUI_PATH, path), (_DIRECTORY, directory), (_COMMAND, words)) if v)
    source = request.source(key)
    reason = f"{key} from {source}" if source else f"{key} is configured"
    script = command_line.script_index(words)
    if script is None:
        # Not ``python … main.py``: a wrapper, a container or a stand-in. ComfyUI is only needed for its folders.
        cwd = directory or path or request.cwd
        return _Plan(path or cwd, cwd, words, None, f"{reason}: {path or cwd}")
    if path is not None and not locations.is_comfyui(path):
        raise _not_comfyui(path, source)
    cwd = directory or path or _home_of_script(request, Path(words[script]))
    return _main_plan(request, words, script, cwd, path, reason)


def _home_of_script(request: EngineRequest, script: Path) -> Path:
    """The ComfyUI to run a configured command line in when no working directory was configured."""
    if script.is_absolute():
        return script.parent
    if len(script.parts) > 1:
        return request.cwd
    found, looked = _named_or_found(request)
    if found is None:
        raise ConfigurationError(
            f"no ComfyUI was found to run it in; looked in {', '.join(str(p.path) for p in looked)}",
            key=_COMMAND, value=request.command_line, source=request.source(_COMMAND), remedy=_REMEDY,
        )  # fmt: skip
    return found.path


def _main_plan(
    request: EngineRequest, words: list[str], script: int, cwd: Path, path: Path | None, reason: str
) -> _Plan:
    main = _absolute(Path(words[script]), cwd)
    if not main.is_file():
        key = _DIRECTORY if request.working_directory else _COMMAND
        value = str(cwd) if request.working_directory else request.command_line
        raise ConfigurationError(
            f"there is no {main}, which the command line starts", key=key, value=value, source=request.source(key),
            remedy="Set API_WORKING_DIRECTORY to the folder that holds ComfyUI's main.py",
        )  # fmt: skip
    if not locations.is_comfyui(main.parent):
        raise ConfigurationError(
            f"{main} is not ComfyUI's: there is no comfy folder beside it",
            key=_DIRECTORY if request.working_directory else _COMMAND, value=str(cwd), remedy=_REMEDY,
        )  # fmt: skip
    if path is not None and path.resolve() != main.parent.resolve():
        raise ConfigurationError(
            f"this is not the ComfyUI that is started, {main.parent}; files would go to the wrong one",
            key=_COMFYUI_PATH, value=str(path), source=request.source(_COMFYUI_PATH),
            remedy="Set it and API_WORKING_DIRECTORY to the same ComfyUI, or leave one out",
        )  # fmt: skip
    return _Plan(main.parent, cwd, words, script, f"{reason}: {main.parent}")


def _plan_in(root: Path, words: list[str], reason: str) -> _Plan:
    return _Plan(root, root, words, command_line.script_index(words), reason)


def _comfyui(request: EngineRequest, plan: _Plan) -> Engine:
    python = interpreters.choose_python(
        plan.root, configured=request.python, cwd=request.cwd, environ=request.environ,
        source=request.source("COMFYUI_PYTHON"),
    )  # fmt: skip
    program = python if command_line.is_bare_python(plan.words[0]) else _program(request, plan.words[0], plan.cwd)
    words = [program, *plan.words[1:], *request.server_arguments]
    known: frozenset[str] = frozenset()
    front_end = None
    if plan.script is not None:
        # The frontend must come from the interpreter that runs, and a Python named in the command line wins.
        python = program
        known = command_line.known_options(plan.root)
        words += node_pack.comfyui_options(words, known) if request.loads_nodes else []
        front_end = _front_end(words, known, plan.cwd, python)
    # The program may be one that starts our emulator, such as ``uv run discomfort serve``.
    is_emulator = plan.script is None and command_line.emulator_index(words) is not None
    words += node_pack.emulator_options() if is_emulator and request.loads_nodes else []
    private = _private_folder(server_environment.TEMPORARY)
    if plan.script is not None:
        _isolate(words, known, private)
    return Engine(
        kind="emulator" if is_emulator else "comfyui",
        argv=tuple(words),
        cwd=plan.cwd,
        folders=_folders(words[1:], known, plan.cwd, plan.root),
        front_end_root=front_end,
        python=python,
        reason=plan.reason,
        private=(private,),
        env={**server_environment.with_temporary(request.environ, private), **request.environment},
    )


def _program(request: EngineRequest, word: str, cwd: Path) -> str:
    has_folder = "/" in word or os.sep in word
    name = str(_absolute(Path(word), cwd)) if has_folder else word
    found = shutil.which(name, path=request.environ.get("PATH", os.defpath))
    if found is None:
        raise ConfigurationError(
            f"{word!r} is not a program that can be run from {cwd}",
            key=_COMMAND, value=request.command_line, source=request.source(_COMMAND),
            remedy="Check its first word and the permissions of that file",
        )  # fmt: skip
    return str(Path(found).absolute())


def _isolate(words: list[str], known: frozenset[str], private: Path) -> None:
    """Append to ``words`` the options that isolate this server from others in its folder.

    ComfyUI wipes its temp folder at every start, even one that fails because the port is taken, and keeps its database
    beside its code whatever the other folders are (both measured on 0.3.64 and 0.33.0). After 0.40 a server whose
    database another one uses does not start. Options that this ComfyUI does not know are left out.
    """
    own_temp = not command_line.has_option(words, "--temp-directory", known)
    own_database = "--database-url" in known and not command_line.has_option(words, "--database-url", known)
    opens_browser = command_line.has_option(words, "--auto-launch", known)
    if "--disable-auto-launch" in known and not opens_browser and "--disable-auto-launch" not in words:
        words.append("--disable-auto-launch")
    if own_temp:
        words += ["--temp-directory", str(private)]
    if own_database:
        words += ["--database-url", f"sqlite:///{private / 'comfyui.db'}"]


def _folders(words: Sequence[str], known: frozenset[str], cwd: Path, root: Path) -> Folders:
    def named(option: str) -> Path | None:
        value = command_line.option_value(words, option, known)
        return _absolute(Path(value), cwd, home=False) if value else None

    base = named("--base-directory") or root
    temp = named("--temp-directory")
    return Folders(
        base=base,
        input=named("--input-directory") or base / "input",
        output=named("--output-directory") or base / "output",
        temp=(temp or base) / "temp",
        user=named("--user-directory") or base / "user",
        models=named("--models-directory") or base / "models",
    )


def _front_end(words: Sequence[str], known: frozenset[str], cwd: Path, python: str) -> Path | None:
    named = command_line.option_value(words, "--front-end-root", known)
    if named:
        return _absolute(Path(named), cwd, home=False)
    # ComfyUI downloads the version that this option names, to a folder that only ComfyUI knows.
    return None if command_line.has_option(words, "--front-end-version", known) else interpreters.front_end_of(python)


def _emulator(request: EngineRequest, reason: str) -> Engine:
    if not sys.executable:
        raise ServerStartError("the emulator needs a Python interpreter, but sys.executable is empty")
    words, cwd = _emulator_command(request)
    words += node_pack.emulator_options() if request.loads_nodes else []
    named = command_line.option_value(words, "--base-directory")
    directory = Path(named) if named else request.emulator_directory
    environ = {**request.environ, **request.environment}
    if directory is None:
        base = private = _private_folder()
    else:
        base = _absolute(directory, request.cwd)
        try:
            base.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            key = "EMULATOR_DIRECTORY"
            raise ConfigurationError(
                f"cannot be created: {error}", key=key, value=str(base), source=request.source(key)
            ) from error
        private = _private_folder(server_environment.TEMPORARY)
        environ = {**server_environment.with_temporary(request.environ, private), **request.environment}
        if not command_line.has_option(words, "--temp-directory"):
            # Of two emulators on one base folder only one has its temp folder; the other's would not be known here.
            words += ["--temp-directory", str(private)]
    cwd, words = cwd or base, command_line.without_option(words, "--base-directory")
    return Engine(
        kind="emulator",
        argv=(*words, "--base-directory", str(base)),
        cwd=cwd,
        folders=_folders(words[1:], frozenset(), cwd, base),
        front_end_root=_front_end(words, frozenset(), cwd, sys.executable),
        python=sys.executable,
        reason=reason,
        private=(private,),
        env=server_environment.with_package(environ),
    )


def _emulator_command(request: EngineRequest) -> tuple[list[str], Path | None]:
    """The configured command line if it may hold options for the emulator, else the plain one; and its folder.

    A command line that starts ComfyUI's ``main.py``, as the documented default does, has no options for the emulator.
    Relative paths in one that was configured are relative to where it would be typed.
    """
    if request.command_line:
        words = command_line.split(request.command_line, source=request.source(_COMMAND))
        if command_line.script_index(words) is None:
            cwd = _absolute(request.working_directory, request.cwd) if request.working_directory else request.cwd
            words = command_line.with_own_python(words, sys.executable)
            return [_program(request, words[0], cwd), *words[1:], *request.server_arguments], cwd
    words = [sys.executable, "-m", "discomfort", "serve", "--host", "127.0.0.1"]
    return [*words, *request.server_arguments], None


def _private_folder(*folders: str) -> Path:
    """A new folder that nobody else may enter, with ``folders`` in it."""
    try:
        private = Path(tempfile.mkdtemp(prefix="discomfort-"))
        for name in folders:
            (private / name).mkdir()
    except OSError as error:
        raise ServerStartError(
            f"no private folder can be created in {tempfile.gettempdir()}: {error}",
            remedy="Set TMPDIR to a writable folder",
        ) from error
    return private


def _absolute(path: Path, cwd: Path, *, home: bool = True) -> Path:
    # Normalized as text, so that symlinks stay and messages show the path that the user gave.
    return Path(os.path.normpath(cwd.absolute() / (path.expanduser() if home else path)))


def _not_comfyui(path: Path, source: str | None, key: str = _COMFYUI_PATH) -> ConfigurationError:
    problem = "has no main.py with comfy beside it, so it is not ComfyUI"
    if not path.is_dir():
        problem = "is a file, not a folder" if path.exists() else "there is no such folder"
    return ConfigurationError(problem, key=key, value=str(path), source=source, remedy=locations.remedy(path))
