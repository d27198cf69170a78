"""Where the styles are. Nothing in the code sets a colour or a size."""

from pathlib import Path


def styles_dir() -> Path:
    """The folder of the .tcss files: beside the package's modules when installed, beside the package in the source."""
    package = Path(__file__).parent
    installed = package / "styles"
    return installed if installed.is_dir() else package.parent / "styles"
