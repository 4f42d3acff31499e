"""Published weights: in the caches of the hub and of torch, or fetched; if neither, that is said at once."""

import os
import socket
import threading
import urllib.request
from pathlib import Path
from urllib.parse import urlparse

from ssl_cli.errors import UserError

PATIENCE = 0.8  # seconds that a network has to answer in
FILES = ("model.safetensors", "pytorch_model.bin")  # of a repository on the hub, best first


def hub_dir() -> Path:
    """Return the directory that the hub keeps its files in."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub").expanduser()


def hub_endpoint() -> str:
    """Return the address of the hub."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def offline() -> bool:
    """Return whether the user has said that the hub is not to be asked."""
    return any(os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE") for name in OFFLINE)


OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


def reachable(address: str) -> bool:
    """Return whether an address, or the proxy on the way to it, answers within `PATIENCE` seconds."""
    target = urlparse(address)
    proxy = urllib.request.getproxies().get(target.scheme)
    if proxy and not urllib.request.proxy_bypass(target.hostname or ""):
        target = urlparse(proxy if "//" in proxy else f"//{proxy}")
    port = target.port or (80 if target.scheme == "http" else 443)
    answered = []

    def call() -> None:
        try:
            socket.create_connection((target.hostname or "", port), timeout=PATIENCE).close()
            answered.append(True)
        except OSError:
            pass

    asking = threading.Thread(target=call, daemon=True)  # a resolver of names may take its time
    asking.start()
    asking.join(PATIENCE)
    return bool(answered)


def from_hub(repository: str, filename: str | None = None) -> Path:
    """Return a file of a repository on the hub: the one in its cache, without a look at the network, or fetched.

    Raises:
        UserError: it is not there and cannot be fetched.
    """
    names = [filename] if filename else list(FILES)
    repository, _, revision = repository.partition("@")
    for name in names:
        if (file := cached(repository, name, revision or "main")) is not None:
            return file
    if offline() or not reachable(hub_endpoint()):
        raise unreachable(repository, names[0])
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils import EntryNotFoundError

    for name in names:
        try:
            return Path(hf_hub_download(repository, name, revision=revision or None))
        except EntryNotFoundError:
            continue
        except Exception as error:  # gated, gone, or the connection broke
            raise unreachable(repository, name, " ".join(str(error).split())[:200]) from error
    raise UserError(f"{hub_endpoint()}/{repository} has none of {', '.join(names)}; write backbone.weights=FILE")


def cached(repository: str, name: str, revision: str = "main") -> Path | None:
    """Return a file of a repository where the hub's cache has it. Imports nothing of the hub."""
    folder = hub_dir() / f"models--{repository.replace('/', '--')}"
    head = folder / "refs" / revision
    commit = head.read_text().strip() if head.is_file() else revision
    file = folder / "snapshots" / commit / name
    return file if file.is_file() else None


def unreachable(repository: str, name: str, why: str = "") -> UserError:
    """Return what to tell somebody who has neither the file nor a way to it."""
    host = urlparse(hub_endpoint()).hostname
    why = why or ("HF_HUB_OFFLINE is set" if offline() else f"{host} does not answer")
    return UserError(
        f"the weights of {repository} are not in {hub_dir()} and cannot be fetched ({why}); put "
        f"{hub_endpoint()}/{repository}/resolve/main/{name} on this machine and write its path: backbone.weights=FILE"
    )


def from_address(address: str, directory: Path) -> Path:
    """Return the file of an address: the one in a directory of such files, or fetched into it.

    Raises:
        UserError: it is not there and cannot be fetched.
    """
    name = os.path.basename(urlparse(address).path)  # noqa: PTH119 (of an address, not of a file here)
    file = directory / name
    if file.is_file():
        return file
    why = "HF_HUB_OFFLINE is set" if offline() else f"{urlparse(address).hostname} does not answer"
    if not offline() and reachable(address):
        from torch.hub import HASH_REGEX, download_url_to_file

        found = HASH_REGEX.search(name)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            download_url_to_file(address, str(file), found[1] if found else None, progress=False)
            return file
        except (OSError, RuntimeError) as error:
            why = " ".join(str(error).split())[:200]
    raise UserError(
        f"the weights {name} are not in {directory} and cannot be fetched ({why}); put {address} there, or write "
        "backbone.weights=FILE with its path"
    )
