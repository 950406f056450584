"""`python -m pipeline`: the command line."""

import sys

try:
    import slimline  # noqa: F401  # if the links in its folder are text files, the ImportError says what to do
except ImportError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
else:
    from slimline.pipeline.cli import main

    main()
