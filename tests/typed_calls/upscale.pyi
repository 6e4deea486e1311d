# mypy: ignore-errors
# pyright: reportIncompatibleMethodOverride=false, reportIncompatibleVariableOverride=false
"""Types of the function that upscale.py loads from upscale.json. Made by ``discomfort stubs``.

Choices are those of the server that was asked: when its models have changed, make this file again."""

import os as _os
import pathlib as _pathlib
import typing as _typing
from collections import abc as _abc

from discomfort import connector as _connector
from discomfort import sweeps as _sweeps
from discomfort import sync as _sync_connector
from discomfort.functions import call_result as _results
from discomfort.functions import input_types as _inputs
from discomfort.functions import sync_function as _sync
from discomfort.functions import sync_typed_outputs as _sync_outputs
from discomfort.functions import typed_outputs as _outputs
from discomfort.functions import workflow_function as _functions
from discomfort.planning import workflow_plan as _plans
from discomfort.sweeps import sweep_rows as _rows

WORKFLOW: _pathlib.Path

_one = _typing.TypeVar("_one")
_each: _typing.TypeAlias = _one | _abc.Iterable[_one]
_payload: _typing.TypeAlias = str | _os.PathLike[str] | _abc.Mapping[str, _typing.Any]

_CkptName: _typing.TypeAlias = _typing.Literal[
    'base.safetensors',
    "it's.safetensors",
    'größe.safetensors',
    'xl/turbo.safetensors',
    'xl/base.safetensors',
]

class UpscaleResult(_results.CallResult):
    __getattr__: None  # a name that is not here is an error
    image: _outputs.Image
    @_typing.overload
    def __getitem__(self, name: _typing.Literal['image']) -> _outputs.Image: ...
    @_typing.overload
    def __getitem__(self, name: _typing.Literal['history']) -> _outputs.Text: ...

class UpscaleRun(_functions.CallRun):
    def __await__(self) -> _abc.Generator[_typing.Any, _typing.Any, UpscaleResult]: ...

class Upscale(_functions.WorkflowFunction):
    async def __call__(
        self,
        values: _abc.Mapping[str, _typing.Any] | None = None,
        /,
        *,
        image: _inputs.ImageInput,
        scale: float = 2.0,
        sampler: _typing.Literal['euler', 'heun', "it's", 'd'] = 'euler',
        seed: int = 7,
        ckpt_name: _CkptName = ...,
        prompt: str = 'a red fox',
        tiled: bool = False,
        frames: _inputs.ImagesInput = ...,
    ) -> UpscaleResult:
        """upscale(
            *,
            image: ImageInput,
            scale: float = 2.0,
            sampler: Literal['euler', 'heun', "it's", 'd'] = 'euler',
            seed: int = 7,
            ckpt_name: Literal[…] = 'gone.safetensors',
            prompt: str = 'a red fox',
            tiled: bool = False,
            frames: ImagesInput = None,
        )

        Runs upscale.json.

        Args:
            image: IMAGE.
            scale: float 1…4 = 2. How much larger.
            sampler: euler|heun|it's|… = euler.
            seed: int 0…18446744073709551615 = 7. Seed of noise.
            ckpt_name: base.safetensors|it's.safetensors|… = gone.safetensors.
            prompt: str = 'a red fox'.
            tiled: bool = False.
            frames: IMAGE = None.

        Returns the outputs:
            image: IMAGE.
            history: STRING."""

    async def submit(
        self,
        values: _abc.Mapping[str, _typing.Any] | None = None,
        /,
        *,
        image: _inputs.ImageInput,
        scale: float = 2.0,
        sampler: _typing.Literal['euler', 'heun', "it's", 'd'] = 'euler',
        seed: int = 7,
        ckpt_name: _CkptName = ...,
        prompt: str = 'a red fox',
        tiled: bool = False,
        frames: _inputs.ImagesInput = ...,
    ) -> UpscaleRun: ...
    async def plan(
        self,
        values: _abc.Mapping[str, _typing.Any] | None = None,
        /,
        *,
        image: _inputs.ImageInput = ...,
        scale: float = ...,
        sampler: _typing.Literal['euler', 'heun', "it's", 'd'] = ...,
        seed: int = ...,
        ckpt_name: _CkptName = ...,
        prompt: str = ...,
        tiled: bool = ...,
        frames: _inputs.ImagesInput = ...,
    ) -> _plans.WorkflowPlan: ...
    def grid(
        self,
        values: _abc.Mapping[str, _typing.Any] | None = None,
        /,
        *,
        image: _each[_inputs.ImageInput],
        scale: _each[float] = ...,
        sampler: _each[_typing.Literal['euler', 'heun', "it's", 'd']] = ...,
        seed: _each[int] = ...,
        ckpt_name: _each[_CkptName] = ...,
        prompt: _each[str] = ...,
        tiled: _each[bool] = ...,
        frames: _each[_inputs.ImagesInput] = ...,
    ) -> _sweeps.Sweep: ...
    def table(
        self,
        rows: _rows.TableSource,
        values: _abc.Mapping[str, _typing.Any] | None = None,
        /,
        *,
        image: _each[_inputs.ImageInput] = ...,
        scale: _each[float] = ...,
        sampler: _each[_typing.Literal['euler', 'heun', "it's", 'd']] = ...,
        seed: _each[int] = ...,
        ckpt_name: _each[_CkptName] = ...,
        prompt: _each[str] = ...,
        tiled: _each[bool] = ...,
        frames: _each[_inputs.ImagesInput] = ...,
    ) -> _sweeps.Sweep: ...

class SyncUpscaleResult(_sync.SyncCallResult):
    __getattr__: None  # a name that is not here is an error
    image: _sync_outputs.SyncImage
    @_typing.overload
    def __getitem__(self, name: _typing.Literal['image']) -> _sync_outputs.SyncImage: ...
    @_typing.overload
    def __getitem__(self, name: _typing.Literal['history']) -> _sync_outputs.SyncText: ...

class SyncUpscaleRun(_sync.SyncCallRun):
    def wait(self) -> SyncUpscaleResult: ...

class SyncUpscale(_sync.SyncFunction):
    def __call__(
        self,
        values: _abc.Mapping[str, _typing.Any] | None = None,
        /,
        *,
        image: _inputs.ImageInput,
        scale: float = 2.0,
        sampler: _typing.Literal['euler', 'heun', "it's", 'd'] = 'euler',
        seed: int = 7,
        ckpt_name: _CkptName = ...,
        prompt: str = 'a red fox',
        tiled: bool = False,
        frames: _inputs.ImagesInput = ...,
    ) -> SyncUpscaleResult:
        """upscale(
            *,
            image: ImageInput,
            scale: float = 2.0,
            sampler: Literal['euler', 'heun', "it's", 'd'] = 'euler',
            seed: int = 7,
            ckpt_name: Literal[…] = 'gone.safetensors',
            prompt: str = 'a red fox',
            tiled: bool = False,
            frames: ImagesInput = None,
        )

        Runs upscale.json.

        Args:
            image: IMAGE.
            scale: float 1…4 = 2. How much larger.
            sampler: euler|heun|it's|… = euler.
            seed: int 0…18446744073709551615 = 7. Seed of noise.
            ckpt_name: base.safetensors|it's.safetensors|… = gone.safetensors.
            prompt: str = 'a red fox'.
            tiled: bool = False.
            frames: IMAGE = None.

        Returns the outputs:
            image: IMAGE.
            history: STRING."""

    def submit(
        self,
        values: _abc.Mapping[str, _typing.Any] | None = None,
        /,
        *,
        image: _inputs.ImageInput,
        scale: float = 2.0,
        sampler: _typing.Literal['euler', 'heun', "it's", 'd'] = 'euler',
        seed: int = 7,
        ckpt_name: _CkptName = ...,
        prompt: str = 'a red fox',
        tiled: bool = False,
        frames: _inputs.ImagesInput = ...,
    ) -> SyncUpscaleRun: ...
    def plan(
        self,
        values: _abc.Mapping[str, _typing.Any] | None = None,
        /,
        *,
        image: _inputs.ImageInput = ...,
        scale: float = ...,
        sampler: _typing.Literal['euler', 'heun', "it's", 'd'] = ...,
        seed: int = ...,
        ckpt_name: _CkptName = ...,
        prompt: str = ...,
        tiled: bool = ...,
        frames: _inputs.ImagesInput = ...,
    ) -> _plans.WorkflowPlan: ...
    def grid(
        self,
        values: _abc.Mapping[str, _typing.Any] | None = None,
        /,
        *,
        image: _each[_inputs.ImageInput],
        scale: _each[float] = ...,
        sampler: _each[_typing.Literal['euler', 'heun', "it's", 'd']] = ...,
        seed: _each[int] = ...,
        ckpt_name: _each[_CkptName] = ...,
        prompt: _each[str] = ...,
        tiled: _each[bool] = ...,
        frames: _each[_inputs.ImagesInput] = ...,
    ) -> _sweeps.SyncSweep: ...
    def table(
        self,
        rows: _rows.TableSource,
        values: _abc.Mapping[str, _typing.Any] | None = None,
        /,
        *,
        image: _each[_inputs.ImageInput] = ...,
        scale: _each[float] = ...,
        sampler: _each[_typing.Literal['euler', 'heun', "it's", 'd']] = ...,
        seed: _each[int] = ...,
        ckpt_name: _each[_CkptName] = ...,
        prompt: _each[str] = ...,
        tiled: _each[bool] = ...,
        frames: _each[_inputs.ImagesInput] = ...,
    ) -> _sweeps.SyncSweep: ...

@_typing.overload
def load(
    connector: _connector.ComfyConnector, workflow: _payload = ..., interface: _payload | None = ...
) -> _abc.Coroutine[_typing.Any, _typing.Any, Upscale]: ...
@_typing.overload
def load(connector: _sync_connector.SyncConnector, workflow: _payload = ..., interface: _payload | None = ...) -> SyncUpscale: ...
