"""What ComfyUI's custom node packs import from ComfyUI, as far as plain Python packs need it.

Only the code of packs sees these modules, under ComfyUI's names (``folder_paths``, ``comfy.utils``,
``comfy_api.latest`` …): their ``import`` is answered here, and nothing is put among the process's own modules, where
names such as ``nodes`` and ``server`` may belong to somebody else. Where a real ComfyUI can be imported, it is used.
"""
