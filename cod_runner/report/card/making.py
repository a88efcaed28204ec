"""The sections of a card that say how a student was made: teacher, data, training set, counterfactuals, settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from cod_runner.recipe.arms import COD, CONTROL, PLAIN, is_standard
from cod_runner.recipe.sections import Use
from cod_runner.report.card.subject import Subject, count, number, public
from cod_runner.report.costs import price_in_words
from cod_runner.report.protocol import arm_in_words, component_in_words, protocol
from cod_runner.report.table import MISSING
from cod_runner.report.text import markdown_grid, markdown_line

STANDARD_ARMS = {
    PLAIN: "labelled originals alone, as many of each class",
    COD: "for each labelled original its counterfactual: a minimally changed input for which the teacher's prediction "
    "is another; half of the k examples are originals, as many of each class",
    CONTROL: "for each labelled original a perturbed copy that the teacher reads as before; half of the k examples are "
    "originals, as many of each class",
}
"""What the arms are that a recipe names without telling them."""


def making(subject: Subject) -> list[str]:
    """All of them."""
    sections = {
        "Teacher": list(_teacher(subject)),
        "Data": list(_data(subject)),
        "Training set": list(_training_set(subject)),
        "Counterfactuals and other additions": list(_additions(subject)),
        "Settings": subject.run.once(
            ("settings", subject.row.method, subject.row.arm),
            lambda: [f"- {markdown_line(line.name)}: {public(line.value)}" for line in _settings(subject)],
        ),
        "Software": list(_software(subject)),
    }
    lines = ["## How it was made"]
    for title, content in sections.items():
        if content:
            lines += ["", f"### {title}", "", *content]
    return lines


def _teacher(subject: Subject) -> Iterator[str]:
    used, tuned = subject.recipe.teacher.use, subject.recipe.teacher.finetune
    names = [f"{origin.name} ({origin.what})" for origin in subject.origins("teacher")]
    yield f"- {public(', '.join([f'Component {used}', *names]))}."
    if subject.report.teacher:
        yield from (f"- {markdown_line(sentence)}" for sentence in subject.report.teacher)
        return
    if tuned is not None:
        yield f"- Fine-tuned on the gold labels of {count(_tuning_rows(subject), 'row')} of the pool."
    else:
        yield "- Used as its checkpoint is, without fine-tuning."
    measured = list(_measured_of_the_teacher(subject))
    if measured:
        yield f"- On the evaluation rows: {', '.join(measured)}."


def _measured_of_the_teacher(subject: Subject) -> Iterator[str]:
    facts = subject.teacher
    if subject.teacher_accuracy is not None:
        yield f"accuracy {number(subject.teacher_accuracy)}"
    if isinstance(facts.get("calibration_error"), float):
        yield f"expected calibration error {number(facts['calibration_error'])}"
    if isinstance(facts.get("parameters"), int):
        yield f"{facts['parameters']:,} parameters"


def _data(subject: Subject) -> Iterator[str]:
    data = subject.data
    yield f"- Data set: {public(component_in_words(subject.recipe.dataset))}."
    rows = [f"{data[name]:,} {name}" for name in ("pool rows", "evaluation rows") if isinstance(data.get(name), int)]
    if rows:
        near = "" if subject.reads_vectors else ", and nothing that was added to them is within a tenth of its words"
        yield (
            f"- {', '.join(rows)}. The training examples are drawn from the pool; none of them equals an evaluation "
            f"row{near}."
        )
    if isinstance(data.get("dropped rows"), str):
        yield f"- Dropped rows: {markdown_line(data['dropped rows'])}."


def _training_set(subject: Subject) -> Iterator[str]:
    row, arm = subject.row, subject.arm
    told = STANDARD_ARMS[row.arm] if is_standard(row.arm, arm) else arm_in_words(arm)
    yield f"- k = {row.k}, arm {markdown_line(row.arm)}: {public(told)}."
    if row.labelled is not None:
        yield (
            f"- {row.labelled:,} labelled by a person, {row.added or 0:,} added with the teacher's word or their "
            f"original's label, {row.unlabelled or 0:,} unlabelled beside k, with the teacher's word alone."
        )
    beside = list(_gold_labels(subject))
    yield f"- Gold labels that were read beside k: {', '.join(beside) if beside else 'none'}."
    if row.teacher_queries is not None:
        paid = "" if row.teacher_usd is None else f" ({price_in_words(row.teacher_usd)})"
        yield f"- The teacher was asked about {count(row.teacher_queries, 'input')} for it{paid}."


def _gold_labels(subject: Subject) -> Iterator[str]:
    """Counted, as far as the run says; the evaluation split's own labels only measure."""
    facts, tuned = subject.teacher, subject.recipe.teacher.finetune
    if tuned is not None:
        yield f"{_tuning_rows(subject):,} to fine-tune the teacher"
    if isinstance(facts.get("gold_labels"), int) and facts["gold_labels"]:
        yield f"{facts['gold_labels']:,} in the teacher's prompt and its calibration"
    if subject.recipe.evaluate.select == "best_dev":
        yield "those of the rows that chose the epoch (20% of the pool, at most 500)"
    held_out = subject.measured("held_out_rows")
    if held_out:
        yield f"{int(held_out):,} to fit this student's temperature and compare it with others"


def _tuning_rows(subject: Subject) -> int:
    tuned, pool = subject.recipe.teacher.finetune, subject.data.get("pool rows")
    wanted = tuned.rows if tuned is not None else 0
    return min(wanted, pool) if isinstance(pool, int) else wanted


def _additions(subject: Subject) -> Iterator[str]:
    """Who wrote what was added, how good it is, and what it cost."""
    arm, row, record = subject.arm, subject.row, subject.record
    makers = list(_makers(subject))
    if not makers:
        return
    yield f"- Written by {', then '.join(public(maker.use) for maker in makers)}."
    models = [origin for origin in subject.origins("generator") if origin.use in {maker.use for maker in makers}]
    named = ", ".join(dict.fromkeys(f"{origin.name} ({origin.what})" for origin in models))
    yield f"- Models that wrote them: {public(named) if named else 'none is named by their components'}."
    if arm.uses_section and subject.report.outcomes:
        found = subject.run.once(("flips",), lambda: _flips(subject))
        each = ", ".join(f"{name} {times:,}" for name, times in found.most_common())
        searched = len(subject.report.outcomes)
        yield (
            f"- Of {count(searched, 'original')} searched in the whole run, {found.total():,} got one that changes the "
            f"teacher's prediction{f' ({markdown_line(each)})' if each else ''}."
        )
    if row.generator_calls is not None:
        price = "of unknown price" if row.usd is None else price_in_words(row.usd)
        yield (
            f"- For this student: {count(row.generator_calls, 'answer or candidate', 'answers and candidates')} of "
            f"generators, refused ones included, {price}."
        )
    total = "of unknown price" if record.cost is None else price_in_words(record.cost)
    yield (
        f"- In the whole run, teacher and generators, all students: {count(record.calls, 'paid model call')}, "
        f"{count(record.tokens, 'token')}, {total}."
    )
    if arm.uses_section and record.quality:
        body = [[markdown_line(one.name), _cell(one.all), _cell(one.flipped)] for one in record.quality]
        yield from ("", "Quality, over the whole run:", "")
        yield from markdown_grid(["measure", "all", "those that flip the teacher"], body)


def _flips(subject: Subject) -> Counter[str]:
    """How many of the run's originals got one that changes the teacher's prediction, by generator."""
    return Counter(str(line.get("generator")) for line in subject.report.outcomes if line.get("verified"))


def _makers(subject: Subject) -> Iterator[Use]:
    """The generators of its arm, in the order in which they are asked."""
    arm, recipe = subject.arm, subject.recipe
    if arm.uses_section and recipe.counterfactuals is not None:
        yield from recipe.counterfactuals.generators
    if CONTROL in arm.add and recipe.control is not None:
        yield recipe.control
    yield from (each for each in arm.add if isinstance(each, Use))
    if arm.unlabelled is not None and isinstance(arm.unlabelled.source, Use):
        yield arm.unlabelled.source


def _cell(value: Any) -> str:
    if value is None:
        return MISSING
    return f"{value:.3g}" if isinstance(value, float) else markdown_line(str(value))


def _settings(subject: Subject) -> Iterator[Any]:
    """The protocol as far as it is this student's; what other sections say is left out."""
    recipe, row = subject.recipe, subject.row
    told = {"data set", "k", "counterfactuals"}
    narrowed = recipe.model_copy(
        update={"methods": {row.method: recipe.methods[row.method]}, "arms": {row.arm: subject.arm}}
    )
    lines = protocol(narrowed, subject.record.data.get("evaluation rows"))
    yield from (line for line in lines if line.name not in told and not line.name.startswith("arm "))
    if recipe.counterfactuals is not None and subject.arm.uses_section:
        yield from (line for line in lines if line.name == "counterfactuals")


def _software(subject: Subject) -> Iterator[str]:
    record, student = subject.record, subject.student
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    if versions:
        yield f"- {markdown_line(versions)}."
    profile = f", profile {markdown_line(record.profile)}" if record.profile else ""
    yield f"- Recipe {markdown_line(record.recipe)}{profile}; key of the student {markdown_line(student.key)}."
    yield (
        "- Method: [Few-Shot Knowledge Distillation of LLMs With Counterfactual "
        "Explanations](https://arxiv.org/abs/2510.21631) (Hamman, Dissanayake, Fu, Dutta)."
    )
