"""Two tiny students on two moons, and what is expected of them."""

from __future__ import annotations

MOONS = """\
recipe: 1
name: tiny_moons
dataset: {use: moons, n: 200, validation: 200, noise: 0.2}
k: [8]
seeds: [0]
teacher:
  use: mlp
  hidden: [16]
  finetune: {rows: 200, epochs: 10, batch_size: 32, lr: 1.0e-2, precision: fp32}
student: {use: mlp, hidden: [8]}
counterfactuals:
  generators: [{use: gradient, step: 0.05}]
methods:
  kd: [hard, {use: kd, weight: 20, temperature: 1}]
train: {steps: 60, batch_size: 8, lr: 1.0e-2, schedule: constant, precision: fp32}
evaluate: {metrics: [accuracy, agreement]}
"""
EXPECT = """\
expect:
  - {metric: agreement, method: kd, arm: plain, k: 8, at_least: 0.8}
  - {gain: agreement, method: kd, k: 8, at_least: -0.6}
"""
PLAIN, GAIN = "agreement, kd, plain, k = 8", "gain of agreement (cod - plain), kd, k = 8"
"""The names of these two expectations."""
TESTS = ["run", PLAIN, GAIN]
"""The names of its tests."""
