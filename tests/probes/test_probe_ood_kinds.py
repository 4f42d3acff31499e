"""The second data set of the ood probe has the inputs that the first one has."""

from types import SimpleNamespace

import pytest

from ssl_cli.errors import UserError
from ssl_cli.probes.ood import OOD


def test_images_are_no_strangers_to_texts():
    source = SimpleNamespace(info=SimpleNamespace(kind="text", noun="text"))
    with pytest.raises(UserError, match=r"compares texts with images; write dataset@probe\.against=NAME"):
        OOD(against={"name": "shapes"})._load(source)
