"""Published localization results on ChestX-ray14."""

from chexnet.labels import CLASS_NAMES

WANG = "Wang et al., ChestX-ray8, CVPR 2017, tables 4 and 7 (arXiv:1705.02315v5), ResNet-50"

WANG_HIT_RATES: dict[str, dict[str, float]] = {
    measure: dict(zip(CLASS_NAMES[:8], rates, strict=True))
    for measure, rates in {
        "iobb>0.1": (0.7277, 0.9931, 0.7124, 0.7886, 0.4352, 0.1645, 0.7500, 0.4591),
        "iobb>0.25": (0.5500, 0.9794, 0.5424, 0.5772, 0.2823, 0.0506, 0.5583, 0.3469),
        "iobb>0.5": (0.2833, 0.8767, 0.3333, 0.4227, 0.1411, 0.0126, 0.3833, 0.1836),
        "iou>0.1": (0.6888, 0.9383, 0.6601, 0.7073, 0.4000, 0.1392, 0.6333, 0.3775),
        "iou>0.5": (0.0500, 0.1780, 0.1111, 0.0650, 0.0117, 0.0126, 0.0333, 0.0306),
    }.items()
}
"""Hit rates by measure and finding. Only the first eight findings have boxes. Wang et al. count a hit if any of several
predicted boxes matches. They report IoU at 0.2 and 0.3 instead of 0.25, and no pointing game."""
