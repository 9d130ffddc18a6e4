"""The load test of the server in miniature. No test depends on a measured time."""

import re

from benchmarks import serving
from chexnet.model import CheXNet, checkpoint


def test_the_load_test_prints_rates_times_and_ratios(tmp_path, monkeypatch, capsys):
    ckpt, facts = tmp_path / "model.pdparams", {"backbone": "lenet", "resize": 36, "crop": 32}
    checkpoint.save_checkpoint(CheXNet(backbone="lenet").state_dict(), ckpt, facts)
    monkeypatch.setattr(serving, "SIZE", 64)
    monkeypatch.setattr(serving, "SINGLE_IMAGES", 1)
    flags = ["--ckpt", str(ckpt), "--crops", "1", "--engine", "paddle", "--requests", "17", "--rounds", "1"]
    assert serving.main(flags) == 0
    printed = capsys.readouterr().out
    assert len(re.findall(r"ratio.*: \d+\.\d\d$", printed, re.MULTILINE)) == 2
    assert "16 clients: " in printed
