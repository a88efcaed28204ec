"""How a prompt becomes the tokens of one model: chat or completion, system role or none, and the answers' tokens."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from jinja2 import TemplateError

from cod_runner.api import Input, LabelPrompt, SettingError, one_line

# Cells run in parallel: the tokenizer's own threads would compete with them, and it warns after a fork.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

Form = Literal["auto", "chat", "completion"]
STRANGERS_TEMPLATE = (TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError)
"""What a chat template may raise, which is a program of the checkpoint's author's, run in jinja's sandbox."""
MARK = "codrun 4711"
"""A text that no prompt holds, by which it is seen what a template does with a turn."""
PROBES = ("", "a", "Zebra", "7 up", "...", '"so"', "(no)", "é", "の", "$1")
"""Texts that begin differently: what the prompts of all of them begin with does not depend on the text."""


@dataclass(frozen=True)
class Row:
    """The tokens of one prompt and of what is answered to it so far."""

    ids: tuple[int, ...]
    start: int
    """Position whose logits say what the answer begins with."""


class Rendering:
    """Prompts as token ids; raises :class:`SettingError` where the model's template or tokenizer does not allow it."""

    def __init__(self, tokenizer: Any, prompt: LabelPrompt, *, form: Form, max_length: int, name: str) -> None:
        self._tokenizer, self._name, self._max_length = tokenizer, name, max_length
        has_template = bool(getattr(tokenizer, "chat_template", None))
        if form == "chat" and not has_template:
            raise SettingError(f"`{name}` has no chat template; take `form: completion`, or an instruct model", "form")
        self.chat = has_template if form == "auto" else form == "chat"
        self._special = _special_tokens(tokenizer)
        self.prompt = LabelPrompt(
            prompt.task,
            prompt.names,
            tuple((self._as_data(text), label) for text, label in prompt.shots),
            prompt.text_name,
            prompt.label_name,
            prompt.places,
        )
        self.system_role = self.chat and self._has_system_role()
        self._leading = [] if self.chat else _leading(tokenizer)
        if self.chat:
            self._refuse_a_template_that_loses_turns()
        self.answers = self._answers()
        """For each class the tokens by which it is answered, an end token or a line break among them where they would
        otherwise begin another class's."""
        self.paths = _paths(self.answers)
        """The answers' beginnings that a prompt is read with, () where each answer is one token."""
        self.shared = self._shared()
        """Tokens that every prompt begins with, but those of texts that a tokenizer ties to what stands before them."""

    @property
    def settings(self) -> list[Any]:
        """What decides, beside prompt and tokenizer, which tokens the model reads and which ones are scored."""
        return [self.chat, self.system_role, self.answers]

    # --- texts ------------------------------------------------------------------------------------------------------

    def texts(self, inputs: Sequence[Input]) -> tuple[list[str], int]:
        """Each text on one line, without tokens that steer the model, at most ``max_length`` tokens long; and how many
        lost some. Raises :class:`DataError` for what is not a text."""
        shown = [self._as_data(one_line(each)) for each in inputs]
        if not shown:
            return [], 0
        fast = bool(self._tokenizer.is_fast)
        read = self._tokenizer(shown, add_special_tokens=False, **({"return_offsets_mapping": True} if fast else {}))
        shortened = 0
        for row, ids in enumerate(read["input_ids"]):
            if len(ids) > self._max_length:
                shortened += 1
                if fast:
                    shown[row] = shown[row][: read["offset_mapping"][row][self._max_length - 1][1]]
                else:
                    shown[row] = self._tokenizer.decode(ids[: self._max_length])
        return shown, shortened

    def rows(self, texts: Sequence[str]) -> list[list[Row]]:
        """For each text a row for each of ``paths``."""
        prompts = self._ids([self._rendered(text) for text in texts])
        return [[Row((*ids, *path), len(ids) - 1) for path in self.paths] for ids in prompts]

    def _as_data(self, text: str) -> str:
        """The text with a space in whatever the tokenizer would read as the end of a turn or another such token."""
        while self._special is not None and self._special.search(text):
            text = self._special.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)
        return text

    def _ids(self, rendered: Sequence[str]) -> list[tuple[int, ...]]:
        if not rendered:
            return []
        read = self._tokenizer(list(rendered), add_special_tokens=False, return_attention_mask=False)["input_ids"]
        return [(*self._leading, *ids) for ids in read]

    # --- prompts ----------------------------------------------------------------------------------------------------

    def _rendered(self, text: str) -> str:
        if not self.chat:
            return self.prompt.completion(text)
        return self._template(self.prompt.conversation(text, system_role=self.system_role))

    def _template(self, turns: Sequence[tuple[str, str]], *, answering: bool = True) -> str:
        messages = [{"role": role, "content": content} for role, content in turns]
        rendered = self._tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=answering, enable_thinking=False
        )
        return str(rendered)

    def _has_system_role(self) -> bool:
        """Whether the template shows a system message: some refuse one, and some drop it without a word."""
        try:
            return MARK in self._template([("system", MARK), ("user", "x")])
        except STRANGERS_TEMPLATE:
            return False

    def _refuse_a_template_that_loses_turns(self) -> None:
        cure = "take `form: completion`"
        try:
            rendered = self._rendered(MARK)
        except STRANGERS_TEMPLATE as error:
            why = " ".join(str(error).split()) or type(error).__name__
            raise SettingError(
                f"the chat template of `{self._name}` refuses the prompt ({why}); {cure}", "form"
            ) from error
        shown = [self.prompt.instruction, MARK, *(text for text, _ in self.prompt.shots)]
        if not all(each in rendered for each in shown):
            raise SettingError(f"the chat template of `{self._name}` leaves out a part of the prompt; {cure}", "form")

    # --- answers ----------------------------------------------------------------------------------------------------

    def _answers(self) -> tuple[tuple[int, ...], ...]:
        """Prompt and answer are tokenised together, and the answer's tokens are what comes after the prompt's own."""
        rendered = self._rendered("a")
        (asked,) = self._ids([rendered])
        around = [self._around(rendered, answer) for answer in self.prompt.answers]
        whole = self._ids(
            [f"{rendered}{before}{answer}" for (before, _), answer in zip(around, self.prompt.answers, strict=True)]
        )
        found = []
        for answer, ids in zip(self.prompt.answers, whole, strict=True):
            if ids[: len(asked)] != asked or len(ids) == len(asked):
                raise SettingError(
                    f"the tokenizer of `{self._name}` ties the word `{answer}` to what stands before it, so that its "
                    "probability cannot be told; give the label another word, or take another `label_name`",
                    "words",
                )
            found.append(ids[len(asked) :])
        if any(begins(one, other) for one in found for other in found if one is not other):
            found = [
                (*ids, self._ending(f"{rendered}{before}{answer}", (*asked, *ids), after))
                for ids, answer, (before, after) in zip(found, self.prompt.answers, around, strict=True)
            ]
        if len(set(found)) < len(found):
            twice = [self.prompt.answers[place] for place, ids in enumerate(found) if found.count(ids) > 1]
            raise SettingError(
                f"to the tokenizer of `{self._name}` `{twice[0]}` and `{twice[1]}` are the same; give the labels other "
                "words",
                "words",
            )
        return tuple(found)

    def _around(self, rendered: str, answer: str) -> tuple[str, str]:
        """What the form sets before an answer, white space at most, and after it."""
        if not self.chat:
            return " ", f"\n\n{self.prompt.text_name}:"
        turns = (*self.prompt.conversation("a", system_role=self.system_role), ("assistant", answer))
        try:
            answered = self._template(turns, answering=False)
        except STRANGERS_TEMPLATE:
            return "", ""
        before, found, after = answered.removeprefix(rendered).partition(answer)
        return (before, after) if answered.startswith(rendered) and found and not before.strip() else ("", "")

    def _ending(self, answered: str, ids: tuple[int, ...], after: str) -> int:
        """The token that follows an answer."""
        if after:
            (whole,) = self._ids([answered + after])
            if whole[: len(ids)] == ids and len(whole) > len(ids):
                return whole[len(ids)]
        if self._tokenizer.eos_token_id is None:
            raise SettingError(
                f"one label's tokens begin another's to the tokenizer of `{self._name}`, which has no end token; give "
                "the labels other words",
                "words",
            )
        return int(self._tokenizer.eos_token_id)

    def _shared(self) -> tuple[int, ...]:
        prompts = self._ids([self._rendered(text) for text in PROBES])
        longest = min(map(len, prompts)) - 1
        length = next((at for at in range(longest) if len({ids[at] for ids in prompts}) > 1), longest)
        return prompts[0][:length]


def begins(one: Sequence[int], other: Sequence[int]) -> bool:
    """Whether ``other`` begins with ``one``."""
    return tuple(other[: len(one)]) == tuple(one)


def _paths(answers: Sequence[tuple[int, ...]]) -> tuple[tuple[int, ...], ...]:
    """The answers less their last tokens, without those that another one begins with."""
    given = sorted({answer[:-1] for answer in answers})
    return tuple(path for path in given if not any(begins(path, other) for other in given if other != path))


def _leading(tokenizer: Any) -> list[int]:
    """The tokens that a tokenizer sets before a text, such as one for its beginning."""
    alone = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    for start in range(len(whole) - len(alone) + 1):
        if whole[start : start + len(alone)] == alone:
            return list(whole[:start])
    return []


def _special_tokens(tokenizer: Any) -> re.Pattern[str] | None:
    """Tokens that are no text, as they are spelled; None where there are none."""
    spelled = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    spelled |= set(map(str, tokenizer.all_special_tokens))
    longest_first = sorted((each for each in spelled if len(each) > 1), key=lambda each: (-len(each), each))
    return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None
