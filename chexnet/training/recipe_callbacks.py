"""Callbacks of a run that only some recipes need: average of the weights, frozen backbone, warm-up."""

import paddle
from paddle.callbacks import Callback
from paddle.optimizer.lr import LRScheduler

from chexnet.config import TrainConfig
from chexnet.model import CheXNet, checkpoint
from chexnet.training.progress_logger import Logs
from chexnet.training.run_state import RunState, TrainProgress
from chexnet.training.schedules import WarmUp
from chexnet.training.training_step import TrainingModel


def build_recipe_callbacks(
    config: TrainConfig,
    network: CheXNet,
    schedule: LRScheduler,
    progress: TrainProgress,
    steps: int,
    saved: RunState | None,
) -> list[Callback]:
    """Return the callbacks that a configuration asks for.

    Args:
        config: the configuration.
        network: the network of the run, with its initial weights.
        schedule: its learning-rate schedule.
        progress: its progress.
        steps: training steps per epoch.
        saved: state to resume from.
    """
    callbacks: list[Callback] = []
    if config.ema is not None:
        callbacks.append(WeightAverage(network, config.ema, progress, steps, saved))
    if config.freeze_backbone:
        callbacks.append(FrozenBackbone(network, config.freeze_backbone, progress))
    if isinstance(schedule, WarmUp):
        callbacks.append(WarmUpStep(schedule, progress, steps))
    return callbacks


class WeightAverage(Callback):
    """Average the weights after every step: Polyak and Juditsky, SIAM J. Control and Optimization 30, 1992.

    The average is a network of its own, in float32, which is validated and saved as the result of the run. Step t of
    the run, counted from 1, replaces it by decay_t times itself plus (1 - decay_t) times the weights, where decay_t is
    `decay` or t / (t + 9), whichever is lower, so that the initial weights do not prevail in a short run (as in
    TensorFlow's ExponentialMovingAverage). The running statistics of batch normalization are averaged in the same way.

    Args:
        network: the network of the run, with its initial weights.
        decay: number in (0, 1).
        progress: progress of the run.
        steps: training steps per epoch.
        saved: state to resume from.
    """

    def __init__(
        self, network: CheXNet, decay: float, progress: TrainProgress, steps: int, saved: RunState | None = None
    ) -> None:
        super().__init__()
        self.average = CheXNet(network.out_size, network.backbone_name, network.normalization)
        weights = saved.average if saved else {name: value.numpy() for name, value in network.state_dict().items()}
        checkpoint.load_state_dict(self.average, weights, "the average of the weights in the saved state")
        self.decay = decay
        self.progress = progress
        self.steps = steps

    def set_model(self, model: TrainingModel) -> None:
        super().set_model(model)
        model.validated = self.average

    def on_train_batch_end(self, step: int, logs: Logs = None) -> None:
        done = self.progress.epoch * self.steps + self.progress.step
        weight = 1 - min(self.decay, done / (done + 9))
        current = self.model.network.state_dict()
        with paddle.no_grad():
            for name, value in self.average.state_dict().items():
                value.lerp_(current[name].astype(value.dtype), weight)


class FrozenBackbone(Callback):
    """Keep all weights but those of the head as they are in the first epochs.

    A frozen backbone computes as in validation: batch normalization uses and keeps its running statistics.

    Args:
        network: the network of the run.
        epochs: number of epochs.
        progress: progress of the run.
    """

    def __init__(self, network: CheXNet, epochs: int, progress: TrainProgress) -> None:
        super().__init__()
        backbone = network.backbone
        self.parameters = [
            parameter
            for name, parameter in backbone.named_parameters()
            if parameter.trainable and not name.startswith(backbone.head_prefixes)
        ]
        self.layers = [
            layer
            for name, layer in backbone.named_sublayers()
            if not list(layer.children()) and not f"{name}.".startswith(backbone.head_prefixes)
        ]
        self.epochs = epochs
        self.progress = progress

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        frozen = self.progress.epoch < self.epochs
        for parameter in self.parameters:
            parameter.stop_gradient = frozen
        self.model.frozen_layers = self.layers if frozen else []


class WarmUpStep(Callback):
    """Set the position of a warm-up before every step."""

    def __init__(self, schedule: WarmUp, progress: TrainProgress, steps: int) -> None:
        super().__init__()
        self.schedule = schedule
        self.progress = progress
        self.steps = steps

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.on_train_batch_begin(0)

    def on_train_batch_begin(self, step: int, logs: Logs = None) -> None:
        self.schedule.set_position(self.progress.epoch * self.steps + self.progress.step)
