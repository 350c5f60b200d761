"""The demonstration on the command line; everything else about it is tested in ``tests/cli``."""


def test_demo(capsys):
    from skrobust._cli._demo import find_errors, survive_noise
    from skrobust.datasets import load_mnist_errors

    digits = load_mnist_errors()
    found = find_errors(digits)
    assert found[50] >= 4
    assert found[100] >= 6
    scores = survive_noise(digits)
    gap = scores["wrong rows dropped"] - scores["plain"]
    assert scores["cleaned"] - scores["plain"] >= 0.5 * gap
    printed = capsys.readouterr().out
    assert f"are {found[50]} of the 15 errors" in printed
    assert "of the gap" in printed
