"""The pages tell the truth: their snippets run, their names and commands exist, their links and quotations hold."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from unit.core.snippet_types import Checker, Of

from discomfort import ComfyConnector, _json
from discomfort.config import load_settings

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").rglob("*.md"))]
MORE_PAGES = [ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "README.md"]
WORKFLOW = ROOT / "examples" / "hello.json"
WITH_PORTS = ROOT / "examples" / "soften.json"
IN_APP_MODE = ROOT / "examples" / "upscale.json"
_COMMENT = re.compile(r"<!-- (not run|file|example): (.+) -->")
_FENCE = re.compile(r"```(\w*)$")


@dataclass(frozen=True)
class Block:
    """A fenced block: ``note`` is the comment above it.

    ``("file", "conftest.py")``, ``("not run", reason)``, or ``("example", path)`` for a file of the repository.
    """

    page: Path
    line: int
    language: str
    text: str
    note: tuple[str, str] = ("", "")

    @property
    def where(self) -> str:
        """Page and line."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def is_script(self) -> bool:
        """Whether it stands for itself; the others go on from what the page had before."""
        starts = ("asyncio.run(", "SyncConnector.create(", "SyncPool.create(", "Discomfort.sync(")
        return any(start in self.text for start in starts)


def _blocks(*languages: str) -> list[Block]:
    found = []
    for page in PAGES:
        lines = page.read_text(encoding="utf-8").splitlines()
        start, language = 0, ""
        for number, line in enumerate(lines, 1):
            fence = _FENCE.match(line)
            if fence and not start:
                start, language = number, fence[1]
            elif fence:
                comment = _COMMENT.match(lines[start - 2])
                note = (comment[1], comment[2]) if comment else ("", "")
                found.append(Block(page, start, language, "\n".join(lines[start : number - 1]) + "\n", note))
                start = 0
        assert not start, f"{page}: the block at line {start} has no end"
    return [block for block in found if block.language in languages]


PYTHON = _blocks("python")
_RUNNABLE = [b for b in PYTHON if not b.note[0] and b.page.name != "README.md"]
SCRIPTS = [b for b in _RUNNABLE if b.is_script]
FRAGMENTS = [b for b in _RUNNABLE if not b.is_script]
WITH_POOLS = {b.page for b in FRAGMENTS if "ComfyPool" in b.text}


# --- what a snippet names exists -------------------------------------------------------------------------------------


def _check(text: str, names: dict[str, Any] | None = None) -> Checker:
    checker = Checker({"connector": Of(ComfyConnector)} if names is None else names)
    checker.visit(ast.parse(text))
    return checker


@pytest.mark.parametrize("page", {b.page: None for b in PYTHON}, ids=lambda page: str(page.relative_to(ROOT)))
def test_snippets_name_what_exists(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every snippet compiles, and its imports, attributes and keywords are those of the real classes."""
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "examples" / "stubs"))
    names: dict[str, Any] = {}
    for block in (b for b in PYTHON if b.page == page):
        compile(block.text, block.where, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        names = {"connector": Of(ComfyConnector)} if block.is_script or not names else names
        assert _check(block.text, names).problems == [], block.where


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("from discomfort import Nothing", "has no 'Nothing'"),
        ("connector.runs()", "has no 'runs'"),
        ("await connector.run_workflow('a', progress=1)", "unexpected keyword argument 'progress'"),
        ("from discomfort import SyncConnector\nSyncConnector.create(engin='emulator')", "'engin' is not a setting"),
        ("for output in connector.outputs({}):\n    output.path", "Output has no 'path'"),
        ("editor = await connector.edit({})\neditor.set('a.b')", "missing a required argument: 'value'"),
        ("await connector.upload_data('a')", "is not awaitable"),
        (
            "from discomfort import ComfyPool\npool = await ComfyPool.create()\n(await pool.submit('a')).image",
            "PoolRun has no",
        ),
        ("from discomfort.progress import Step\nmatch 1:\n    case Step(max=m): pass", "Step has no 'max'"),
    ],
)
def test_checker_finds(text: str, problem: str) -> None:
    """The check above would notice: each of these is wrong in one place."""
    assert [found for found in _check(text).problems if problem in found]


# --- links, commands, configuration, quotations ----------------------------------------------------------------------


def _prose(page: Path) -> str:
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", _prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, *MORE_PAGES], ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    """Every relative link leads to a file of the repository, and its anchor to a heading there."""
    for target in re.findall(r"\]\(([^)\s]+)\)", _prose(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        assert linked.is_relative_to(ROOT), target
        assert not anchor or anchor in _anchors(linked), target


_PACKAGES = ("discomfort", "comfyui_emulator", "comfyui_conformance")
_ROOMS = (*_PACKAGES, "tests", "docs", "benchmarks", "examples", "scripts")
_FILE = re.compile(rf"`((?:{'|'.join(_ROOMS)})/[\w./-]+)`")
_MODULE = re.compile(rf"`((?:{'|'.join(_PACKAGES)})(?:\.(?!py`)\w+)+)")


@pytest.mark.parametrize("page", [*PAGES, *MORE_PAGES], ids=lambda page: str(page.relative_to(ROOT)))
def test_named_files_and_modules_exist(page: Path) -> None:
    """A file of the repository that a page names is there, and so is a module, or what a module has."""
    prose = _prose(page)

    assert [name for name in _FILE.findall(prose) if not (ROOT / name).exists()] == []
    assert [name for name in _MODULE.findall(prose) if not _leads_somewhere(name)] == []


def _leads_somewhere(name: str) -> bool:
    module, _, attribute = name.rpartition(".")
    if hasattr(importlib.import_module(module), attribute):
        return True
    return importlib.util.find_spec(name) is not None


def test_architecture_shows_the_tree() -> None:
    """Every package and folder is in the tree of ARCHITECTURE.md, and everything that it shows is there."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    (tree,) = re.findall(r"^```\ndiscomfort/\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    shown = set(re.findall(r"(?:^| ) ([\w.]+/|\w+\.py)(?=\s)", tree, re.MULTILINE)) - {
        "tests/",
        "docs/",
        "examples/",
        "benchmarks/",
    }
    shown -= {f"{package}/" for package in _PACKAGES}
    files = [path for package in _PACKAGES for path in (ROOT / package).rglob("*") if "__" not in path.name]
    there = {str(path.relative_to(ROOT)) for path in files}
    rooms = {f"{path.name}/" for path in (ROOT / "discomfort").iterdir() if (path / "__init__.py").exists()}

    assert rooms - shown == set()
    assert [name for name in shown if not any(path.endswith(f"/{name.rstrip('/')}") for path in there)] == []


def test_architecture_shows_the_trail_of_a_payload() -> None:
    """The methods of the trail are there, in at most six modules, none of them twice."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    trail = re.findall(r"^\| `([\w/]+)\.py` \| `(\w+)\.(\w+)` \|", text, re.MULTILINE)
    modules = [module for module, _, _ in trail]

    assert trail[0][2] == "run_workflow"
    assert "`POST /prompt`" in text.split(f"`{trail[-1][0]}.py`")[1].splitlines()[0]
    assert len(modules) == len(set(modules)) <= 6
    for module, owner, method in trail:
        kind = getattr(importlib.import_module(f"discomfort.{module.replace('/', '.')}"), owner)
        assert inspect.isfunction(getattr(kind, method)), f"{owner}.{method}"


def test_every_page_is_reachable() -> None:
    """The index links to every page of the documentation."""
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / t.partition("#")[0]).resolve() for t in re.findall(r"\]\(([^)\s]+)\)", _prose(index))}

    assert {page for page in PAGES if page.is_relative_to(ROOT / "docs")} - linked - {index} == set()


def _commands() -> Iterator[tuple[str, list[str]]]:
    for block in _blocks("console"):
        for line in block.text.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True) if line.startswith("$ ") else []
            if words[:1] == ["discomfort"]:
                yield block.where, words[1 : words.index("|") if "|" in words else None]


def test_commands_are_understood() -> None:
    """Every `discomfort` command line in the pages names a command and options that exist."""
    import typer.main

    from comfyui_emulator.flags import parser
    from discomfort.cli.app import build_app
    from discomfort.cli.run_help import split_run

    commands = typer.main.get_command(build_app()).commands  # type: ignore[attr-defined]
    found = list(_commands())
    for where, (name, *arguments) in found:
        assert name in commands, where
        if name == "run":
            # Without the inputs of the workflow, which are options, too.
            arguments = [word for word in split_run(build_app(), arguments)[0] if word != "--help"]
        if name == "serve":
            parser().parse_args(arguments)
        else:
            commands[name].make_context(name, arguments)
    assert len(found) > 5


@pytest.mark.parametrize("block", _blocks("json"), ids=lambda block: block.where)
def test_configurations_load(block: Block, tmp_path: Path) -> None:
    """Every configuration file shown is one."""
    file = tmp_path / "shown.json"
    file.write_text(block.text)

    assert load_settings(file).sources.keys() == {key.lower() for key in _json.loads(block.text)}


@pytest.mark.parametrize("block", _blocks("yaml"), ids=lambda block: block.where)
def test_yaml_can_be_read(block: Block) -> None:
    """Every YAML file shown is one, of one document."""
    assert isinstance(pytest.importorskip("yaml").safe_load(block.text), dict)


def _texts() -> set[str]:
    """Every text in the package's code, with "…" for what is filled in."""
    texts = set()
    for path in (each for package in _PACKAGES for each in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.add(node.value)
            elif isinstance(node, ast.JoinedStr):
                texts.add("".join(v.value if isinstance(v, ast.Constant) else "…" for v in node.values))
    return texts


def test_quoted_errors_are_real() -> None:
    """Every error text in the headings of the troubleshooting page is in the code, word for word."""
    page = ROOT / "docs" / "how-to" / "troubleshooting.md"
    quoted = [q for line in re.findall(r"^### (.+)$", _prose(page), re.MULTILINE) for q in re.findall(r"`(.+?)`", line)]
    texts = _texts()

    missing = [q for q in quoted if not any(_quotes(q, text) for text in texts)]

    assert missing == []
    assert len(quoted) > 20


def _quotes(quoted: str, text: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in quoted.strip("….: ").split("…"))
    return re.search(pattern, text, re.DOTALL) is not None


# --- the snippets run ------------------------------------------------------------------------------------------------

DRIVER = """
import ast, asyncio, inspect, json, os, sys
from discomfort import ComfyConnector

async def main():
    async with await ComfyConnector.create() as connector:
        os.environ["COMFYUI_URL"] = connector.server_address
        for page, blocks in json.load(sys.stdin):
            from pathlib import Path
            names = {"__name__": "snippet", "connector": connector, "ComfyConnector": ComfyConnector, "Path": Path}
            for line, text in blocks:
                code = compile("\\n" * line + text, page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
                outcome = eval(code, names)
                if inspect.isawaitable(outcome):
                    await outcome
                print("ran", f"{page}:{line}", flush=True)

asyncio.run(main())
"""


@pytest.fixture
def start_folder(tmp_path: Path) -> Path:
    """A folder as the pages assume it: saved workflows, and a few photos."""
    from PIL import Image

    (tmp_path / "workflow.json").write_bytes(WORKFLOW.read_bytes())
    for path in (WITH_PORTS, IN_APP_MODE):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    Image.new("RGB", (32, 24), "green").save(tmp_path / "photo.png")
    (tmp_path / "photos").mkdir()
    for name, colour in (("a.png", "red"), ("b.png", "blue")):
        Image.new("RGB", (32, 24), colour).save(tmp_path / "photos" / name)
    return tmp_path


def _environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DISCOMFORT_", "COMFYUI_"))}
    state = {"XDG_STATE_HOME": str(home / "state"), "DISCOMFORT_INITIAL_PORT": "18700"}
    return kept | state | {"DISCOMFORT_ENGINE": "emulator"}


def _run(words: list[str], folder: Path, given: str = "") -> str:
    done = subprocess.run(
        words,
        cwd=folder,
        env=_environment(folder),
        input=given,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.browser
@pytest.mark.parametrize("block", SCRIPTS, ids=lambda block: block.where)
def test_scripts_run(block: Block, start_folder: Path) -> None:
    """Every snippet that stands for itself runs as it stands, and what it says about files is true."""
    (start_folder / "snippet.py").write_text(block.text)

    printed = _run([sys.executable, "snippet.py"], start_folder)

    paths = re.findall(r"[\w./-]+\.png", printed)
    assert all((start_folder / path).read_bytes().startswith(b"\x89PNG") for path in paths)
    assert paths or ".save" not in block.text, printed
    assert printed.strip()
    assert not list((start_folder / "state").rglob("*.jsonl"))


def _run_fragments(fragments: list[Block], folder: Path) -> None:
    pages = {b.page: [[f.line, f.text] for f in fragments if f.page == b.page] for b in fragments}
    given = json.dumps([(str(page.relative_to(ROOT)), blocks) for page, blocks in pages.items()])

    printed = _run([sys.executable, "-c", DRIVER], folder, given)

    assert [line for line in printed.splitlines() if line.startswith("ran ")] == [f"ran {b.where}" for b in fragments]


@pytest.mark.browser
def test_fragments_run(start_folder: Path) -> None:
    """The other snippets run in the order of their pages, against one connector."""
    _run_fragments([block for block in FRAGMENTS if block.page not in WITH_POOLS], start_folder)

    assert (start_folder / "results" / "blue-glow_00001_.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in (start_folder / "inverted").iterdir()) == ["a.png", "b.png"]


@pytest.mark.browser
def test_fragments_with_pools_run(start_folder: Path) -> None:
    """So do those of pages that start pools."""
    _run_fragments([block for block in FRAGMENTS if block.page in WITH_POOLS], start_folder)

    assert (start_folder / "results" / "image.png").read_bytes().startswith(b"\x89PNG")


def test_test_suites_run(tmp_path: Path) -> None:
    """The tests that the page on testing shows pass as they stand, each with the fixtures shown before it."""
    for block in (b for b in _blocks("python", "ini", "yaml") if b.note[0] == "file"):
        file = tmp_path / block.note[1]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(block.text)
        if block.note[1].startswith("test_"):
            printed = _run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", block.note[1]], tmp_path)
            assert "2 passed" in printed


def test_the_workflow_for_ci_runs_the_tests() -> None:
    """The page lets GitHub run what was run above, with the same engine, and names no package index."""
    (block,) = (b for b in _blocks("yaml") if b.note[1].startswith(".github"))
    commands = re.findall(r"- run: (.+)", block.text)

    repository = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
    install = f'pip install "discomfort[emulator] @ git+{repository}" pytest'
    assert commands == [install, "python -m pytest"]
    assert "DISCOMFORT_ENGINE: emulator" in block.text


EXAMPLES = [block for block in PYTHON if block.note[0] == "example"]


@pytest.mark.parametrize("block", EXAMPLES, ids=lambda block: block.where)
def test_quoted_examples_are_the_files(block: Block) -> None:
    """An example in a page is the file that the tests of the examples run."""
    assert (ROOT / block.note[1]).read_text(encoding="utf-8") == block.text


def test_every_example_has_a_page() -> None:
    """Each script is quoted, and the notebook and its workflow are named, in some page."""
    quoted = {block.note[1] for block in EXAMPLES}
    assert {str(path.relative_to(ROOT)) for path in (ROOT / "examples").glob("*.py")} == quoted
    named = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    files = [path.name for path in (ROOT / "examples").iterdir() if path.name != "__pycache__"]
    assert [name for name in files if f"examples/{name}" not in named] == []


def test_no_index_is_promised() -> None:
    """The package is not on an index: every command that installs it names a folder or the repository."""
    commands = [
        match[0]
        for page in [*PAGES, *MORE_PAGES]
        for match in re.finditer(r"pip install[^`\n]*discomfort[^`\n]*", page.read_text(encoding="utf-8"))
    ]
    assert commands
    assert [command for command in commands if "git+https://" not in command and "/discomfort" not in command] == []


def test_nothing_is_left_out_without_a_reason() -> None:
    """Snippets that are not run are few. What the reference has comes out of docstrings, most of it as excerpts."""
    chosen = [block for block in PYTHON if block.page.parent.name != "reference"]
    assert sum(block.note[0] == "not run" for block in chosen) < len(chosen) / 4
