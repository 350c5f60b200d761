"""The demonstration keeps its promises."""

import json

from skrobust._cli._demo import find_errors, train_despite_noise
from skrobust.datasets import load_mnist_errors


def test_default_detector_finds_real_errors(capsys, tmp_path):
    page = tmp_path / "report.html"
    found = find_errors(load_mnist_errors(), report=page)
    assert found[50] >= 5
    assert found[100] >= 9
    printed = capsys.readouterr().out
    assert f"{found[50]} are among the 50 rows" in printed
    assert "Of the 15 wrong labels" in printed
    assert f"The 100 digits of lowest quality are in {page.resolve()}" in printed
    data = json.loads(page.read_text(encoding="utf-8").split('id="data">')[1].split("</script>")[0])
    assert data["counts"]["flagged"] == 100
    assert data["content"] == {"kind": "images"}
    assert len(data["votes"][0]) >= 1


def test_cleaning_recovers_what_noise_costs(capsys):
    scores = train_despite_noise(load_mnist_errors())
    gap = scores["true labels"] - scores["plain"]
    assert scores["cleaned"] - scores["plain"] >= 0.7 * gap
    assert "of the accuracy that the wrong labels cost" in capsys.readouterr().out
