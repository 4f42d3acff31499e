"""What is fitted where the labels are few: they are spread over the train images, and any image gets an answer."""

from dataclasses import replace

from experiments import composed
from omegaconf import OmegaConf

from ssl_cli.data.labels import draw
from ssl_cli.predict.fit import fit
from ssl_cli.probes.frozen.features import extract
from ssl_cli.probes.heads import LinearHead
from ssl_cli.probes.linear import Linear
from ssl_cli.probes.propagate import Propagate
from ssl_cli.setup.restore import open_checkpoint


def test_labels_that_were_spread_answer_for_images_that_were_not_in_the_graph(trained):
    opened = open_checkpoint(trained[0] / "checkpoints/last.pt", composed("embed", ["ckpt=unused"]))
    data, train = opened.data, opened.data.splits["train"]
    few = train[draw(data.labels[train], "5/class", 0)]
    node = OmegaConf.merge(opened.node, {"labels": "5/class"})
    predictor = fit(replace(opened, labelled=few, node=node), {"propagate": Propagate(labels=["all"])}, False, print)
    assert isinstance(predictor.head, LinearHead) and predictor.name == "propagate"
    test = data.splits["test"]
    features = extract(opened.method.measured, data.images, test, opened.info, "cpu")
    right = predictor.answers(features).classes == data.labels[test]
    alone = fit(replace(opened, labelled=few, node=node), {"linear": Linear(labels=["all"])}, False, print)
    right_alone = alone.answers(features).classes == data.labels[test]
    assert right.float().mean() > right_alone.float().mean()  # than the few labels alone
    assert predictor.temperature > 0 and predictor.calibrated_on == len(data.splits["val"])
