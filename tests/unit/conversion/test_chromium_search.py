"""Which browser is taken, in which order, and what an installation does."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from discomfort.conversion.browser import chromium
from discomfort.exceptions import BrowserError


def executable(path: Path, text: str = "#!/bin/sh\nexit 0\n") -> str:
    """A file that may be executed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine whose only commands are those that a test puts into ``bin``."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(chromium, "SYSTEM_PATHS", ())
    monkeypatch.setattr(chromium.system_chromium, "__defaults__", (chromium.SYSTEM_NAMES, ()))
    return folder


def test_configured_path_comes_first(tmp_path: Path, bare_machine: Path) -> None:
    """A configured browser is taken although others exist; a bare name is looked up."""
    configured = executable(tmp_path / "mine" / "chrome")
    bundled = executable(tmp_path / "playwright" / "chrome")
    system = executable(bare_machine / "chromium")

    assert chromium.existing_chromium(configured, bundled) == configured
    assert chromium.existing_chromium("chromium", bundled) == system


def test_configured_path_must_exist(tmp_path: Path, bare_machine: Path) -> None:
    """A configured browser that is not there is never replaced by another."""
    executable(bare_machine / "chromium")
    plain = tmp_path / "chrome"
    plain.write_text("no program")

    for path in (str(tmp_path / "nowhere"), str(plain)):
        with pytest.raises(BrowserError, match=str(path)):
            chromium.existing_chromium(path, None)


def test_bundled_before_system(tmp_path: Path, bare_machine: Path) -> None:
    """Playwright's own browser is taken before the system's."""
    system = executable(bare_machine / "google-chrome")
    bundled = executable(tmp_path / "playwright" / "chrome")

    assert chromium.existing_chromium(None, bundled) == bundled
    assert chromium.existing_chromium(None, str(tmp_path / "absent")) == system
    assert chromium.existing_chromium(None, None) == system


def test_usual_places_without_path(tmp_path: Path) -> None:
    """A browser in a usual place is found although ``PATH`` does not lead there."""
    place = executable(tmp_path / "opt" / "chrome")

    assert chromium.system_chromium((), ("/nowhere/chrome", place)) == place
    assert chromium.system_chromium((), ("/nowhere/chrome",)) is None


async def test_nothing_is_installed_without_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without permission to install, the error has the command to run."""
    monkeypatch.setattr(chromium, "_run", pytest.fail)

    with pytest.raises(BrowserError) as caught:
        await chromium.find_chromium(None, None, install=False)

    assert "-m playwright install" in caught.value.remedy


async def test_playwright_installs_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Playwright's installer is run first, and what it installed is used."""
    bundled = tmp_path / "cache" / "chrome"
    commands: list[list[str]] = []

    async def run(command: list[str], environment: dict[str, str] | None = None) -> bool:
        commands.append(command)
        executable(bundled)
        return True

    monkeypatch.setattr(chromium, "_run", run)

    assert await chromium.find_chromium(None, str(bundled), install=True) == str(bundled)
    assert commands == [[sys.executable, "-m", "playwright", "install", "chromium"]]


async def test_debian_package_is_the_last_resort(monkeypatch: pytest.MonkeyPatch, bare_machine: Path) -> None:
    """Where Playwright's download fails, root on Debian gets the distribution's package."""
    executable(bare_machine / "apt-get")
    commands: list[str] = []

    async def run(command: list[str], environment: dict[str, str] | None = None) -> bool:
        commands.append(" ".join(command[:2]))
        if command[:2] == ["apt-get", "install"]:
            executable(bare_machine / "chromium")
        return command[0] == "apt-get"

    monkeypatch.setattr(chromium, "_run", run)
    monkeypatch.setattr("os.geteuid", lambda: 0)

    assert await chromium.find_chromium(None, None, install=True) == str(bare_machine / "chromium")
    assert commands[-2:] == ["apt-get update", "apt-get install"]


async def test_failed_installation_names_the_commands(monkeypatch: pytest.MonkeyPatch, bare_machine: Path) -> None:
    """A user who may not install packages is told what an administrator would run."""
    executable(bare_machine / "apt-get")

    async def run(command: list[str], environment: dict[str, str] | None = None) -> bool:
        return False

    monkeypatch.setattr(chromium, "_run", run)
    monkeypatch.setattr("os.geteuid", lambda: 1000)

    with pytest.raises(BrowserError) as caught:
        await chromium.find_chromium(None, None, install=True)

    assert "apt-get install -y chromium" in caught.value.remedy


async def test_installer_output_is_logged(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """What an installer says when it fails is in the log; one that cannot be run is a failure too."""
    failing = executable(tmp_path / "installer", "#!/bin/sh\necho no space left\nexit 3\n")

    assert await chromium._run([failing]) is False
    assert await chromium._run([str(tmp_path / "absent")]) is False

    assert "no space left" in caplog.text
    assert "could not be run" in caplog.text


async def test_installer_has_a_deadline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An installer that does not end is ended."""
    hanging = executable(tmp_path / "installer", "#!/bin/sh\nexec /bin/sleep 1000\n")
    monkeypatch.setattr(chromium, "DOWNLOAD_DEADLINE", 0.05)

    assert await chromium._run([hanging]) is False
