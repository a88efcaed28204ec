"""codrun: few-shot knowledge distillation with counterfactual explanations, as declarative recipes."""

__version__ = "0.1.0"
