"""What tests of reports share: hostile names, the command line in this process, and a strict look at a page."""

import json
import re
from urllib.parse import unquote

import html5lib
import pytest

from ssl_cli.cli import main

NAMES = ("<script>alert(1)<", "$x^{ & \"quoted'", "naïve 猫")


OWN = {"index.html", *(f"{name}.{kind}" for name in (
    *("loss", "validation", "learning_rate", "collapse", "label_efficiency", "confusion"),
    *("pca", "tsne", "tsne_images", "neighbours", "views"),
) for kind in ("png", "svg"))}  # fmt: skip


def called(cwd, *args):
    """Run the command line in this process, as if from ``cwd``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        patch.setattr("sys.argv", ["ssl", *args])
        patch.setenv("HYDRA_FULL_ERROR", "1")
        return main(list(args))


def files(directory):
    return {str(f.relative_to(directory)): f.stat().st_mtime_ns for f in directory.rglob("*") if f.is_file()}


def parsed(page):
    """Return the page as a tree; a page that is not valid HTML is an error."""
    return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(page.read_text(encoding="utf-8"))


def words(tree):
    return " ".join("".join(tree.find("body").itertext()).split())


def check_page(page):
    """Assert what must hold for every page: valid, its own ids, nothing from a network, nothing that leads nowhere."""
    text, tree = page.read_text(encoding="utf-8"), parsed(page)
    ids = [element.get("id") for element in tree.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    for element in tree.iter():
        for name, value in element.attrib.items():
            assert not str(name).startswith("on"), (element.tag, name)
            if str(name).rpartition("}")[2] in ("src", "href", "xlink:href"):
                assert value.startswith(("data:image/", "#", "../")), value[:60]
                assert not value.startswith("#") or value[1:] in ids
                assert not value.startswith("../") or (page.parent / unquote(value)).is_file()
    assert not re.findall(r"url\((?!#|data:|&quot;)", text)
    assert {element.get("http-equiv") for element in tree.iter("meta")} == {None, "Content-Security-Policy"}
    return tree


def spoil(run, **changes):
    summary = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps({**summary, **changes}))
