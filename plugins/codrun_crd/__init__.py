"""Contrastive representation distillation (CRD), as a plugin that touches nothing of the core."""
