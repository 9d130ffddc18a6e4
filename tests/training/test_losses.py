"""Losses against their formulas in NumPy float64, and against PyTorch where it has them."""

import numpy as np
import paddle
import pytest

from chexnet.config import LOSSES
from chexnet.training.losses import (
    AUXILIARY_WEIGHT,
    AsymmetricLoss,
    FocalLoss,
    WeightedBinaryCrossEntropy,
    build_loss,
    loss_metadata,
    loss_of_heads,
)

RNG = np.random.default_rng(0)
LABELS = (RNG.random((40, 5)) < [0.02, 0.1, 0.3, 0.5, 0.9]).astype(np.float32)
TRAINING_LABELS = (RNG.random((400, 5)) < [0.02, 0.1, 0.3, 0.5, 0.9]).astype(np.uint8)
LOGITS = RNG.normal(0, 4, (40, 5)).astype(np.float32)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits.astype(np.float64)))


def bce(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    return -(y * np.log(p) + (1 - y) * np.log(1 - p))


def weighted_bce(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    positives = TRAINING_LABELS.sum(axis=0)
    negatives = len(TRAINING_LABELS) - positives
    positive, negative = negatives / (positives + negatives), positives / (positives + negatives)
    return -(positive * y * np.log(p) + negative * (1 - y) * np.log(1 - p))


def focal(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    p_t = np.where(y == 1, p, 1 - p)
    return -np.where(y == 1, 0.25, 0.75) * (1 - p_t) ** 2 * np.log(p_t)


def asl(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    shifted = np.maximum(p - 0.05, 0)
    return -np.where(y == 1, np.log(p), shifted**4 * np.log(1 - shifted))


FORMULAS = {"bce": bce, "weighted_bce": weighted_bce, "focal": focal, "asl": asl}


def value_and_gradient(name: str, logits: np.ndarray = LOGITS) -> tuple[float, np.ndarray]:
    tensor = paddle.to_tensor(logits, stop_gradient=False)
    loss = build_loss(name, TRAINING_LABELS)(tensor, paddle.to_tensor(LABELS))
    assert loss.shape == []
    loss.backward()
    return float(loss), tensor.grad.numpy()


@pytest.mark.parametrize("name", LOSSES)
def test_values_and_gradients_are_those_of_the_formula(name):
    value, gradient = value_and_gradient(name)
    assert value == pytest.approx(FORMULAS[name](sigmoid(LOGITS), LABELS).mean(), rel=1e-5)
    step = 1e-5
    high, low = (FORMULAS[name](sigmoid(LOGITS.astype(np.float64) + shift), LABELS) for shift in (step, -step))
    np.testing.assert_allclose(gradient, (high - low) / (2 * step) / LABELS.size, rtol=2e-3, atol=1e-7)


@pytest.mark.parametrize("name", LOSSES)
def test_extreme_logits_have_finite_losses_and_gradients_and_nan_stays_nan(name):
    extreme = np.where(LABELS == 1, -95, 95).astype(np.float32)
    for logits in (extreme, -extreme):
        value, gradient = value_and_gradient(name, logits)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()
    broken = LOGITS.copy()
    broken[0, 0] = np.nan
    assert np.isnan(value_and_gradient(name, broken)[0])


def test_weighted_bce_against_pytorch():
    torch = pytest.importorskip("torch")
    loss = WeightedBinaryCrossEntropy(TRAINING_LABELS)
    weights = np.where(LABELS == 1, loss.positive, loss.negative).astype(np.float32)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        *(torch.from_numpy(array) for array in (LOGITS, LABELS, weights))
    )
    assert value_and_gradient("weighted_bce")[0] == pytest.approx(float(expected), rel=1e-5)


def test_focal_and_asymmetric_loss_without_their_factors_are_the_cross_entropy():
    logits, labels = paddle.to_tensor(LOGITS), paddle.to_tensor(LABELS)
    expected = bce(sigmoid(LOGITS), LABELS).mean()
    assert 2 * float(FocalLoss(gamma=0, alpha=0.5)(logits, labels)) == pytest.approx(expected, rel=1e-5)
    assert float(AsymmetricLoss(0, 0, margin=0)(logits, labels)) == pytest.approx(expected, rel=1e-4)


def test_the_mapping_back_from_weighted_training_gives_the_probabilities():
    """The output with the lowest expected loss, mapped back as docs/recipes.md says."""
    loss = WeightedBinaryCrossEntropy(TRAINING_LABELS)
    outputs = np.linspace(1e-4, 1 - 1e-4, 20001)
    for positive, negative in zip(loss.positive, loss.negative, strict=True):
        for p in (0.01, 0.2, 0.7):
            expected_loss = -(positive * p * np.log(outputs) + negative * (1 - p) * np.log(1 - outputs))
            q = outputs[expected_loss.argmin()]
            mapped = q * negative / (q * negative + (1 - q) * positive)
            assert mapped == pytest.approx(p, abs=3e-3)


@pytest.mark.parametrize("name", LOSSES)
def test_auxiliary_heads_are_added_with_their_weight(name):
    loss = build_loss(name, TRAINING_LABELS)
    heads = [paddle.to_tensor(LOGITS + shift) for shift in (0, 1, 2)]
    labels = paddle.to_tensor(LABELS)
    main, *auxiliary = (float(loss(head, labels)) for head in heads)
    assert float(loss_of_heads(loss, heads, labels)) == pytest.approx(
        main + AUXILIARY_WEIGHT * sum(auxiliary), rel=1e-5
    )


def test_metadata_has_the_class_weights_and_a_notice_unless_probabilities_are_calibrated():
    names = tuple("abcde")
    assert loss_metadata("bce", build_loss("bce", TRAINING_LABELS), names) == {}
    metadata = loss_metadata("weighted_bce", build_loss("weighted_bce", TRAINING_LABELS), names)
    prevalence = TRAINING_LABELS.mean(axis=0)
    for name, value in zip(names, prevalence, strict=True):
        assert metadata["class_weights"][name] == pytest.approx({"positive": 1 - value, "negative": value})
    for name in ("weighted_bce", "focal", "asl"):
        assert name in loss_metadata(name, build_loss(name, TRAINING_LABELS), names)["notice"]


def test_a_class_without_positives_or_negatives_has_no_loss():
    labels = np.array([[0, 1]] * 4, np.float32)
    loss = WeightedBinaryCrossEntropy(labels)
    assert float(loss(paddle.full([4, 2], 3.0), paddle.to_tensor(labels))) == 0
