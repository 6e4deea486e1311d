"""``discomfort doctor``: checks each resource separately, and names a remedy for each failure."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from rich.table import Table
from rich.text import Text

from discomfort._json import JsonObject
from discomfort._system.concurrency import to_thread
from discomfort._system.user import is_root
from discomfort.cli import checks
from discomfort.cli.checks import Check
from discomfort.cli.connect import Holder, ServerTarget, connected
from discomfort.cli.exit_codes import FAILED, OK
from discomfort.cli.progress_bars import Display, make_display
from discomfort.cli.runner import Interrupted, run
from discomfort.cli.terminal import LogHandler, Terminal, clean, describe
from discomfort.exceptions import BrowserError, ConfigurationError, DiscomfortError

if TYPE_CHECKING:
    from discomfort.config import Settings
    from discomfort.discovery.engines import Engine

_BROWSER_SECONDS = 90.0
_VERSION_SECONDS = 20.0
_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def doctor_command(target: ServerTarget, terminal: Terminal, *, as_json: bool, start: bool) -> int:
    """Run all checks and return the exit code: 0 if none failed, else 1."""
    doctor = Doctor(target, terminal, is_shown=not as_json)
    holder = Holder()
    code = OK
    with terminal.logging() as log:
        log.engine_announced = True  # the engine has a check of its own
        try:
            run(
                lambda: doctor.examine(holder, log, start=start),
                on_stop=lambda name: terminal.note(f"{name}: stopping (once more ends it at once)"),
                on_force=holder.release_now,
            )
        except Interrupted as error:
            code = FAILED
            terminal.fail(str(error))
        finally:
            doctor.display.close()
    failed = [check for check in doctor.found if check.status == "fail"]
    warned = [check for check in doctor.found if check.status == "warn"]
    if as_json:
        document: JsonObject = {"ok": not failed, "checks": [check.as_json() for check in doctor.found]}
        if doctor.diagnostics is not None:
            document["diagnostics"] = doctor.diagnostics
        terminal.write_json(document)
    else:
        hint = "" if start else "; --start also starts the server and runs the self-test"
        terminal.note(f"{len(doctor.found)} checks, {len(failed)} failed, {len(warned)} with a warning{hint}")
    return FAILED if failed else code


class Doctor:
    """Runs the checks one after the other and shows each as soon as it is known."""

    def __init__(self, target: ServerTarget, terminal: Terminal, *, is_shown: bool) -> None:
        self._target, self._terminal, self._is_shown = target, terminal, is_shown
        self.display: Display = make_display(terminal)
        self.found: list[Check] = []
        self.diagnostics: JsonObject | None = None

    async def examine(self, holder: Holder, log: LogHandler, *, start: bool) -> None:
        """All checks, in an order in which later ones may rely on earlier ones."""
        self._tell([checks.python(), checks.dependencies()])
        settings = self._settings()
        engine = await to_thread(self._resolve, settings) if settings is not None else None
        if settings is not None and engine is not None:
            # The engine's check starts another Python to see what it can import: a second from a cold disk.
            self._tell(await to_thread(lambda: list(checks.engine(engine))))
            self._tell([checks.frontend(engine)])
        self.display.phase("launching Chromium")
        self._tell([await chromium(str(settings.chromium_path) if settings and settings.chromium_path else None)])
        if settings is not None:
            self._tell([await to_thread(checks.ports, settings)])
        folders = [Path(tempfile.gettempdir()), Path.cwd()]
        if engine is not None:
            folders += [engine.folders.output, engine.folders.temp]
        self._tell([checks.own_folders(), checks.disk_space(folders), checks.shared_memory()])
        self._tell([await to_thread(checks.leftovers)])
        if start and settings is not None and engine is not None:
            self._tell([await self._start(holder, log)])

    def _tell(self, found: Iterable[Check]) -> None:
        for check in found:
            self.found.append(check)
            if self._is_shown:
                self.display.close()
                show(self._terminal, check)

    def _settings(self) -> Settings | None:
        from discomfort.config import load_settings

        try:
            arguments: dict[str, Any] = {} if self._target.engine is None else {"engine": self._target.engine}
            settings = load_settings(self._target.config, **arguments)
        except (ConfigurationError, OSError) as error:
            remedy = (
                getattr(error, "remedy", "") or "Correct it; the configuration keys are described in the documentation"
            )
            self._tell([Check("configuration", "fail", describe(error), remedy)])
            return None
        self._tell([checks.configuration(settings)])
        return settings

    def _resolve(self, settings: Settings) -> Engine | None:
        from discomfort.connector.resources import engine_request
        from discomfort.discovery.engines import resolve_engine

        try:
            engine = resolve_engine(engine_request(settings))
        except DiscomfortError as error:
            remedy = getattr(error, "remedy", "")
            self._tell([Check("engine", "fail", describe(error).removesuffix(f". {remedy}"), remedy)])
            return None
        # Only its facts are needed; a start creates its own private folders.
        engine.discard()
        return engine

    async def _start(self, holder: Holder, log: LogHandler) -> Check:
        begun = time.monotonic()
        try:
            async with connected(self._target, self._terminal, self.display, holder, log) as connector:
                seconds = time.monotonic() - begun
                detail = (
                    f"{connector.engine} at {connector.server_address} was ready in {seconds:.1f} s, self-test passed"
                )
                if not self._is_shown:
                    self.diagnostics = await connector.diagnostics()
        except (DiscomfortError, OSError) as error:
            is_unclear = bool(getattr(error, "log_tail", ())) and not getattr(error, "remedy", "")
            return Check("start", "fail", describe(error), "The server's log above names the cause" * is_unclear)
        finally:
            self.display.close()
        return Check("start", "ok", detail)


async def chromium(configured: str | None) -> Check:
    """Find Chromium as a run would, launch it, close it. Nothing is installed."""
    from discomfort.conversion.browser.process import Browser

    # As long a path as a run's: Chromium makes a socket below it, and the length of a socket's path is limited.
    folder = Path(tempfile.gettempdir(), f"discomfort-doctor-{uuid.uuid4().hex[:7]}")
    with _Notices() as notices:
        browser = Browser(folder, host="127.0.0.1", port=9, chromium_path=configured, install=False)
        try:
            async with asyncio.timeout(_BROWSER_SECONDS):
                await browser.launch()
        except TimeoutError:
            return Check(
                "chromium", "fail", f"{browser.executable} did not start in {_BROWSER_SECONDS:g} s", "Try another"
            )
        except BrowserError as error:
            return Check("chromium", "fail", error.problem, error.remedy)
        finally:
            await browser.aclose()
    version = await to_thread(_version, str(browser.executable))
    return _with_sandbox(f"{version or 'version unknown'}, {browser.executable}, launches", notices.sandbox_refused)


def _with_sandbox(detail: str, refused: bool) -> Check:
    if is_root():
        return Check("chromium", "ok", f"{detail} (without its sandbox, as root)")
    if refused:
        remedy = "Runs work without it; to have the sandbox, permit unprivileged user namespaces"
        return Check("chromium", "warn", f"{detail}, but the kernel permits no sandbox", remedy)
    return Check("chromium", "ok", f"{detail} in its sandbox")


class _Notices(logging.Handler):
    """Notices the launch's log line about a sandbox that is not permitted."""

    def __init__(self) -> None:
        super().__init__()
        self.sandbox_refused = False

    def __enter__(self) -> Self:
        logging.getLogger("discomfort.conversion").addHandler(self)
        return self

    def __exit__(self, *exc: object) -> None:
        logging.getLogger("discomfort.conversion").removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.sandbox_refused = self.sandbox_refused or "sandbox is not permitted" in record.getMessage()


def _version(executable: str) -> str:
    try:
        done = subprocess.run(
            [executable, "--version"], capture_output=True, text=True, timeout=_VERSION_SECONDS, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip().partition("\n")[0]


def show(terminal: Terminal, check: Check) -> None:
    """One check as a line of its own on stdout, with its remedy below."""
    if not terminal.out_is_terminal:
        remedy = f"\n      -> {clean(check.remedy)}" if check.remedy else ""
        terminal.write(f"{check.status:<4}  {check.name}: {clean(check.detail)}{remedy}\n")
        return
    text = Text.assemble((check.name, "bold"), ": ", clean(check.detail), overflow="fold")
    if check.remedy:
        text.append(f"\n-> {clean(check.remedy)}", style="yellow")
    line = Table.grid(padding=(0, 2))
    line.add_row(Text(f"{check.status:<4}", style=_STYLES[check.status]), text)
    terminal.show(line)
