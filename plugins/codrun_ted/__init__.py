"""Task-aware layer-wise distillation (TED), a loss between hidden states."""
