"""Where the YAML files are, and which groups they make."""

from pathlib import Path


def conf_dir() -> Path:
    """Return the directory of the YAML configs: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).resolve().parent.parent
    checkout = package.parent / "conf"
    return checkout if (checkout / "train.yaml").is_file() else package / "conf"


def group_names(conf: Path) -> list[str]:
    """Return the config groups on disk."""
    return sorted(path.name for path in conf.iterdir() if path.is_dir())
