"""Learning-rate schedules. They are stepped after the validation of each epoch."""

import math

from paddle.optimizer.lr import LambdaDecay, LRScheduler, MultiStepDecay, ReduceOnPlateau

from chexnet.config import TrainConfig


class WarmUp(LRScheduler):
    """A schedule whose rate is reduced in the first steps of a run: step n of N has n / N of it.

    The state is that of the schedule. The position is set before every step, so it need not be saved.

    Args:
        schedule: the schedule after the warm-up.
        steps: number of training steps of the warm-up.
    """

    def __init__(self, schedule: LRScheduler, steps: int) -> None:
        self.schedule = schedule
        self.steps = steps
        self.done = 0
        super().__init__(schedule.base_lr)

    def get_lr(self) -> float:
        """Return the learning rate of the next step."""
        return self.schedule.last_lr * min(1.0, (self.done + 1) / self.steps)

    def set_position(self, done: int) -> None:
        """Set the number of training steps since the beginning of the run."""
        self.done = done
        self.last_lr = self.get_lr()

    def step(self, *args: float) -> None:
        """Step the schedule, with its arguments. The constructor of the base class calls this once."""
        if self.last_epoch >= 0:
            self.schedule.step(*args)
        self.last_epoch += 1
        self.last_lr = self.get_lr()

    def state_dict(self) -> dict[str, float]:
        """Return the state of the schedule."""
        return self.schedule.state_dict()

    def set_state_dict(self, state_dict: dict[str, float]) -> None:
        """Restore the state of the schedule."""
        self.schedule.set_state_dict(state_dict)
        self.last_lr = self.get_lr()


def build_schedule(config: TrainConfig, steps_per_epoch: int) -> LRScheduler:
    """Return the schedule of a run.

    - `step`: times `decay_factor` after each of `decay_epochs`.
    - `plateau`: times `decay_factor` when the validation loss has been no lower than its minimum, by 0.01 %, for more
      than `patience` epochs in a row.
    - `cosine`: half a cosine from the full rate, in the first epoch after the warm-up, to 0 after the last epoch
      (Loshchilov and Hutter, SGDR, ICLR 2017, without restarts).
    """
    rate, factor = config.learning_rate, config.decay_factor
    if config.schedule == "plateau":
        schedule: LRScheduler = ReduceOnPlateau(rate, factor=factor, patience=config.patience, threshold=1e-4)
    elif config.schedule == "cosine":
        epochs, warm_up = config.epoch, config.warmup_epochs

        def cosine(epoch: int) -> float:
            return 0.5 * (1 + math.cos(math.pi * max(0, epoch - warm_up) / (epochs - warm_up)))

        schedule = LambdaDecay(rate, cosine)
    else:
        schedule = MultiStepDecay(rate, list(config.decay_epochs), factor)
    return WarmUp(schedule, config.warmup_epochs * steps_per_epoch) if config.warmup_epochs else schedule
