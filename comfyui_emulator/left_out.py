"""Core nodes of ComfyUI that need no weights, and that the emulator still does not execute.

All other core nodes that it does not execute need a model: as an input, or to make what they are given.
"""

from __future__ import annotations

_LONG = "what it makes hangs on every step of ComfyUI's own program, and each tie gives another mesh"

LEFT_OUT = {
    "BakeTextureFromVoxel": "it bakes the colours of voxels that only a model makes",
    "DecimateMesh": _LONG,
    "GLSLShader": "it runs a program on OpenGL",
    "RemeshMesh": _LONG,
    "SeedVR2Conditioning": "the vectors that it gives are in the model's weights",
    "UnwrapMesh": _LONG,
    "WanDancerEncodeAudio": "it describes sound by a long chain of features that only one model takes",
}
"""Each with the reason."""
