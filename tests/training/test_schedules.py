"""Learning-rate schedules against their formulas."""

import math

import pytest
from paddle.optimizer.lr import LRScheduler

from chexnet.config import TrainConfig
from chexnet.training.schedules import WarmUp, build_schedule

STEPS = 4


def rates(config: TrainConfig, losses: list[float] | None = None, resume_after: int | None = None) -> list[float]:
    """Return the rate of every step, as the callbacks of a run step the schedule."""
    schedule = build_schedule(config, STEPS)
    found = []
    for epoch in range(config.epoch):
        for step in range(STEPS):
            if isinstance(schedule, WarmUp):
                schedule.set_position(epoch * STEPS + step)
            found.append(float(schedule()))
            if resume_after == len(found):
                schedule = restored(schedule, config)
        schedule.step(*([losses[epoch]] if losses else []))
    return found


def restored(schedule: LRScheduler, config: TrainConfig) -> LRScheduler:
    other = build_schedule(config, STEPS)
    other.set_state_dict(schedule.state_dict())
    return other


def test_step_decays_after_its_epochs():
    config = TrainConfig(epoch=6, learning_rate=0.1, decay_epochs=(2, 3), decay_factor=0.5)
    expected = [0.1 * 0.5 ** sum(epoch >= decay for decay in (2, 3)) for epoch in range(6) for _ in range(STEPS)]
    assert rates(config) == pytest.approx(expected)


def test_cosine_falls_from_the_full_rate_to_zero_after_the_warm_up():
    config = TrainConfig(epoch=10, learning_rate=0.1, schedule="cosine", warmup_epochs=3)
    expected = [
        0.1 * min(1, (4 * epoch + step + 1) / 12) * (1 + math.cos(math.pi * max(0, epoch - 3) / 7)) / 2
        for epoch in range(10)
        for step in range(STEPS)
    ]
    assert rates(config) == pytest.approx(expected)
    without = build_schedule(TrainConfig(epoch=10, schedule="cosine"), STEPS)
    for _ in range(10):
        without.step()
    assert without() == pytest.approx(0, abs=1e-12)


LOSSES = [1.0, 0.9, 0.95, 0.9, 0.92, 0.89995, 0.7, 0.8, 0.8, 0.8, 0.8, 0.8]


def slow_plateau(losses: list[float], rate: float, factor: float, patience: int) -> list[float]:
    """Return the rate of each epoch: bad epochs are those without a loss below the minimum by a relative 1e-4."""
    found, best, bad = [], math.inf, 0
    for loss in losses:
        found.append(rate)
        best, bad = (loss, 0) if loss < best * (1 - 1e-4) else (best, bad + 1)
        if bad > patience:
            rate, bad = rate * factor, 0
    return found


@pytest.mark.parametrize("patience", [0, 1, 3])
@pytest.mark.parametrize("warmup_epochs", [0, 2])
def test_plateau_against_the_slow_version(patience, warmup_epochs):
    config = TrainConfig(
        epoch=12, learning_rate=0.1, schedule="plateau", patience=patience, warmup_epochs=warmup_epochs
    )
    plain = [rate for rate in slow_plateau(LOSSES, 0.1, 0.1, patience) for _ in range(STEPS)]
    warm = [min(1, (step + 1) / (warmup_epochs * STEPS)) if warmup_epochs else 1 for step in range(len(plain))]
    expected = [rate * factor for rate, factor in zip(plain, warm, strict=True)]
    assert rates(config, LOSSES) == pytest.approx(expected, abs=2e-8)  # changes of less than 1e-8 are not made


def test_plateau_against_pytorch():
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=1)
    expected = []
    for loss in LOSSES:
        expected += [optimizer.param_groups[0]["lr"]] * STEPS
        schedule.step(loss)
    config = TrainConfig(epoch=12, learning_rate=0.1, schedule="plateau", patience=1)
    assert rates(config, LOSSES) == pytest.approx(expected)


@pytest.mark.parametrize("schedule", ["step", "plateau", "cosine"])
@pytest.mark.parametrize("warmup_epochs", [0, 3])
@pytest.mark.parametrize("resume_after", [1, 8, 9, 26])
def test_a_restored_schedule_continues_with_the_same_rates(schedule, warmup_epochs, resume_after):
    config = TrainConfig(epoch=12, decay_epochs=(2, 7), schedule=schedule, patience=1, warmup_epochs=warmup_epochs)
    losses = LOSSES if schedule == "plateau" else None
    assert rates(config, losses, resume_after) == rates(config, losses)
