"""``discomfort doctor --clean``: real leftovers of dead processes are shown, then removed; what lives is left alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from cli.conftest import Cli

from discomfort import WorkflowContext
from discomfort._system.ownership import OWNER_VARIABLE, orphans, owner_lives, owner_mark, start_of
from discomfort._system.process_tree import TOKEN_VARIABLE
from discomfort.cli import cleaning
from discomfort.cli.terminal import Terminal
from discomfort.config import load_settings
from discomfort.connector.resources import Resources, journal_directory
from discomfort.context.folders import user_folder
from discomfort.files.journal import Journal
from discomfort.files.journal_entries import JournalEntry
from discomfort.server.ports import lease_port

SLEEPER = "import time; time.sleep(600)"
LEAVER = """
import sys
from pathlib import Path
from discomfort.connector.resources import journal_directory
from discomfort.files.journal import Journal
from discomfort.files.journal_entries import JournalEntry
path = Path(sys.argv[1])
facts = path.stat()
if path.is_dir():
    entry = JournalEntry("private", path.parent, path)
else:
    entry = JournalEntry("file", path.parent, path, facts.st_ino, facts.st_size, facts.st_mtime_ns)
Journal(journal_directory()).add(entry)
"""


@pytest.fixture(autouse=True)
def _own_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What other connectors of this user leave is not this test's."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("discomfort._system.shared_memory.FOLDER", tmp_path / "shm")


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that carries the marks of a server whose owner is dead: pid 4194303 was never started now."""
    marks = {TOKEN_VARIABLE: uuid.uuid4().hex, OWNER_VARIABLE: "4194303-boot.1"}
    process = subprocess.Popen([sys.executable, "-c", SLEEPER], env={**os.environ, **marks})
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch, sleeper: subprocess.Popen[bytes]) -> None:
    """No other process of this machine is a candidate, whatever else runs here."""
    monkeypatch.setattr("discomfort._system.ownership.orphans", lambda: (p for p in orphans() if p.pid == sleeper.pid))


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process is a candidate."""
    monkeypatch.setattr("discomfort._system.ownership.orphans", lambda: iter(()))


def left_folder(tmp_path: Path, *, is_listed: bool = True) -> Path:
    """A private folder as an engine makes it, in the journal of a process that is gone."""
    folder = tmp_path / "tmp" / f"discomfort-{uuid.uuid4().hex[:8]}"
    folder.mkdir(mode=0o700)
    (folder / "comfyui.db").write_bytes(b"x" * 100)
    if is_listed:
        subprocess.run([sys.executable, "-c", LEAVER, str(folder)], check=True, env=dict(os.environ))
    return folder


def left_journal(tmp_path: Path) -> Path:
    """An ephemeral upload whose process ended without deleting it."""
    upload = tmp_path / "upload.bin"
    upload.write_bytes(b"data")
    subprocess.run([sys.executable, "-c", LEAVER, str(upload)], check=True, env=dict(os.environ))
    return upload


def test_nothing_left(cli: Cli, nobody: None) -> None:
    """A clean machine is told so, with exit code 0."""
    assert cli("doctor", "--clean") == 0
    assert "dead connectors have left nothing" in cli.err


def test_shown_first_and_removed_with_yes(
    cli: Cli, only: None, sleeper: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    """Without --yes and a terminal all is only shown; with it process, folder, upload and journal are gone."""
    folder, upload = left_folder(tmp_path), left_journal(tmp_path)

    assert cli("doctor", "--clean") == 1
    for name in (str(sleeper.pid), str(folder), str(upload)):
        assert name in cli.out
    assert sleeper.poll() is None
    assert folder.exists()
    assert upload.exists()

    assert cli("doctor", "--clean", "--yes") == 0
    assert "3 of 3 removed" in cli.err
    assert sleeper.wait(10) != 0
    assert not folder.exists()
    assert not upload.exists()
    assert list(journal_directory().glob("*.jsonl")) == []


def test_json(cli: Cli, nobody: None, tmp_path: Path) -> None:
    """--json is for programs: it lists, and removes only with --yes."""
    folder = left_folder(tmp_path)
    assert cli("doctor", "--clean", "--json") == 1
    document = json.loads(cli.out)
    assert document["leftovers"][0]["problem"] == "not removed"
    assert folder.exists()

    assert cli("doctor", "--clean", "--json", "--yes") == 0
    assert json.loads(cli.out)["ok"] is True
    assert not folder.exists()


@pytest.mark.parametrize(("answer", "code"), [(True, 0), (False, 1)])
def test_asking(answer: bool, code: int, nobody: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On a terminal the user decides."""
    folder = left_folder(tmp_path)

    assert cleaning.clean_command(Terminal(), as_json=False, is_agreed=False, ask=lambda _: answer) == code
    assert folder.exists() is not answer
    assert capsys.readouterr().out


def test_names_alone_prove_nothing(cli: Cli, nobody: None, tmp_path: Path) -> None:
    """A folder that looks like ours and that no journal lists is somebody else's."""
    folder = left_folder(tmp_path, is_listed=False)

    assert cleaning.find_leftovers() == []
    assert cli("doctor", "--clean", "--yes") == 0
    assert folder.exists()


def test_orphans_are_told_by_both_marks(sleeper: subprocess.Popen[bytes]) -> None:
    """A server whose owner lives, and a process without our marks are not orphans."""
    marks = {TOKEN_VARIABLE: uuid.uuid4().hex, OWNER_VARIABLE: owner_mark()}
    ours = subprocess.Popen([sys.executable, "-c", SLEEPER], env={**os.environ, **marks})
    half = subprocess.Popen([sys.executable, "-c", SLEEPER], env={**os.environ, TOKEN_VARIABLE: "x"})
    try:
        found = {process.pid for process in orphans()}
    finally:
        for process in (ours, half):
            process.kill()
            process.wait()

    assert sleeper.pid in found
    assert not found & {ours.pid, half.pid, os.getpid()}


@pytest.mark.parametrize(
    ("mark", "lives"),
    [("4194303-boot.1", False), (f"{os.getpid()}-other.1", False), ("nonsense", True), ("", True), ("12-", True)],
    ids=["no such process", "another process", "nonsense", "none", "no start"],
)
def test_owner(mark: str, lives: bool) -> None:
    """Pid and start both count; a mark that cannot be read proves nothing."""
    assert owner_lives(mark) is lives
    assert owner_lives(owner_mark())


def test_zombie_owner_is_dead() -> None:
    """A process that ended and was not reaped owns nothing any more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    start = start_of(process.pid)
    assert start
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE
    assert start_of(process.pid) == ""
    process.wait()


def test_journal_of_a_live_process_is_not_abandoned(tmp_path: Path) -> None:
    """Our own journal, and one whose process holds its lock, are not listed."""
    journal = Journal(journal_directory())
    journal.add(JournalEntry("folder", tmp_path, tmp_path / "x", 1))
    try:
        assert Journal(journal_directory()).abandoned() == []
    finally:
        journal.drop(tmp_path / "x")
        journal.close()


def test_locks_and_emulators_folders(cli: Cli, nobody: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock of a killed process's port, and the temporary folder of a killed emulator."""
    (tmp_path / "run").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    lease = lease_port("127.0.0.1", 29800)
    assert lease.path is not None
    dead = lease.path.with_name("29999.lock")
    dead.touch()
    folder = tmp_path / "tmp" / "discomfort-temp-4194303-1-abcdefgh"
    folder.mkdir(mode=0o700)

    assert cli("doctor", "--clean") == 1
    assert str(dead) in cli.out
    assert str(folder) in cli.out
    assert str(lease.path) not in cli.out
    assert cli("doctor", "--clean", "--yes") == 0

    assert not dead.exists()
    assert not folder.exists()
    assert lease.path.exists()
    lease.release()


def test_contexts(cli: Cli, nobody: None, tmp_path: Path) -> None:
    """The values of a killed program, on disk and in memory, and its pools; not those of a living one."""
    code = (
        "import os, sys; from pathlib import Path\n"
        "from discomfort._system.claimed_folders import ClaimedFolder\n"
        "[ClaimedFolder.make(Path(path)) for path in sys.argv[1:]]; os._exit(9)"
    )
    roots = [tmp_path / "tmp" / user_folder() / "contexts", tmp_path / "shm" / user_folder()]
    for root in roots:
        root.mkdir(parents=True)
    roots.append(roots[0].with_name("pools"))
    roots[-1].mkdir()
    dead = [root / "dead" for root in roots]
    subprocess.run([sys.executable, "-c", code, *map(str, dead)], check=False)
    with WorkflowContext() as context:
        living = Path(context.receipt_path)
        # Making a context removes what is in its own folders, so the dead one is made now.
        subprocess.run([sys.executable, "-c", code, str(dead[0])], check=False)
        assert cli("doctor", "--clean") == 1
        assert all(str(path) in cli.out for path in dead)
        assert cli.out.count("values of a context whose process has ended") == 2
        assert cli.out.count("status of a pool whose process has ended") == 1
        assert context.run_id not in cli.out
        assert cli("doctor", "--clean", "--yes") == 0
        assert living.exists()
    assert not any(path.exists() for path in dead)


@pytest.mark.browser
async def test_browser_carries_the_marks(tmp_path: Path) -> None:
    """Driver and Chromium can be told by them once their owner is dead; their own folder is not asked for."""
    parts = Resources(load_settings(engine="emulator", browser="lazy"))
    converter = parts.get_converter()
    try:
        await converter.start()
        browser = converter._engine.browser
        assert browser is not None
        assert len(browser.processes) == 2
        for process in browser.processes:
            environment = psutil.Process(process.pid).environ()
            assert environment[OWNER_VARIABLE] == owner_mark()
            assert environment[TOKEN_VARIABLE]
    finally:
        await parts.release()
