"""torch tensors: accepted from programs that use torch, and returned where it can be imported. Never needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from unit.context.test_codecs import written

from discomfort import RawTensor, UnsupportedValueError, WorkflowContext
from discomfort.context import tensors
from discomfort.context.codecs import decode, encode

ROOT = Path(__file__).parents[3]


def bits(dtype: str, array: np.ndarray[Any, Any]) -> RawTensor:
    """A tensor of a type that numpy lacks."""
    return RawTensor(dtype, array)


@pytest.mark.parametrize(
    ("dtype", "array"),
    [
        ("BF16", np.arange(6, dtype="<u2").reshape(2, 3)),
        ("F8_E4M3", np.arange(4, dtype="u1")),
        ("F8_E5M2", np.zeros((0, 2), "u1")),
    ],
)
def test_types_that_numpy_lacks_pass_through(dtype: str, array: np.ndarray[Any, Any]) -> None:
    """Without torch they come back as their bits, and can be saved again, byte for byte the same."""
    codec, data = written({"weight": bits(dtype, array)})
    found = decode(codec, data, "numpy")["weight"]

    assert isinstance(found, RawTensor)
    assert (found.dtype, found.data.tolist()) == (dtype, array.tolist())
    assert written({"weight": found}) == (codec, data)


@pytest.mark.parametrize(("dtype", "code"), [("F32", "<f4"), ("BF16", "u1"), ("F4", "u1"), ("", "u1")])
def test_wrong_bits_are_refused(dtype: str, code: str) -> None:
    """A type that numpy has, or items of another size."""
    with pytest.raises(UnsupportedValueError, match="cannot have the type"):
        encode(bits(dtype, np.zeros(2, code)))


def test_torch_is_not_imported_without_a_tensor() -> None:
    """Neither by the package nor by saving and loading arrays."""
    code = """
import sys, types
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch": raise AssertionError("torch was imported")
sys.meta_path.insert(0, Refuse())
import numpy as np
from discomfort import WorkflowContext
with WorkflowContext() as context:
    context.save("a", {"x": np.zeros(10), "y": [1]})
    print(context["a"]["x"].shape)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT / "tests"
    )
    assert done.stdout == "(10,)\n", done.stderr


class Tensor:
    """Enough of torch's class for a stand-in."""

    is_nested = is_quantized = requires_grad = False
    layout = "strided"

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self.array, self.dtype = array, f"torch.{array.dtype.name}"
        self.device = ModuleType("cuda:0")
        self.device.type = "cuda"  # type: ignore[attr-defined]

    def detach(self) -> Tensor:
        """Itself."""
        return self

    cpu = resolve_conj = resolve_neg = detach

    def numpy(self) -> np.ndarray[Any, Any]:
        """Its array."""
        return self.array


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A stand-in for torch."""
    module = ModuleType("torch")
    vars(module).update(Tensor=Tensor, strided="strided", from_numpy=Tensor)
    monkeypatch.setitem(sys.modules, "torch", module)
    return module


def test_tensors_come_back_as_tensors(torch: ModuleType) -> None:
    """Where torch can be imported; arrays come back as arrays."""
    with WorkflowContext() as context:
        context.save("latent", {"samples": Tensor(np.ones((2, 2))), "array": np.zeros(2)})
        found = context["latent"]
    assert type(found["samples"]) is Tensor
    assert found["samples"].array.tolist() == [[1, 1], [1, 1]]
    assert type(found["array"]) is np.ndarray


def test_tensors_setting(torch: ModuleType, tmp_path: Path) -> None:
    """``numpy`` gives arrays even where torch is."""
    (tmp_path / "c.json").write_text('{"TENSORS": "numpy"}')
    with WorkflowContext(tmp_path / "c.json") as context:
        context.save("a", Tensor(np.ones(2)))
        assert type(context["a"]) is np.ndarray


def test_without_torch_tensors_come_back_as_arrays(torch: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """A context of another process may have them. With the setting ``torch`` that is an error."""
    codec, data = written(Tensor(np.ones(2)))
    monkeypatch.setitem(sys.modules, "torch", None)  # its import fails
    assert type(decode(codec, data)) is np.ndarray
    with pytest.raises(ImportError):
        decode(codec, data, "torch")


class Sub(Tensor):
    """A subclass that knows more than its numbers."""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"is_nested": True}, "nested or sparse"), ({"layout": "sparse"}, "nested or sparse"),
        ({"is_quantized": True}, "quantized"),
    ],
)  # fmt: skip
def test_special_tensors_are_refused(torch: ModuleType, change: dict[str, Any], words: str) -> None:
    """With the place and the remedy."""
    tensor = Tensor(np.ones(2))
    vars(tensor).update(change)
    with pytest.raises(
        UnsupportedValueError, match=rf"value\['x'\]: a {words} tensor cannot be stored\. Store a dense"
    ):
        encode({"x": tensor})
    with pytest.raises(UnsupportedValueError, match="a Sub cannot be stored"):
        encode(Sub(np.ones(2)))


def test_real_tensors() -> None:
    """Every type of the layout, transposed and empty ones, and the values of nodes. Skipped without torch."""
    torch = pytest.importorskip("torch", reason="torch is not installed here")
    names = [*tensors.FOREIGN, "float32", "float64", "float16", "int64", "int8", "uint8", "bool", "complex64"]
    for name in [each for each in [*names, "complex128"] if hasattr(torch, each)]:
        value = torch.ones(2, 3).to(getattr(torch, name))
        codec, data = written({"samples": value, "more": [value.T, torch.zeros(0, 2)]})
        found = decode(codec, data)
        assert found["samples"].dtype == value.dtype
        assert torch.equal(found["samples"].to(torch.complex128), value.to(torch.complex128))
        assert torch.equal(found["more"][0].to(torch.complex128), value.T.to(torch.complex128))
        assert found["more"][1].shape == (0, 2)
    for special in (torch.zeros(3).to_sparse(), torch.zeros(2, device="meta")):
        with pytest.raises(UnsupportedValueError):
            encode(special)
    with WorkflowContext() as context:
        context.save("a", torch.nn.Parameter(torch.ones(100_000)))
        context["a"][0] = 5
        assert context["a"][0] == 1


def test_tensors_of_a_device_come_to_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """D23: only after ``detach`` and ``cpu`` is one read; what is stored does not know the device."""
    steps: list[str] = []

    class Tensor:
        """A tensor on a device, of which numpy gets nothing until it is on the CPU."""

        dtype, layout, requires_grad = "torch.float32", "strided", True
        is_nested = is_quantized = False

        def __init__(self, device: str = "cuda") -> None:
            self.device = SimpleNamespace(type=device)

        def detach(self) -> Tensor:
            steps.append("detach")
            return self

        def cpu(self) -> Tensor:
            steps.append("cpu")
            return Tensor("cpu")

        def resolve_conj(self) -> Tensor:
            return self

        resolve_neg = resolve_conj

        def numpy(self) -> np.ndarray[Any, Any]:
            assert self.device.type == "cpu"
            return np.arange(3, dtype=np.float32)

    torch = ModuleType("torch")
    torch.Tensor, torch.strided = Tensor, "strided"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", torch)
    codec, data = written({"samples": Tensor()})
    monkeypatch.delitem(sys.modules, "torch")

    assert steps == ["detach", "cpu"]
    assert b"cuda" not in data
    assert np.array_equal(decode(codec, data, "numpy")["samples"], [0, 1, 2])


def test_tensors_without_data() -> None:
    """A tensor of torch's ``meta`` device has no numbers to bring to the CPU."""
    torch = pytest.importorskip("torch", reason="needs torch, which the package does not")
    with pytest.raises(UnsupportedValueError, match="without data"):
        encode({"samples": torch.empty(2, device="meta")})
