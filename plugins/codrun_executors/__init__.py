"""The executor `processes`: cells run in processes on this machine."""
