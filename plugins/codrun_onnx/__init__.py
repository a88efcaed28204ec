"""Students as ONNX files, whole or in int8, which run without torch."""
