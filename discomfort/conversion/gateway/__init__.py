"""The small server between the frontend's pages and ComfyUI."""
