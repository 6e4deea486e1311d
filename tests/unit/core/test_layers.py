"""The tree of ARCHITECTURE.md, read from the imports: layers, cycles, names, heavy libraries."""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[3]
PACKAGES = ("discomfort", "comfyui_emulator", "comfyui_conformance")
LAYERS = {
    **dict.fromkeys(
        [
            "exceptions",
            "_error_text",
            "_pickling",
            "_tracebacks",
            "progress",
            "_json",
            "_json_objects",
            "_version",
            "redaction",
            "workflow",
            "resources",
            "",
            "config",
            "config_files",
            "history",
            "server_features",
        ],
        0,
    ),
    "_system": 1,
    **dict.fromkeys(["discovery", "server", "client", "conversion", "files", "context"], 2),
    **dict.fromkeys(
        [
            "connector",
            "core_values",
            "functions",
            "planning",
            "sweeps",
            "provision",
            "comfy_serverless",
            "sync",
            "sync_run",
            "workflow_context",
        ],
        3,
    ),
    **dict.fromkeys(["orchestration", "discomfort", "workflow_tools", "pool"], 4),
    **dict.fromkeys(["cli", "testing", "__main__", "emulator", "conformance", "nodes"], 5),
}
PARTS = {"discovery", "server", "client", "conversion", "files", "context"}
COMFYUI = {"numpy", "aiohttp", "torch", "PIL", "comfy", "comfy_api", "comfy_extras", "folder_paths", "nodes", "server"}
"""What is there in ComfyUI's process; its own modules are imported lazily."""
HEAVY = {
    "playwright": "discomfort/conversion/browser",
    "torch": "discomfort/context/tensors",
    "ray": "discomfort/pool/ray",
}
OUTSIDE = {
    "comfyui_emulator": set[str](),
    "comfyui_conformance": {"discomfort._json", "discomfort.exceptions", "discomfort.redaction"},
}
"""What the packages beside ``discomfort`` may import of it."""


SYSTEM_HOMES = {
    "discomfort": {"discomfort._system"},
    "comfyui_emulator": {
        "comfyui_emulator.temporary",
        "comfyui_emulator.faults",
        "comfyui_emulator.command",
        "comfyui_emulator.http.routes_system",  # tells clients what it runs on
    },
    "comfyui_conformance": set[str](),
}
"""Where each package knows what is particular to an operating system; the emulator imports nothing of the library."""
SYSTEM_MODULES = {"fcntl", "resource", "termios", "pwd", "grp", "ctypes", "msvcrt", "winreg"}
SYSTEM_NAMES = {
    "os": {
        *("fork", "setsid", "getpgid", "getsid", "register_at_fork", "kill", "killpg", "waitid", "pidfd_open"),
        *("sendfile", "copy_file_range", "uname", "getuid", "geteuid", "umask", "mkfifo", "sched_getaffinity"),
        *("O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_TMPFILE", "O_BINARY"),
        "name",
    },
    "sys": {"platform"},
    "signal": {"SIGINT", "SIGTERM", "SIGHUP", "SIGKILL", "SIGSTOP", "SIGCONT", "SIGUSR1", "pthread_sigmask", "SIG_IGN"},
}
SYSTEM_PATHS = ("/proc", "/dev/shm", "/sys/")


def modules() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def dotted(path: Path) -> str:
    """The module's name; a package's is that of its ``__init__``."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


KNOWN = {dotted(path): path for path in modules()}


def imports(path: Path) -> Iterator[tuple[str, ast.stmt]]:
    """Every module of ours or of others that a file imports, at any depth, for types only included."""
    package = dotted(path) if path.name == "__init__.py" else dotted(path).rpartition(".")[0]
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield full if full in KNOWN else base, node


def graph() -> dict[str, set[str]]:
    """Which of our modules imports which."""
    return {name: {module for module, _ in imports(path) if module in KNOWN} - {name} for name, path in KNOWN.items()}


def unit(module: str) -> str:
    return module.removeprefix("discomfort").removeprefix(".").split(".")[0]


def may_import(own: str, module: str) -> bool:
    other = unit(module)
    if not module.startswith("discomfort") or LAYERS[other] > LAYERS[own]:
        return False
    return other == own or own not in PARTS or other not in PARTS


def test_imports_point_downwards() -> None:
    """No module imports from a higher layer, and no part from another part."""
    wrong = []
    for name, imported in graph().items():
        if not name.startswith("discomfort"):
            continue
        own = unit(name)
        assert own in LAYERS, f"{name} belongs to no layer: name it in this test and in ARCHITECTURE.md"
        if own in ("", "cli", "testing", "__main__", "emulator", "conformance"):
            continue
        wrong += [f"{name} imports {module}" for module in imported if not may_import(own, module)]
    assert wrong == []


def test_packages_beside_stand_alone() -> None:
    """The emulator imports nothing of the library; the conformance suite its errors and its JSON only."""
    wrong = [
        f"{name} imports {module}"
        for name, imported in graph().items()
        for module in imported
        if (package := name.split(".")[0]) in OUTSIDE
        and module.split(".")[0] != package
        and module not in OUTSIDE[package]
    ]
    assert wrong == []


def test_nodes_import_what_comfyui_has() -> None:
    """The nodes, and all that they import of the library at any depth, import what ComfyUI has, and ComfyUI itself."""
    edges = graph()
    waiting, seen = [name for name in KNOWN if name.startswith("discomfort.nodes")], set[str]()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += edges[name]
    others = {
        f"{name} imports {module}"
        for name in seen
        for module, node in imports(KNOWN[name])
        if (root := module.split(".")[0]) not in sys.stdlib_module_names | COMFYUI | {"discomfort"}
        or (root == "discomfort" and isinstance(node, ast.ImportFrom) and not node.level)
    }
    assert others == set()
    assert {unit(name) for name in seen} == {
        *("nodes", "context", "workflow", "_system"),
        *("exceptions", "_error_text", "_pickling", "redaction", "_json_objects"),
    }


def cycle(edges: dict[str, set[str]]) -> list[str]:
    """The modules of one import cycle; empty where there is none."""
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_import_cycle() -> None:
    """Of any kind: lazy ones and those for types only are circles for a reader, too."""
    assert cycle(graph()) == []


def test_the_cycle_check_would_notice() -> None:
    """Imports in functions and behind TYPE_CHECKING are among the edges."""
    edges = graph()
    assert "discomfort.conversion.browser.process" in edges["discomfort.conversion.browser.session"]
    assert "discomfort.cli.app" in edges["discomfort.cli"]
    assert set(cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}})) == {"b", "c"}


def test_heavy_libraries_are_imported_lazily_in_one_place() -> None:
    """Playwright inside functions of the browser's modules, torch in one of the context's, ray in one of the pool's."""
    wrong = []
    for name, path in KNOWN.items():
        tree = tree_of(path)
        top = set(map(id, tree.body))
        for module, node in imports(path):
            home = HEAVY.get(module.split(".")[0], "")
            if home == "" or _is_for_types(tree, node):
                continue
            if not str(path.relative_to(ROOT)).startswith(home) or id(node) in top:
                wrong.append(f"{name} imports {module}")
    assert wrong == []


def _is_for_types(tree: ast.Module, node: ast.stmt) -> bool:
    return any(
        isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test) and node in block.body
        for block in tree.body
    )


def test_no_name_stands_twice() -> None:
    """No two modules of the library share a name, nor do two of its classes: a stranger who searches finds one."""
    stems = Counter(
        path.stem
        for path in modules()
        if path.relative_to(ROOT).parts[0] == "discomfort" and path.stem not in ("__init__", "__main__")
    )
    classes: dict[str, list[str]] = defaultdict(list)
    for name, path in KNOWN.items():
        if name.startswith("discomfort"):
            for node in tree_of(path).body:
                if isinstance(node, ast.ClassDef):
                    classes[node.name].append(name)
    assert {stem: count for stem, count in stems.items() if count > 1} == {}
    assert {name: homes for name, homes in classes.items() if len(homes) > 1} == {}


def test_architecture_lists_the_layers() -> None:
    """The table of ARCHITECTURE.md has the layers above, and in the last column the modules and folders of each."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d) [^|]+\|[^|]+\|([^|]+)\|$", text, re.MULTILINE)
    listed = {
        name.removesuffix("/").removesuffix(".py"): int(layer)
        for layer, names in rows
        for name in re.findall(r"`([^`]+)`", names)
    }
    assert listed == {name: layer for name, layer in LAYERS.items() if name}


def test_every_unit_of_the_library_has_a_layer() -> None:
    """The list above is the tree: no module or folder without a layer, and no layer for what is gone."""
    ours = {path for path in (ROOT / "discomfort").iterdir() if path.suffix == ".py" or any(path.glob("*.[pj]*"))}
    there = {path.stem for path in ours if path.name != "__pycache__"} - {"__init__"}
    assert there == LAYERS.keys() - {""}


def system_facts(tree: ast.Module) -> Iterator[str]:
    """What a module uses that not every system has, in its code and not in its docstrings."""
    docstrings = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from SYSTEM_MODULES.intersection(names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in SYSTEM_NAMES.get(node.value.id, set()):
                yield ast.unparse(node)
        elif isinstance(node, ast.Constant) and id(node) not in docstrings and str(node.value).startswith(SYSTEM_PATHS):
            yield str(node.value)


def test_each_system_fact_is_in_its_home() -> None:
    """``fcntl``, ``/proc``, pidfds, signal numbers and the like: elsewhere a module would not work, or not import."""
    wrong = []
    for name, path in KNOWN.items():
        homes = SYSTEM_HOMES[name.split(".")[0]]
        if not any(name == home or name.startswith(f"{home}.") for home in homes):
            wrong += [f"{name}: {fact}" for fact in system_facts(tree_of(path))]
    assert wrong == []


def test_the_system_check_would_notice() -> None:
    """Lazy imports, names, paths in f-strings; not what a docstring says."""
    code = '''
"""Not /proc/self."""
def work(pid):
    import fcntl
    os.kill(pid, signal.SIGKILL)
    return os.name, open(f"/proc/{pid}/stat")
'''
    found = sorted(system_facts(ast.parse(code)))
    assert found == ["/proc/", "fcntl", "os.kill", "os.name", "signal.SIGKILL"]
