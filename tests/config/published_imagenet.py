"""What the sources of the recipes for ImageNet say, in our config's words; see sources.py."""

from sources import (
    ADAMW,
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

IMAGENET = {
    "dataset.val_fraction": 0.0,
    "dataset.keep_aspect": True,
    "pretext.size": 224,
    "backbone.arch": "resnet50",
    "backbone.stem": "imagenet",
    "backbone.split_norms": 1,
    "optimizer.scale": "linear",
    "optimizer.momentum": 0.9,
}
WARMUP = {"schedule.warmup": "10 epochs", "schedule.start": 0.0, "schedule.final": 0.0}
LARS_001 = {"optimizer._target_": LARS, "optimizer.eta": 0.001, **EXCLUDED, **ADAPTED}
LARC = LARS_001 | {"optimizer.decay_1d": True, "optimizer.adapt_1d": True, "optimizer.separate_norms": True}
BYOL_VIEWS = views(BOTH, 0.08, WEAK_JITTER, blur=1.0) | views(
    ("pretext.augment2",), 0.08, WEAK_JITTER, blur=0.1, solarize=0.2
)
IMAGENET_RECIPES = {
    "barlow_twins_imagenet": Source(
        "facebookresearch/barlowtwins",
        "main.py",
        "8e8d284ca0bc02f88b92328e53f9b901e86b4a3c",
        IMAGENET
        | LARS_001
        | BYOL_VIEWS
        | {
            "backbone.zero_init_residual": True,
            **under("optimizer", lr=0.2, lr_1d=0.0048 / 0.2, weight_decay=1e-6),
            **under("schedule", warmup="10 epochs", start=0.0, final=0.001),
            **under("trainer", epochs=1000, batch_size=2048),
            **under("method", off_diagonal=0.0051, scale=1.0, layers=3, hidden_dim=8192, out_dim=8192),
        },
    ),
    "byol_imagenet": Source(
        "google-deepmind/deepmind-research",
        "byol/configs/byol.py",
        "f5de0ede8430809180254ee957abf36ed62579ef",
        IMAGENET
        | LARS_001
        | WARMUP
        | BYOL_VIEWS
        | {
            "backbone.zero_init_residual": True,
            "optimizer.lr": 0.2,
            "optimizer.weight_decay": 1.5e-6,
            **under("trainer", epochs=1000, batch_size=4096),
            **under("method", momentum=0.996, hidden_dim=4096, out_dim=256, projector_norm=False),
        },
    ),
    "deepcluster_imagenet": Source(
        "facebookresearch/swav",
        "scripts/deepclusterv2_400ep_2x224_pretrain.sh",
        "06b1b7cbaf6ba2a792300d79c7299db98b93b7f9",
        IMAGENET
        | LARC
        | views(BOTH, 0.08, STRONG_JITTER, blur=0.5, interpolation="bilinear")
        | {
            "backbone.zero_init_residual": False,
            "optimizer.lr": 0.3,
            "optimizer.weight_decay": 1e-6,
            **under("schedule", warmup="10 epochs", start=0.0625, final=0.001),
            **under("trainer", epochs=400, batch_size=4096),
            "pretext.augment2": None,
            **under(
                "method", clusters=3000, heads=3, temperature=0.1, iterations=10, layers=2, hidden_dim=2048, out_dim=128
            ),
        },
    ),
    "dino_imagenet": Source(
        "facebookresearch/dino",
        "README.md",  # "ResNet-50 and other convnets trainings", and the defaults of main_dino.py
        "7c446df5b9f45747937fb0d72314eb9f7b66930a",
        IMAGENET
        | EXCLUDED
        | views(("augment",), None, WEAK_JITTER, blur=1.0, kernel=PIL)
        | views(("pretext.augment2",), None, WEAK_JITTER, blur=0.1, solarize=0.2, kernel=PIL)
        | views(("pretext.augment_local",), None, WEAK_JITTER, blur=0.5, kernel=PIL)
        | {
            "pretext.global_scale": [0.14, 1.0],
            "pretext.local_scale": [0.05, 0.14],
            "pretext.local_views": 8,
            "backbone.zero_init_residual": False,
            "optimizer._target_": SGD,
            **under("optimizer", nesterov=False, lr=0.03, weight_decay=1e-4),
            **under("schedule", warmup="10 epochs", start=0.0, final=1e-6 / 0.06),
            **under("trainer", clip_grad=3.0, clip_by="tensor", epochs=100, batch_size=512),
            **under(
                "method",
                prototypes=65536,
                hidden_dim=2048,
                bottleneck_dim=256,
                head_norm=False,
                head_std=0.02,
                student_temperature=0.1,
                teacher_temperature=0.04,
                teacher_temperature_start=0.04,
                teacher_warmup=0.0,
                momentum=0.996,
                centre_momentum=0.9,
                freeze_epochs=1,
            ),
        },
    ),
    "moco_imagenet": Source(
        "facebookresearch/moco",
        "README.md",  # with the defaults of main_moco.py
        "78b69cafae80bc74cd1a89ac3fb365dc20d157d3",
        IMAGENET
        | NO_WARMUP
        | views(BOTH, 0.2, JITTER, blur=0.5, interpolation="bilinear")
        | {
            "backbone.split_norms": 8,  # there each of eight GPUs has its own norms
            "backbone.zero_init_residual": False,
            **DECAYED_SGD,
            "optimizer.lr": 0.03,
            "optimizer.weight_decay": 1e-4,
            **under("trainer", epochs=800, batch_size=256),
            "pretext.augment2": None,
            **under(
                "method",
                temperature=0.2,
                queue_size=65536,
                momentum=0.999,
                symmetric=False,
                hidden_norm=False,
                layers=2,
                hidden_dim=2048,
                out_dim=128,
            ),
        },
    ),
    "moco_v3_imagenet": Source(
        "facebookresearch/moco-v3",
        "CONFIG.md",
        "c349e6e24f40d3fedb22d973f92defa4cedf37a7",
        IMAGENET
        | LARS_001
        | WARMUP
        | views(BOTH, 0.2, WEAK_JITTER, blur=1.0, interpolation="bilinear")
        | views(("pretext.augment2",), 0.2, WEAK_JITTER, blur=0.1, solarize=0.2, interpolation="bilinear")
        | {
            "backbone.zero_init_residual": True,
            "optimizer.lr": 0.3,
            "optimizer.weight_decay": 1.5e-6,
            **under("trainer", epochs=1000, batch_size=4096),
            **under(
                "method", temperature=1.0, momentum=0.996, layers=2, predictor_norm=False, hidden_dim=4096, out_dim=256
            ),
        },
    ),
    "simclr_imagenet": Source(
        "google-research/simclr",
        "README.md",  # "Pretraining", and the defaults of run.py and tf2/
        "383d4143fd8cf7879ae10f1046a9baeb753ff438",
        IMAGENET
        | LARS_001
        | WARMUP
        | views(BOTH, 0.08, STRONG_JITTER, blur=0.5)
        | {
            "backbone.zero_init_residual": True,
            "optimizer.lr": 0.3,  # there 0.075 sqrt(4096), which is 0.3 * 4096 / 256
            "optimizer.weight_decay": 1e-4,
            **under("trainer", epochs=100, batch_size=4096),
            "pretext.augment2": None,
            **under(
                "method", temperature=0.1, layers=3, hidden_norm=True, last_norm="scale", hidden_dim=2048, out_dim=128
            ),
        },
    ),
    "simsiam_imagenet": Source(
        "facebookresearch/simsiam",
        "README.md",  # with the defaults of main_simsiam.py
        "a7bc1772896d0dad0806c51f0bb6f3b16d290468",
        IMAGENET
        | NO_WARMUP
        | views(BOTH, 0.2, JITTER, blur=0.5, interpolation="bilinear")
        | {
            "backbone.zero_init_residual": True,
            **DECAYED_SGD,
            "optimizer.lr": 0.05,
            "optimizer.weight_decay": 1e-4,
            **under("trainer", epochs=100, batch_size=512),
            "pretext.augment2": None,
            **under("method", layers=3, hidden_dim=2048, out_dim=2048, predictor_dim=512, fix_predictor_lr=True),
        },
    ),
    "supervised_imagenet": Source(
        "pytorch/examples",
        "imagenet/main.py",
        "77f55b912142e11fcfdf5b530231fb9c52f181e8",
        IMAGENET
        | {
            "augment.crop.p": 1.0,
            "augment.crop.scale": [0.08, 1.0],
            "augment.crop.interpolation": "bilinear",
            "augment.flip": 0.5,
            "augment.jitter.p": 0.0,
            "augment.grey": 0.0,
            "augment.blur.p": 0.0,
            "backbone.zero_init_residual": False,
            **DECAYED_SGD,
            "optimizer.lr": 0.1,
            "optimizer.weight_decay": 1e-4,
            **under("schedule", warmup="0%", factor=0.1, milestones=["30 epochs", "60 epochs"]),
            **under("trainer", epochs=90, batch_size=256),
            "method.label_smoothing": 0.0,
        },
    ),
    "swav_imagenet": Source(
        "facebookresearch/swav",
        "scripts/swav_800ep_pretrain.sh",
        "06b1b7cbaf6ba2a792300d79c7299db98b93b7f9",
        IMAGENET
        | LARC
        | views(BOTH, None, STRONG_JITTER, blur=0.5, kernel=PIL, interpolation="bilinear")
        | {
            "pretext.global_scale": [0.14, 1.0],
            "pretext.local_scale": [0.05, 0.14],
            "pretext.local_views": 6,
            "pretext.augment2": None,
            "pretext.augment_local": None,
            "backbone.zero_init_residual": False,
            "optimizer.lr": 0.3,
            "optimizer.weight_decay": 1e-6,
            **under("schedule", warmup="10 epochs", start=0.0625, final=0.001),
            **under("trainer", epochs=800, batch_size=4096),
            **under(
                "method",
                prototypes=3000,
                temperature=0.1,
                epsilon=0.05,
                iterations=3,
                queue=0,
                freeze_epochs=1,
                layers=2,
                last_norm="none",
                hidden_dim=2048,
                out_dim=128,
            ),
        },
    ),
    "vicreg_imagenet": Source(
        "facebookresearch/vicreg",
        "main_vicreg.py",
        "4e12602fd495af83efd1631fbe82523e6db092e0",
        IMAGENET
        | LARS_001
        | BYOL_VIEWS
        | {
            "backbone.zero_init_residual": True,
            "optimizer.lr": 0.2,
            "optimizer.weight_decay": 1e-6,
            **under("schedule", warmup="10 epochs", start=0.0, final=0.001),
            **under("trainer", epochs=1000, batch_size=2048),
            **under("method", invariance=25.0, variance=25.0, covariance=1.0, layers=3, hidden_dim=8192, out_dim=8192),
        },
    ),
    "mae_imagenet": Source(
        "facebookresearch/mae",
        "PRETRAIN.md",
        "efb2a8062c206524e35e47d04501ed4f544c0ae8",
        {key: value for key, value in IMAGENET.items() if not key.startswith(("backbone", "optimizer.momentum"))}
        | EXCLUDED
        | {
            "augment.crop.p": 1.0,
            "augment.crop.scale": [0.2, 1.0],
            "augment.crop.interpolation": "bicubic",
            "augment.flip": 0.5,
            "augment.jitter.p": 0.0,
            "backbone.patch_size": 16,
            "backbone.dim": 1024,
            "backbone.depth": 24,
            "backbone.heads": 16,
            "optimizer._target_": ADAMW,
            **under("optimizer", lr=1.5e-4, weight_decay=0.05, betas=[0.9, 0.95]),
            **under("schedule", warmup="40 epochs", start=0.0, final=0.0),
            **under("trainer", epochs=800, batch_size=4096),
            "pretext.patch_size": 16,
            "pretext.ratio": 0.75,
            **under("method", decoder_dim=512, decoder_depth=8, decoder_heads=16, normalise=True),
        },
    ),
}
