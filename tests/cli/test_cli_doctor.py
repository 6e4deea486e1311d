"""``discomfort doctor``: each check by itself, and the command around them."""

from __future__ import annotations

import fcntl
import json
import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from cli.conftest import Cli

from discomfort.cli import checks, doctor
from discomfort.cli.checks import Check
from discomfort.config import load_settings
from discomfort.exceptions import BrowserError, ServerStartError
from discomfort.files.journal import Journal


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> list[Check]:
    """Stands in for launching Chromium; holds the one check that it gives."""
    given = [Check("chromium", "ok", "launches")]

    async def fake(configured: str | None) -> Check:
        return given[0]

    monkeypatch.setattr(doctor, "chromium", fake)
    return given


@pytest.fixture(autouse=True)
def _own_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What other connectors of this user leave is not this test's."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setattr("tempfile.tempdir", None)


def lines(out: str) -> dict[str, str]:
    """Status by check."""
    pairs = (line.split(":")[0].split(None, 1) for line in out.splitlines() if not line.startswith(" "))
    return {name: status for status, name in pairs}


def test_all_is_well(cli: Cli, browser: list[Check]) -> None:
    """Every resource has a line with its status, and the exit code is 0."""
    assert cli("doctor", "--engine", "emulator") == 0

    found = lines(cli.out)
    assert list(found) == [
        "python", "dependencies", "configuration", "engine", "engine folders", "frontend", "chromium", "port",
        "own folders", "disk space", "shared memory", "leftovers",
    ]  # fmt: skip
    assert found["engine"] == "ok"
    assert "checks, 0 failed" in cli.err
    assert cli.opened == []
    assert list(Path("tmp").iterdir()) == []


def test_a_failure_has_its_remedy(cli: Cli, browser: list[Check]) -> None:
    """A failed check shows what to do, and the exit code is 1; the other checks are still made."""
    browser[0] = Check("chromium", "fail", "there is none", "Run: apt-get install -y chromium")

    assert cli("doctor", "--engine", "emulator") == 1

    assert "fail  chromium: there is none\n      -> Run: apt-get install -y chromium\n" in cli.out
    assert "leftovers" in lines(cli.out)


def test_json(cli: Cli, browser: list[Check]) -> None:
    """--json has every check with its status and remedy."""
    assert cli("doctor", "--engine", "emulator", "--json") == 0

    document = json.loads(cli.out)
    assert document["ok"] is True
    assert {"name": "chromium", "status": "ok", "detail": "launches", "remedy": ""} in document["checks"]


def test_a_wrong_configuration_does_not_stop_the_other_checks(
    cli: Cli, browser: list[Check], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not depend on the configuration is still checked."""
    monkeypatch.setenv("DISCOMFORT_INITIAL_PORT", "nonsense")

    assert cli("doctor") == 1

    found = lines(cli.out)
    assert found["configuration"] == "fail"
    assert {"python", "chromium", "disk space"} <= set(found)
    assert "DISCOMFORT_INITIAL_PORT" in cli.out


def test_a_configured_comfyui_that_is_not_there(
    cli: Cli, browser: list[Check], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The engine's check fails with its remedy once."""
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path / "nowhere"))

    assert cli("doctor") == 1

    assert lines(cli.out)["engine"] == "fail"
    assert cli.out.count("Set COMFYUI_PATH to the folder") == 1


def test_start_starts_and_stops(cli: Cli, browser: list[Check]) -> None:
    """--start creates the connector, and shuts it down."""
    assert cli("doctor", "--engine", "emulator", "--start") == 0

    assert "ok    start: comfyui at http://127.0.0.1:1 was ready" in cli.out
    assert cli.connector.names() == ["kill"]


def test_start_with_json_carries_the_diagnostics(
    cli: Cli, browser: list[Check], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A report for others has the bundle of the connector that was started."""

    async def diagnostics() -> dict[str, str]:
        return {"state": "ready"}

    monkeypatch.setattr(cli.connector, "diagnostics", diagnostics, raising=False)

    assert cli("doctor", "--engine", "emulator", "--start", "--json") == 0
    assert json.loads(cli.out)["diagnostics"] == {"state": "ready"}


def test_secrets_of_the_configuration_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token on the configured command line is taken out of the check."""
    monkeypatch.setenv("DISCOMFORT_API_COMMAND_LINE", "python3 main.py --api-token hunter2")

    detail = checks.configuration(load_settings()).detail

    assert "hunter2" not in detail
    assert "python3 main.py --api-token ***" in detail


def test_variables_for_the_server_are_not_shown() -> None:
    """Their names are, and a secret among the server's arguments is not."""
    settings = load_settings(environment={"HF_HOME": "hunter2"}, server_arguments="--api-key hunter2 --cpu")

    detail = checks.configuration(settings).detail

    assert "hunter2" not in detail
    assert "HF_HOME" in detail
    assert "--cpu" in detail


def test_misspelt_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a warning that names the nearest setting, beside what is configured."""
    monkeypatch.setenv("DISCOMFORT_INITAL_PORT", "9000")
    monkeypatch.setenv("DISCOMFORT_BROWSER", "lazy")

    check = checks.configuration(load_settings())

    assert check.status == "warn"
    assert "DISCOMFORT_INITAL_PORT is not a setting; the nearest known key is DISCOMFORT_INITIAL_PORT" in check.detail
    assert "BROWSER=lazy" in check.detail
    assert check.remedy


def test_a_start_that_fails(cli: Cli, browser: list[Check]) -> None:
    """The server's own words are shown."""

    def fail() -> None:
        raise ServerStartError("it exited", exit_code=1, log_tail=["No module named torch"])

    cli.on_open = fail

    assert cli("doctor", "--engine", "emulator", "--start") == 1
    assert "fail  start: last log lines:\n  No module named torch\nit exited" in cli.out


def test_dependencies_that_are_missing_or_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are failures that name the package."""
    monkeypatch.setattr(
        checks, "_requirements", lambda: [("no-such-package", ""), ("rich", "9999.1"), ("typer", "0.1")]
    )

    check = checks.dependencies()

    assert check.status == "fail"
    assert "no-such-package is missing; rich " in check.detail
    assert "is older than 9999.1" in check.detail
    assert "typer" not in check.detail
    assert "pip install" in check.remedy


def test_the_requirements_are_those_of_the_distribution() -> None:
    """They are read from the installed metadata, without the extras."""
    found = dict(checks._requirements())

    assert set(checks._DEPENDENCIES) <= set(found)
    assert "pytest" not in found


def test_configured_values_have_their_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each value says where it came from."""
    monkeypatch.setenv("DISCOMFORT_INITIAL_PORT", "9000")

    assert (
        "INITIAL_PORT=9000 (environment variable DISCOMFORT_INITIAL_PORT)"
        in checks.configuration(load_settings()).detail
    )


def make_engine(base: Path, **more: object) -> SimpleNamespace:
    """An engine of ComfyUI in a folder."""
    names = {name: base / name for name in ("input", "output", "temp", "user")}
    facts = {
        "kind": "comfyui",
        "reason": "found",
        "python": sys.executable,
        "front_end_root": None,
        "is_fallback": False,
    }
    return SimpleNamespace(**(facts | more), folders=SimpleNamespace(base=base, **names))


def test_the_engine_of_a_comfyui(tmp_path: Path) -> None:
    """Version, interpreter and folders are shown; a Python without torch is a failure."""
    (tmp_path / "comfyui_version.py").write_text('__version__ = "0.3.64"\n')
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho 3.12.1 True\n")
    script.chmod(0o755)

    found = {check.name: check for check in checks.engine(make_engine(tmp_path, python=str(script)))}

    assert found["engine"].detail == "comfyui 0.3.64: found"
    assert found["engine python"].detail.startswith("Python 3.12.1")
    assert [check.status for check in found.values()] == ["ok", "ok", "ok"]


@pytest.mark.parametrize(("answer", "told"), [("echo 3.12.1 False", "has no torch"), ("exit 3", "does not run")])
def test_a_python_that_can_not_run_comfyui(tmp_path: Path, answer: str, told: str) -> None:
    """An interpreter without torch, or one that does not run, is a failure with a remedy."""
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\n{answer}\n")
    script.chmod(0o755)

    check = checks._engine_python(str(script))

    assert check.status == "fail"
    assert told in check.detail
    assert check.remedy


def test_the_emulator_by_default_is_a_warning(tmp_path: Path) -> None:
    """Where ComfyUI was looked for and not found, the doctor says so."""
    for is_fallback, status in ((True, "warn"), (False, "ok")):
        engine = make_engine(tmp_path, kind="emulator", is_fallback=is_fallback)

        assert [check.status for check in checks.engine(engine)] == [status, "ok"]


@pytest.mark.parametrize(
    ("kind", "root", "status"),
    [("emulator", None, "fail"), ("comfyui", None, "warn"), ("comfyui", "empty", "fail"), ("comfyui", "full", "ok")],
)
def test_frontend(tmp_path: Path, kind: str, root: str | None, status: str) -> None:
    """The frontend's files are there, with their version, or the remedy is."""
    for name in ("empty", "full"):
        (tmp_path / "site" / "package" / name).mkdir(parents=True)
    (tmp_path / "site" / "package" / "full" / "index.html").touch()
    (tmp_path / "site" / "comfyui_frontend_package-1.2.3.dist-info").mkdir()
    folder = None if root is None else tmp_path / "site" / "package" / root

    check = checks.frontend(make_engine(tmp_path, kind=kind, front_end_root=folder))

    assert check.status == status
    assert bool(check.remedy) is (status != "ok")
    assert ("1.2.3" in check.detail) is (status == "ok")


def test_a_taken_port_is_told() -> None:
    """The next free port is named; nothing stays leased."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        check = checks.ports(load_settings(initial_port=port))

    assert check.status == "ok"
    assert f"{port} is taken" in check.detail


def test_a_host_of_another_machine_fails() -> None:
    """An address that is not ours is a failure with a remedy."""
    check = checks.ports(load_settings(api_url="192.0.2.1"))

    assert check.status == "fail"
    assert check.remedy


def test_folders_that_can_not_be_written(tmp_path: Path) -> None:
    """A file where a folder has to be is named; a folder that can be made is fine."""
    (tmp_path / "file").touch()

    assert checks.writable("x", [tmp_path / "new" / "er"], "do").status == "ok"
    assert checks.writable("x", [tmp_path, tmp_path / "file" / "below"], "do") == Check(
        "x", "fail", f"not writable: {tmp_path / 'file' / 'below'}", "do"
    )


@pytest.mark.parametrize(("free", "status"), [(1 << 20, "fail"), (1 << 30, "warn"), (1 << 40, "ok")])
def test_disk_space(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: int, status: str) -> None:
    """Little space is a warning, next to none a failure."""
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=free))

    check = checks.disk_space([tmp_path, tmp_path / "same disk"])

    assert check.status == status
    assert check.detail.count("free at") == 1


@pytest.mark.parametrize(("total", "status"), [(64 << 20, "warn"), (1 << 30, "ok")])
def test_shared_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, total: int, status: str) -> None:
    """Docker's default is a warning; a system without the device is fine."""
    assert checks.shared_memory(tmp_path / "missing").status == "ok"
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(total=total))

    assert checks.shared_memory(tmp_path).status == status


def test_leftovers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Journals of dead processes are named, also where another has the pid now.

    Those of live ones, and a folder that only looks like ours, are not.
    """
    journals = tmp_path / "state" / "discomfort" / "journal"
    journals.mkdir(parents=True)
    own = psutil.Process().pid
    dead, reused, locked = (journals / f"{pid}-1.jsonl" for pid in (4194303, own, 4194302))
    live = Journal(journals).path
    for path in (dead, reused, live, locked):
        path.touch()
    (tmp_path / "tmp" / "discomfort-abcdefgh").mkdir(mode=0o700)
    monkeypatch.setattr(
        "discomfort._system.ownership.orphans", lambda: iter([SimpleNamespace(pid=4194301, cmdline=list)])
    )
    with locked.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        check = checks.leftovers()

    assert check.status == "warn"
    assert check.detail == ", ".join(["process 4194301", *sorted([str(dead), str(reused)])])


def test_no_leftovers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without any is fine. Tests that run beside this one kill programs, whose servers live on a moment."""
    monkeypatch.setattr("discomfort._system.ownership.orphans", lambda: iter(()))
    assert checks.leftovers() == Check("leftovers", "ok", "none")


class FakeBrowser:
    """Launches, or does not."""

    error: Exception | None = None
    executable = "/bin/false"
    closed = 0

    def __init__(self, *_: object, **__: object) -> None:
        pass

    async def launch(self) -> None:
        """Fail if asked to."""
        if self.error is not None:
            raise self.error

    async def aclose(self) -> None:
        """Count it."""
        type(self).closed += 1


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (None, "ok", "/bin/false, launches"),
        (BrowserError("there is none", remedy="Run: x"), "fail", "there is none"),
        (TimeoutError(), "fail", "did not start"),
    ],
)
async def test_chromium(monkeypatch: pytest.MonkeyPatch, error: Exception | None, status: str, told: str) -> None:
    """Chromium is launched and closed; what goes wrong is a failure with a remedy."""
    monkeypatch.setattr("discomfort.conversion.browser.process.Browser", FakeBrowser)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(FakeBrowser, "error", error)
    monkeypatch.setattr(FakeBrowser, "closed", 0)

    check = await doctor.chromium(None)

    assert (check.status, bool(check.remedy)) == (status, status != "ok")
    assert told in check.detail
    assert FakeBrowser.closed == 1


def test_chromium_without_its_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root has none, which is fine; a kernel that permits none is a warning."""
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert doctor._with_sandbox("x", False).status == "ok"

    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert doctor._with_sandbox("x", True).status == "warn"
    assert "in its sandbox" in doctor._with_sandbox("x", False).detail


@pytest.mark.browser
async def test_a_real_chromium_launches(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's Chromium is found, launched and told with its version."""
    # The test's own folder is too long for the path of Chromium's socket.
    monkeypatch.delenv("TMPDIR")
    check = await doctor.chromium(None)

    assert check.status != "fail", check
    assert "launches" in check.detail
