"""What a display of progress gets to see."""

import io
import sys

import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skrobust._cli._common import show_progress
from skrobust.detection import EnsembleDetector
from skrobust.noise import flip_labels, symmetric_transition
from skrobust.utils._parallel import report_progress, step, track


class Log(list):
    """A display that writes down what begins and ends."""

    def __call__(self, steps, total, description):
        self.append(f"{description}, of {total}")
        yield from steps
        self.append("end")


def test_step_without_parts_shows_its_name():
    log = Log()
    with report_progress(log), step("neighbours", 2, 5):
        log.append("work")
    assert log == ["step 2 of 5: neighbours, of 1", "work", "end"]


def test_step_with_parts_gives_way_to_them():
    log = Log()
    with report_progress(log), step("forest", 1, 2):
        for _ in range(2):
            assert list(track("ab", 2, "trees")) == ["a", "b"]
    parts = ["step 1 of 2: forest (trees), of 2", "end"]
    assert log == ["step 1 of 2: forest, of 1", "end", *parts, *parts]


def test_steps_of_steps_name_both():
    log = Log()
    with report_progress(log), step("labels", 2, 2), step("forest", 1, 3):
        list(track("a", 1, "trees"))
    assert log[2] == "step 2 of 2: labels, step 1 of 3: forest, of 1"
    assert log[4] == "step 2 of 2: labels, step 1 of 3: forest (trees), of 1"
    assert log.count("end") == 3


def test_step_ends_with_an_error_and_needs_no_display():
    log = Log()
    with pytest.raises(ZeroDivisionError), report_progress(log), step("forest", 1, 2):
        raise ZeroDivisionError
    assert log[-1] == "end"
    with step("forest", 1, 2):
        assert track("ab", 2, "trees") == "ab"


def test_ensemble_numbers_its_models_in_each_round():
    X, y = load_iris(return_X_y=True)
    y, _ = flip_labels(y, symmetric_transition(3, 0.3), random_state=0)
    forest = ExtraTreesClassifier(20, bootstrap=True, oob_score=True)
    models = [forest, "neighbors", make_pipeline(StandardScaler(), GaussianNB())]
    log = Log()
    with report_progress(log):
        EnsembleDetector(models, weights="uniform", random_state=0).fit(X, y)
    names = ["ExtraTreesClassifier", "Neighbors", "GaussianNB"]
    expected = [
        f"step {number} of 3: {name}, round {turn}"
        for turn in (1, 2)
        for number, name in enumerate(names, 1)
    ]
    assert [text.removesuffix(", of 1") for text in log if text.endswith(", of 1")] == expected
    assert f"{expected[2]} (folds), of 5" in log
    assert f"{expected[3]} (trees), of 4" in log


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def test_terminal_shows_steps_by_name(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with report_progress(show_progress), step("neighbours", 2, 5):
        pass
    assert "step 2 of 5: neighbours ..." in sys.stderr.getvalue()
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert list(show_progress("ab", 2, "folds")) == ["a", "b"]
    assert sys.stderr.getvalue() == ""
