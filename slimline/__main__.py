"""`python -m slimline` is the same as `python -m pipeline`."""

import sys

try:
    from slimline.pipeline.cli import main
except ModuleNotFoundError as error:
    from slimline.missing import explain_missing

    if (explained := explain_missing(error)) is None:
        raise
    print(explained, file=sys.stderr)
    sys.exit(2)

main()
