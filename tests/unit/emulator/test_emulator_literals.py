"""Two nodes read their numbers from an installed ComfyUI; here from a small imitation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from comfyui_emulator import literals
from comfyui_emulator.command import config_from
from comfyui_emulator.flags import parser
from comfyui_emulator.literals import NeedsInstallationError
from comfyui_emulator.nodes.borrowed import gits, lotus
from comfyui_emulator.runtime import Folders, NodeContext, using

SCHEDULES = {0.8: [[float(steps + 2 - k) for k in range(steps + 1)] for steps in range(2, 21)]}
VECTORS = [[[0.5, -1.0, 2.0], [0.25, 0.0, -3.5]]]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with the two files, of other numbers than ComfyUI's."""
    (tmp_path / "comfy_extras").mkdir()
    write(tmp_path, "gits", f"import nothing_like_this\nNOISE_LEVELS = {SCHEDULES!r}\n")
    write(tmp_path, "lotus", f"def f(device):\n    prompt_embeds = torch.tensor({VECTORS!r}).to(device)\n")
    return tmp_path


def write(root: Path, name: str, text: str) -> None:
    """Put a source file into the tree."""
    (root / "comfy_extras" / f"nodes_{name}.py").write_text(text)


def within(root: Path | None, function: Callable[..., Any], **inputs: Any) -> Any:
    """Call a node in an emulator that is configured with that ComfyUI."""
    nowhere = Path("nowhere")
    with using(NodeContext(Folders(nowhere, nowhere, nowhere, nowhere), comfyui=root)):
        return function(**inputs)


def test_a_schedule_is_one_of_the_table(tree: Path) -> None:
    """Up to twenty steps the table's own schedule is used, its last level zero."""
    found = within(tree, gits, coeff=0.8, steps=3, denoise=1.0)

    assert found.tolist() == [5.0, 4.0, 3.0, 0.0]
    assert found.dtype == np.float32


def test_more_steps_are_interpolated(tree: Path) -> None:
    """The longest schedule is stretched in the logarithm, from its first level to zero."""
    found = within(tree, gits, coeff=0.8, steps=40, denoise=1.0)

    assert len(found) == 41
    assert found[0] == 22.0
    assert found[2] == pytest.approx(21.0)
    assert found[1] == pytest.approx((22.0 * 21.0) ** 0.5)
    assert found[-1] == 0.0


@pytest.mark.parametrize(("denoise", "length"), [(0.5, 3), (0.0, 0), (0.1, 1)])
def test_less_denoising_is_the_end_of_the_schedule(tree: Path, denoise: float, length: int) -> None:
    """Only the last part of the steps is left, none without denoising."""
    assert len(within(tree, gits, coeff=0.8, steps=4, denoise=denoise)) == length


def test_a_coefficient_that_is_not_there(tree: Path) -> None:
    """It fails as in ComfyUI, with the bare key."""
    with pytest.raises(KeyError, match=r"0\.93"):
        within(tree, gits, coeff=0.93, steps=4, denoise=1.0)


def test_the_vectors_are_those_of_the_file(tree: Path) -> None:
    """The argument of the call is found, and nothing is called."""
    ((vectors, options),) = within(tree, lotus)

    assert vectors.tolist() == VECTORS
    assert vectors.dtype == np.float32
    assert options == {}


def test_a_folder_above_is_found_in(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A folder with ComfyUI in a subfolder of that name is accepted."""
    above = tmp_path_factory.mktemp("above")
    (above / "ComfyUI").symlink_to(tree, target_is_directory=True)

    assert within(above, lotus)[0][0].shape == (1, 2, 3)


def test_a_changed_file_is_read_again(tree: Path) -> None:
    """An update of ComfyUI is noticed."""
    within(tree, lotus)
    write(tree, "lotus", "prompt_embeds = torch.tensor([[[7.0]]])\n")

    assert within(tree, lotus)[0][0].tolist() == [[[7.0]]]


def test_without_a_folder_the_error_names_node_and_remedy() -> None:
    """The error says what is missing and how to configure it."""
    with pytest.raises(NeedsInstallationError) as caught:
        within(None, lotus)

    for words in ("LotusConditioning", "no folder was named", "--comfyui PATH", "COMFYUI_PATH", "real ComfyUI"):
        assert words in str(caught.value)


def test_a_folder_without_the_file(tmp_path: Path) -> None:
    """The error names the missing file."""
    with pytest.raises(NeedsInstallationError, match=r"nodes_gits\.py cannot be read"):
        within(tmp_path, gits, coeff=0.8, steps=4, denoise=1.0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x = 1\n",
        "NOISE_LEVELS = {\n",
        "NOISE_LEVELS = open('/etc/passwd').read()\n",
        "NOISE_LEVELS = {}\n",
        "NOISE_LEVELS = 5\n",
        "NOISE_LEVELS = {0.8: []}\n",
        "NOISE_LEVELS = {'a': 1}\n",
        f"NOISE_LEVELS = { ({0.8: [*SCHEDULES[0.8][:-1], ['x'] * 21]})!r}\n",
        f"NOISE_LEVELS = { ({0.8: [[0.0] * n for n in range(3, 22)]})!r}\n",
        "\0",
        "(" * 100_000,
    ],
)
def test_a_file_of_another_form(tree: Path, text: str) -> None:
    """Other content raises the same error, and nothing of the file is run."""
    write(tree, "gits", text)

    with pytest.raises(NeedsInstallationError, match="GITSScheduler"):
        within(tree, gits, coeff=0.8, steps=4, denoise=1.0)


@pytest.mark.parametrize("value", ["[]", "[[]]", "[[[]]]", "[[[1.0], [1.0, 2.0]]]", "[[[1.0, 'x']]]", "[[1.0], [2.0]]"])
def test_vectors_of_another_form(tree: Path, value: str) -> None:
    """Only one batch of equally long vectors of numbers is taken."""
    write(tree, "lotus", f"prompt_embeds = torch.tensor({value})\n")

    with pytest.raises(NeedsInstallationError, match="LotusConditioning"):
        within(tree, lotus)


def test_a_file_that_is_too_large(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not even parsed."""
    monkeypatch.setattr(literals, "_MAX_BYTES", 10)

    with pytest.raises(NeedsInstallationError, match="too large"):
        within(tree, lotus)


@pytest.mark.parametrize(
    ("flags", "environment", "expected"),
    [([], None, None), ([], "/there", "/there"), (["--comfyui", "/here"], "/there", "/here")],
)
def test_the_option_goes_before_the_environment(
    flags: list[str], environment: str | None, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``--comfyui`` wins over ``COMFYUI_PATH``."""
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    if environment is not None:
        monkeypatch.setenv("COMFYUI_PATH", environment)

    config = config_from(parser().parse_args(flags), flags)

    assert config.comfyui == (None if expected is None else Path(expected))
