"""Trackers: what a run does, as JSON lines, and in TensorBoard, MLflow and Weights & Biases."""
