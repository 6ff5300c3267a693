"""The language in which models are declared."""
