"""`python -m pipeline`: the command line."""

from slimline.pipeline.cli import main

main()
