"""The page of an audit is valid, whatever files are called, and a run's page shows what of it is still there."""

from types import SimpleNamespace

import torch
from report_pages import check_page, words

from ssl_cli.audit.finding import Finding, Member, as_csv
from ssl_cli.data.images.base import ImageData
from ssl_cli.report.audit_page import MEMBERS, audit_page, of_run, parts
from ssl_cli.report.read import read_run

ODD = "train/<b>&\"'/x.png"
IMAGES = torch.arange(12 * 3 * 8 * 8).remainder(251).to(torch.uint8).view(12, 3, 8, 8)


def member(i: int, split: str = "train", label: str = "<i>", name: str = "") -> Member:
    return Member(i, name or f"{split}/{i}.png", split, label)


def test_the_page_is_valid_and_shows_some_images_of_each_split(tmp_path):
    many = Finding("near copies", (*(member(i) for i in range(10)), member(10, "test", name=ODD)), "likeness <0.9>")
    page = tmp_path / "audit.html"
    page.write_text(audit_page("<odd>", {"train": "11", "empty": None}, [many, Finding("small class")], IMAGES))
    tree, text = check_page(page), words(check_page(page))
    assert "<odd>: 2 findings" in text and ODD in text and "likeness <0.9>" in text and "3 more images" in text
    assert len(list(tree.iter("img"))) == MEMBERS
    page.write_text(audit_page("none", {}, [], IMAGES))
    assert "none: no findings" in words(check_page(page))


def test_findings_are_parted_by_what_they_are_and_what_to_do():
    leak = Finding("exact copies", (member(0), member(1, "test")))
    conflict = Finding("exact copies", (member(2), member(3, label="b")))
    found = parts([leak, leak, conflict, Finding("blank", (member(4),))], IMAGES)
    titles = ["Exact copies in train and test", "Exact copies with unlike labels", "Blank"]
    assert [part.title for part in found] == titles
    assert [part.number for part in found] == ["2 findings", "1 finding", "1 finding"]


def test_a_run_shows_its_last_audit_as_far_as_the_images_are_there(tmp_path):
    (tmp_path / "audited").mkdir()
    findings = [Finding("blank", (member(0, name="a.png"),)), Finding("blank", (member(1, name="gone.png"),))]
    (tmp_path / "audited/audit.csv").write_bytes(as_csv(findings))
    (tmp_path / "audited/other.csv").write_text("path,label\n")
    at = {"train": torch.tensor([0]), "val": torch.tensor([1]), "test": torch.tensor([], dtype=torch.int64)}
    data = ImageData("few", IMAGES[:2], torch.tensor([0, -1]), ("a",), at, files=("/x/a.png", "/x/b.png"))
    run = read_run(tmp_path)
    shown, notes = of_run(run, SimpleNamespace(data=data, root="/x"))
    assert [part.title for part in shown] == ["Blank"] and shown[0].shown[0].members[0].note == "train, a"
    assert notes == ["audit.csv: 2 findings.", "1 are about images that are not there now."]
    assert of_run(run, None) == ([], notes[:1])
    (tmp_path / "audited/audit.csv").unlink()
    assert of_run(read_run(tmp_path), None) == ([], [])
