"""The public names that your own method, pretext task, probe, backbone, data set or tracker needs.

Import from here: where these things live inside ``ssl_cli`` may change, their names here stay.
"""

from ssl_cli.augment.augment import Augment
from ssl_cli.backbones.base import Backbone
from ssl_cli.batch import Batch, Target, Task
from ssl_cli.data.base import Data, Raw
from ssl_cli.data.images.base import ImageData
from ssl_cli.data.images.info import ImageInfo
from ssl_cli.data.info import DataInfo
from ssl_cli.distributed.collectives import all_reduce_sum, gather
from ssl_cli.distributed.group import rank, world_size
from ssl_cli.errors import UserError
from ssl_cli.methods.base import Method
from ssl_cli.photos import Photos
from ssl_cli.pretext.base import Pretext
from ssl_cli.probes.base import Features, Probe, Result, Split
from ssl_cli.training.trackers.base import TrackedRun, Tracker

__all__ = [
    "Augment",
    "Backbone",
    "Batch",
    "Data",
    "DataInfo",
    "Features",
    "ImageData",
    "ImageInfo",
    "Method",
    "Photos",
    "Pretext",
    "Probe",
    "Raw",
    "Result",
    "Split",
    "Target",
    "Task",
    "TrackedRun",
    "Tracker",
    "UserError",
    "all_reduce_sum",
    "gather",
    "rank",
    "world_size",
]
