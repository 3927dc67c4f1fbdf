"""`python -m symtune` is the `symtune` command."""

from symtune.cli.main import main

if __name__ == "__main__":
  main()
