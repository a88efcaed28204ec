"""As much of the Hugging Face hub, on this machine, as a push needs; it keeps what it is sent."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_secretsecret"


class FakeHub:
    """What was asked and sent, and how it answers."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        """``METHOD /path`` of each."""
        self.repositories: dict[str, bool] = {}
        """Name to whether it is private."""
        self.files: dict[str, bytes] = {}
        self.commits: list[str] = []
        self.failing: dict[str, int] = {}
        """End of a path to the status that it fails with."""
        self.address = ""

    def answer(self, method: str, path: str, token: str | None, body: bytes) -> tuple[int, Any]:
        path = path.partition("?")[0]
        self.requests.append(f"{method} {path}")
        status = next((status for end, status in self.failing.items() if path.endswith(end)), None)
        if status is not None:
            return status, {"error": f"no, {token}"}
        if token != f"Bearer {TOKEN}":
            return 401, {"error": f"Invalid token {token}"}
        if path == "/api/whoami-v2":
            return 200, {"name": "me", "type": "user", "orgs": []}
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/api/validate-yaml":
            wrong = "license: mit" not in json.loads(body)["content"]
            errors = [{"message": '"license" must be one of ...'}] if wrong else []
            return (400 if wrong else 200), {"errors": errors, "warnings": []}
        name = "/".join(path.split("/")[3:5])
        if name not in self.repositories:
            return 404, {"error": "Repository not found"}
        if "/preupload/" in path:
            files = json.loads(body)["files"]
            return 200, {
                "files": [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in files]
            }
        if "/commit/" in path:
            return self._commit(name, body)
        return 200, {"id": name, "private": self.repositories[name], "siblings": [], "sha": "0" * 40}

    def _create(self, asked: dict[str, Any]) -> tuple[int, Any]:
        name = f"{asked.get('organization') or 'me'}/{asked['name']}"
        url = {"url": f"{self.address}/{name}"}
        if name in self.repositories:
            return 409, {"error": "You already created this model repo", **url}
        self.repositories[name] = asked.get("private", asked.get("visibility") == "private")
        return 200, url

    def _commit(self, name: str, body: bytes) -> tuple[int, Any]:
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                self.commits.append(value["summary"])
            else:
                assert (line["key"], value["encoding"]) == ("file", "base64")
                self.files[f"{name}/{value['path']}"] = base64.b64decode(value["content"])
        return 200, {"commitUrl": f"{self.address}/{name}/commit/0", "commitOid": "0" * 40, "success": True}


@contextmanager
def fake_hub() -> Iterator[FakeHub]:
    """A hub on loopback while the block runs."""
    hub = FakeHub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer("GET")

        def do_POST(self) -> None:
            self._answer("POST")

        def _answer(self, method: str) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, said = hub.answer(method, self.path, self.headers.get("Authorization"), body)
            content = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
