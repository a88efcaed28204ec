"""Options of the generator `litellm`, and what codrun must know about it before any call."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from cod_runner.api import CallEstimate, Request, recipe_file
from codrun_litellm.alike import ALIKE
from codrun_litellm.completion import completion_template, to_be_continued
from codrun_litellm.connection import Connection
from codrun_litellm.pricing import BYTES_PER_TOKEN, price_of
from codrun_litellm.prompts import DRAWN_PER_DEMONSTRATION, TASKS, Demonstration, messages, template_name

WORDS_A_TEXT = 40
"""Assumed where a teacher is asked about a text less each of its words."""
PROMPTS = tuple(sorted((*TASKS, *ALIKE)))
"""Prompts that need no file."""
ANSWER_OVERHEAD_TOKENS = 12
"""Braces, key and quotes of a JSON answer."""


class LitellmOptions(Connection):
    """Options of the generator `litellm`."""

    mode: Literal["chat", "completion"] = Field(
        "chat", description="completion: for base models, which follow no instructions; the answer is one line"
    )
    temperature: float | None = Field(0.0, ge=0, le=2, description="of the first round's first sample; null: not sent")
    warm_temperature: float | None = Field(0.8, ge=0, le=2, description="of every other sample; null: not sent")
    seed: int | None = Field(0, ge=0, description="sent as seed + index of the sample if the provider accepts it")
    candidates: list[Annotated[int, Field(ge=1, le=64)]] = Field(
        default=[1, 4], min_length=1, description="samples per round; texts without a flip go to the next round"
    )
    prompt: str = Field(
        "generic",
        description=f"for counterfactuals {', '.join(sorted(TASKS))}, or file:PATH with your own instructions; "
        f"for texts that are like the original, no class named, {' and '.join(sorted(ALIKE))}",
    )
    demonstrations: int = Field(0, ge=0, le=32, description="how many verified pairs of the run to show as examples")
    highlight: int = Field(0, ge=0, le=50, description="how many words with the most teacher attribution to name")
    json_mode: bool = Field(False, description="ask the provider to enforce JSON, if it can")

    @field_validator("prompt")
    @classmethod
    def _known_prompt(cls, value: str, info: ValidationInfo) -> str:
        if value in PROMPTS:
            return value
        if not value.startswith("file:"):
            near = difflib.get_close_matches(value, PROMPTS, 1)
            hint = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(PROMPTS)}, or file:PATH"
            raise ValueError(f"no prompt is named `{value}`; {hint}")
        located = recipe_file(value.removeprefix("file:"), info, prefix="file:")
        path = Path(located.removeprefix("file:"))
        if path.is_absolute() and not path.is_file():
            raise ValueError(f"there is no prompt file {path}")
        return located

    @field_validator("demonstrations", "highlight")
    @classmethod
    def _of_counterfactuals(cls, value: int, info: ValidationInfo) -> int:
        prompt = info.data.get("prompt")
        if value and prompt in ALIKE:
            raise ValueError(f"goes with prompts for counterfactuals, and `{prompt}` asks for none; leave it out")
        return value

    @field_validator("highlight", "json_mode")
    @classmethod
    def _of_chats(cls, value: int, info: ValidationInfo) -> int:
        if value and info.data.get("mode") == "completion":
            raise ValueError("goes with `mode: chat`; a text that is continued has no place for it, so leave it out")
        return value

    def identity(self) -> dict[str, Any]:
        """The options that affect the answers: not concurrency, time-out, retries or the key's variable."""
        decides = self.model_dump(mode="json", exclude={*self.without_effect, "prompt", "candidates", "mode"})
        return {**decides, "candidates": list(self.candidates), "prompt": self.template}

    @property
    def template(self) -> str:
        """Name and version of the prompt, in the form that the mode has."""
        return completion_template(self.prompt) if self.mode == "completion" else template_name(self.prompt)

    def conversation(
        self,
        request: Request,
        context: tuple[Sequence[str], str],
        highlighted: Sequence[str] = (),
        shown: Sequence[Demonstration] = (),
    ) -> tuple[tuple[str, str], ...]:
        """What is sent about one request: (role, content) of every message; ``context``: labels and description."""
        if self.mode == "completion":
            return (("prompt", to_be_continued(request, self.prompt, *context, shown)),)
        return messages(request, self.prompt, *context, highlighted, shown)

    def asks_for_attribution(self) -> bool:
        """To name the words that weigh most."""
        return self.highlight > 0

    def questions(self, examples: int) -> int:
        """Every sample of every round, the demonstrations before and after, and where words are named each of them."""
        words = WORDS_A_TEXT if self.highlight else 0
        shown = DRAWN_PER_DEMONSTRATION * self.demonstrations
        return (examples + shown) * (sum(self.candidates) + words) + shown

    def estimate(self, examples: int, mean_characters: float) -> CallEstimate:
        """At least the samples of the first round for every text, at most those of all rounds."""
        text = "x" * max(1, round(mean_characters))
        shown = ((text, text[1:], 0, 1),) * self.demonstrations
        context, highlighted = (("class one", "class two"), "x" * 80), ("word",) * self.highlight
        prompt = self.conversation(Request("plan", f"{text}.", 0, 1), context, highlighted, shown)
        tokens_in = sum(len(content.encode()) // BYTES_PER_TOKEN + 4 for _, content in prompt)
        tokens_out = min(self.max_tokens, len(text) // BYTES_PER_TOKEN + ANSWER_OVERHEAD_TOKENS)
        first, every = self.candidates[0], sum(self.candidates)
        extra = DRAWN_PER_DEMONSTRATION * self.demonstrations * first
        # later rounds send the failed candidates too
        tells = self.mode == "chat" and len(self.candidates) > 1
        feedback = 4 * (len(text) // BYTES_PER_TOKEN + 25) if tells else 0
        low, high = examples * first + extra, examples * every + extra
        in_low, in_high = low * tokens_in, low * tokens_in + (high - low) * (tokens_in + feedback)
        price = price_of(self.model, self.api_base)
        return CallEstimate(
            model=self.model,
            calls_low=low,
            calls_high=high,
            tokens_low=in_low + low * tokens_out,
            tokens_high=in_high + high * tokens_out,
            usd_low=price.of(in_low, low * tokens_out) if price else None,
            usd_high=price.of(in_high, high * tokens_out) if price else None,
        )
