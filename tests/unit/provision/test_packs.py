"""Node packs: by the manager, by comfy-cli, by git; after consent; complete or not at all."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from unit.provision.pack_host import PackHost, git, program, served, stand_in_python
from unit.provision.provide_site import StandInServer, plan, provide
from waiting import has_ended, until

from discomfort.exceptions import ConsentError, PackInstallError, ProvideError, ServerStartError
from discomfort.planning.needs import PackNeed
from discomfort.provision.server_site import ServerSite

PACK = {"__init__.py": "NODE_CLASS_MAPPINGS = {}", "classes.txt": "Mine"}
ENVIRON = {"PATH": os.environ["PATH"], "HOME": "/nowhere", "GIT_CONFIG_NOSYSTEM": "1"}


@pytest.fixture
def host(tmp_path: Path) -> Iterator[PackHost]:
    with served(tmp_path / "repositories") as made:
        yield made


@pytest.fixture
def server(tmp_path: Path) -> StandInServer:
    return StandInServer(tmp_path / "home", python=str(stand_in_python(tmp_path / "venv", "pip")))


def need(repository: str | None = None, **more: Any) -> PackNeed:
    """A pack with one class."""
    return PackNeed(**{"class_types": ("Mine",), "repository": repository, **more})


async def install(server: StandInServer, *needs: PackNeed, **options: Any) -> Any:
    """Provide these packs."""
    return await provide(server, plan(*needs), environ=options.pop("environ", ENVIRON), **options)


async def failure(server: StandInServer, *needs: PackNeed, **options: Any) -> PackInstallError:
    """The one error of packs that cannot be installed."""
    with pytest.raises(ProvideError) as caught:
        await install(server, *needs, **options)
    error = caught.value.failures[0]
    assert isinstance(error, PackInstallError)
    return error


def folders(server: StandInServer) -> list[str]:
    return sorted(path.name for path in server.packs.iterdir())


async def test_a_pack_by_git(host: PackHost, server: StandInServer, tmp_path: Path) -> None:
    """It is cloned, its requirements go into the server's Python, its script runs, and the server starts again."""
    files = {**PACK, "requirements.txt": "x", "install.py": "y"}
    seen: list[Any] = []

    report = await install(server, need(host.repository("pack", files)), seen=seen)

    assert [(item.outcome, item.name, item.path) for item in report.items] == [
        ("installed", "pack", server.packs / "pack")
    ]
    pip, script = (tmp_path / "venv" / "log").read_text().splitlines()
    assert pip.startswith("-m pip install --no-input")
    assert script == "install.py"
    assert report.is_restarted
    assert server.starts == 1
    assert folders(server) == ["pack"]
    assert server.watched == []
    assert any(event.kind == "pack" and event.text for event in seen)


async def test_a_second_time_nothing_is_done(host: PackHost, server: StandInServer) -> None:
    """A pack that is there is left as it is."""
    address = host.repository("pack", PACK)
    await install(server, need(address))
    (server.packs / "pack" / "mine.txt").write_text("kept")

    report = await install(server, need(address))

    assert [item.outcome for item in report.items] == ["present"]
    assert (server.packs / "pack" / "mine.txt").read_text() == "kept"


@pytest.mark.parametrize("version", ["1", "v1", "commit"])
async def test_the_wanted_version(host: PackHost, server: StandInServer, version: str) -> None:
    """A tag, with or without v, or a commit."""
    address = host.repository("pack", PACK, {"classes.txt": "Newer"})
    if version == "commit":
        version = git(host.folder / "work-pack", "rev-parse", "v1")

    await install(server, need(address, version=version))

    assert (server.packs / "pack" / "classes.txt").read_text() == "Mine"


async def test_a_version_that_is_not_there(host: PackHost, server: StandInServer) -> None:
    """Another version is not taken in silence, and nothing is left; ``any_version`` permits it."""
    address = host.repository("pack", PACK)

    error = await failure(server, need(address, version="7.7"))

    assert "7.7" in str(error)
    assert folders(server) == []
    assert server.starts == 0
    await install(server, need(address, version="7.7"), any_version=True)
    assert folders(server) == ["pack"]


async def test_no_such_repository(host: PackHost, server: StandInServer) -> None:
    """What git says is in the error, and nothing is left."""
    error = await failure(server, need(f"{host.url}/nothing.git"))

    assert error.log_tail
    assert folders(server) == []


@pytest.mark.parametrize("file", ["requirements.txt", "install.py"])
async def test_an_installation_that_fails(host: PackHost, tmp_path: Path, file: str) -> None:
    """If pip or the pack's own script fails, the pack is not there."""
    python = stand_in_python(tmp_path / "venv", "pip", script="echo it broke; exit 3")
    server = StandInServer(tmp_path / "home", python=str(python))

    error = await failure(server, need(host.repository("pack", {**PACK, file: "x"})))

    assert "it broke" in str(error)
    assert "exit code 3" in str(error)
    assert folders(server) == []


async def test_consent_shows_code(host: PackHost, server: StandInServer) -> None:
    """Who agrees knows that code of a stranger will run, from where and where."""
    with pytest.raises(ConsentError) as caught:
        await install(server, need(host.repository("pack", PACK)), yes=False)

    for part in ("by git", host.url, str(server.packs / "pack"), "its code runs", server.site.python):
        assert part in str(caught.value)
    assert folders(server) == []


async def test_a_dry_run(host: PackHost, server: StandInServer) -> None:
    """It says what would be done, and nothing runs."""
    report = await install(server, need(f"{host.url}/pack.git"), dry_run=True, yes=False)

    assert [(item.outcome, item.name) for item in report.items] == [("planned", "pack")]
    assert folders(server) == []


@pytest.mark.parametrize(
    ("pack", "reason"),
    [
        (need("ext::sh -c 'touch /tmp/x'"), "only http"),
        (need("--upload-pack=evil"), "only http"),
        (need("file:///etc"), "only http"),
        (need("git@github.com:a/b"), "only http"),
        (need("https://user:password@github.com/a/b"), "credentials"),
        (need("https://github.com/a/..git"), "repository"),
        (need("https://github.com/a/.disabled"), "folder of a pack"),
        (need("http://github.com/a/b"), "encrypted"),
        (need("https://10.0.0.1/a/b"), "encrypted"),
        (need("https://github.com/a/b", version="--evil"), "not a version"),
        (need(pack_id="--evil"), "registry"),
        (need(pack_id="comfy-core"), "update ComfyUI"),
        (need(pack_id="some-pack"), "nor comfy-cli is there; pip install comfy-cli"),
        (need(), "nothing tells"),
        (need(import_error="ImportError: x", pack_id="some-pack"), "does not load: ImportError: x"),
    ],
)
async def test_packs_that_cannot_be_installed(server: StandInServer, pack: PackNeed, reason: str) -> None:
    """Each with its reason; what a workflow says never becomes an option or another protocol."""
    report = await install(server, pack, allow_private=False)

    assert [item.outcome for item in report.items] == ["impossible"]
    assert reason in report.items[0].reason
    assert server.starts == 0


async def test_an_attached_server(tmp_path: Path) -> None:
    """Nothing is installed for a server that somebody else runs."""
    server = StandInServer(tmp_path, is_ours=False)

    report = await install(server, need("https://github.com/a/b"))

    assert "connector starts itself" in report.items[0].reason


async def test_the_manager_first(tmp_path: Path) -> None:
    """If the server's Python has the manager, it installs the pack by its name in the registry."""
    home = tmp_path / "home"
    script = f"mkdir -p {home}/custom_nodes/some-pack; echo Mine > {home}/custom_nodes/some-pack/classes.txt"
    server = StandInServer(home, python=str(stand_in_python(tmp_path / "venv", "pip", "cm_cli", script=script)))

    report = await install(server, need("https://github.com/a/b", pack_id="some-pack", version="1.2.3"))

    assert (tmp_path / "venv" / "log").read_text().strip() == "-m cm_cli install some-pack@1.2.3 --exit-on-fail"
    assert [item.outcome for item in report.items] == ["installed"]


async def test_comfy_cli(tmp_path: Path) -> None:
    """Without the manager comfy-cli installs it from the registry."""
    home = tmp_path / "home"
    script = f'echo "$@" > {tmp_path}/log; mkdir {home}/custom_nodes/some-pack'
    script += f"; echo Mine > {home}/custom_nodes/some-pack/classes.txt"
    program(tmp_path / "bin" / "comfy", script)
    server = StandInServer(home)
    environ = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}

    report = await install(server, need(pack_id="some-pack", version="1.2.3"), environ=environ)

    words = (tmp_path / "log").read_text().split()
    assert words == [*f"--skip-prompt --workspace {home} node registry-install some-pack --version 1.2.3".split()]
    assert report.is_complete


async def test_other_folders_of_packs(host: PackHost, server: StandInServer, tmp_path: Path) -> None:
    """The tools know only the folder below ComfyUI; for another one git is the way."""
    python = stand_in_python(tmp_path / "venv", "pip", "cm_cli")
    server.site = ServerSite(True, str(python), tmp_path / "elsewhere", server.packs)

    await install(server, need(host.repository("pack", PACK), pack_id="pack"))

    assert folders(server) == ["pack"]


async def test_a_pack_that_lacks_its_requirements(server: StandInServer, tmp_path: Path) -> None:
    """A pack that is there and does not load gets what it imports, and is loaded again."""
    (server.packs / "Some-Pack").mkdir()
    (server.packs / "Some-Pack" / "requirements.txt").write_text("x")
    (server.packs / "Some-Pack" / "classes.txt").write_text("Mine")

    report = await install(server, need(pack_id="some-pack", import_error="No module named 'x'"))

    assert "pip install" in (tmp_path / "venv" / "log").read_text()
    assert report.is_complete
    assert server.starts == 1


async def test_a_server_that_does_not_start_with_it(host: PackHost, server: StandInServer) -> None:
    """The pack is disabled, the server runs without it, and the error says why."""
    server.refuses.append(ServerStartError("it crashed"))

    error = await failure(server, need(host.repository("pack", PACK)))

    assert "it crashed" in str(error)
    assert folders(server) == ["pack.disabled"]
    assert server.starts == 2


async def test_a_pack_without_the_class(host: PackHost, server: StandInServer) -> None:
    """A pack that is loaded, and does not have what the workflow uses, is a failure."""
    error = await failure(server, need(host.repository("pack", {**PACK, "classes.txt": "Other"})))

    assert "still lacks Mine" in str(error)


async def test_runs_under_way(host: PackHost, server: StandInServer) -> None:
    """A restart would end them, so the report says that it has to be done; the next call does it."""
    address = host.repository("pack", PACK)
    server.busy = True

    report = await install(server, need(address))

    assert server.starts == 0
    assert not report.is_complete
    assert "under way" in report.restart_reason
    server.busy = False
    assert (await install(server, need(address))).is_restarted


async def test_cancellation_leaves_nothing(host: PackHost, tmp_path: Path) -> None:
    """The program that installs is killed with its children, and the pack is not there."""
    script = f"echo $$ > {tmp_path}/pid; sleep 600"
    server = StandInServer(tmp_path / "home", python=str(stand_in_python(tmp_path / "venv", "pip", script=script)))
    task = asyncio.create_task(install(server, need(host.repository("pack", {**PACK, "requirements.txt": "x"}))))
    await until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    running = psutil.Process(int((tmp_path / "pid").read_text()))

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert folders(server) == []
    assert has_ended(running)
    assert server.watched == []


async def test_what_a_killed_process_left(host: PackHost, server: StandInServer) -> None:
    """Half a clone of an earlier process is removed; packs that the user disabled are not."""
    (server.packs / ".discomfort-0123.disabled").mkdir()
    (server.packs / "other.disabled").mkdir()

    await install(server, need(host.repository("pack", PACK)))

    assert folders(server) == ["other.disabled", "pack"]
