"""Where the YAML files are, and which groups they make."""

from collections.abc import Sequence
from pathlib import Path


def conf_dir() -> Path:
    """Return the directory of the YAML configs: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).resolve().parent.parent
    checkout = package.parent / "conf"
    return checkout if (checkout / "train.yaml").is_file() else package / "conf"


def composed_from() -> list[Path]:
    """Return the directories that Hydra has composed the config from: those of the user's own configs first."""
    from hydra.core.hydra_config import HydraConfig

    own = [Path(s.path.removeprefix("file://")) for s in HydraConfig.get().runtime.config_sources if s.path]
    return [*own, conf_dir()]


def group_names(conf: Path) -> list[str]:
    """Return the config groups on disk."""
    return sorted(path.name for path in conf.iterdir() if path.is_dir())


def config_dirs(flags: Sequence[str]) -> list[Path]:
    """Return the directories of the user's own configs, from Hydra's flags."""
    return [Path(value) for flag, value in zip(flags, flags[1:], strict=False) if flag in ("--config-dir", "-cd")]
