"""Core nodes of ComfyUI that need no weights, and that the emulator still does not execute.

All other core nodes that it does not execute need a model: as an input, or to make what they are given.
"""

from __future__ import annotations

_LONG = "what it makes hangs on every step of ComfyUI's own program, and each tie gives another mesh"

LEFT_OUT = {
    "BakeTextureFromVoxel": "not written: only a model makes the coloured voxels that it bakes",
    "DecimateMesh": _LONG,
    "GLSLShader": "it runs a program on OpenGL",
    "RemeshMesh": _LONG,
    "SeedVR2Conditioning": "the vectors that it gives are in the model's weights",
    "UnwrapMesh": _LONG,
    "WanDancerEncodeAudio": "not written: only one video model takes the features of sound that it computes",
}
"""Each with the reason."""
