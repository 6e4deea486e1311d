"""What clients meet: the routes under ComfyUI's paths, the sockets, and what happens to every request."""
