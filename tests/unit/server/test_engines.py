"""Which engine runs: configuration, environment, what is found, emulator; and what is added to its command."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import discomfort
from discomfort.discovery import interpreters, locations
from discomfort.discovery.engines import Engine, EngineRequest, resolve_engine
from discomfort.exceptions import ConfigurationError, ServerStartError

OPTIONS = ("--port", "--temp-directory", "--database-url", "--disable-auto-launch", "--auto-launch", "--base-directory",
    "--output-directory", "--input-directory", "--user-directory", "--front-end-root", "--front-end-version",
    "--cpu")  # fmt: skip

Resolve = Callable[..., Engine]


@pytest.fixture(autouse=True)
def closed_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Temporary folders are made in the test's own, and the package lies in nobody's custom_nodes."""
    (tmp_path / "tmp").mkdir()
    (tmp_path / "home").mkdir()
    (tmp_path / "cwd").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(locations, "__file__", str(tmp_path / "site" / "discomfort" / "process" / "locate.py"))


def make_program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def make_comfyui(path: Path, *, options: tuple[str, ...] = OPTIONS, venv: bool = True) -> Path:
    (path / "comfy").mkdir(parents=True)
    for name in ("main.py", "nodes.py", "server.py", "folder_paths.py"):
        (path / name).touch()
    (path / "comfy" / "cli_args.py").write_text("\n".join(f'parser.add_argument("{o}")' for o in options))
    if venv:
        make_program(path / ".venv" / "bin" / "python")
        static = path / ".venv/lib/python3.11/site-packages/comfyui_frontend_package/static"
        static.mkdir(parents=True)
        (static / "index.html").touch()
    return path


@pytest.fixture
def resolve(tmp_path: Path) -> Resolve:
    """Resolve a request in the closed world; only what matters to a test is given."""

    def call(**changes: Any) -> Engine:
        environ = {"HOME": str(tmp_path / "home"), "PATH": os.environ["PATH"], **changes.pop("environ", {})}
        base = EngineRequest("auto", None, None, None, None, None, tmp_path / "cwd", environ)
        return resolve_engine(replace(base, **changes))

    return call


def private_folders(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "tmp").iterdir())


class TestWhichOne:
    """The order of the search, and the reason that is given."""

    def test_configured_path(self, resolve: Resolve, tmp_path: Path) -> None:
        """COMFYUI_PATH decides, and says where it came from."""
        comfyui = make_comfyui(tmp_path / "mine")
        make_comfyui(tmp_path / "home" / "ComfyUI")
        engine = resolve(
            comfyui_path=comfyui, environ={"COMFYUI_PATH": "/none"}, sources={"comfyui_path": "comfy.json"}
        )

        assert (engine.kind, engine.cwd) == ("comfyui", comfyui)
        assert engine.reason == f"COMFYUI_PATH from comfy.json: {comfyui}"

    def test_relative_paths_are_relative_to_the_working_directory(self, resolve: Resolve, tmp_path: Path) -> None:
        """The documented configuration, in a ComfyUI folder."""
        shutil.rmtree(tmp_path / "cwd")
        comfyui = make_comfyui(tmp_path / "cwd")
        engine = resolve(comfyui_path=Path("./"), working_directory=Path("./"), command_line="python3 main.py")

        assert engine.cwd == engine.folders.base == comfyui

    def test_environment(self, resolve: Resolve, tmp_path: Path) -> None:
        """$COMFYUI_PATH comes before what lies around."""
        comfyui = make_comfyui(tmp_path / "named")
        make_comfyui(tmp_path / "home" / "ComfyUI")
        engine = resolve(environ={"COMFYUI_PATH": str(comfyui)})

        assert engine.cwd == comfyui
        assert engine.reason == f"COMFYUI_PATH from the environment: {comfyui}"

    @pytest.mark.parametrize(
        ("place", "words"),
        [
            ("cwd", "found in the working directory"),
            ("cwd/ComfyUI", "found in the working directory"),
            ("home/ComfyUI", "found in the home folder"),
            ("home/comfy/ComfyUI", "found in the home folder"),
            ("home/Documents/ComfyUI", "found in the home folder"),
        ],
    )
    def test_usual_places(self, resolve: Resolve, tmp_path: Path, place: str, words: str) -> None:
        """Found without being named."""
        shutil.rmtree(tmp_path / "cwd")
        comfyui = make_comfyui(tmp_path / place)
        engine = resolve()

        assert engine.cwd == comfyui
        assert engine.reason == f"{words}: {comfyui}"

    def test_above_custom_nodes(self, resolve: Resolve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A clone in custom_nodes runs the ComfyUI above, whether the package or the working directory lies there."""
        comfyui = make_comfyui(tmp_path / "mine")
        inside = comfyui / "custom_nodes" / "discomfort"
        (inside / "examples").mkdir(parents=True)

        assert resolve(cwd=inside / "examples").cwd == comfyui

        monkeypatch.setattr(locations, "__file__", str(inside / "discomfort" / "process" / "locate.py"))
        engine = resolve()

        assert engine.cwd == comfyui
        assert engine.reason == f"found in the folder above custom_nodes: {comfyui}"

    @pytest.mark.parametrize("key", ["default_workspace", "recent_workspace"])
    @pytest.mark.parametrize("sub", ["", "ComfyUI"])
    def test_comfy_cli(self, resolve: Resolve, tmp_path: Path, key: str, sub: str) -> None:
        """Its workspace is the folder itself, or in old versions the one above."""
        comfyui = make_comfyui(tmp_path / "50%" / sub)
        config = tmp_path / "home" / ".config" / "comfy-cli" / "config.ini"
        config.parent.mkdir(parents=True)
        config.write_text(f"[DEFAULT]\nenable_tracking = False\n{key} = {tmp_path / '50%'}\n")
        engine = resolve()

        assert engine.cwd == comfyui
        assert "comfy-cli's workspace" in engine.reason

    def test_a_damaged_comfy_cli_file(self, resolve: Resolve, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """It is logged, and the search goes on."""
        config = tmp_path / "home" / ".config" / "comfy-cli" / "config.ini"
        config.parent.mkdir(parents=True)
        config.write_bytes(b"nonsense\xff\n")
        comfyui = make_comfyui(tmp_path / "home" / "ComfyUI")

        assert resolve().cwd == comfyui
        assert "config.ini" in caplog.text

    def test_a_main_py_alone_is_not_run(self, resolve: Resolve, tmp_path: Path) -> None:
        """Somebody's main.py in the working directory is not a ComfyUI."""
        (tmp_path / "cwd" / "main.py").touch()
        (tmp_path / "cwd" / "comfy").mkdir()

        assert resolve().kind == "emulator"

    def test_nothing_anywhere_is_the_emulator(self, resolve: Resolve, tmp_path: Path) -> None:
        """The reason names the places and what takes over."""
        engine = resolve()

        assert engine.kind == "emulator"
        assert engine.reason.startswith(f"no ComfyUI was found in {tmp_path / 'cwd'}, ")
        assert "embedded emulator" in engine.reason

    def test_comfyui_can_be_demanded(self, resolve: Resolve, tmp_path: Path) -> None:
        """Then finding none is an error that lists where it looked."""
        with pytest.raises(ConfigurationError, match="no ComfyUI was found") as caught:
            resolve(kind="comfyui")

        assert str(tmp_path / "home" / "ComfyUI") in str(caught.value)
        assert "COMFYUI_PATH" in caught.value.remedy
        comfyui = make_comfyui(tmp_path / "home" / "ComfyUI")
        assert resolve(kind="comfyui").cwd == comfyui

    def test_the_emulator_can_be_demanded(self, resolve: Resolve, tmp_path: Path) -> None:
        """Then nothing else is looked at, not even what is wrong."""
        engine = resolve(kind="emulator", comfyui_path=tmp_path / "nowhere", environ={"COMFYUI_PATH": "/none"})

        assert engine.kind == "emulator"
        assert engine.reason == "the embedded emulator was asked for"


class TestConfiguredAndNotThere:
    """Never a fallback: the error names setting, value, source and remedy, and leaves no folder behind."""

    @pytest.mark.parametrize(
        ("changes", "key", "problem"),
        [
            ({"comfyui_path": Path("nowhere")}, "COMFYUI_PATH", "no such folder"),
            ({"comfyui_path": Path("other")}, "COMFYUI_PATH", "no main.py"),
            ({"working_directory": Path("nowhere")}, "API_WORKING_DIRECTORY", "no such folder"),
            ({"working_directory": Path("other")}, "API_WORKING_DIRECTORY", "there is no .*main.py"),
            (
                {"comfyui_path": Path("good"), "working_directory": Path("other")},
                "API_WORKING_DIRECTORY",
                "there is no",
            ),
            (
                {"comfyui_path": Path("good"), "working_directory": Path("good2")},
                "COMFYUI_PATH",
                "not the ComfyUI that is started",
            ),
            ({"command_line": "python3 main.py --cpu"}, "API_COMMAND_LINE", "no ComfyUI was found to run it in"),
            ({"command_line": "python3 good/none/main.py"}, "API_COMMAND_LINE", "there is no .*none/main.py"),
            ({"command_line": "python3 bare/main.py"}, "API_COMMAND_LINE", "is not ComfyUI's"),
            ({"command_line": "python3 'main.py"}, "API_COMMAND_LINE", "quotes"),
            ({"command_line": "no-such-program x"}, "API_COMMAND_LINE", "'no-such-program' is not a program"),
            ({"command_line": "./no.sh"}, "API_COMMAND_LINE", "'./no.sh' is not a program"),
            ({"comfyui_path": Path("good"), "python": "nopython"}, "COMFYUI_PYTHON", "not an interpreter"),
            ({"comfyui_path": Path("good"), "python": "./nopython"}, "COMFYUI_PYTHON", "not an interpreter"),
            ({"kind": "emulator", "emulator_directory": Path("file/x")}, "EMULATOR_DIRECTORY", "cannot be created"),
        ],
    )
    def test_errors(self, resolve: Resolve, tmp_path: Path, changes: dict[str, Any], key: str, problem: str) -> None:
        """One case each."""
        cwd = tmp_path / "cwd"
        (cwd / "other").mkdir()
        (cwd / "bare").mkdir()
        (cwd / "bare" / "main.py").touch()
        (cwd / "file").touch()
        make_comfyui(cwd / "good")
        make_comfyui(cwd / "good2")
        names = ("comfyui_path", "api_working_directory", "api_command_line", "comfyui_python", "emulator_directory")
        sources = dict.fromkeys(names, "the test")
        with pytest.raises(ConfigurationError, match=problem) as caught:
            resolve(**changes, sources=sources)

        assert caught.value.key == key
        assert caught.value.value is not None
        assert private_folders(tmp_path) == []
        if "is not ComfyUI's" not in problem:
            assert caught.value.source == "the test"

    @pytest.mark.parametrize(
        ("path", "problem", "place"),
        [
            ("good/comfy", "no main.py", "above, {cwd}/good?"),
            ("good/main.py", "is a file, not a folder", "above, {cwd}/good?"),
            ("parent", "no main.py", "below, {cwd}/parent/ComfyUI?"),
            ("good/nowhere", "no such folder", "above, {cwd}/good?"),
        ],
    )
    @pytest.mark.parametrize("key", ["comfyui_path", "environment"])
    def test_the_folder_that_was_meant(
        self, resolve: Resolve, tmp_path: Path, path: str, problem: str, place: str, key: str
    ) -> None:
        """A path into ComfyUI, or to the folder around it, is a usual slip: the right one is named."""
        cwd = tmp_path / "cwd"
        make_comfyui(cwd / "good")
        make_comfyui(cwd / "parent" / "ComfyUI")
        given = {"comfyui_path": Path(path)} if key == "comfyui_path" else {"environ": {"COMFYUI_PATH": path}}

        with pytest.raises(ConfigurationError, match=problem) as caught:
            resolve(**given)

        assert caught.value.remedy == f"Did you mean the folder {place.format(cwd=cwd)}"

    def test_environment(self, resolve: Resolve, tmp_path: Path) -> None:
        """A wrong variable is an error too, though a ComfyUI lies in the home folder."""
        make_comfyui(tmp_path / "home" / "ComfyUI")
        with pytest.raises(ConfigurationError, match="from the environment") as caught:
            resolve(environ={"COMFYUI_PATH": str(tmp_path / "cwd")})

        assert caught.value.key == "COMFYUI_PATH"

    def test_empty_means_not_configured(self, resolve: Resolve, tmp_path: Path) -> None:
        """An empty variable is none."""
        comfyui = make_comfyui(tmp_path / "home" / "ComfyUI")

        assert resolve(environ={"COMFYUI_PATH": ""}, command_line="").cwd == comfyui


class TestCommand:
    """What is started, and what is added so that neighbours are left in peace."""

    def test_isolation(self, resolve: Resolve, tmp_path: Path) -> None:
        """Own temp folder, own database, no browser window; the port is replaced."""
        comfyui = make_comfyui(tmp_path / "mine")
        engine = resolve(comfyui_path=comfyui, command_line="python3 main.py --port 9 --cpu")
        (private,) = engine.private
        command = engine.command(8190)

        assert private.name.startswith("discomfort-")
        assert private.stat().st_mode & 0o777 == 0o700
        assert engine.argv[0] == engine.python == str(comfyui / ".venv/bin/python")
        assert command.argv[1:] == (
            "main.py", "--cpu", "--disable-auto-launch", "--temp-directory", str(private),
            "--database-url", f"sqlite:///{private}/comfyui.db", "--port", "8190",
        )  # fmt: skip
        assert command.cwd == comfyui
        assert command.env is not None
        assert command.env["TMPDIR"] == f"{private}/tmp"
        assert Path(private, "tmp").is_dir()
        assert engine.folders.temp == private / "temp"

    def test_discard(self, resolve: Resolve, tmp_path: Path) -> None:
        """The private folder goes, with what is in it, as often as asked."""
        engine = resolve(comfyui_path=make_comfyui(tmp_path / "mine"))
        (engine.private[0] / "temp").mkdir()
        engine.discard()
        engine.discard()

        assert private_folders(tmp_path) == []

    def test_discard_reports_what_it_can_not_remove(
        self, resolve: Resolve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It is logged, not raised."""
        engine = resolve(comfyui_path=make_comfyui(tmp_path / "mine"))

        def refuse(_: Path) -> None:
            raise PermissionError("no")

        monkeypatch.setattr(shutil, "rmtree", refuse)
        engine.discard()

        assert "could not be removed" in caplog.text

    def test_an_older_comfyui(self, resolve: Resolve, tmp_path: Path) -> None:
        """Options that it does not know are not given to it."""
        engine = resolve(comfyui_path=make_comfyui(tmp_path / "old", options=("--port", "--temp-directory")))

        assert engine.argv[1:] == ("main.py", "--temp-directory", str(engine.private[0]))

    def test_what_is_there_is_kept(self, resolve: Resolve, tmp_path: Path) -> None:
        """Folders, database and browser as the user had them; only temporary files of libraries go elsewhere."""
        comfyui = make_comfyui(tmp_path / "mine")
        line = "python3 main.py --temp-dir /t --database-url=sqlite:///:memory: --auto-launch"
        engine = resolve(comfyui_path=comfyui, command_line=line)

        assert engine.argv[1:] == tuple(line.split()[1:])
        assert engine.folders.temp == Path("/t/temp")
        assert list(engine.private) == private_folders(tmp_path)
        assert engine.env is not None
        assert engine.env["TMPDIR"] == f"{engine.private[0]}/tmp"

    def test_compiled_kernels_stay(self, resolve: Resolve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """torch's cache is where it is without us, wherever the user wants it; a user without a name has none."""
        comfyui = make_comfyui(tmp_path / "mine")
        monkeypatch.setattr("getpass.getuser", lambda: "host/me")

        def cache(**environ: str) -> str | None:
            env = resolve(comfyui_path=comfyui, environ=environ).env
            assert env is not None
            return env.get("TORCHINDUCTOR_CACHE_DIR")

        assert cache() == str(tmp_path / "tmp" / "torchinductor_host_me")
        assert cache(TORCHINDUCTOR_CACHE_DIR="/cache") == "/cache"
        monkeypatch.setattr("getpass.getuser", lambda: {}["no such user"])
        assert cache() is None

    @pytest.mark.parametrize("line", ["./serve.sh --port 1 main.py", "{python} serve.py", "python3 serve.py"])
    def test_a_command_of_another_form(self, resolve: Resolve, tmp_path: Path, line: str) -> None:
        """A wrapper gets the port and a place for temporary files; its folder need not be a ComfyUI."""
        cwd = tmp_path / "cwd"
        make_program(cwd / "serve.sh")
        (cwd / "serve.py").touch()
        engine = resolve(working_directory=Path(), command_line=line.format(python=sys.executable))
        words = engine.command(8190).argv

        assert words[-2:] == ("--port", "8190")
        assert len(words) == 4
        assert Path(words[0]).is_absolute()
        assert (engine.kind, engine.cwd, list(engine.private)) == ("comfyui", cwd, private_folders(tmp_path))
        assert engine.env is not None
        assert engine.env["TMPDIR"] == f"{engine.private[0]}/tmp"
        assert engine.folders.input == cwd / "input"

    def test_a_script_below_or_elsewhere(self, resolve: Resolve, tmp_path: Path) -> None:
        """The folder of main.py is the ComfyUI, whatever the working directory."""
        comfyui = make_comfyui(tmp_path / "cwd" / "ComfyUI")
        below = resolve(command_line="python3 -u ComfyUI/main.py")
        elsewhere = resolve(command_line=f"python3 {comfyui}/main.py")

        assert (below.cwd, below.folders.base) == (tmp_path / "cwd", comfyui)
        assert (elsewhere.cwd, elsewhere.folders.base) == (comfyui, comfyui)
        assert below.argv[:3] == (str(comfyui / ".venv/bin/python"), "-u", "ComfyUI/main.py")

    def test_a_command_line_alone_runs_in_what_is_found(self, resolve: Resolve, tmp_path: Path) -> None:
        """Flags can be configured without naming the folder."""
        comfyui = make_comfyui(tmp_path / "home" / "ComfyUI")
        engine = resolve(command_line="python3 main.py --cpu")

        assert engine.cwd == comfyui
        assert "--cpu" in engine.argv

    def test_a_literal_python_is_the_python(self, resolve: Resolve, tmp_path: Path) -> None:
        """One that the command line names is taken, and its frontend too."""
        comfyui = make_comfyui(tmp_path / "mine")
        python = make_program(tmp_path / "other" / "bin" / "python3.12")
        engine = resolve(comfyui_path=comfyui, command_line=f"{python} main.py")

        assert engine.python == engine.argv[0] == str(python)
        assert engine.front_end_root is None

    def test_symlinked_settings_that_agree(self, resolve: Resolve, tmp_path: Path) -> None:
        """Two names of one folder are not two folders."""
        comfyui = make_comfyui(tmp_path / "mine")
        (tmp_path / "link").symlink_to(comfyui)
        engine = resolve(comfyui_path=tmp_path / "link", working_directory=comfyui)

        assert engine.cwd == comfyui

    def test_no_room_for_a_private_folder(self, resolve: Resolve, tmp_path: Path) -> None:
        """A full or missing temporary folder is an error that names it."""
        (tmp_path / "tmp").rmdir()
        with pytest.raises(ServerStartError, match=r"no private folder.*TMPDIR"):
            resolve(comfyui_path=make_comfyui(tmp_path / "mine"))


class TestFolders:
    """Where files are, from the effective command line."""

    def test_defaults(self, resolve: Resolve, tmp_path: Path) -> None:
        """All below the ComfyUI folder, but for temp."""
        comfyui = make_comfyui(tmp_path / "mine")
        folders = resolve(comfyui_path=comfyui).folders

        assert (folders.base, folders.input, folders.output) == (comfyui, comfyui / "input", comfyui / "output")
        assert (folders.user, folders.models) == (comfyui / "user", comfyui / "models")

    def test_options(self, resolve: Resolve, tmp_path: Path) -> None:
        """Each option moves its folder; relative ones start at the server's working directory."""
        comfyui = make_comfyui(tmp_path / "mine")
        line = "python3 main.py --base-directory ../base --input-directory=/in --output-dir out --temp-directory t"
        folders = resolve(comfyui_path=comfyui, command_line=line).folders

        assert folders.base == tmp_path / "base"
        assert folders.input == Path("/in")
        assert folders.output == comfyui / "out"
        assert folders.temp == comfyui / "t" / "temp"
        assert folders.user == tmp_path / "base" / "user"
        assert folders.models == tmp_path / "base" / "models"


class TestFrontEnd:
    """The frontend that the server will serve."""

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ("", "{c}/.venv/lib/python3.11/site-packages/comfyui_frontend_package/static"),
            ("--front-end-root web", "{c}/web"),
            ("--front-end-root=/web --front-end-version a/b@1", "/web"),
            ("--front-end-version a/b@latest", None),
        ],
    )
    def test_root(self, resolve: Resolve, tmp_path: Path, options: str, expected: str | None) -> None:
        """The installed one, a named one, or none where only the server knows."""
        comfyui = make_comfyui(tmp_path / "mine")
        engine = resolve(comfyui_path=comfyui, command_line=f"python3 main.py {options}")

        assert engine.front_end_root == (Path(expected.format(c=comfyui)) if expected else None)


class TestEmulator:
    """The embedded server as an engine."""

    def test_private(self, resolve: Resolve, tmp_path: Path) -> None:
        """Its folders are private and go with it."""
        engine = resolve()
        (base,) = engine.private

        assert engine.argv == (
            sys.executable, "-m", "discomfort", "serve", "--host", "127.0.0.1", "--base-directory", str(base),
        )  # fmt: skip
        assert engine.cwd == engine.folders.base == base
        assert engine.folders.models == base / "models"
        assert engine.front_end_root == interpreters.front_end_of(sys.executable)
        assert engine.command(8188).argv[-2:] == ("--port", "8188")
        engine.discard()
        assert private_folders(tmp_path) == []

    def test_own_directory(self, resolve: Resolve, tmp_path: Path) -> None:
        """A configured one is made where needed, and stays; temporary files go to a private one that does not."""
        engine = resolve(emulator_directory=Path("a/b"))
        (private,) = engine.private
        assert engine.env is not None
        assert Path(engine.env["TMPDIR"]) == private / "tmp"
        assert Path(engine.env["TMPDIR"]).is_dir()
        engine.discard()

        assert engine.cwd == tmp_path / "cwd" / "a" / "b"
        assert engine.cwd.is_dir()
        assert not private.exists()

    def test_it_finds_the_package(self, resolve: Resolve, tmp_path: Path) -> None:
        """A clone that nobody installed is on the child's path, before what was there."""
        engine = resolve(environ={"PYTHONPATH": "/x", "SECRET": "hunter2"})
        assert engine.env is not None
        found = subprocess.run(
            [engine.argv[0], "-S", "-c", "import importlib.util as u; print(u.find_spec('discomfort').origin)"],
            env=engine.env, cwd=tmp_path, capture_output=True, text=True, check=True,
        )  # fmt: skip

        assert Path(found.stdout.strip()) == Path(discomfort.__file__)
        assert engine.env["PYTHONPATH"].endswith(f"{os.pathsep}/x")
        assert "hunter2" not in repr(engine)

    def test_an_installed_package_needs_no_help(self, resolve: Resolve, monkeypatch: pytest.MonkeyPatch) -> None:
        """In site-packages it is found anyway, and those must not come before the standard library."""
        folder = str(Path(discomfort.__file__).parents[1])
        monkeypatch.setattr(sysconfig, "get_path", lambda _: folder)
        engine = resolve()

        assert engine.env is not None
        assert "PYTHONPATH" not in engine.env

    def test_no_interpreter(self, resolve: Resolve, monkeypatch: pytest.MonkeyPatch) -> None:
        """In an embedded Python without executable it cannot run."""
        monkeypatch.setattr(sys, "executable", "")
        with pytest.raises(ServerStartError, match="interpreter"):
            resolve(kind="emulator")


class TestEmulatorByCommandLine:
    """A command line that starts the emulator is the emulator, and finds this Python."""

    @pytest.mark.parametrize("kind", ["auto", "emulator"])
    @pytest.mark.parametrize(
        "line", ["python3 -m discomfort serve --cpu", "discomfort serve --cpu", "python -m comfyui_emulator --cpu"]
    )
    def test_it_is_told(self, resolve: Resolve, tmp_path: Path, kind: str, line: str) -> None:
        """No program of that name is on the path, as in an environment that is not activated."""
        make_comfyui(tmp_path / "home" / "ComfyUI")
        engine = resolve(kind=kind, command_line=line, environ={"PATH": "/none"})
        module = "comfyui_emulator" if "comfyui_emulator" in line else "discomfort"

        assert (engine.kind, engine.is_fallback) == ("emulator", False)
        assert engine.argv[:3] == (sys.executable, "-m", module)
        assert engine.argv[-3:] == ("--cpu", "--base-directory", str(engine.private[0]))
        assert engine.folders.input == engine.private[0] / "input"
        assert engine.cwd == tmp_path / "cwd"
        engine.discard()
        assert private_folders(tmp_path) == []

    def test_reason(self, resolve: Resolve) -> None:
        """It says which setting decided, and where that came from."""
        engine = resolve(command_line="discomfort serve", sources={"api_command_line": "comfy.json"})

        assert engine.reason == "API_COMMAND_LINE from comfy.json starts it"

    def test_folders(self, resolve: Resolve, tmp_path: Path) -> None:
        """Those of its command line, relative to where it would be typed."""
        line = "python3 -m discomfort serve --base-directory emu --output-directory out --front-end-root web"
        engine = resolve(command_line=line, server_arguments=("--temp-directory", "/t"))

        assert engine.folders.base not in engine.private
        assert engine.folders.base == tmp_path / "cwd" / "emu"
        assert engine.folders.output == tmp_path / "cwd" / "out"
        assert engine.folders.temp == Path("/t/temp")
        assert engine.front_end_root == tmp_path / "cwd" / "web"
        assert resolve(command_line=line, working_directory=tmp_path).folders.output == tmp_path / "out"

    def test_another_program_that_starts_it(self, resolve: Resolve, tmp_path: Path) -> None:
        """It is the emulator too; nothing is known of its folders."""
        make_program(tmp_path / "cwd" / "wrap.sh")
        engine = resolve(command_line="./wrap.sh discomfort serve")

        assert engine.kind == "emulator"
        assert engine.argv[1:] == ("discomfort", "serve")

    @pytest.mark.parametrize("line", ["discomfort serve", "uv run discomfort serve"])
    def test_contradiction(self, resolve: Resolve, tmp_path: Path, line: str) -> None:
        """Whoever demands ComfyUI does not get the emulator."""
        with pytest.raises(ConfigurationError, match="starts the emulator, while ENGINE is comfyui") as caught:
            resolve(kind="comfyui", command_line=line)

        assert caught.value.key == "API_COMMAND_LINE"
        assert private_folders(tmp_path) == []

    def test_a_program_that_is_missing(self, resolve: Resolve, tmp_path: Path) -> None:
        """A path that leads nowhere is named."""
        with pytest.raises(ConfigurationError, match="'/no/python' is not a program"):
            resolve(command_line="/no/python -m discomfort serve")
        assert private_folders(tmp_path) == []


class TestAdditions:
    """Arguments and variables that are added to whatever starts the server."""

    @pytest.mark.parametrize("line", [None, "python3 -u main.py"])
    def test_arguments_of_comfyui(self, resolve: Resolve, tmp_path: Path, line: str | None) -> None:
        """They come after those of the command line, and count as if they were there."""
        comfyui = make_comfyui(tmp_path / "home" / "ComfyUI")
        engine = resolve(command_line=line, server_arguments=("--cpu", "--output-directory", "out dir", "--port", "9"))
        main = engine.argv.index("main.py")

        assert engine.argv[main + 1 : main + 4] == ("--cpu", "--output-directory", "out dir")
        assert engine.folders.output == comfyui / "out dir"
        assert engine.command(8190).argv[-2:] == ("--port", "8190")
        assert engine.command(8190).argv.count("--port") == 1

    def test_arguments_of_a_wrapper(self, resolve: Resolve, tmp_path: Path) -> None:
        """They are its last ones, before the port."""
        make_program(tmp_path / "cwd" / "serve.sh")
        engine = resolve(command_line="./serve.sh a", server_arguments=("--b", "c"))

        assert engine.command(1).argv[1:] == ("a", "--b", "c", "--port", "1")

    @pytest.mark.parametrize("changes", [{}, {"kind": "emulator"}, {"command_line": "discomfort serve"}], ids=str)
    def test_arguments_of_the_emulator(self, resolve: Resolve, tmp_path: Path, changes: dict[str, Any]) -> None:
        """The same, in each way to it; a base folder among them is the one."""
        engine = resolve(**changes, server_arguments=("--multi-user", "--base-directory", "base"))

        assert engine.argv[-2:] == ("--base-directory", str(tmp_path / "cwd" / "base"))
        assert "--multi-user" in engine.argv
        assert engine.folders.base == tmp_path / "cwd" / "base"

    def test_two_emulators_on_one_folder(self, resolve: Resolve, tmp_path: Path) -> None:
        """Each has a temp folder of its own, unless the command line names one."""
        first, second = (resolve(kind="emulator", emulator_directory=tmp_path / "emu") for _ in "12")
        named = resolve(
            kind="emulator", emulator_directory=tmp_path / "emu", server_arguments=("--temp-directory", "/t")
        )

        assert [engine.folders.temp for engine in (first, second, named)] == [
            first.private[0] / "temp",
            second.private[0] / "temp",
            Path("/t/temp"),
        ]
        assert named.argv.count("--temp-directory") == 1

    @pytest.mark.parametrize("form", ["comfyui", "wrapper", "emulator"])
    def test_environment(self, resolve: Resolve, tmp_path: Path, form: str) -> None:
        """Variables are added to those of this process and go before them; no repr shows them."""
        make_program(tmp_path / "cwd" / "serve.sh")
        changes: dict[str, Any] = {
            "comfyui": {"comfyui_path": make_comfyui(tmp_path / "mine")},
            "wrapper": {"command_line": "./serve.sh"},
            "emulator": {"kind": "emulator"},
        }[form]
        added = {"OURS": "new", "HF_TOKEN": "hunter2", "PYTHONPATH": "/mine"}
        engine = resolve(**changes, environ={"OURS": "old", "KEPT": "1", "PYTHONPATH": "/x"}, environment=added)

        assert engine.env is not None
        assert (engine.env["OURS"], engine.env["KEPT"], engine.env["HF_TOKEN"]) == ("new", "1", "hunter2")
        assert engine.env["PYTHONPATH"].split(os.pathsep)[-1] == "/mine"
        assert "hunter2" not in repr(engine) + repr(engine.command(1))

    def test_environment_does_not_choose_the_engine(self, resolve: Resolve, tmp_path: Path) -> None:
        """It is the server's, not ours."""
        comfyui = make_comfyui(tmp_path / "home" / "ComfyUI")
        engine = resolve(environment={"COMFYUI_PATH": "/none", "TMPDIR": "/scratch"})

        assert engine.cwd == comfyui
        assert engine.env is not None
        assert engine.env["TMPDIR"] == "/scratch"


class TestPython:
    """Which interpreter runs ComfyUI."""

    @pytest.fixture(autouse=True)
    def no_torch_here(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """This interpreter has none unless a test says so."""
        real = interpreters._spec_folder
        monkeypatch.setattr(interpreters, "_spec_folder", lambda name: None if name == "torch" else real(name))

    def choose(self, comfyui: Path, **environ: str) -> str:
        return interpreters.choose_python(comfyui, configured=None, cwd=comfyui, environ={"PATH": "/none", **environ})

    def test_configured(self, resolve: Resolve, tmp_path: Path) -> None:
        """A path relative to the working directory, or a name on the path, before ComfyUI's own."""
        comfyui = make_comfyui(tmp_path / "mine")
        python = make_program(tmp_path / "cwd" / "env" / "python9")

        assert resolve(comfyui_path=comfyui, python="./env/python9").python == str(python)
        path = {"PATH": str(python.parent)}
        assert resolve(comfyui_path=comfyui, python="python9", environ=path).python == str(python)

    @pytest.mark.parametrize(
        "place",
        [".venv/bin/python", "venv/bin/python3", "env/bin/python", ".venv/Scripts/python.exe",
            "../python_embeded/python.exe"],
    )  # fmt: skip
    def test_own_environment(self, tmp_path: Path, place: str) -> None:
        """ComfyUI's own comes first, also the portable build's beside it."""
        comfyui = make_comfyui(tmp_path / "a" / "mine", venv=False)
        python = make_program(Path(os.path.normpath(comfyui / place)))

        assert self.choose(comfyui) == str(python)

    @pytest.mark.parametrize("variable", ["VIRTUAL_ENV", "CONDA_PREFIX"])
    def test_active_environment_with_torch(self, tmp_path: Path, variable: str) -> None:
        """The active environment counts only if it has torch."""
        comfyui = make_comfyui(tmp_path / "mine", venv=False)
        python = make_program(tmp_path / "active" / "bin" / "python")
        fallback = make_program(tmp_path / "path" / "python3")
        environ = {variable: str(tmp_path / "active"), "PATH": str(fallback.parent)}

        assert self.choose(comfyui, **environ) == str(fallback)
        (tmp_path / "active/lib/python3.12/site-packages/torch").mkdir(parents=True)
        assert self.choose(comfyui, **environ) == str(python)

    def test_this_interpreter_with_torch(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is taken when it could import torch."""
        comfyui = make_comfyui(tmp_path / "mine", venv=False)
        fallback = make_program(tmp_path / "path" / "python3")
        monkeypatch.setattr(interpreters, "_spec_folder", lambda _: tmp_path)

        assert self.choose(comfyui, PATH=str(fallback.parent)) == sys.executable

    def test_nothing_but_this(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without any on the path this one is the last resort, and without that it is an error."""
        comfyui = make_comfyui(tmp_path / "mine", venv=False)

        assert self.choose(comfyui) == sys.executable
        monkeypatch.setattr(sys, "executable", "")
        with pytest.raises(ConfigurationError, match="no Python"):
            self.choose(comfyui)

    def test_the_frontend_is_asked_for_where_folders_do_not_tell(self, tmp_path: Path) -> None:
        """An interpreter with packages elsewhere is asked, one that answers nothing or badly has none."""
        static = tmp_path / "elsewhere" / "comfyui_frontend_package" / "static"
        static.mkdir(parents=True)
        (static / "index.html").touch()
        python = make_program(tmp_path / "odd" / "bin" / "python")
        python.write_text(f"#!/bin/sh\necho {static.parent}\n")

        assert interpreters.front_end_of(str(python)) == static
        for script in ("#!/bin/sh\n", "#!/bin/sh\nexit 3\n", "#!/nonexistent\n"):
            python.write_text(script)
            assert interpreters.front_end_of(str(python)) is None

    def test_a_broken_package_is_no_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A module without a spec does not end the search."""
        monkeypatch.undo()
        monkeypatch.setitem(sys.modules, "torch", type(sys)("torch"))
        sys.modules["torch"].__spec__ = None

        assert interpreters.has_module(sys.executable, "torch") is False
        assert interpreters.has_module(sys.executable, "json") is True
        assert interpreters.has_module(sys.executable, "no_such_module_anywhere") is False


def test_home_may_be_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a home folder only the working directory is looked at."""

    def nowhere() -> Path:
        raise RuntimeError("no home")

    monkeypatch.setattr(locations.Path, "home", nowhere)
    place, looked = locations.search(tmp_path, {})

    assert place is None
    assert {p.what for p in looked} == {"the working directory"}
