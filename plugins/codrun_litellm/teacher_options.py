"""Options of the teacher `litellm`, and what codrun must know of it before any call."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from cod_runner.api import Answering, CallEstimate, LabelPrompt, LabelPromptFields
from codrun_litellm.connection import Connection
from codrun_litellm.pricing import BYTES_PER_TOKEN, price_of

WayName = Literal["auto", "letters", "words", "continuation", "samples"]
MOST_ORDERS = 52
TOKENS_OF_A_LABEL = 8
"""Of an answer that names a label and little else."""
THINKING = {"reasoning_effort", "thinking", "enable_thinking"}


class LitellmTeacherOptions(LabelPromptFields, Connection):
    """Options of the teacher `litellm`."""

    way: WayName = Field(
        "auto",
        description="how a label is asked for: letters (one token's log-probabilities), words (the same, of the "
        "labels' words), continuation (of a few-shot text, for base models), samples; auto: one probe decides",
    )
    orders: int = Field(
        2, ge=1, le=MOST_ORDERS, description="by letters: in how many orders the labels are listed, a call for each"
    )
    samples: int = Field(8, ge=1, le=256, description="by samples: answers to a text, a call for each")
    coverage_floor: float = Field(
        0.0, ge=0, le=1, description="least share of the answers that is about the labels; less ends the run"
    )
    leave_one_out: bool = Field(
        False, description="lets generators rank words by asking about a text less each of its words: one call a word"
    )

    def identity(self) -> dict[str, Any]:
        """What decides an answer: not concurrency, time-out, retries, the key's variable, or what is done about low
        coverage."""
        without = {*self.without_effect, *LabelPromptFields.model_fields, "coverage_floor", "leave_one_out"}
        return {**self.model_dump(mode="json", exclude=without), "prompt": self.prompt_identity()}

    def answering(self) -> Answering:
        """It only answers, for money: so it is not asked about a text less each of its words unless the recipe says
        so."""
        return Answering(
            shots=self.shots,
            seed=self.seed,
            leave_one_out=self.leave_one_out,
            leave_one_out_hint="allow it with `leave_one_out: true` of the teacher: one call for each word of a text",
        )

    def estimate(self, examples: int, mean_characters: float) -> CallEstimate:
        """At least one token for each order of the labels, at most all samples; the shots are taken to be as long as
        the texts."""
        calls = {"letters": self.orders, "words": 1, "continuation": 1, "samples": self.samples}
        low = min(calls["letters"], calls["samples"]) if self.way == "auto" else calls[self.way]
        high = max(calls["letters"], calls["samples"]) if self.way == "auto" else calls[self.way]
        text = "x" * max(1, round(mean_characters))
        labels = ("class one", "class two", *(label for label in self.words if label not in ("class one", "class two")))
        shots = [(text, place % 2) for place in range(self.shots)]
        shown = LabelPrompt.of(self, labels, "x" * 80, shots).conversation(text)
        tokens_in = sum(len(content.encode()) // BYTES_PER_TOKEN + 4 for _, content in shown)
        thinks = bool(THINKING & {*self.parameters}) and self.parameters.get("reasoning_effort") != "none"
        named = min(self.max_tokens, self.max_tokens if thinks else TOKENS_OF_A_LABEL)
        out_low = named if self.way == "samples" else 1
        out_high = named if self.way in ("auto", "samples") else 1
        price = price_of(self.model, self.api_base)
        low, high = low * examples, high * examples
        return CallEstimate(
            model=self.model,
            calls_low=low,
            calls_high=high,
            tokens_low=low * (tokens_in + out_low),
            tokens_high=high * (tokens_in + out_high),
            usd_low=price.of(low * tokens_in, low * out_low) if price else None,
            usd_high=price.of(high * tokens_in, high * out_high) if price else None,
        )
