"""`python -m chatferry`."""

from chatferry.cli import main

main()
