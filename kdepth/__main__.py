"""`python -m kdepth` lists the commands; `python -m kdepth train ...` runs one."""

from __future__ import annotations

from kdepth import cli

if __name__ == "__main__":
    cli.entry_point()
