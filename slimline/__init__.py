"""Slimline: from a folder of photos to a trained, measured and exported image classifier."""

__version__ = "0.1.0"


def _check_folders() -> None:
    """Check that conf, pipeline and stages are folders: links in a checkout, real ones in an installed copy.

    Raises:
        ImportError: git wrote the links as text files, as it does on Windows unless links are allowed.
    """
    from pathlib import Path

    for folder in (Path(__file__).with_name(name) for name in ("conf", "pipeline", "stages")):
        if not folder.is_dir():
            raise ImportError(
                f"{folder} is not a link to the folder ../{folder.name}. Run `git config core.symlinks true` and "
                "`git checkout -- slimline` (on Windows, turn on developer mode first), or install a wheel.",
                name=__name__,  # so that `python -m slimline` says this in one line, without a traceback
            )


_check_folders()
