"""A recipe from a stranger: what it cannot make a user with keys in the environment send, read or pay for."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from word_teacher import WordTeacher, asks, generator

from cod_runner.api import ProviderError, Spending
from cod_runner.cli import call
from cod_runner.testing.llm_server import Call, LLMServer, Reply
from cod_runner.testing.tiny_models import tiny_bert
from codrun_litellm.options import LitellmOptions
from codrun_litellm.providers import PROVIDERS, is_key_of, is_loopback, is_own, origin, own_address

KEY = "sk-planted-0123456789abcdef"  # not a real key
TEACHER = WordTeacher()
RECIPE = """
recipe: 1
name: stranger
dataset: {use: csv, path: films.csv, labels: [bad, fine]}
k: [8]
seeds: [0]
teacher: {use: transformers, model: MODEL, finetune: {rows: 20, epochs: 1, lr: 0.001, batch_size: 8}}
student: {use: transformers, layers_from_teacher: [1]}
counterfactuals:
  generators:
    - {use: litellm, model: openai/local}
methods: {kd: [hard, kd]}
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tiny_bert(folder, [f"film {n} was warm" for n in range(60)])
    return folder


@pytest.fixture(autouse=True)
def a_user_with_keys(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "RECIPE", RECIPE.replace("MODEL", str(model)))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("GITHUB_API_KEY", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "films.csv").write_text("text,label\n" + "".join(f"film {n} was warm,{n % 2}\n" for n in range(60)))


def written(options: dict[str, object]) -> Path:
    """The recipe with these options of its generator."""
    recipe = yaml.safe_load(RECIPE)
    recipe["counterfactuals"]["generators"][0] |= options
    Path("recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    return Path("recipe.yaml")


Err = Callable[[], str]


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Err:
    """What was printed since the last time, on one line."""
    return lambda: " ".join("".join(capsys.readouterr()).split())


def test_no_key_and_no_text_goes_to_a_host_that_only_the_recipe_names(told: Err) -> None:
    with LLMServer(lambda call: Reply("{}")) as server:
        recipe = written({"api_base": server.api_base})
        host = server.api_base.removeprefix("http://").removesuffix("/v1")
        assert call(["plan", str(recipe)]) == 0
        shown = told()
        assert f"sends: the texts and the key in OPENAI_API_KEY to {server.api_base} (openai/local): refused" in shown
        for command in ("run", "cfes"):
            assert call([command, str(recipe)]) == 2
            shown = told()
            assert "recipe.yaml:29:" in shown and f"would go to {server.api_base}" in shown
            assert f"`--allow-host {host}`" in shown and KEY not in shown
        assert call(["run", str(recipe), "--allow-host", "other.example"]) == 2
        assert not server.calls


@pytest.mark.parametrize("said", ["flag", "flag without port", "settings", "set"])
def test_the_users_word_outside_the_recipe_lets_it_through(said: str, told: Err, tmp_path: Path) -> None:
    def flip(asked: Call) -> Reply:
        assert asked.authorization == f"Bearer {KEY}"
        return Reply(json.dumps({"counterfactual": f"a cold {json.loads(asked.prompt)['text']}"}))

    with LLMServer(flip) as server:
        host = server.api_base.removeprefix("http://").removesuffix("/v1")
        recipe = written({} if said == "set" else {"api_base": server.api_base})
        more = {
            "flag": ["--allow-host", host],
            "flag without port": ["--allow-host", "127.0.0.1"],
            "settings": [],
            "set": ["--set", f"counterfactuals.generators.0.api_base={server.api_base}"],
        }[said]
        if said == "settings":
            settings = tmp_path / "config" / "codrun" / "settings.yaml"
            settings.parent.mkdir(parents=True)
            settings.write_text(f"allow_hosts: ['{host}']\n")
        call(["plan", str(recipe), *more])
        assert "refused" not in told()
        call(["cfes", str(recipe), *more, "--quiet"])
        assert server.calls


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"api_base": "http://stranger.example/v1"}, "sends texts and keys unencrypted"),
        ({"api_base": "http://127.0.0.1.stranger.example/v1"}, "unencrypted"),
        ({"api_base": "http://2130706433/v1"}, "unencrypted"),
        ({"api_base": "http://127.0.0.1@stranger.example/v1"}, "no user, password"),
        ({"api_base": "http://127.0.0.1\\@stranger.example/v1"}, "no user, password"),
        ({"api_base": "https://stranger.example\\.openai.com/v1"}, "is not a plain address"),
        ({"api_base": "https://api.openai.com\n.stranger.example/"}, "is not a plain address"),
        ({"api_base": "https://[::1/v1"}, "is not an address"),
        ({"api_key_env": "AWS_SECRET_ACCESS_KEY"}, "ends in `_API_KEY`"),
        ({"api_key_env": "HOME"}, "ends in `_API_KEY`"),
        ({"parameters": {"base_url": "http://stranger.example"}}, "`base_url` is not a parameter"),
        ({"parameters": {"fallbacks": ["openai/x"]}}, "`fallbacks` is not a parameter"),
        ({"parameters": {"num_retries": 5}}, "`num_retries` is not a parameter"),
        ({"parameters": {"extra_body": {"model": "dear"}}}, "`model` cannot be set here"),
        ({"parameters": {"extra_body": {"max_completion_tokens": 9}}}, "`max_completion_tokens` is not a parameter"),
        ({"parameters": {"extra_body": "x"}}, "`extra_body` is not a parameter"),
        ({"parameters": {"custom_llm_provider": "x"}}, "is not a parameter"),
        ({"parameters": {"mock_response": "x"}}, "is not a parameter"),
        ({"parameters": {"topp": 1}}, "did you mean `top_p`?"),
        ({"model": "huggingface/https://stranger.example/x"}, "must be a model's name"),
        ({"model": "gemini/../x"}, "must be a model's name"),
        ({"prompt": "file:/etc/hostname"}, "/etc/hostname is outside the recipe's folder"),
        ({"prompt": "file:../../../../../../../../etc/hostname"}, "outside the recipe's folder"),
        ({"prompt": "file:~nouser/x"}, "names a home folder that does not exist"),
        ({"prompt": "file:link.txt"}, "outside the recipe's folder"),
    ],
    ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else "",
)
def test_validate_refuses_what_redirects_leaks_or_multiplies_a_call(
    options: dict[str, object], sentence: str, told: Err
) -> None:
    Path("link.txt").symlink_to("/etc/hostname")
    recipe = written(options)
    assert call(["validate", str(recipe)]) == 2
    shown = told()
    assert sentence in shown and "recipe.yaml:" in shown and KEY not in shown


def test_parameters_that_shape_an_answer_are_sent(tmp_path: Path) -> None:
    given = {"top_p": 0.5, "extra_body": {"chat_template_kwargs": {"enable_thinking": False}}}
    with LLMServer(lambda call: Reply('{"counterfactual": "a bad film"}')) as server:
        generator(tmp_path, server.api_base, parameters=given).propose(asks(1), TEACHER)
        body = server.calls[0].body
    assert body["top_p"] == 0.5 and body["chat_template_kwargs"] == {"enable_thinking": False}


def test_a_key_of_another_provider_needs_the_users_word(told: Err) -> None:
    recipe = written({"api_key_env": "GITHUB_API_KEY"})
    assert call(["run", str(recipe)]) == 2
    shown = told()
    assert "the key in GITHUB_API_KEY would go to https://api.openai.com" in shown
    assert "recipe.yaml:29:" in shown and "--allow-host api.openai.com" in shown
    call(["plan", str(recipe), "--allow-host", "api.openai.com"])
    assert "refused" not in told()


def test_files_elsewhere_are_read_once_the_user_says_so(tmp_path: Path, told: Err) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "words.txt").write_text("Turn it round.")
    Path("films.csv").rename(outside / "films.csv")
    inside = tmp_path / "inside"
    inside.mkdir()
    os.chdir(inside)
    recipe = written({"prompt": "file:../outside/words.txt"})
    recipe.write_text(recipe.read_text().replace("path: films.csv", "path: ../outside/films.csv"))
    assert call(["validate", str(recipe)]) == 2
    shown = told()
    assert shown.count("is outside the recipe's folder") == 2 and f"`--allow-folder {outside}`" in shown
    assert call(["validate", str(recipe), "--allow-folder", "../outside"]) == 0
    settings = tmp_path / "config" / "codrun" / "settings.yaml"
    settings.parent.mkdir(parents=True)
    settings.write_text(f"allow_folders: [{outside}]\n")
    assert call(["validate", str(recipe)]) == 0


def test_a_runs_own_recipe_runs_again_and_one_that_was_changed_asks(tmp_path: Path, told: Err) -> None:
    recipe = written({})
    short = ["--set", "counterfactuals.generators=[lexicon]", "--set", "train.steps=1", "--quiet", "--jobs", "1"]
    assert call(["run", str(recipe), *short, "--arms", "plain"]) == 0, told()
    resolved = Path("runs/stranger/recipe.yaml")
    assert call(["validate", str(resolved)]) == 0, told()
    resolved.write_text(f"{resolved.read_text()}\n# changed\n")
    assert call(["validate", str(resolved)]) == 2
    assert "outside the recipe's folder" in told()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ("allow_host: [x]", "is wrong at `allow_host`"),
        ("allow_hosts: x", "is wrong at `allow_hosts`"),
        ("allow_hosts: ['https://x/y']", "`https://x/y` is not a host"),
        ("allow_hosts: ['*']", "`*` is not a host"),
        ("allow_folders: ['~nobody-of-this-name/x']", "write the folder out"),
        ("[", "cannot be read"),
        ("allow_hosts: [2024-13-45]", "cannot be read"),
        (f"allow_hosts: {'[' * 3000}", "cannot be read"),
    ],
)
def test_a_settings_file_that_is_wrong_is_named(settings: str, sentence: str, tmp_path: Path, told: Err) -> None:
    path = tmp_path / "config" / "codrun" / "settings.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(settings)
    assert call(["plan", str(written({}))]) == 1
    shown = told()
    assert sentence in shown and "settings.yaml" in shown


def test_offline_a_strangers_address_is_neither_refused_nor_called(told: Err) -> None:
    with LLMServer(lambda call: Reply("{}")) as server:
        recipe = written({"api_base": server.api_base})
        assert call(["cfes", str(recipe), "--offline"]) == 1
        assert "are not in the ledger, and --offline forbids asking" in told()
        assert not server.calls


WHERE = """
import asyncio, json, os, socket, sys
seen = set()
def resolve(host, port=None, *rest, **more):
    seen.add((host, port))
    raise socket.gaierror(-2, "nothing is resolved here")
socket.getaddrinfo = resolve
from codrun_litellm.call import imported_litellm
from codrun_litellm.providers import PROVIDERS
litellm = imported_litellm()
found = {}
async def ask():
    for name, provider in PROVIDERS.items():
        seen.clear()
        if provider.key_variable:
            os.environ[provider.key_variable] = "planted"
        try:
            await litellm.acompletion(
                model=f"{name}/x", messages=[{"role": "user", "content": "x"}], num_retries=0, max_retries=0
            )
        except Exception:
            pass
        found[name] = sorted(seen)
asyncio.run(ask())
print(json.dumps(found))
"""


def test_litellm_sends_where_the_table_says() -> None:
    environment = {name: value for name, value in os.environ.items() if "_API_" not in name}
    done = subprocess.run(
        [sys.executable, "-c", WHERE], capture_output=True, text=True, env=environment, check=False, timeout=300
    )
    found = json.loads(done.stdout.splitlines()[-1])
    for name, provider in PROVIDERS.items():
        scheme, _, host = provider.address.partition("://")
        host, _, port = host.partition(":")
        assert found[name] == [[host, int(port) if port else {"https": 443}[scheme]]], name


def test_a_file_of_variables_beside_a_recipe_redirects_nothing(tmp_path: Path) -> None:
    """litellm would read `.env` from here, and from above the virtual environment that it is installed in."""
    (tmp_path / ".env").write_text(
        "OPENAI_BASE_URL=http://stranger.example/v1\nOPENAI_API_BASE=http://stranger.example\n"
    )
    script = "import os; from codrun_litellm import call; call.imported_litellm(); print(sorted(os.environ))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "OPENAI_API_KEY" in done.stdout and "_BASE" not in done.stdout


def test_which_addresses_and_keys_are_a_providers_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_own("openai/x", "https://api.openai.com/v1") and is_own("gpt-4o", "https://API.openai.com:443/v1")
    for other in ("http://api.openai.com/v1", "https://api.openai.com:8443", "https://evil.example/api.openai.com"):
        assert not is_own("openai/x", other)
    assert not is_own("azure/x", "https://anybody.openai.azure.com")
    assert is_key_of("openai/x", "OPENAI_PAPER_API_KEY") and is_key_of("together_ai/x", "TOGETHERAI_API_KEY")
    assert not is_key_of("openai/x", "ANTHROPIC_API_KEY") and not is_key_of("groq/x", "OPENAI_API_KEY")
    assert is_loopback("http://[::1]:8000/v1") and is_loopback("http://127.9.9.9/")
    assert not is_loopback("http://localhost.example/") and not is_loopback("http://0.0.0.0/")
    assert own_address("openai/x") == "https://api.openai.com"
    monkeypatch.setenv("OPENAI_BASE_URL", "https://gateway.example/v1")
    assert own_address("openai/x") == "https://gateway.example/v1"


def test_another_providers_key_is_not_chosen_by_what_an_address_contains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "gsk-planted-0123456789")
    monkeypatch.delenv("OPENAI_API_KEY")
    with LLMServer(lambda call: Reply("{}", status=401)) as server:
        base = server.api_base.replace("/v1", "/api.groq.com/openai/v1")
        for model in ("local", "nobody/local", "openai/local"):
            with pytest.raises(ProviderError):
                generator(tmp_path, base, model=model).propose(asks(1), TEACHER)
        sent = {each.authorization for each in server.calls}
    assert "gsk" not in str(sent)


@pytest.mark.parametrize(
    ("usage", "readable"),
    [
        ('{"prompt_tokens": 1000000000000000000000000000000, "completion_tokens": 5, "total_tokens": 5}', True),
        ('{"prompt_tokens": -5, "completion_tokens": -5, "total_tokens": -5}', True),
        ('{"prompt_tokens": 1e30, "completion_tokens": 1e30, "total_tokens": 1e30}', False),
        ('{"prompt_tokens": NaN, "completion_tokens": NaN, "total_tokens": 1}', False),
        ('{"prompt_tokens": "many", "completion_tokens": []}', False),
        ("null", True),
        ("[]", False),
    ],
)
def test_an_odd_usage_is_not_believed_and_nothing_is_paid_for_twice(tmp_path: Path, usage: str, readable: bool) -> None:
    choice = '{"index": 0, "message": {"role": "assistant", "content": "a bad film"}, "finish_reason": "stop"}'
    raw = '{"id": "1", "object": "chat.completion", "created": 1, "model": "m", '
    raw += f'"choices": [{choice}], "usage": {usage}}}'
    spending = Spending(run="r")
    with LLMServer(lambda call: Reply(raw=raw)) as server:
        made = generator(tmp_path, server.api_base, spending=spending, candidates=[1], retries=3)
        if readable:
            assert [each.input for each in made.propose(asks(1), TEACHER)[0]] == ["a bad film"]
        else:
            with pytest.raises(ProviderError, match="answers with something that is not a chat completion"):
                made.propose(asks(1), TEACHER)
        assert len(server.calls) == 1
    spent = spending.summary()
    assert spent["calls"] == 1 and 0 < spent["tokens"] < 1000
    again = Spending(run="r")
    generator(tmp_path, None, spending=again, offline=True)
    assert again.summary()["tokens"] == spent["tokens"]


def test_an_answer_far_beyond_max_tokens_is_cut_off(tmp_path: Path) -> None:
    with LLMServer(lambda call: Reply("bad " * 2_500_000)) as server:
        found = generator(tmp_path, server.api_base, max_tokens=16).propose(asks(1), TEACHER)
    assert found[0][0].input == ""
    assert (tmp_path / "llm.sqlite").stat().st_size < 1_000_000


def test_an_option_that_names_no_address_has_one_destination_of_its_own() -> None:
    (one,) = LitellmOptions(model="claude-x").destinations()
    assert one.own and "claude-x" in one.address and not one.address.startswith("http")
    (one,) = LitellmOptions(model="ollama/llama3").destinations()
    assert (one.address, one.key_variable, one.own) == ("http://localhost:11434", None, True)


def test_nothing_is_resolved_or_connected_to_while_a_recipe_is_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*arguments: object, **more: object) -> None:
        raise AssertionError("a plan opened a connection")

    monkeypatch.setattr(socket, "getaddrinfo", forbidden)
    monkeypatch.setattr(socket.socket, "connect", forbidden)
    assert call(["plan", str(written({"api_base": "https://stranger.example/v1"}))]) == 0


@pytest.mark.parametrize(
    ("address", "port"),
    [("http://Host/v1", 80), ("https://host", 443), ("http://host:443", 443), ("https://host:80", 80)],
)
def test_an_address_without_a_port_has_that_of_its_scheme(address: str, port: int) -> None:
    assert origin(address) == (address.partition(":")[0], "host", port)
