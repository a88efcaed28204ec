"""What is killed: small enough that a run of it takes a second, with every stage in it. Imports nothing."""

from __future__ import annotations

RECIPE = """
recipe: 1
name: tiny
dataset: {use: moons, n: 200, validation: 50}
k: [8]
seeds: [0, 1]
teacher: {use: mlp, hidden: [8], finetune: {rows: 64, steps: 20, lr: 0.05, batch_size: 32, precision: fp32}}
student: {use: mlp, hidden: [8]}
counterfactuals: {generators: [gradient], max_edits: 1000}
methods: {kd: [hard, {use: kd, weight: 2}], lwd: [hard, {use: lwd, weight: 1}]}
train: {steps: 3, lr: 0.01, precision: fp32}
"""
