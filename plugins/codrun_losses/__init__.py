"""The basic losses: hard labels, the teacher's logits, its hidden states, and the ablations of the paper."""
