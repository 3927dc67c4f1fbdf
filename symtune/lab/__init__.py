"""The Python face of symtune, for notebooks: load, ask, look, plot."""
