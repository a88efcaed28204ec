"""Vectors through the same pipeline as texts: two moons, a perceptron, gradient counterfactuals, boundaries."""
