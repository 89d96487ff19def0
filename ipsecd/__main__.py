"""``python -m ipsecd`` is ``ipsecd``."""

from ipsecd.cli.ipsecd import main

main(prog_name="ipsecd")
