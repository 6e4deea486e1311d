"""The HTTP interface: routes under ComfyUI's paths, sockets, and middleware."""
