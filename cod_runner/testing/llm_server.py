"""A local OpenAI-compatible server with scripted answers, for testing what talks to language models.

::

    with LLMServer(lambda call: "an answer") as server:
        ...  # model "openai/any", api_base server.api_base
    assert len(server.calls) == 1
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import accumulate
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Call:
    """One request as it reached the server. ``number`` counts from 1 in order of arrival."""

    number: int
    body: Mapping[str, Any]
    authorization: str
    path: str = "/v1/chat/completions"
    port: int = 0
    """The client's: calls over one connection have the same."""

    @property
    def is_completion(self) -> bool:
        """Whether a text is to be continued."""
        return not self.path.endswith("/chat/completions")

    @property
    def prompt(self) -> str:
        """The last message's content, or the text to be continued."""
        return str(self.body["prompt"] if self.is_completion else self.body["messages"][-1]["content"])


@dataclass(frozen=True)
class Reply:
    """What the server does with a call: answers after ``delay`` seconds, or drops the connection."""

    text: str = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drop: bool = False
    raw: str | None = None
    """Sent as the body instead of a completion."""
    logprobs: Any = None
    """Log-probabilities, sent as they are: :func:`chat_logprobs` and :func:`completion_logprobs` make what servers
    send that keep to the form."""
    finish_reason: str = "stop"
    prompt_tokens: int = 10
    completion_tokens: int = 5


Likeliest: TypeAlias = Sequence[Mapping[str, float]]
"""For each token the likeliest ones and their log-probabilities, the chosen one first."""


def chat_logprobs(tokens: Likeliest) -> dict[str, Any]:
    """Log-probabilities as chats carry them."""
    return {
        "content": [
            {
                **_scored(*next(iter(token.items()))),
                "top_logprobs": [_scored(other, score) for other, score in token.items()],
            }
            for token in tokens
        ]
    }


def completion_logprobs(tokens: Likeliest, prompt: Sequence[tuple[str, float | None]] = ()) -> dict[str, Any]:
    """Log-probabilities as completions carry them; ``prompt`` are the tokens that come before the answer's."""
    chosen = [*prompt, *(next(iter(token.items())) for token in tokens)]
    names = [name for name, _ in chosen]
    return {
        "tokens": names,
        "token_logprobs": [score for _, score in chosen],
        "top_logprobs": [None if score is None else {name: score} for name, score in prompt]
        + [dict(t) for t in tokens],
        "text_offset": [0, *accumulate(map(len, names))][: len(names)],
    }


def _scored(token: str, score: float) -> dict[str, Any]:
    return {"token": token, "logprob": score, "bytes": list(token.encode())}


class LLMServer:
    """Serves ``/v1/chat/completions`` and ``/v1/completions`` while the ``with`` block runs, on a free port of this
    machine.

    What ``answer`` raises is answered by status 400, and raised at the end of the block, or noted on the exception that
    ends it.
    """

    def __init__(self, answer: Callable[[Call], Reply | str]) -> None:
        self._answer = answer
        self._lock = threading.Lock()
        self.calls: list[Call] = []
        """Every request, in order of arrival."""
        self.answered: list[Call] = []
        """The requests whose answer with status 200 was handed to the client."""
        self._raised: BaseException | None = None
        self._open = 0
        self.most_at_once = 0
        """The most requests that were open at the same time."""
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def api_base(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> LLMServer:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, *traceback: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        if self._raised is not None and error is None:
            raise self._raised
        if self._raised is not None and error is not None:
            raised = f"{type(self._raised).__name__}: {self._raised}"
            error.add_note(f"the scripted answer of the LLMServer raised {raised}")

    def receive(self, body: Mapping[str, Any], handler: BaseHTTPRequestHandler) -> tuple[Call, Reply]:
        """Note a request and decide on its reply."""
        with self._lock:
            number, authorization = len(self.calls) + 1, handler.headers.get("Authorization", "")
            call = Call(number, body, authorization, handler.path, handler.client_address[1])
            self.calls.append(call)
            self._open += 1
            self.most_at_once = max(self.most_at_once, self._open)
        try:
            reply = self._answer(call)
        except BaseException as error:  # noqa: BLE001 - whatever a script raises, pytest.fail among it
            self._raised = self._raised or error
            reply = Reply("the scripted answer raised an exception", status=400)
        return call, Reply(reply) if isinstance(reply, str) else reply

    def finished(self, call: Call, paid: bool) -> None:
        """Note that a request has been dealt with."""
        with self._lock:
            self._open -= 1
            if paid:
                self.answered.append(call)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that are killed, or that give up, are part of the tests; nothing to print."""


def _handler(server: LLMServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length))
            call, reply = server.receive(body, self)
            paid = False
            try:
                time.sleep(reply.delay)
                if reply.drop:
                    self.close_connection = True
                    return
                self._send(call, reply)
                paid = reply.status == 200
            finally:
                server.finished(call, paid)

        def _send(self, call: Call, reply: Reply) -> None:
            if reply.raw is not None:
                content = reply.raw
            elif reply.status != 200:
                content = json.dumps({"error": {"message": reply.text, "type": "error", "code": str(reply.status)}})
            else:
                content = json.dumps(_completion(call, reply))
            data = content.encode("utf-8", "surrogatepass")
            self.send_response(reply.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)
            self.wfile.flush()

        def log_message(self, format: str, *args: Any) -> None:
            """Silent."""

    return Handler


def _completion(call: Call, reply: Reply) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": 0, "finish_reason": reply.finish_reason, "logprobs": reply.logprobs}
    if call.is_completion:
        choice["text"] = (call.prompt if call.body.get("echo") else "") + reply.text
    else:
        choice["message"] = {"role": "assistant", "content": reply.text}
    return {
        "id": f"answer-{call.number}",
        "object": "text_completion" if call.is_completion else "chat.completion",
        "created": 0,
        "model": call.body.get("model", ""),
        "choices": [choice],
        "usage": {
            "prompt_tokens": reply.prompt_tokens,
            "completion_tokens": reply.completion_tokens,
            "total_tokens": reply.prompt_tokens + reply.completion_tokens,
        },
    }
