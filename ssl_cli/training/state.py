"""How far training has come."""

from dataclasses import dataclass


@dataclass
class TrainingState:
    """What a checkpoint holds beside weights, under ``progress``."""

    step: int = 0  # optimizer steps done
    seconds: float = 0.0  # of training and evaluation, all parts of a resumed run together
    processor_seconds: float = 0.0  # of training steps, of all threads of this process; likewise
    best_knn: float = -1.0  # best val kNN accuracy so far; -1: none yet
    last_knn: float = -1.0  # of the latest evaluation
    start_knn: float = -1.0  # of weights that were trained before, at step 0
    collapsed: bool = False  # whether the embedding was, at the latest evaluation
    warned: bool = False  # whether that has been said
    step_seconds: float = 0.0  # of a training step, mean of this part of the run
    data_share: float = 0.0  # of it, spent waiting for data
    skipped: int = 0  # steps that were left out because of their numbers
    rollbacks: int = 0  # times that training went back to a checkpoint because of them


@dataclass
class Due:
    """What falls due after a step."""

    epoch: float  # passes over the train split so far
    finished: bool  # it was the last step of the training
    last: bool  # it was the last step of this process: finished, or asked to stop
    row: bool
    evaluation: bool
    save: bool
    keep: bool  # the checkpoint also stays as that of its epoch
