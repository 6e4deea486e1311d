"""A command line that is not ComfyUI: exits, stays mute, or answers only a part of the protocol, as its options say."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """Answers the question that readiness asks, and nothing else: there is no WebSocket."""

    def do_GET(self) -> None:
        found = self.path == "/prompt"
        body = json.dumps({"exec_info": {"queue_remaining": 0}}).encode() if found else b""
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> int:
    """Do as told."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--exit", type=int)
    parser.add_argument("--say", default="")
    parser.add_argument("--mute", action="store_true")
    options = parser.parse_args()
    if options.say:
        print(options.say, file=sys.stderr, flush=True)  # noqa: T201
    if options.exit is not None:
        return int(options.exit)
    if options.mute:
        signal.pause()  # until a signal ends the process
    with ThreadingHTTPServer(("127.0.0.1", options.port), Handler) as server:
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
