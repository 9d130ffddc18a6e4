"""The picture of boxes over images, which `tools/localize.py --contact_sheet` writes."""

import numpy as np
import pytest
from PIL import Image

from chexnet.evaluation.localization import write_contact_sheet
from chexnet.evaluation.localization.cases import Case, Sample


@pytest.mark.parametrize("size", [(64, 64), (64, 32)])
@pytest.mark.parametrize("count", [2, 5])
@pytest.mark.parametrize("finding", ["Mass", "肿块"])
def test_nothing_is_cut_off_at_the_border(finding, count, size, tmp_path):
    case = Case("a.png", finding, 0.5, ((2, 2, 8, 8),), (4, 4), (4, 4, 9, 9), True, 0.5, 0.5)
    sample = Sample(case, size, np.full(size, 90, np.uint8), np.random.default_rng(0).random((8, 8)))
    write_contact_sheet(tmp_path / "sheet.png", [sample] * count)
    pixels = np.asarray(Image.open(tmp_path / "sheet.png").convert("L"))
    assert (pixels == 255).mean() < 0.95
    assert (np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]) == 255).all()
