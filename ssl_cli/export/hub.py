"""``push=USER/NAME``: what was exported becomes a repository of the Hugging Face hub."""

import re
from pathlib import Path
from typing import Any

from ssl_cli.config.words import command
from ssl_cli.errors import RunError, UserError, one_line

_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)
_EMPTY = {".gitattributes"}  # what the hub puts into a new repository


def check_name(push: str) -> None:
    """Raise ``UserError`` for what cannot be the name of a repository."""
    if not _NAME.fullmatch(push) or len(push) > 96 or ".." in push or "--" in push:
        raise UserError(f"push={push} is not the name of a repository on the hub; write push=USER/NAME")


def check_hub(push: str) -> None:
    """Raise ``UserError`` where nobody is logged in, or the repository holds something, before any work is done."""
    from huggingface_hub import get_token

    if get_token() is None:
        raise UserError("push= needs a login to the hub; write `hf auth login` first, or set HF_TOKEN")
    api = _api()
    try:
        held = set(api.list_repo_files(push)) - _EMPTY if api.repo_exists(push) else set()
    except Exception as error:
        raise RunError(f"cannot ask the hub about {push}: {_line(error)}") from error
    if held:
        raise UserError(
            f"{push} holds {len(held)} files on the hub; nothing was overwritten: write another push=USER/NAME"
        )


def push_directory(directory: Path, push: str) -> str:
    """Upload a directory into a new, private repository, or into an empty one. Returns its address.

    Raises:
        RunError: the hub did not take it; the directory is there all the same.
    """
    api = _api()
    try:
        address = api.create_repo(push, private=True, exist_ok=True, repo_type="model")
        api.upload_folder(repo_id=push, folder_path=directory, repo_type="model", commit_message="Export by ssl")
    except Exception as error:
        raise RunError(
            f"{directory} is written, but the hub did not take it: {_line(error)}; to try again: "
            f"{command('hf', 'upload', push, directory)}"
        ) from error
    return str(address)


def _api() -> Any:
    from huggingface_hub import HfApi

    return HfApi()


def _line(error: Exception) -> str:
    return one_line(next(iter(str(error).strip().splitlines()), type(error).__name__))[:200]
