"""The executor `ray`: cells run in workers of a Ray cluster, or of a Ray of the run's own on this machine."""
