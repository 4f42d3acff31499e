"""ssl: train a representation with one command, measure it honestly with another."""

__version__ = "0.1.0"
__all__ = ["load"]


def __getattr__(name: str) -> object:
    if name != "load":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return importlib.import_module("ssl_cli.export.load").load  # torch comes in here
