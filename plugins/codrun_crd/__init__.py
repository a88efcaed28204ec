"""Contrastive representation distillation (CRD), a loss between vectors of texts."""
