"""The components of a recipe or a command that names none: the only place where the core names any."""

DEFAULT_EXECUTOR = "processes"
DEFAULT_METRICS = ("accuracy", "agreement", "kl", "ece", "f1")
DEFAULT_SELECTOR = "random"
DEFAULT_EXPORTER = "onnx"
DEFAULT_TRACKERS = ("jsonl",)
"""They observe every run, whatever a recipe's ``trackers`` says."""
