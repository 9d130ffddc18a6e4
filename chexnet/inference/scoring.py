"""Load the checkpoints that an evaluation scores."""

from collections.abc import Sequence

from chexnet.config import InferenceConfig
from chexnet.inference.predictor import Log, Predictor


def load_for_scoring(config: InferenceConfig, ckpts: Sequence[str], log: Log) -> list[Predictor]:
    """Load checkpoints one after the other, with the lines that eval.py has always printed.

    Args:
        config: of the evaluation.
        ckpts: weight files, used in place of `config.ckpt`.
        log: takes these lines.
    """
    predictors: list[Predictor] = []
    for ckpt in ckpts:
        predictor = Predictor(config, ckpt=ckpt)
        if not predictors:
            log(f"=> {predictor.engine}")
        log(f"=> {f'{ckpt}: ' * (len(ckpts) > 1)}{predictor.crops_description}")
        if predictor.disclaimer:
            log(f"=> {ckpt}: {predictor.disclaimer}")
        log("=> loading checkpoint")
        predictor.load()
        log("=> loaded checkpoint")
        predictors.append(predictor)
    return predictors
