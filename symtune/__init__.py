"""symtune: symbol tuning and in-context learning in JAX."""

__version__ = "0.1.0"
