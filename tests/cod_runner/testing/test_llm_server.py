"""The scripted server: what a test's script raises is not lost."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest

from cod_runner.testing.llm_server import Call, LLMServer


def asked(server: LLMServer) -> int:
    """The status of an answer."""
    request = urllib.request.Request(f"{server.api_base}/chat/completions", b'{"messages": [{"content": "x"}]}')
    try:
        with urllib.request.urlopen(request) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def unwilling(call: Call) -> str:
    pytest.fail("not this call")


def test_what_the_script_raises_is_raised_at_the_end() -> None:
    with pytest.raises(pytest.fail.Exception, match="not this call"), LLMServer(unwilling) as server:
        assert asked(server) == 400


def test_it_is_noted_on_what_ends_the_block() -> None:
    with pytest.raises(ZeroDivisionError) as caught, LLMServer(unwilling) as server:
        asked(server)
        raise ZeroDivisionError
    assert caught.value.__notes__ == ["the scripted answer of the LLMServer raised Failed: not this call"]


def test_a_script_that_answers_raises_nothing() -> None:
    with LLMServer(lambda call: call.prompt) as server:
        assert asked(server) == 200
    assert [call.prompt for call in server.answered] == ["x"]
