"""Finds the way in which a model can be asked for labels: by one call, kept in the ledger like any other.

What a server was asked and refused to answer costs nothing and leaves no answer. So that a run that goes on decides as
it did before, and offline too, a refusal is read from the ledger as well: where a later way was tried, the ones before
it were refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cod_runner.api import LabelPrompt, Ledger, LLMRequest, ProviderError, SettingError
from codrun_litellm.client import Client
from codrun_litellm.failures import CallFailure, FailedCallError
from codrun_litellm.heard import Heard
from codrun_litellm.pricing import provider_of
from codrun_litellm.providers import PROVIDERS
from codrun_litellm.teacher_options import LitellmTeacherOptions
from codrun_litellm.ways import MOST_LETTERS, Asking, Continuation, Letters, Samples, Way, WholeLabels, Words

TOPS = (20, 10, 5, 3, 2)
"""How many of the likeliest tokens to ask for; fewer where the server says that it has a lower limit."""
ENOUGH, LEAST = 0.2, 0.05
"""The coverage below which another way is looked for, and below which a way that the recipe names is refused."""
LEAST_LISTED = 2
CHATS = ("letters", "words")
"""Ways by a chat's log-probabilities."""
LONGEST_WORDS = 160
"""Of a server's own, in a sentence."""
OUT_OF_PLACE = "Nothing in this text is out of the ordinary, and it is about as long as others."
REFUSES = {400, 404, 405, 415, 422, 501}
"""Statuses by which a server says that it does not answer what it was asked, but may answer something else."""


@dataclass(frozen=True)
class Attempted:
    """One way, in one form."""

    kind: str
    asking: Asking
    way: Way
    request: LLMRequest


@dataclass(frozen=True)
class Found:
    """The way in which the model is asked from now on."""

    kind: str
    way: Way
    identity: str
    """What tells its answers from those of another way."""
    sentence: str
    """For the user: which way, and why."""
    renormalised: bool = False


@dataclass(frozen=True)
class Offers:
    """What litellm can ask a model for."""

    logprobs: bool
    """The likeliest tokens of a chat's answer."""
    completions: bool
    """A text's continuation."""


class Probe:
    """Looks for the way of one teacher."""

    def __init__(
        self,
        options: LitellmTeacherOptions,
        prompt: LabelPrompt,
        client: Client,
        ledger: Ledger,
        offers: Offers,
    ) -> None:
        self._options, self._prompt, self._client, self._ledger = options, prompt, client, ledger
        self._offers = offers
        self._text = prompt.shots[-1][0] if prompt.shots else OUT_OF_PLACE

    def find(self) -> Found:
        """The first way that works, of those that the recipe allows; raises :class:`ProviderError` where none does."""
        self._refuse_more_labels_than_letters()
        kinds, said = self._kinds(), []
        if kinds[0] in CHATS and not self._offers.logprobs:
            said.append(no_logprobs(self._options.model))
            kinds = [kind for kind in kinds if kind == "samples"]
        refusals: list[FailedCallError] = []
        cures: list[str] = []
        last_resort: tuple[Attempted, Heard] | None = None
        for kind in kinds:
            attempted = self._tried(kind, kinds)
            if not isinstance(attempted, tuple):
                refusals += [attempted] if attempted is not None else []
                said.append(_refusal(kind, attempted))
                cures += [cure_of(kind, attempted.failure)] if attempted is not None else []
                continue
            tried, heard = attempted
            wrong = self._wrong(kind, heard)
            if not wrong:
                return self._found(tried, heard, [*said, *_once(cures)])
            said.append(f"{ASKED[kind]} it {wrong}")
            if kind == "samples":
                last_resort = attempted
        if last_resort is not None:  # one answer of many names no label
            return self._found(*last_resort, [*said, *_once(cures)])
        if self._options.way == "auto" and len(refusals) == len(kinds):
            raise refusals[-1]
        raise self._no_way([*said, *_once(cures)])

    def _refuse_more_labels_than_letters(self) -> None:
        if self._options.way == "letters" and len(self._prompt.names) > MOST_LETTERS:
            raise SettingError(
                f"`way: letters` has letters for {MOST_LETTERS} labels, and there are {len(self._prompt.names)}; use "
                "`way: words` or `way: auto`",
                "way",
            )

    def _no_way(self, said: Sequence[str]) -> ProviderError:
        model, way = self._options.model, self._options.way
        by = "" if way == "auto" else f" by `way: {way}`"
        cure = "choose another model" if way == "auto" else "`way: auto` looks for another way"
        return ProviderError(f"`{model}` cannot be asked for labels{by}: {'; '.join([*said, cure])}")

    def _kinds(self) -> list[str]:
        """The ways to try, in their order."""
        way, provider = self._options.way, provider_of(self._options.model)
        if way == "continuation":
            return ["continuation", "whole"]
        if way != "auto":
            return [way]
        first = "letters" if len(self._prompt.names) <= MOST_LETTERS else "words"
        if provider.startswith("text-completion"):
            return ["continuation", "whole", "continued samples"]
        if self._options.api_base is None or not self._offers.completions:
            return [first, "samples"]
        return [first, "continuation", "whole", "samples", "continued samples"]

    def _forms(self, kind: str, probing: bool = True) -> Iterator[Attempted]:
        """A way in all its forms, the best first."""
        chats = kind in (*CHATS, "samples")
        tops = TOPS if kind in (*CHATS, "continuation") else TOPS[:1]
        for system_role in (True, False) if chats else (True,):
            for top in tops:
                template = f"{kind.replace(' ', '-')}{f'-probe-{self._options.way}' if probing else ''}"
                asking = Asking(self._options, template, system_role, top)
                way = self._way(kind, asking)
                yield Attempted(kind, asking, way, way.requests(self._text)[0])

    def _way(self, kind: str, asking: Asking) -> Way:
        options, prompt = self._options, self._prompt
        match kind:
            case "letters":
                return Letters(asking, prompt, options.orders)
            case "words":
                return Words(asking, prompt)
            case "continuation":
                return Continuation(asking, prompt)
            case "whole":
                return WholeLabels(asking, prompt)
        return Samples(asking, prompt, options.samples, continued=kind == "continued samples")

    def _tried(self, kind: str, kinds: Sequence[str]) -> tuple[Attempted, Heard] | FailedCallError | None:
        """The form that the server answers, and what it says; or why it answers none, None where that was seen by an
        earlier run."""
        forms = list(self._forms(kind))
        later = [form for each in kinds[kinds.index(kind) + 1 :] for form in self._forms(each)]
        known = self._ledger.answers([form.request.key for form in (*forms, *later)])
        place = 0
        while place < len(forms):
            form = forms[place]
            if form.request.key not in known and any(one.request.key in known for one in (*forms[place + 1 :], *later)):
                place += 1  # it was refused when the run came here first
                continue
            try:
                answer = self._client.ask([form.request])[form.request.key]
            except FailedCallError as error:
                if not is_refusal(error.failure, kind):
                    raise
                following = next_form(form, forms[place + 1 :], error.failure)
                if following is None:
                    return error
                place = forms.index(following)
                continue
            return form, form.way.heard([answer])
        return None

    def _wrong(self, kind: str, heard: Heard) -> str:
        """Why a way is not good enough, in words that follow "it"; "" where it is."""
        if heard.fault:
            return heard.fault
        if kind in ("samples", "continued samples", "whole"):
            return ""
        if heard.unclear > heard.coverage:
            return "begins several labels with the same token; give them different words by `words:`"
        if heard.listed < LEAST_LISTED:
            return "gives the log-probability of the chosen token alone"
        if heard.coverage < (ENOUGH if self._options.way == "auto" else LEAST):
            what = {"letters": "a letter"}.get(kind, "a label")
            return f"begins its answer with something else than {what} ({heard.first!r}; coverage {heard.coverage:.2f})"
        return ""

    def _found(self, tried: Attempted, heard: Heard, said: Sequence[str]) -> Found:
        asked = next(
            form
            for form in self._forms(tried.kind, probing=False)
            if (form.asking.system_role, form.asking.top) == (tried.asking.system_role, tried.asking.top)
        )
        told = []
        if heard.renormalised:
            told.append(
                "the server divides all probability among the labels, so that their coverage is always 1 and says "
                "nothing"
            )
        elif asked.way.one_token:
            told.append(f"they cover {heard.coverage:.2f} of the answer to a text of the prompt")
            if tried.kind in CHATS and "continuation" in self._kinds():
                told.append("a base model, which was not trained to chat, is better asked by `way: continuation`")
            if heard.listed < TOPS[0]:
                told.append(f"the server names {heard.listed} of the likeliest tokens, not {TOPS[0]}")
        sentence = f"`{self._options.model}` is asked {asked.way.told}"
        if told or said:
            sentence = f"{sentence}: {'; '.join([*told, *said])}"
        identity = f"{asked.kind} {asked.asking.system_role} {asked.asking.top}"
        return Found(asked.kind, asked.way, identity, sentence, heard.renormalised)


ASKED = {
    "letters": "asked for a letter",
    "words": "asked for a word",
    "continuation": "given a text to continue",
    "whole": "given labels to score",
    "samples": "asked for an answer in words",
    "continued samples": "given a text to continue in words",
}


def is_refusal(failure: CallFailure, kind: str) -> bool:
    """Whether a failure says that this cannot be asked, rather than that nothing can."""
    if failure.status == 404:
        return kind in ("continuation", "whole", "continued samples")
    return failure.status in REFUSES or failure.unreadable or _about_logprobs(failure.detail)


def next_form(form: Attempted, following: Sequence[Attempted], failure: CallFailure) -> Attempted | None:
    """The form that cures what was refused: no message of the system, or fewer tokens; None where none does."""
    detail = failure.detail.casefold()
    if "system" in detail and ("role" in detail or "message" in detail or "instruction" in detail):
        return next((one for one in following if one.asking.system_role is not form.asking.system_role), None)
    same = [one for one in following if one.asking.system_role is form.asking.system_role]
    limit = _limit_in(detail, form.asking.top)
    if limit is None:
        return None
    return next((one for one in same if one.asking.top <= limit), None)


def _limit_in(detail: str, asked: int) -> int | None:
    """The most tokens that a server lets one ask for, where its words are about that number."""
    if not re.search(r"top_?logprobs|logprobs|n_probs|num_?logprobs", detail) or not re.search(
        r"maximum|max\b|at most|less than|<|between|range|exceed|up to|limit|greater|larger|too (?:many|large|high)",
        detail,
    ):
        return None
    numbers = [int(number) for number in re.findall(r"(?<![\w.-])\d{1,2}(?![\w.]*\d)", detail)]
    below = [number for number in numbers if 2 <= number < asked]
    return max(below) if below else (asked - 1 if not numbers or set(numbers) <= {0, asked} else None)


def _about_logprobs(detail: str) -> bool:
    return re.search(r"log_?-?prob|logits_all", detail, re.IGNORECASE) is not None


def _refusal(kind: str, error: FailedCallError | None) -> str:
    if error is None:
        return f"{ASKED[kind]} the server refused when it was first asked"
    return f"{ASKED[kind]} the server refuses ({error.failure.status}: {error.failure.detail[:LONGEST_WORDS]})"


def cure_of(kind: str, failure: CallFailure) -> str:
    """What the user can do so that a server gives log-probabilities; "" where nothing is known."""
    if "logits_all" in failure.detail:
        return "llama.cpp's Python server gives log-probabilities when started with `--logits_all true`"
    if kind in CHATS and _about_logprobs(failure.detail):
        return (
            "many reasoning models give log-probabilities only with their thoughts off: "
            "`parameters: {reasoning_effort: none}`"
        )
    return ""


def _once(sentences: Sequence[str]) -> list[str]:
    return [sentence for sentence in dict.fromkeys(sentences) if sentence]


def no_logprobs(model: str) -> str:
    """Why litellm sends no request for log-probabilities to this model, and what to do about it."""
    provider = provider_of(model)
    told = f"litellm knows no way to get log-probabilities from `{model}`"
    if provider in ("ollama", "ollama_chat"):
        bare = model.partition("/")[2]
        return (
            f"{told}; Ollama's OpenAI-compatible path gives them: `model: openai/{bare}` with "
            f"`api_base: {PROVIDERS['ollama'].address.replace('localhost', '127.0.0.1')}/v1`"
        )
    return told
