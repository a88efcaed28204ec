"""How a student is measured: accuracy, agreement, KL, calibration, F1."""
