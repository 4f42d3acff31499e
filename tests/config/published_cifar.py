"""What the sources of the recipes for CIFAR say, in our config's words; see sources.py."""

from sources import (
    ADAPTED,
    BOTH,
    DECAYED_SGD,
    EXCLUDED,
    JITTER,
    LARS,
    NO_WARMUP,
    PIL,
    SGD,
    STRONG_JITTER,
    WEAK_JITTER,
    Source,
    under,
    views,
)

# ---- vturrisi/solo-learn, for CIFAR: the files of each method, solo/args/pretrain.py, solo/methods/base.py ----
SOLO_COMMIT = "9187ea39c2c3f43c455ab06664d2b019a9802954"
SOLO = {
    "dataset.val_fraction": 0.0,
    "dataset.labels": "all",
    "backbone.arch": "resnet18",
    "backbone.stem": "cifar",
    "backbone.zero_init_residual": False,
    "optimizer.scale": "linear",
    "optimizer.momentum": 0.9,
    "schedule.warmup": "10 epochs",
    "schedule.final": 0.0,
    **under("trainer", epochs=1000, batch_size=256, clip_grad=None),
}
SOLO_LARS = {"optimizer._target_": LARS, "optimizer.eta": 0.02, **EXCLUDED, **ADAPTED}
SOLO_LARS |= {"optimizer.separate_norms": True, "optimizer.clip_lr": True}
SYMMETRIC = views(BOTH, 0.08, STRONG_JITTER, blur=0.5, kernel=PIL) | {"pretext.augment2": None}
SYMMETRIC_WEAK = views(BOTH, 0.08, JITTER, blur=0.5, kernel=PIL) | {"pretext.augment2": None}
ASYMMETRIC = views(BOTH, 0.08, WEAK_JITTER) | views(("pretext.augment2",), 0.08, WEAK_JITTER, solarize=0.2)


def _solo(file, lr, weight_decay, views, optimizer=SOLO_LARS, **settings):
    given = {key if "." in key else f"method.{key}": value for key, value in settings.items()}
    rates = {"optimizer.lr": lr, "optimizer.weight_decay": weight_decay, "schedule.start": 3e-5 / lr}
    path = f"scripts/pretrain/cifar/{file}.yaml"
    return Source("vturrisi/solo-learn", path, SOLO_COMMIT, {**SOLO, **optimizer, **rates, **views, **given})


SOLO_LEARN = {
    "barlow_twins_cifar10": _solo(
        *("barlow", 0.3, 1e-4, ASYMMETRIC),
        **{"hidden_dim": 2048, "out_dim": 2048, "layers": 3, "scale": 0.1, "off_diagonal": 0.0051},
    ),
    "byol_cifar10": _solo(
        *("byol", 1.0, 1e-5, ASYMMETRIC),
        **{"hidden_dim": 4096, "out_dim": 256, "projector_norm": False, "momentum": 0.99},
    ),
    "deepcluster_cifar10": _solo(
        *("deepclusterv2", 0.6, 1e-6, SYMMETRIC),
        **{"hidden_dim": 2048, "out_dim": 128, "layers": 2, "clusters": 3000, "heads": 3, "temperature": 0.1},
        **{
            "iterations": 10,
            "balanced": False,
            **under("schedule", warmup="11 epochs", final=0.001, start=0.0),
        },
    ),
    "dino_cifar10": _solo(
        *("dino", 0.3, 1e-6, ASYMMETRIC),
        **{"hidden_dim": 2048, "bottleneck_dim": 256, "prototypes": 4096, "head_norm": False, "head_std": 0.02},
        **{"student_temperature": 0.1, "teacher_temperature": 0.07, "teacher_warmup": 0.0, "momentum": 0.9995},
        **{"centre_momentum": 0.9, "freeze_epochs": 1},
    ),
    "moco_v3_cifar10": _solo(
        *("mocov3", 0.3, 1e-6, ASYMMETRIC),
        **{"hidden_dim": 4096, "out_dim": 256, "layers": 2, "predictor_norm": False},
        **{"temperature": 0.2, "momentum": 0.99},
    ),
    "nnclr_cifar10": _solo(
        *("nnclr", 0.4, 1e-5, ASYMMETRIC),
        **{"hidden_dim": 2048, "out_dim": 256, "layers": 3, "last_norm": "affine", "predictor_hidden_dim": 4096},
        **{"temperature": 0.2, "queue_size": 65536},
    ),
    "simclr_cifar10": _solo(
        *("simclr", 0.4, 1e-4, SYMMETRIC),
        **{"hidden_dim": 2048, "out_dim": 256, "layers": 2, "hidden_norm": False, "last_norm": "none"},
        **{"temperature": 0.2},
    ),
    "simsiam_cifar10": _solo(
        *("simsiam", 0.5, 1e-5, SYMMETRIC_WEAK, DECAYED_SGD),
        **{"hidden_dim": 2048, "out_dim": 2048, "layers": 3, "predictor_dim": 512, "fix_predictor_lr": True},
    ),
    "supcon_cifar10": _solo(
        *("supcon", 0.4, 1e-5, SYMMETRIC, DECAYED_SGD),
        **{"hidden_dim": 2048, "out_dim": 256, "layers": 2, "hidden_norm": False, "positives": "inside"},
        **{"temperature": 0.2},
    ),
    "swav_cifar10": _solo(
        *("swav", 0.6, 1e-6, SYMMETRIC),
        **{"hidden_dim": 2048, "out_dim": 128, "layers": 2, "last_norm": "none", "prototypes": 3000},
        **{"temperature": 0.1, "epsilon": 0.05, "iterations": 3, "queue": 3840, "queue_epoch": 50, "freeze_epochs": 2},
    ),
    "vicreg_cifar10": _solo(
        *("vicreg", 0.3, 1e-4, views(BOTH, 0.2, WEAK_JITTER, solarize=0.1) | {"pretext.augment2": None}),
        **{"hidden_dim": 2048, "out_dim": 2048, "layers": 3},
        **{"invariance": 25.0, "variance": 50.0, "covariance": 1.0},  # there the variance term is not halved
    ),
}

PAD_CROP = {  # a mirror, and a crop of the image padded by an eighth of its side
    "augment.crop.p": 0.0,
    "augment.flip": 0.5,
    "augment.jitter.p": 0.0,
    "augment.pad_crop.p": 1.0,
    "augment.pad_crop.pad": 0.125,
}
SMALL = {
    "fixmatch_cifar10": Source(
        "TorchSSL/TorchSSL",
        "config/fixmatch/fixmatch_cifar10_40_0.yaml",
        "f26e1d42967cec7f7c8a00c2e7ff9219d8ab7c92",
        {
            "dataset.val_fraction": 0.0,
            "dataset.labels": "4/class",
            "backbone.norm_momentum": 0.001,
            **EXCLUDED,
            "optimizer._target_": SGD,
            **under("optimizer", nesterov=True, momentum=0.9, scale="none", lr=0.03, weight_decay=5e-4),
            "schedule.warmup": "0 steps",
            "schedule._target_": "ssl_cli.optim.schedule.SevenSixteenths",
            "trainer.batch_size": 512,
            "trainer.max_steps": 1048576,
            "augment.flip": 0.5,
            "pretext.weak": "pad_crop",
            "pretext.operations": 3,
            "pretext.cutout": 0.5,
            **under("method", mu=7, threshold=0.95, weight=1.0, momentum=0.999),
        },
    ),
    "moco_cifar10": Source(
        "facebookresearch/moco",
        "colab/moco_cifar10_demo.ipynb",
        "f7364915bc4e9161427d7c6bb4f454fa0f171337",
        NO_WARMUP
        | views(BOTH, 0.08, JITTER, interpolation="bilinear")
        | {
            "dataset.val_fraction": 0.0,
            "backbone.arch": "resnet18",
            "backbone.stem": "cifar",
            "backbone.split_norms": 8,
            "backbone.zero_init_residual": False,
            **DECAYED_SGD,
            **under("optimizer", momentum=0.9, scale="linear", lr=0.03, weight_decay=5e-4),  # there 0.06 at 512
            **under("trainer", epochs=800, batch_size=512),
            "pretext.augment2": None,
            **under(
                "method",
                temperature=0.1,
                queue_size=4096,
                momentum=0.99,
                symmetric=True,
                reduction="sum",
                layers=1,
                out_dim=128,
            ),
            "probes.knn.k": 200,
            "probes.knn.temperature": 0.1,
        },
    ),
    "rotation_cifar10": Source(
        "gidariss/FeatureLearningRotNet",
        "config/CIFAR10_RotNet_NIN4blocks.py",
        "edafaba6561003292017d0a44272414356c959ff",
        PAD_CROP
        | {
            "dataset.val_fraction": 0.0,
            "augment.pad_crop.border": "black",
            "pretext.all_four": True,
            **DECAYED_SGD,
            **under("optimizer", nesterov=True, momentum=0.9, scale="none", lr=0.1, weight_decay=5e-4),
            **under("schedule", warmup="0%", factor=0.2, milestones=["60 epochs", "120 epochs", "160 epochs"]),
            **under("trainer", epochs=200, batch_size=128),
            "method.layers": 1,
        },
    ),
    "supervised_cifar10": Source(
        "kuangliu/pytorch-cifar",
        "main.py",
        "49b7aa97b0c12fe0d4054e670403a16b6b834ddd",
        NO_WARMUP
        | PAD_CROP
        | {
            "dataset.val_fraction": 0.0,
            "augment.pad_crop.border": "black",
            "backbone.stem": "cifar",
            "backbone.zero_init_residual": False,
            **DECAYED_SGD,
            **under("optimizer", momentum=0.9, scale="none", lr=0.1, weight_decay=5e-4),
            **under("trainer", epochs=200, batch_size=128),
            "method.label_smoothing": 0.0,
        },
    ),
}
CIFAR = SOLO_LEARN | SMALL
