"""codrun: few-shot knowledge distillation with counterfactual explanations, as declarative recipes."""

import os

__version__ = "0.1.0"

# Threads that compute together wait for each other after every operation. By default they spin, and on a machine that
# is busy with other work too each then keeps the core that another one needs: fine-tuning took 15 to 40 times as long.
# OpenMP reads this when torch is imported; it changes no number.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
