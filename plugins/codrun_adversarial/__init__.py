"""Adversarial inputs as a baseline: what the teacher's own gradient makes of a text."""
