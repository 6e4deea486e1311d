"""A child process whose faults are switches, and waits that end."""

from __future__ import annotations

import psutil
from waiting import until_blocking

from discomfort.server.supervisor import Supervisor

DEADLINE = 20.0

CHILD = """
import argparse, json, os, signal, socket, subprocess, sys, time
parser = argparse.ArgumentParser()
parser.add_argument("--ignore-term", action="store_true")
parser.add_argument("--say", action="append", default=[])
parser.add_argument("--flood", type=int, default=0)
parser.add_argument("--grandchild", choices=["group", "session", "orphan", "stubborn"])
parser.add_argument("--exit", type=int)
parser.add_argument("--kill-self", action="store_true")
parser.add_argument("--port", type=int)
parser.add_argument("--mute", action="store_true")
parser.add_argument("--when")
parser.add_argument("--report-signals", action="store_true")
options = parser.parse_args()
if options.ignore_term:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if options.report_signals:
    states = [signal.getsignal(s) == signal.SIG_DFL for s in (signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE)]
    # Python itself handles SIGINT unless it is ignored, and ignores SIGPIPE.
    print(json.dumps([signal.getsignal(signal.SIGINT) is signal.default_int_handler, states[:2],
                      len(signal.pthread_sigmask(signal.SIG_BLOCK, ()))]), flush=True)
for text in options.say:
    os.write(2, text.encode().decode("unicode_escape").encode("latin-1"))
    os.write(2, b"\\n")
if options.flood:
    line = b"x" * 99 + b"\\n"
    for _ in range(options.flood // 100):
        os.write(1, line)
if options.grandchild:
    code = "import signal, time\\n"
    if options.grandchild == "stubborn":
        code += "signal.signal(signal.SIGTERM, signal.SIG_IGN)\\n"
    code += "print('ready', flush=True)\\ntime.sleep(600)"
    read, write = os.pipe()
    if options.grandchild == "orphan":
        if os.fork() == 0:
            os.setsid()
            made = subprocess.Popen([sys.executable, "-I", "-S", "-c", code])
            os.write(write, str(made.pid).encode() + b"\\n")
            os._exit(0)
    else:
        apart = options.grandchild in ("session", "stubborn")
        made = subprocess.Popen([sys.executable, "-I", "-S", "-c", code], start_new_session=apart)
        os.write(write, str(made.pid).encode() + b"\\n")
    print("grandchild", os.read(read, 20).decode().strip(), flush=True)
if options.when:
    while not os.path.exists(options.when):
        time.sleep(0.005)
if options.kill_self:
    os.kill(os.getpid(), signal.SIGKILL)
if options.exit is not None:
    sys.exit(options.exit)
if options.port:
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind(("127.0.0.1", options.port))
    except OSError as error:
        sys.exit(f"OSError: {error}")
    server.listen(50)
    print("listening", flush=True)
    kept = []
    while True:
        peer, _ = server.accept()
        kept.append(peer)
        if options.mute:
            continue
        if peer.recv(65536):
            body = b'{"exec_info": {"queue_remaining": 0}}'
            peer.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nConnection: close\\r\\n"
                         b"Content-Length: %d\\r\\n\\r\\n" % len(body) + body)
        peer.close()
print("up", flush=True)
time.sleep(600)
"""


def grandchild_of(supervisor: Supervisor) -> psutil.Process:
    """The process that the child said to have started, once it is set up."""
    until_blocking(
        lambda: "ready" in supervisor.log_tail() and any(x.startswith("grandchild") for x in supervisor.log_tail())
    )
    line = next(x for x in supervisor.log_tail() if x.startswith("grandchild"))
    return psutil.Process(int(line.split()[1]))
