"""A language model and a model hub on this machine, in a process of their own: ``python served.py FOLDER``.

Writes texts into ``FOLDER/films``, as a repository of the hub has them, and serves a tiny model of them as the hub's
``me/tiny``. Prints the addresses of both; notes in ``FOLDER/calls.jsonl`` a line for each call of the language model
when it comes, and in ``FOLDER/fetched`` the name of each file that the hub sends. Ends when its standard input does.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cod_runner.testing.llm_server import Call, LLMServer, Reply

MODEL = "me/tiny"
COMMIT = "1" * 40
SECONDS_TO_THINK = 0.02
ADJECTIVES = (("awful", "dull", "weak", "cold"), ("warm", "great", "funny", "bright"))


def turned(text: str) -> str:
    """The text with its adjective replaced by one of the opposite class."""
    swap = dict(zip(ADJECTIVES[0] + ADJECTIVES[1], ADJECTIVES[1] + ADJECTIVES[0], strict=True))
    return " ".join(swap.get(word, word) for word in text.split())


def question(request: Mapping[str, Any]) -> str:
    """What identifies a call, at the server as in the ledger."""
    messages = [[message["role"], message["content"]] for message in request["messages"]]
    parameters = request.get("parameters", request)
    return json.dumps([messages, parameters["seed"], parameters["temperature"]])


def answering(calls: Path) -> LLMServer:
    lock = threading.Lock()

    def answer(call: Call) -> Reply:
        with lock, calls.open("a") as file:
            file.write(json.dumps(question(call.body)) + "\n")
        text = json.dumps({"counterfactual": turned(json.loads(call.prompt)["text"])})
        return Reply(text, delay=SECONDS_TO_THINK)

    return LLMServer(answer)


def hub(repository: Path, fetched: Path) -> ThreadingHTTPServer:
    """As much of the Hugging Face hub as fetching a model needs."""
    files = {path.name: path.read_bytes() for path in sorted(repository.iterdir())}
    told = {"id": MODEL, "sha": COMMIT, "private": False, "gated": False, "disabled": False, "tags": []}
    told["siblings"] = [{"rfilename": name, "size": len(content)} for name, content in files.items()]
    tree = [
        {"type": "file", "path": name, "size": len(content), "oid": _etag(content)} for name, content in files.items()
    ]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(send=False)

        def do_GET(self) -> None:
            self._answer(send=True)

        def _answer(self, send: bool) -> None:
            path = self.path.partition("?")[0]
            name = path.rpartition("/")[2]
            if path.startswith(f"/{MODEL}/resolve/") and name in files:
                self._send(files[name], send, {"ETag": f'"{_etag(files[name])}"', "X-Repo-Commit": COMMIT})
                if send:
                    with fetched.open("a") as file:
                        file.write(f"{name}\n")
            elif path.startswith(f"/api/models/{MODEL}/tree"):
                self._send(json.dumps(tree).encode(), send)
            elif path.startswith(f"/api/models/{MODEL}"):
                self._send(json.dumps(told).encode(), send)
            else:
                self._send(b"{}", send, status=200 if path == "/" else 404)

        def _send(
            self, content: bytes, send: bool, headers: Mapping[str, str] | None = None, status: int = 200
        ) -> None:
            self.send_response(status)
            for name, value in (headers or {"Content-Type": "application/json"}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if send:
                self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *given: None  # type: ignore[method-assign] - clients are killed
    return server


def _etag(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


def texts() -> list[tuple[str, int]]:
    """With their labels."""
    endings = ("on mondays", "with friends", "after dinner", "in town")
    return [
        (f"the {noun} of this {kind} was {adjective} {endings[(place + label) % len(endings)]}", label)
        for label, adjectives in enumerate(ADJECTIVES)
        for place, adjective in enumerate(adjectives)
        for noun in ("cast", "plot", "story", "song", "ending", "light", "pace", "script")
        for kind in ("film", "movie", "series", "show", "drama", "comedy", "western", "musical")
    ]


def write_films(folder: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    folder.mkdir()
    columns = dict(zip(("text", "label"), map(list, zip(*texts(), strict=True)), strict=True))
    pyarrow.parquet.write_table(pyarrow.table(columns), folder / "train-00000-of-00001.parquet")


def main(folder: Path) -> None:
    from cod_runner.testing.tiny_models import tiny_bert

    write_films(folder / "films")
    models = hub(tiny_bert(folder / "repository", [text for text, _ in texts()]), folder / "fetched")
    threading.Thread(target=models.serve_forever, daemon=True).start()
    with answering(folder / "calls.jsonl") as model:
        print(model.api_base, flush=True)
        print(f"http://127.0.0.1:{models.server_port}", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
