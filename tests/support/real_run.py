"""A training run of the real network."""

from pathlib import Path

import pytest
from miniature import small_config

from chexnet.config import TrainConfig
from chexnet.training import TrainResult, train


@pytest.fixture(scope="session")
def real_run(small_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainConfig, TrainResult, list[str]]:
    """Two epochs of DenseNet-121, with a state within the second: configuration, result and logged lines."""
    config = small_config(small_data, tmp_path_factory.mktemp("real_run") / "save")
    config = TrainConfig(**{**vars(config), "save_every_steps": 4, "keep_states": 3})
    logged: list[str] = []
    return config, train(config, logged.append), logged
