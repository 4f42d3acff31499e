"""Texts that look like something else: typed, they reach the command as they are; printed, they can be pasted."""

import random
import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from ssl_cli.config.paths import conf_dir
from ssl_cli.config.texts import texts_as_texts
from ssl_cli.config.words import command, in_quotes, is_plain, is_quoted, setting, typed_text, without_quotes

ODD = (
    *("2024", "2024_01", "1e3", "true", "NULL", "nan", ".5", "-1", "été/Bilder", "a b", " a ", "a=b", "a#b", "a,b"),
    *(
        "[a]",
        "{a:1}",
        "a(1)",
        "it's",
        '"a"',
        "'a'",
        "~/x",
        "a\\",
        "a\\'b",
        "C:\\x\\",
        "a;b",
        "a&b",
        "$x",
        "!",
        "?",
        "a:b",
        "http://a.b:50/c%20d",
    ),
)
PARSER = OverridesParser.create()


def read(word: str) -> object:
    """Return the value that Hydra reads in an override."""
    return PARSER.parse_override(word).value()


@pytest.mark.parametrize("text", ODD)
def test_a_text_is_read_as_itself(text):
    assert read(setting("dataset.root", text)) == text
    word = f"dataset.root={text}"
    if not is_quoted(text) and text != "NULL":  # which Hydra means as what they are
        assert read(*texts_as_texts([word], "train", False, [conf_dir()])) == text
    (*_, pasted) = shlex.split(command("ssl", "train", f"x={text}", resume=text))
    assert read(pasted) == text


def test_quotes_hold_any_character_and_come_off_again():
    draw = random.Random(0)
    for _ in range(300):
        text = "".join(draw.choices("a'\"\\, =[]{}$é\n", k=draw.randrange(1, 8)))
        assert read(f"x={in_quotes(text)}") == text, text
        assert is_quoted(in_quotes(text)) and without_quotes(in_quotes(text)) == text
        if is_plain(text):
            assert read(f"x={text}") == text


def test_values_of_other_kinds_are_printed_as_hydra_reads_them():
    for value in (None, True, 3, 0.5, [1, "a b", "2019"], {"k": "1e3", "n": 2}):
        assert read(setting("x", value)) == value


@pytest.mark.parametrize(
    ("typed", "sweep", "several", "seen"),
    [
        ("null", False, False, "null"),
        ("'a,b'", True, False, "'a,b'"),
        ("${oc.env:HOME}/x", False, False, "${oc.env:HOME}/x"),
        ("runs/a-1", False, False, "runs/a-1"),
        ("2024,2025", True, False, "'2024','2025'"),
        ("2024,'b,c'", True, False, "'2024','b,c'"),
        ("choice(a,b)", True, False, "choice(a,b)"),
        ("images (1)", False, False, "'images (1)'"),
        ("2019", False, True, "'2019'"),
        ("[2019,a b]", False, True, "['2019','a b']"),
        ("[2019],[2020,x]", True, True, "['2019'],['2020',x]"),
    ],
)
def test_what_hydra_means_itself_stays(typed, sweep, several, seen):
    assert typed_text(typed, sweep, several) == seen


def test_settings_that_are_texts_are_declared_once():
    typed = ["dataset.target_columns=2019", "dataset.seed=2019", "+trainer.x=1", "hydra.run.dir=a=b", "name=1e3"]
    seen = ["dataset.target_columns='2019'", "dataset.seed=2019", "+trainer.x=1", "hydra.run.dir='a=b'", "name='1e3'"]
    assert texts_as_texts(typed, "train", False, [conf_dir()]) == seen
    typed, seen = ["probe.against.root=2024", "out=7", "launcher.qos=7"], ["probe.against.root='2024'", "out=7"]
    assert texts_as_texts(typed, "probe", False, [conf_dir()]) == [*seen, "launcher.qos='7'"]


@pytest.mark.parametrize("name", ["2024", "2024_01", "1e3", "true", "é [1], a=b #2", "it's"])
def test_a_folder_of_any_name_is_found(ssl, name):
    (ssl.cwd / name).mkdir()
    found = ssl("train", "dataset=folder", f"dataset.root={name}", "--cfg", "job", process="light")
    assert found.status == 0, found.err
    gone = ssl("train", "dataset=folder", f"dataset.root={name}x", process="light")
    assert f"dataset.root={name}x does not exist" in gone.err


def test_what_cannot_be_read_is_told_the_word_to_type(ssl):
    wrong = ssl("train", "method.x=[a", process="light")
    assert wrong.status == 2 and "write 'method.x='\"'\"'[a'\"'\"''" in wrong.err.replace("\n", " ")


def test_a_number_in_a_file_is_no_path(ssl):
    (ssl.cwd / "own").mkdir()
    (ssl.cwd / "own/mine.yaml").write_text(
        "defaults: [train, _self_, {override dataset: folder}]\ndataset: {root: 7}\n"
    )
    wrong = ssl("train", "--config-dir", "own", "-cn", "mine", process="light")
    assert wrong.status == 2 and "dataset.root=7 is int in a file, not a text" in wrong.err, wrong.err
