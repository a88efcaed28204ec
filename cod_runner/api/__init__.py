"""The contracts between codrun's core and its plugins: the only module of the core that a plugin imports.

Importing this module costs milliseconds: torch appears in annotations alone. A plugin declares its
components from a light module; the classes behind them are imported when a cell needs them::

    from cod_runner.api import Component, hookimpl

    @hookimpl
    def codrun_components():
        yield Component(kind="loss", name="mine", options=MineOptions, build="my_plugin.loss:Mine", summary="...")

What of it a plugin relies on has a version, :data:`API_VERSION`; ``codrun_api = "1.0"`` beside the hooks asks for it.

Vocabulary: an *example* is one labelled input; an *input* is a text, a tuple of numbers for vector models, or two
texts mixed; *signals* are what the teacher said about an example; layers ("blocks") are counted from 1, hidden state 0
is what enters block 1.
"""

from __future__ import annotations

from cod_runner.answers import RemoteError, answered, result_of
from cod_runner.api.abilities import EmbeddingStep, GradientCheckpointing, OwnTraining, TrainsItself, WordVectors
from cod_runner.api.classifiers import (
    Attribution,
    Classifier,
    Encoded,
    HiddenStateScorer,
    LabelScorer,
    Outputs,
    Teacher,
    VocabularyCut,
)
from cod_runner.api.components import BuildContext, Component
from cod_runner.api.data import Dataset, Example, LoadedData
from cod_runner.api.executors import WORKERS_LOG, ChoosesWorkers, EndsEarlierCalls, Executor, TaskAttempts, Workers
from cod_runner.api.exporters import Answerer, Exporter, ExportReport, ExportRequest
from cod_runner.api.generators import Attempt, Generator, Proposal, Request, TeacherView
from cod_runner.api.hooks import hookimpl, hookspec
from cod_runner.api.inputs import Input, Mixture, input_as_json, input_from_json
from cod_runner.api.known import (
    Answering,
    CallEstimate,
    ClusterRequest,
    Destination,
    Kept,
    ModelShape,
    Origin,
    ShapeEstimate,
    checkpoint_origin,
    hub_destination,
    hub_destinations,
)
from cod_runner.api.losses import Batch, BatchSource, Binding, Loss, Needs
from cod_runner.api.measures import CfeMeasure, Metric, Predictions
from cod_runner.api.options import CallableOption, CheckpointOption, Options, PathOption
from cod_runner.api.quantities import MemoryOption
from cod_runner.api.training import FinetuneSettings, TrainSettings
from cod_runner.api.training_sets import Choice, Chooser, Choosing, Selection, Selector
from cod_runner.api.version import API_VERSION
from cod_runner.checkpoints import (
    checkpoint_folder,
    checkpoint_identity,
    checkpoint_sizes,
    file_digests,
    is_on_the_hub,
    packaged_folder,
)
from cod_runner.child_processes import end_with_the_parent, how_it_ended, starting_workers, write_output_to
from cod_runner.environment import environment_variables
from cod_runner.errors import CodrunError, DataError, ProviderError, SettingError
from cod_runner.figure_style import default_figure_style
from cod_runner.files import append_line, file_digest, folder_written_whole, lock
from cod_runner.fixed_batches import FixedBatch, fixed_batches, in_order, one_thread
from cod_runner.hidden_states import head_pooled, layer_mapping, masked_mean, pooled
from cod_runner.hugging_face import (
    fetched_checkpoint,
    hub_errors,
    no_download_bars,
    only_data,
    pretrained,
    quiet_transformers,
)
from cod_runner.kinds import KINDS, Kind
from cod_runner.label_prompts import LabelPrompt, LabelPromptFields, one_line
from cod_runner.llm.budget import Reservation, Spending
from cod_runner.llm.ledger import Ledger
from cod_runner.llm.requests import LLMAnswer, LLMRequest
from cod_runner.loss_terms import term_names
from cod_runner.machine import cores
from cod_runner.out_of_memory import ran_out_of_memory
from cod_runner.recipe_files import recipe_file
from cod_runner.reliability import expected_calibration_error
from cod_runner.text_encoder import TextEncoder
from cod_runner.text_files import csv_rows, file_bytes, json_lines, read_text
from cod_runner.word_edits import WORD, text_distance

__all__ = [
    "API_VERSION",
    "KINDS",
    "WORD",
    "WORKERS_LOG",
    "Answerer",
    "Answering",
    "Attempt",
    "Attribution",
    "Batch",
    "BatchSource",
    "Binding",
    "BuildContext",
    "CallEstimate",
    "CallableOption",
    "CfeMeasure",
    "CheckpointOption",
    "Choice",
    "Chooser",
    "ChoosesWorkers",
    "Choosing",
    "Classifier",
    "ClusterRequest",
    "CodrunError",
    "Component",
    "DataError",
    "Dataset",
    "Destination",
    "EmbeddingStep",
    "Encoded",
    "EndsEarlierCalls",
    "Example",
    "Executor",
    "ExportReport",
    "ExportRequest",
    "Exporter",
    "FinetuneSettings",
    "FixedBatch",
    "Generator",
    "GradientCheckpointing",
    "HiddenStateScorer",
    "Input",
    "Kept",
    "Kind",
    "LLMAnswer",
    "LLMRequest",
    "LabelPrompt",
    "LabelPromptFields",
    "LabelScorer",
    "Ledger",
    "LoadedData",
    "Loss",
    "MemoryOption",
    "Metric",
    "Mixture",
    "ModelShape",
    "Needs",
    "Options",
    "Origin",
    "Outputs",
    "OwnTraining",
    "PathOption",
    "Predictions",
    "Proposal",
    "ProviderError",
    "RemoteError",
    "Request",
    "Reservation",
    "Selection",
    "Selector",
    "SettingError",
    "ShapeEstimate",
    "Spending",
    "TaskAttempts",
    "Teacher",
    "TeacherView",
    "TextEncoder",
    "TrainSettings",
    "TrainsItself",
    "VocabularyCut",
    "WordVectors",
    "Workers",
    "answered",
    "append_line",
    "checkpoint_folder",
    "checkpoint_identity",
    "checkpoint_origin",
    "checkpoint_sizes",
    "cores",
    "csv_rows",
    "default_figure_style",
    "end_with_the_parent",
    "environment_variables",
    "expected_calibration_error",
    "fetched_checkpoint",
    "file_bytes",
    "file_digest",
    "file_digests",
    "fixed_batches",
    "folder_written_whole",
    "head_pooled",
    "hookimpl",
    "hookspec",
    "how_it_ended",
    "hub_destination",
    "hub_destinations",
    "hub_errors",
    "in_order",
    "input_as_json",
    "input_from_json",
    "is_on_the_hub",
    "json_lines",
    "layer_mapping",
    "lock",
    "masked_mean",
    "no_download_bars",
    "one_line",
    "one_thread",
    "only_data",
    "packaged_folder",
    "pooled",
    "pretrained",
    "quiet_transformers",
    "ran_out_of_memory",
    "read_text",
    "recipe_file",
    "result_of",
    "starting_workers",
    "term_names",
    "text_distance",
    "write_output_to",
]  # fmt: skip
