"""`python -m slimline` is `python -m pipeline`."""

from slimline.pipeline.cli import main

main()
