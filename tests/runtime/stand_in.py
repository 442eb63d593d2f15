"""`manage.py up` with tiny roles: real servers and supervisor, no Django application.

The web role answers every request; the worker only waits; the demo command writes the
facts. Environment: STAND_IN_DEMO_CODE is the exit code of the demo command.
"""

from __future__ import annotations

import http.server
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from churnguard.runtime import home, launch, roles, web
from churnguard.runtime.services import Service

_FILE = str(Path(__file__).resolve())


class _Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = f"web {os.getpid()}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


def _roles(env: Mapping[str, str], _: Path) -> list[Service]:
    def role(name: str) -> list[str]:
        return [sys.executable, _FILE, "role", name]

    return [
        Service(name="web", argv=role("web"), env=env, is_ready=roles.answers),
        Service(name="worker", argv=role("worker"), env=env),
    ]


def _manage(*words: str) -> list[str]:
    return [sys.executable, _FILE, "manage", *words]


def _serve() -> None:
    opened = web.open_socket(web.addresses()[0])
    server = http.server.HTTPServer(opened.getsockname(), _Hello, False)
    server.socket.close()
    server.socket = opened
    server.serve_forever()


def _run(words: list[str]) -> int:
    if words[:1] == ["up"]:
        return launch.main(words[1:], roles=_roles, manage=_manage)
    if words == ["role", "web"]:
        _serve()
    if words == ["role", "worker"]:
        print('{"service": "worker", "operation": "worker.waits"}', flush=True)
        print("no JSON at all", flush=True)
        time.sleep(3600)
    if words[:2] == ["manage", "demo"]:
        print(f"demo {' '.join(words[2:])}".strip(), flush=True)
        if "--live" in words:
            time.sleep(3600)
        sample = {} if "--empty" in words else {"sample": {"made_at": "now"}}
        home.write_demo({"email": "owner@example.com", "password": "pw", **sample})
        return int(os.environ.get("STAND_IN_DEMO_CODE", "0"))
    return 0


if __name__ == "__main__":
    sys.exit(_run(sys.argv[1:]))
