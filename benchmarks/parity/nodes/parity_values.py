"""Values that only models or other packs make, and a node that shows any value as text and numbers.

Loads in ComfyUI (as a file in a custom node folder) and in the emulator.
"""

from __future__ import annotations

import io
import json
import sys
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np


def native(array: Any) -> Any:
    """An array as the server's nodes take it: numpy's in the emulator, torch's in ComfyUI."""
    array = np.ascontiguousarray(array, dtype=np.float32)
    if "comfyui_emulator" in sys.modules:
        return array
    import torch

    return torch.from_numpy(array)


def random(*shape: int, seed: int = 0) -> Any:
    """Normal numbers."""
    return np.random.default_rng(seed).standard_normal(shape)


class _Node:
    RETURN_TYPES: tuple[str, ...] = ()
    FUNCTION = "make"
    CATEGORY = "parity"
    REQUIRED: ClassVar[dict[str, Any]] = {}

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        return {"required": dict(cls.REQUIRED)}


_SEED = ("INT", {"default": 0})


class ParityConditioning(_Node):
    """Two conditionings, the first with a pooled output."""

    RETURN_TYPES = ("CONDITIONING",)
    REQUIRED: ClassVar[dict[str, Any]] = {"seed": _SEED, "tokens": ("INT", {"default": 7})}

    def make(self, seed: int, tokens: int) -> tuple[Any]:
        """Make it."""
        vectors = [native(random(1, tokens, 6, seed=seed + k)) for k in range(2)]
        return ([[vectors[0], {"pooled_output": native(random(1, 5, seed=seed))}], [vectors[1], {}]],)


class ParitySeen(_Node):
    """What a vision model would give."""

    RETURN_TYPES = ("CLIP_VISION_OUTPUT",)
    REQUIRED: ClassVar[dict[str, Any]] = {"seed": _SEED}

    def make(self, seed: int) -> tuple[Any]:
        """Make it."""
        return (SimpleNamespace(last_hidden_state=native(random(1, 3, 8, seed=seed))),)


class ParityVoxels(_Node):
    """A ball with a rough surface; ``size`` cells on the longest side."""

    RETURN_TYPES = ("VOXEL",)
    REQUIRED: ClassVar[dict[str, Any]] = {"seed": _SEED, "size": ("INT", {"default": 24})}

    def make(self, seed: int, size: int) -> tuple[Any]:
        """Make it."""
        shape = (size, size - 2, size - 5)
        place = np.stack(np.meshgrid(*(np.linspace(-1, 1, side) for side in shape), indexing="ij"))
        ball = 1.2 - np.sqrt((place**2).sum(axis=0)) + 0.05 * random(*shape, seed=seed)
        return (SimpleNamespace(data=native(ball[None])),)


class ParityMesh(_Node):
    """A twisted sheet with all that a mesh can have, or less; with ``several`` a smaller one beside it."""

    RETURN_TYPES = ("MESH",)
    REQUIRED: ClassVar[dict[str, Any]] = {
        "parts": ("STRING", {"default": ""}),
        "side": ("INT", {"default": 5}),
        "several": ("BOOLEAN", {"default": False}),
    }

    def make(self, parts: str, side: int, several: bool) -> tuple[Any]:
        """Make it."""
        rows, columns = np.mgrid[0:side, 0:side] / (side - 1)
        points = np.stack([columns * 2 - 1, rows - 0.5, np.sin(columns * 3 + rows) * 0.5], axis=-1).reshape(-1, 3)
        place = np.arange(side * side).reshape(side, side)
        corners = [place[:-1, :-1], place[:-1, 1:], place[1:, 1:], place[1:, :-1]]
        first, second, third, fourth = (corner.reshape(-1) for corner in corners)
        faces = np.concatenate([np.stack([first, second, third], 1), np.stack([first, third, fourth], 1)])
        made = self.parts(points, np.stack([columns, rows], axis=-1).reshape(-1, 2), side)
        chosen = {name: native(made[name][None]) for name in parts.split()}
        if several:
            chosen = {name: native(np.concatenate([value, value])) for name, value in chosen.items()}
            points, faces = np.stack([points, points * 0.5]), np.stack([faces, faces[::-1]])
            kept = [len(faces[0]), len(faces[0]) - 3], [side * side, side * side]
            chosen |= {"face_counts": whole(kept[0]), "vertex_counts": whole(kept[1])}
        else:
            points, faces = points[None], faces[None]
        return (mesh_class()(native(points), whole(faces), **chosen),)

    def parts(self, points: Any, uvs: Any, side: int) -> dict[str, Any]:
        """What a mesh can have besides points and faces."""
        normals = points / np.linalg.norm(points, axis=1, keepdims=True).clip(1e-6)
        picture = np.abs(random(8, 8, 3, seed=side)) % 1
        return {
            "uvs": uvs,
            "vertex_colors": np.abs(random(len(points), 4, seed=1)) % 1,
            "normals": normals,
            "tangents": np.concatenate([normals[:, ::-1], np.ones((len(points), 1))], axis=1),
            "texture": picture,
            "metallic_roughness": picture[::-1],
            "normal_map": picture[:, ::-1],
            "emissive": picture[:4, :4],
        }


def whole(numbers: Any) -> Any:
    """Whole numbers as the server's nodes take them."""
    array = np.ascontiguousarray(numbers, dtype=np.int64)
    if "comfyui_emulator" in sys.modules:
        return array
    import torch

    return torch.from_numpy(array)


def mesh_class() -> Any:
    """The server's class of meshes."""
    if "comfyui_emulator" in sys.modules:
        from comfyui_emulator.nodes.solids.meshes import Mesh

        return Mesh
    from comfy_api.latest import Types

    return Types.MESH


class ParityFilled(_Node):
    """Two grids, of which some cells are filled; one cell is none."""

    RETURN_TYPES = ("VOXEL",)
    REQUIRED: ClassVar[dict[str, Any]] = {"size": ("INT", {"default": 9})}

    def make(self, size: int) -> tuple[Any]:
        """Make them."""
        cells = np.zeros((2, size, size, size)) if size == 1 else (random(2, size, size, size) > 2)
        return (SimpleNamespace(data=native(cells)),)


class ParityDrawings(_Node):
    """Two vector drawings."""

    RETURN_TYPES = ("SVG",)

    def make(self) -> tuple[Any]:
        """Make them."""
        drawings = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{k}"><g/></svg>' for k in (8, 9)]
        return (SimpleNamespace(data=[io.BytesIO(drawing.encode()) for drawing in drawings]),)


class ParityLosses(_Node):
    """Losses of a training."""

    RETURN_TYPES = ("LOSS_MAP",)

    def make(self) -> tuple[Any]:
        """Make them."""
        return ({"loss": [1.0 / (k + 1) + 0.1 * (k % 3) for k in range(50)]},)


class ParityFloats(_Node):
    """Numbers."""

    RETURN_TYPES = ("FLOATS",)

    def make(self) -> tuple[Any]:
        """Make them."""
        return ([0.1, 0.9, 0.4],)


class ParityHooks(_Node):
    """One hook, with keyframes of its own."""

    RETURN_TYPES = ("HOOKS",)

    def make(self) -> tuple[Any]:
        """Make it."""
        if "comfyui_emulator" in sys.modules:
            from comfyui_emulator.nodes.conditioning.hooks import Hooks, Keyframe

            return (Hooks(("hook",), (Keyframe(1.0, 0.0),)),)
        import comfy.hooks

        group = comfy.hooks.HookGroup()
        hook = comfy.hooks.WeightHook()
        hook.hook_keyframe.add(comfy.hooks.HookKeyframe(strength=1.0, start_percent=0.0))
        group.add(hook)
        return (group,)


class ParityTone(_Node):
    """A chord, ``seconds`` long."""

    RETURN_TYPES = ("AUDIO",)
    REQUIRED: ClassVar[dict[str, Any]] = {
        "rate": ("INT", {"default": 8000, "max": 200000}),
        "channels": ("INT", {"default": 2}),
        "seconds": ("FLOAT", {"default": 0.5}),
        "batch": ("INT", {"default": 1}),
    }

    def make(self, rate: int, channels: int, seconds: float, batch: int) -> tuple[Any]:
        """Make it."""
        time = np.arange(int(rate * seconds)) / rate
        waves = [[np.sin(time * 440 * 2 * np.pi * (1 + k + j)) * 0.7 for j in range(channels)] for k in range(batch)]
        return ({"waveform": native(np.array(waves)), "sample_rate": rate},)


class ParityMaskedLatent(_Node):
    """A latent with a mask, of a size and a batch."""

    RETURN_TYPES = ("LATENT",)
    REQUIRED: ClassVar[dict[str, Any]] = {
        "batch": ("INT", {"default": 2}),
        "side": ("INT", {"default": 8}),
        "indices": ("BOOLEAN", {"default": False}),
    }

    def make(self, batch: int, side: int, indices: bool) -> tuple[Any]:
        """Make it."""
        mask = native(np.abs(random(batch, 1, side * 8, side * 8)) % 1)
        latent = {"samples": native(random(batch, 4, side, side)), "noise_mask": mask}
        return (latent | ({"batch_index": list(range(5, 5 + batch))} if indices else {}),)


class ParityShaped(_Node):
    """An array of any shape, as a picture, a mask, a latent, a sound and noise levels."""

    RETURN_TYPES = ("IMAGE", "MASK", "LATENT", "AUDIO", "SIGMAS")
    REQUIRED: ClassVar[dict[str, Any]] = {"shape": ("STRING", {"default": "1,8,8,3"})}

    def make(self, shape: str) -> tuple[Any, ...]:
        """Make it; all numbers are from 0 to 1, and fall."""
        sides = tuple(int(side) for side in shape.split(","))
        size = int(np.prod(sides))
        array = native(np.linspace(1, 0, size).reshape(sides))
        return array, array, {"samples": array}, {"waveform": array, "sample_rate": 8000}, array


class ParityTracked(_Node):
    """Three objects in two frames, as SAM3 tracks them; with ``empty`` none, with ``blocks`` whole and large ones."""

    RETURN_TYPES = ("SAM3_TRACK_DATA",)
    REQUIRED: ClassVar[dict[str, Any]] = {
        "empty": ("BOOLEAN", {"default": False}),
        "blocks": ("BOOLEAN", {"default": False}),
    }

    def make(self, empty: bool, blocks: bool = False) -> tuple[Any]:
        """Make them."""
        if blocks:
            packed = np.zeros((3, 4, 60, 10), np.uint8)
            packed[:, 0, 5:50, 6:] = packed[1:, 1, 30:58, :3] = packed[:, 3, 2:22, 1:4] = 255
            packed[2, 2, 40:43, 5] = 7
            return (self.tracked(packed, (120, 160)) | {"scores": [0.93, 1.0, 0.5]},)
        packed: Any = np.random.default_rng(5).integers(0, 256, (2, 3, 20, 3), dtype=np.uint8)
        packed[:, :, 5:, 1] = 0
        return (self.tracked(None if empty else packed, (45, 50)),)

    def tracked(self, packed: Any, size: tuple[int, int]) -> dict[str, Any]:
        """The value with these masks."""
        if packed is not None and "comfyui_emulator" not in sys.modules:
            import torch

            packed = torch.from_numpy(packed)
        return {"packed_masks": packed, "orig_size": size, "n_frames": 2}


class ParityDepths(_Node):
    """What depth models find in two pictures: a hill under a sky; ``parts`` are the arrays that they gave."""

    RETURN_TYPES = ("MOGE_GEOMETRY", "DA3_GEOMETRY")
    REQUIRED: ClassVar[dict[str, Any]] = {
        "parts": ("STRING", {"default": "depth image"}),
        "holes": ("BOOLEAN", {"default": False}),
    }

    def make(self, parts: str, holes: bool) -> tuple[Any, Any]:
        """Make it."""
        rows, columns = np.mgrid[0:20, 0:26].astype(np.float32)
        depth = np.stack([2 + np.sin(columns / 5) * 0.3 + rows / 30, 3 - rows / 20 + 0.1 * columns])
        depth[:, 8:12, 9:14] -= 0.8
        points = np.stack([(columns - 12) / 20 * depth, (rows - 9) / 20 * depth, depth], axis=-1)
        if holes:
            depth[:, 3:5, 4:9], depth[1, 15, 2] = np.inf, -1.0
            points[:, 3:5, 4:9] = np.inf
        lens = np.array([[0.9, 0, 0.5], [0, 1.2, 0.5], [0, 0, 1]])
        turned = np.array([[0.96, -0.28, 0, 0.1], [0.28, 0.96, 0, -0.2], [0, 0, 1, 0.3]])
        made = {
            "depth": depth,
            "points": points,
            "normal": points / np.linalg.norm(np.nan_to_num(points, posinf=9.0), axis=-1, keepdims=True),
            "mask": depth > 2.2,
            "sky": np.stack([1 - rows / 9, 1 - rows / 15]).clip(0, 1),
            "confidence": np.stack([columns * 0.1 + 1, np.ones_like(rows)]),
            "image": np.abs(random(2, 20, 26, 3, seed=6)) % 1,
        }
        found: dict[str, Any] = {name: native(made[name]) for name in parts.split() if name in made}
        cameras = {"intrinsics": (lens, lens * [[26], [20], [1]]), "extrinsics": (turned, turned)}
        moge, da3 = dict(found), dict(found)
        for name in set(parts.split()) & set(cameras):
            moge[name] = native(np.stack([cameras[name][0]] * 2))
            da3[name] = native(np.stack([cameras[name][1]] * 2)[None])
        return moge, da3


class ParityFaces(_Node):
    """Two faces in the first of two pictures, an eight-cornered oval around lips with a hole, eyes and more."""

    RETURN_TYPES = ("FACE_LANDMARKS",)

    def make(self) -> tuple[Any]:
        """Make them."""
        angles = np.arange(8) / 8 * 2 * np.pi
        circle = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
        parts = [(circle * size + place) for size, place in ((18, (20, 20)), (7, (20, 27)), (4, (20, 27)))]
        parts += [circle[::2] * size + place for size, place in ((3, (13, 14)), (3, (27, 14)), (1.4, (13.3, 14.2)))]
        points = np.concatenate(parts)
        loops = [list(range(start, start + 8)) for start in (0, 8, 16)]
        loops += [list(range(start, start + 4)) for start in (24, 28, 32)]
        edges = [frozenset(zip(loop, loop[1:] + loop[:1], strict=True)) for loop in loops]
        brows = frozenset([(24, 25), (25, 26)]), frozenset([(28, 29), (29, 99)])
        names = ("face_oval", "left_eye", "right_eye", "irises", "left_eyebrow", "right_eyebrow")
        sets = dict(zip(names, (edges[0], *edges[3:], *brows), strict=True))
        sets |= {"lips": edges[1] | edges[2], "nose": frozenset([(0, 8)]), "tesselation": frozenset([(0, 30), (3, 9)])}
        faces = [{"landmarks_xy": (points * scale + shift).astype(np.float32)} for scale, shift in ((1, 0), (0.6, 25))]
        return ({"frames": [faces, []], "image_size": (44, 56), "connection_sets": sets},)


class ParityColored(_Node):
    """Cells with colours and further values; with ``owner`` the number of their mesh."""

    RETURN_TYPES = ("VOXEL",)
    REQUIRED: ClassVar[dict[str, Any]] = {
        "owner": ("BOOLEAN", {"default": False}),
        "count": ("INT", {"default": 60}),
    }

    def make(self, owner: bool, count: int) -> tuple[Any]:
        """Make them."""
        drawn = np.random.default_rng(8)
        cells = drawn.integers(0, 16, (count, 3))
        if owner:
            cells = np.concatenate([drawn.integers(0, 2, (count, 1)), cells], axis=1)
        colors = native(drawn.uniform(-0.1, 1.1, (count, 6)))
        return (SimpleNamespace(data=whole(cells), voxel_colors=colors, resolution=17),)


class ParityLora(_Node):
    """The arrays of a LoRA, and a model that has one, whose metadata may name a factor."""

    RETURN_TYPES = ("LORA_MODEL", "MODEL")
    REQUIRED: ClassVar[dict[str, Any]] = {"factor": ("STRING", {"default": ""})}

    def make(self, factor: str) -> tuple[Any, Any]:
        """Make them."""
        arrays = {f"layer.{name}.weight": native(random(2, 3, seed=k)) for k, name in enumerate(("up", "down"))}
        metadata = {"x.reference_downscale_factor": factor} if factor else None
        return arrays, SimpleNamespace(get_attachment=lambda _name: metadata)


class ParityJson(_Node):
    """Any value, told as JSON."""

    RETURN_TYPES = ("*",)
    REQUIRED: ClassVar[dict[str, Any]] = {"text": ("STRING", {"default": "{}"})}

    def make(self, text: str) -> tuple[Any]:
        """Make it."""
        return (json.loads(text),)


class ParityList(_Node):
    """Two values as a list."""

    RETURN_TYPES = ("LATENT",)
    OUTPUT_IS_LIST = (True,)
    REQUIRED: ClassVar[dict[str, Any]] = {"first": ("LATENT",), "second": ("LATENT",)}

    def make(self, first: Any, second: Any) -> tuple[Any]:
        """Make it."""
        return ([first, second],)


class ParityDescribe(_Node):
    """The structure of any value as text, and all its numbers as a latent."""

    RETURN_TYPES = ("STRING", "LATENT")
    REQUIRED: ClassVar[dict[str, Any]] = {"value": ("*",)}
    INPUT_IS_LIST = True

    @classmethod
    def VALIDATE_INPUTS(cls, input_types: Any) -> bool:  # noqa: N802 - ComfyUI's name
        """Take everything."""
        return True

    def make(self, value: list[Any]) -> tuple[str, Any]:
        """Describe it."""
        numbers: list[Any] = [np.zeros(1)]
        text = json.dumps(self.structure(value, numbers))
        flat = np.concatenate([np.asarray(part, dtype=np.float64).reshape(-1) for part in numbers])
        return text, {"samples": native(np.nan_to_num(flat, posinf=9e5, neginf=-9e5)[None, None, None])}

    def structure(self, value: Any, numbers: list[Any]) -> Any:
        """Names, kinds and shapes; floating numbers and arrays go to ``numbers``."""
        if value is None or isinstance(value, bool | int | str):
            return value
        if getattr(value, "is_nested", False):
            return self.structure(["joint", *value.unbind()], numbers)
        if hasattr(value, "shape") and hasattr(value, "dtype"):
            numbers.append(np.asarray(value))
            return f"array{list(value.shape)}"
        if isinstance(value, float):
            numbers.append(value)
            return "float"
        if isinstance(value, dict):
            return {key: self.structure(value[key], numbers) for key in sorted(value)}
        if isinstance(value, list | tuple):
            return [self.structure(item, numbers) for item in value]
        if hasattr(value, "to_lut"):
            return self.structure([value.points, value.to_lut(65), value.interp(0.3)], numbers)
        return self.of_object(value, numbers)

    def of_sampler(self, value: Any) -> list[Any]:
        """Name and options of ComfyUI's sampler; one without a function is named by its class."""
        if not hasattr(value, "sampler_function"):
            return [f"sample_{type(value).__name__}", {}]
        # Two methods are wrapped in functions of other names.
        name = value.sampler_function.__name__.removeprefix("sample_").removesuffix("_function")
        return [f"sample_{name}", value.extra_options]

    def of_object(self, value: Any, numbers: list[Any]) -> Any:
        """The same of an object: what it is asked for by those who use it."""
        if hasattr(value, "generate_noise"):
            empty = native(np.zeros((2, 3, 7, 5)))
            given = [{"samples": empty}, {"samples": empty, "batch_index": [3, 1]}, {"samples": empty[:, :, :1, :2]}]
            return self.structure([value.generate_noise(latent) for latent in given], numbers)
        if hasattr(value, "max_denoise"):
            return self.structure(self.of_sampler(value), numbers)
        if hasattr(value, "get_components"):
            about = [value.get_bit_depth(), value.get_color_space(), value.get_frame_count(), value.get_duration()]
            value = value.get_components()
            return self.structure([about, value.images, value.audio, float(value.frame_rate)], numbers)
        if hasattr(value, "hooks"):
            keyframes = getattr(value, "keyframes", None)
            if keyframes is None and value.hooks:
                keyframes = getattr(value.hooks[0], "hook_keyframe", None)
            return [len(value.hooks), self.structure(keyframes, numbers)]
        if callable(value):
            # Powers of powers differ in their last digits, so it is the logarithms that are compared.
            found = np.asarray(value(native(np.array([2.5]))), dtype=np.float64)
            return self.structure(np.log1p(np.abs(found)), numbers)
        return self.of_solid(value, numbers)

    def of_solid(self, value: Any, numbers: list[Any]) -> Any:
        """The same of what has attributes."""
        if hasattr(value, "vertices"):
            return self.structure([value.vertices, value.faces, self.kept(value, MESH)], numbers)
        if hasattr(value, "rotations"):
            return self.structure(self.kept(value, SPLAT), numbers)
        if hasattr(value, "get_bytes"):
            return [value.format, len(value.get_bytes())]
        for names in (("name", "options"), ("start_percent", "guarantee_steps", "strength"), ("keyframes",)):
            if hasattr(value, names[0]):
                found = [getattr(value, name) for name in names]
                if names[0] == "name":
                    found[0] = f"sample_{found[0]}"
                if names[0] == "start_percent":
                    found[2] = float(found[2])
                return self.structure(found[0] if len(found) == 1 else found, numbers)
        return type(value).__name__

    def kept(self, value: Any, names: str) -> dict[str, Any]:
        """The attributes that an object has."""
        found = {name: getattr(value, name, None) for name in names.split()}
        return {name: part for name, part in found.items() if part is not None}


MESH = "uvs vertex_colors texture metallic_roughness vertex_counts face_counts unlit normals tangents normal_map"
MESH += " occlusion_in_mr emissive"
SPLAT = "positions scales rotations opacities sh counts"

NODE_CLASS_MAPPINGS: dict[str, type] = {
    name: cls for name, cls in list(globals().items()) if name.startswith("Parity") and isinstance(cls, type)
}
