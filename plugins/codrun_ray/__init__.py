"""Where cells run: workers of a Ray cluster, or of a Ray of the run's own on this machine."""
