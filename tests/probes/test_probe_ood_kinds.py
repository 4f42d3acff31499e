"""The second data set of the ood probe has the inputs that the first one has."""

from types import SimpleNamespace

import pytest

from ssl_cli.config.kinds import check_second
from ssl_cli.errors import UserError
from ssl_cli.probes.ood import OOD


def test_images_are_no_strangers_to_texts():
    source = SimpleNamespace(info=SimpleNamespace(kind="text"))
    with pytest.raises(UserError, match=r"compares texts with images; write dataset@probe\.against=NAME"):
        OOD(against={"name": "shapes"})._load(source)


def test_a_second_data_set_of_the_first_ones_kind_is_taken():
    check_second(
        {"probes.ood": {"against": {"_kind_": "text"}}, "probes.knn": {"k": 20}, "probes.linear": None}, "text"
    )
