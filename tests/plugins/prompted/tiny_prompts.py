"""What the tests of the teacher ``prompted`` share: label words, shots, chat templates of each kind."""

from __future__ import annotations

from collections.abc import Callable

from cod_runner.api import Example
from cod_runner.testing.tiny_models import SENTENCES
from codrun_prompted.scorer import PromptedTeacher

WORDS = ("bad", "good")
TEXTS = SENTENCES * 3 + ("Text: so\nLabel: good\n\nText: so\nLabel: bad",) * 20
"""Texts of whose words the label words are tokens."""
SHOTS = tuple(
    Example(f"shot{index}", text, index % 2) for index, text in enumerate((*SENTENCES[:3], "a film of two halves"))
)
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
DROPS_SYSTEM = CHATML.replace("{% for m in messages %}", "{% for m in messages if m.role != 'system' %}")
REFUSES_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + CHATML

Make = Callable[..., PromptedTeacher]
