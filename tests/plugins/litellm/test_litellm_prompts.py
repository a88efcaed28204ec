from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from cod_runner.api import Attempt, DataError, Example, Request
from cod_runner.testing.untrusted import UNTRUSTED_TEXTS
from codrun_litellm.alike import ALIKE
from codrun_litellm.answers import read_answer
from codrun_litellm.options import LitellmOptions
from codrun_litellm.prompts import (
    TASKS,
    chosen_demonstrations,
    drawn_for_demonstrations,
    messages,
    template_name,
)

LABELS = ("negative", "positive")


def options(**given: object) -> LitellmOptions:
    return LitellmOptions.model_validate({"model": "openai/local", **given})


def asked(request: Request, labels: tuple[str, ...] = LABELS, words: tuple[str, ...] = (), **given: object) -> dict:
    return json.loads(messages(request, options(**given).prompt, labels, "Is it praise?", words)[-1][1])


@pytest.mark.parametrize("text", UNTRUSTED_TEXTS, ids=lambda text: ascii(text[:20]))
@pytest.mark.parametrize("prompt", sorted(TASKS))
def test_a_text_of_the_data_is_sent_in_full_as_a_json_value_and_nowhere_else(text: str, prompt: str) -> None:
    (_, system), (role, user) = messages(Request("a", text, 1, 0), prompt, LABELS, "Is it praise?")
    assert role == "user"
    assert json.loads(user) == {"text": text, "class": "positive", "wanted_class": "negative"}
    assert text not in system
    (_, for_another), _ = messages(Request("a", "x", 1, 0), prompt, LABELS, "Is it praise?")
    assert system == for_another


def test_half_a_surrogate_pair_does_not_stop_a_call() -> None:
    content = messages(Request("a", "half \ud83d pair", 1, 0), "generic", LABELS, "")[-1][1]
    assert "half ? pair" in content
    content.encode()


SENT = {
    "generic": "31093907fff1dc9d",
    "grammaticality": "ba0cb89cdb39bad8",
    "sentiment": "8102bb486d2430ec",
    "topic": "9e946ff41b9003c0",
}


@pytest.mark.parametrize("prompt", sorted(TASKS))
def test_prompts_that_were_paid_for_stay_byte_for_byte(prompt: str) -> None:
    """Answers in ledgers are found by them. To change a wording, raise the version of the templates."""
    history = (
        Attempt("a fine film", "litellm", 1, "not_flipped", (0.09, 0.91)),
        Attempt("a good film", "litellm", 1, "identical"),
    )
    asked_again = Request("a", "a good film", 1, 0, round=2, history=history)
    shown = (("a bad day", "a good day", 0, 1),)
    sent = messages(asked_again, prompt, LABELS, "Is it praise?", ("good",), shown)
    assert hashlib.sha256(json.dumps(sent).encode()).hexdigest()[:16] == SENT[prompt]
    assert template_name(prompt) == f"{prompt}-v1"


@pytest.mark.parametrize("text", UNTRUSTED_TEXTS, ids=lambda text: ascii(text[:20]))
@pytest.mark.parametrize("prompt", sorted(ALIKE))
def test_prompts_for_like_texts_send_the_text_and_no_class(text: str, prompt: str) -> None:
    labels, describe = ("zzyzx", "qwerty"), "Is it zzyzx or qwerty?"
    (first, system), (second, user) = sent = messages(Request("a", text, 1, 1), prompt, labels, describe)
    assert (first, second) == ("system", "user")
    assert json.loads(user) == {"text": text}
    assert not any(label in content for label in labels for _, content in sent)
    assert text not in system
    for other in (Request("a", text, 0, 0), Request("a", text, 0, 1)):
        assert messages(other, prompt, labels, describe) == sent, "the same text, whatever it is read as"
    answer = system[system.rindex("{") :]
    assert read_answer(answer, "a text") == json.loads(answer)[ALIKE[prompt].key], "an answer of this form is read"


@pytest.mark.parametrize("prompt", sorted(ALIKE))
def test_later_rounds_say_what_there_is_already_and_name_no_class(prompt: str) -> None:
    history = (
        Attempt("kept before", "litellm", 1, None, (0.1, 0.9)),
        Attempt("turned round", "litellm", 1, "flipped", (0.8, 0.2)),
        Attempt("a good film", "litellm", 1, "identical"),
        Attempt("far too long", "litellm", 1, "length_ratio"),
    )
    again = Request("a", "a good film", 1, 1, round=2, history=history)
    (_, system), (_, user) = messages(again, prompt, LABELS, "Is it positive?")
    assert json.loads(user)["tried"] == [
        {"text": "kept before"},
        {"text": "turned round", "problem": "the classifier reads it in another way"},
        {"text": "a good film", "problem": "it is the text itself, unchanged"},
        {"text": "far too long", "problem": "length_ratio"},
    ]
    assert "`tried`" in system and "`tried`" not in messages(Request("a", "x", 1, 1), prompt, LABELS, "")[0][1]
    assert not any(label in system + user for label in LABELS)


@pytest.mark.parametrize("prompt", sorted(TASKS))
def test_named_prompts_contain_task_and_classes(prompt: str) -> None:
    system = messages(Request("a", "x", 1, 0), prompt, ("unfit", "fine"), "Is {label} it?")[0][1]
    assert "Is {label} it?" in system, "inserted text is not read as a template"
    assert '"unfit", "fine"' in system
    assert '"fine"' in system
    assert "{target}" not in system


def test_a_file_is_a_prompt_and_its_content_is_its_version(tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    file.write_text("From {label} to {target}. Keep {braces} and  spaces.")
    checked = LitellmOptions.model_validate(
        {"model": "m", "prompt": "file:mine.txt"}, context={"folder": str(tmp_path)}
    )
    system = messages(Request("a", "x", 1, 0), checked.prompt, LABELS, "")[0][1]
    assert system.startswith('From "positive" to "negative". Keep {braces} and  spaces.')
    before = template_name(checked.prompt)
    file.write_text("Another.")
    assert template_name(checked.prompt) != before
    file.unlink()
    with pytest.raises(DataError, match=r"mine\.txt cannot be read"):
        checked.identity()


def test_feedback_names_what_was_tried_and_how_the_teacher_reads_it() -> None:
    history = (
        Attempt("a fine film", "litellm", 1, "not_flipped", (0.09, 0.91)),
        Attempt("a good film", "litellm", 1, "identical"),
        Attempt("a fine film", "litellm", 1, "duplicate"),
        *(Attempt(f"try {i}", "litellm", 2, "not_flipped", (0.2, 0.8)) for i in range(2)),
    )
    tried = asked(Request("a", "a good film", 1, 0, round=2, history=history))["tried"]
    assert [one["text"] for one in tried] == ["a fine film", "a good film", "try 0", "try 1"]
    assert tried[1]["problem"] == "it is the original, unchanged"
    assert tried[2]["problem"] == 'the classifier still reads it as "positive" (p = 0.80)'
    first = Attempt("a fine film", "litellm", 1, "not_flipped", (0.09, 0.91))
    again = asked(Request("a", "a good film", 1, 0, round=2, history=(first,)))["tried"]
    assert again == [{"text": "a fine film", "problem": 'the classifier still reads it as "positive" (p = 0.91)'}]
    assert "tried" not in asked(Request("a", "a good film", 1, 0))
    near = Attempt("a bad film", "litellm", 1, "too_near", (0.6, 0.4))
    told = asked(Request("a", "a good film", 1, 0, round=2, history=(near,)))["tried"]
    assert told[0]["problem"] == 'the classifier reads it as "negative" (p = 0.60), which is too close'


def test_the_words_that_weigh_most_are_named() -> None:
    assert asked(Request("a", "a good film", 1, 0), words=("good",))["words_that_matter"] == ["good"]


def test_demonstrations_are_seeded_prefer_the_direction_and_omit_the_text_itself() -> None:
    pairs = (
        ("a bad day", "a good day", 0, 1),
        ("a good film", "a bad film", 1, 0),
        *((f"good {i}", f"bad {i}", 1, 0) for i in range(5)),
    )
    request = Request("a", "a good film", 1, 0)
    chosen = chosen_demonstrations(pairs, request, 3, 0)
    shown = messages(request, "generic", LABELS, "", (), chosen)
    assert [role for role, _ in shown] == ["system", *["user", "assistant"] * 3, "user"]
    originals = [json.loads(content)["text"] for role, content in shown[1:-1] if role == "user"]
    assert all(text.startswith("good ") for text in originals)
    assert chosen == chosen_demonstrations(pairs, request, 3, 0)
    others = {tuple(chosen_demonstrations(pairs, request, 3, seed)) for seed in range(6)}
    assert len(others) > 1


def test_texts_for_demonstrations_are_balanced_and_do_not_depend_on_the_pools_order() -> None:
    pool = [Example(f"e{i}", f"text {i}", label=int(i % 4 == 0)) for i in range(40)]
    drawn = drawn_for_demonstrations(pool, 3, 0)
    assert sorted(example.label for example in drawn) == [0, 0, 0, 1, 1, 1]
    assert drawn == drawn_for_demonstrations(pool[::-1], 3, 0)


def test_identity_contains_only_what_affects_the_answers() -> None:
    plain = options().identity()
    for same in ({"concurrency": 1}, {"timeout": 5}, {"retries": 0}, {"api_key_env": "MY_API_KEY"}):
        assert options(**same).identity() == plain
    for other in (
        {"model": "openai/b"}, {"api_base": "https://b/v1"}, {"temperature": 0.5}, {"warm_temperature": 1}, {"seed": 1},
        {"max_tokens": 9}, {"candidates": [2]}, {"prompt": "topic"}, {"demonstrations": 1}, {"highlight": 1},
        {"json_mode": True}, {"parameters": {"top_p": 0.5}}, {"api_version": "1"},
    ):  # fmt: skip
        assert options(**other).identity() != plain, other
    json.dumps(plain)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"prompt": "sentimant"}, "did you mean `sentiment`"),
        ({"prompt": "paraphrases"}, "did you mean `paraphrase`"),
        ({"prompt": "in_domain", "demonstrations": 2}, "`in_domain` asks for none; leave it out"),
        ({"prompt": "paraphrase", "highlight": 1}, "`paraphrase` asks for none; leave it out"),
        ({"prompt": "file:/no/such/file"}, "no prompt file"),
        ({"api_base": "localhost:8000"}, "http"),
        ({"api_base": "http://user:secret@host/v1"}, "no user, password"),
        ({"api_base": "https://host/v1?key=abc"}, "no user, password or query"),
        ({"api_key_env": "sk-planted-key"}, "name of an environment variable"),
        ({"parameters": {"api_key": "x"}}, "credential"),
        ({"parameters": {"extra_headers": {}}}, "credential"),
        ({"parameters": {"temperature": 1}}, "a separate option"),
        ({"candidates": []}, "at least 1"),
        ({"candidates": [0]}, "greater than or equal to 1"),
        ({"temperatur": 1}, "Extra inputs"),
    ],
)
def test_wrong_options_are_refused_with_a_cure(given: dict, sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        options(**given)
