"""Task-aware layer-wise distillation (TED), as a plugin that touches nothing of the core."""
