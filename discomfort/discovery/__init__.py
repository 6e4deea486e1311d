"""Choice of the ComfyUI to start, its Python and its folders."""
