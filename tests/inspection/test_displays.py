"""Displays: what they draw, by their data and artists."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.naive_bayes import GaussianNB
from sklearn.utils import Bunch

from skrobust.detection import ConfidentLearning, EnsembleDetector, TrainingDynamics
from skrobust.evidence import out_of_fold_proba
from skrobust.inspection import (
    DataMapDisplay,
    DetectionCurveDisplay,
    LabelQualityDisplay,
    NestedWidthDisplay,
    RobustnessCurveDisplay,
    TransitionMatrixDisplay,
)
from skrobust.noise import TrustedTransition, flip_labels, pair_transition, random_transition

MATRIX = np.array([[0.9, 0.1, 0.0], [0.0, 0.7, 0.3], [0.05, 0.0, 0.95]])
DISPLAYS = [
    TransitionMatrixDisplay(MATRIX, classes=["cat", "dog", "horse"]),
    LabelQualityDisplay([0.1, 0.6, 0.9, np.nan], y=["a", "b", "b", "a"], threshold=0.5),
    DetectionCurveDisplay([0.1, 0.6, 0.9], is_error=[1, 0, 0], n_flagged=1),
    DataMapDisplay([0.1, 0.9], [0.2, 0.3], label_errors=[True, False]),
    RobustnessCurveDisplay([0.0, 0.2], {"pair": [[0.9, 0.8], [0.7, 0.5]]}),
    NestedWidthDisplay([0.4, 0.8, 0.7], width=2),
]
every_display = pytest.mark.parametrize(
    "display", DISPLAYS, ids=[type(display).__name__ for display in DISPLAYS]
)


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    y_noisy, _ = flip_labels(y, pair_transition(3, 0.2), random_state=0)
    return X, y, y_noisy


@every_display
def test_plot_twice_without_pyplot(display):
    """A figure of its own, and on given axes nothing else changes."""
    assert display.plot() is display
    first = display.figure_
    assert isinstance(first, Figure)
    assert not plt.get_fignums()
    figure = Figure()
    one, other = figure.subplots(1, 2)
    before = len(other.get_children())
    display.plot(ax=one)
    assert display.ax_ is one
    assert display.figure_ is figure
    assert display.figure_ is not first
    assert len(other.get_children()) == before
    assert not other.get_xlabel()


@every_display
def test_axes_are_labelled_and_drawn(display):
    display.plot()
    assert display.ax_.get_xlabel()
    assert display.ax_.get_ylabel()
    assert display._repr_png_().startswith(b"\x89PNG")


@every_display
def test_no_picture_before_plot(display):
    unplotted = type(display)(**vars_of(display))
    assert unplotted._repr_png_() is None
    with pytest.raises(TypeError, match="ax must be matplotlib axes"):
        unplotted.plot(ax="here")


def vars_of(display):
    return {name: value for name, value in vars(display).items() if not name.endswith("_")}


def test_transition_matrix_sorts_by_error():
    display = TransitionMatrixDisplay(MATRIX, classes=["cat", "dog", "horse"]).plot()
    assert display.order_.tolist() == [1, 0, 2]
    drawn = display.im_.get_array()
    np.testing.assert_allclose(drawn.data, MATRIX[np.ix_([1, 0, 2], [1, 0, 2])])
    assert drawn.mask.tolist() == np.eye(3, dtype=bool).tolist()
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == ["dog", "cat", "horse"]
    assert display.text_[0, 2].get_text() == "0.30"
    assert display.plot(sort=False).order_.tolist() == [0, 1, 2]


def test_transition_matrix_of_many_classes():
    matrix = random_transition(60, 0.4, random_state=0)
    display = TransitionMatrixDisplay(matrix).plot()
    assert display.text_ is None
    assert len(display.order_) == 20
    assert display.n_left_out_ == 40
    assert "40 classes" in display.ax_.get_title()
    errors = 1 - np.diagonal(matrix)
    assert errors[display.order_].min() >= np.delete(errors, display.order_).max()


def test_transition_matrix_intervals_of_an_estimator(iris):
    X, y, y_noisy = iris
    verified = np.where(np.arange(150) % 2, y, -1).astype(object)
    verified[verified == -1] = None
    model = TrustedTransition(n_bootstrap=20, random_state=0)
    model.fit(X, y_noisy, verified_labels=verified)
    display = TransitionMatrixDisplay.from_estimator(model)
    worst = display.order_[0]
    low, high = model.transition_interval_[:, worst, worst]
    assert display.text_[0, 0].get_text().endswith(f"\n{low:.2f}–{high:.2f}")


def test_transition_matrix_from_predictions():
    y, truth = ["a", "b", "b", None, "a"], ["a", "a", "b", "b", None]
    display = TransitionMatrixDisplay.from_predictions(y, truth, normalize=False)
    assert display.transition_matrix.tolist() == [[1, 1], [0, 1]]
    display = TransitionMatrixDisplay.from_predictions(y, truth)
    np.testing.assert_allclose(display.transition_matrix, [[0.5, 0.5], [0, 1]])
    with pytest.raises(ValueError, match="both a label in y and one in true_labels"):
        TransitionMatrixDisplay.from_predictions(["a", None], [None, "a"])


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"transition_matrix": [[1, 0]]}, "must be a square matrix"),
        ({"transition_matrix": [[-1.0, 2], [0, 1]]}, "no entry may be negative"),
        ({"transition_matrix": MATRIX, "classes": ["a"]}, "must name the 3 rows"),
        ({"transition_matrix": MATRIX, "interval": MATRIX}, "interval must have shape"),
    ],
)
def test_bad_transition_matrices(arguments, message):
    with pytest.raises(ValueError, match=message):
        TransitionMatrixDisplay(**arguments).plot()


def test_label_quality_counts_rows_per_class(iris):
    X, _, y = iris
    detector = ConfidentLearning(GaussianNB(), threshold=0.3).fit(X, y)
    display = LabelQualityDisplay.from_estimator(detector, y)
    assert list(display.bars_) == [0, 1, 2]
    for k, bars in display.bars_.items():
        assert bars.get_data().values.sum() == (y == k).sum()
    assert display.threshold_.get_xdata()[0] == 0.3
    assert display.decoys_ is None
    assert list(display.plot(max_classes=2).bars_)[-1] == "others"


def test_label_quality_decoys_are_all_other_labels(iris):
    X, _, y = iris
    proba = out_of_fold_proba(GaussianNB(), X, y)
    display = LabelQualityDisplay.from_predictions(y, proba)
    assert len(display.decoy_quality) == 300
    others = np.sort(np.concatenate([np.delete(row, label) for row, label in zip(proba, y)]))
    np.testing.assert_allclose(np.sort(display.decoy_quality), others)
    np.testing.assert_allclose(display.decoys_.get_data().values.sum(), 150)


def test_detection_curve_true_and_estimated(iris):
    X, truth, y = iris
    detector = EnsembleDetector([GaussianNB()], n_rounds=1, random_state=0).fit(X, y)
    display = DetectionCurveDisplay.from_estimator(detector, y, truth)
    assert set(display.lines_) == {
        "estimated precision", "estimated recall", "precision", "recall"
    }  # fmt: skip
    order = np.argsort(detector.label_quality_, kind="stable")
    wrong = (y != truth)[order]
    np.testing.assert_allclose(
        display.lines_["precision"].get_ydata(), np.cumsum(wrong) / np.arange(1, 151)
    )
    assert display.lines_["estimated recall"].get_ydata()[-1] == pytest.approx(1)
    assert display.flagged_.get_xdata()[0] == detector.label_errors_.sum()


def test_detection_curve_of_verified_rows_keeps_ranks():
    display = DetectionCurveDisplay.from_predictions([np.nan, 1, np.nan, 0], [0.1, 0.2, 0.3, 0.4])
    assert display.lines_["precision"].get_xdata().tolist() == [2, 4]
    assert display.lines_["precision"].get_ydata().tolist() == [1, 0.5]


def test_detection_curve_without_anything_to_draw(iris):
    X, _, y = iris
    detector = ConfidentLearning(GaussianNB()).fit(X, y)
    with pytest.raises(ValueError, match="the label quality is no probability"):
        DetectionCurveDisplay.from_estimator(detector)
    with pytest.raises(ValueError, match="true_labels need y"):
        DetectionCurveDisplay.from_estimator(detector, None, y)
    with pytest.raises(ValueError, match="marks no row as wrong"):
        DetectionCurveDisplay.from_predictions([0, 0], [0.1, 0.2])


def test_data_map_of_a_detector_and_of_stages(iris):
    X, _, y = iris
    detector = TrainingDynamics(random_state=0).fit(X, y)
    display = DataMapDisplay.from_estimator(detector)
    n_flagged = detector.label_errors_.sum()
    assert n_flagged
    assert len(display.errors_.get_offsets()) == n_flagged
    assert len(display.scatter_.get_offsets()) == 150 - n_flagged
    stages = [[[0.9, 0.1], [0.5, 0.5]], [[0.7, 0.3], [0.1, 0.9]]]
    display = DataMapDisplay.from_predictions(["a", "b"], stages)
    np.testing.assert_allclose(display.confidence, [0.8, 0.7])
    np.testing.assert_allclose(display.variability, [0.1, 0.2])
    assert display.errors_ is None
    with pytest.raises(ValueError, match="Stage 1 of staged_proba has shape"):
        DataMapDisplay.from_predictions(["a", "b"], [stages[0], [[0.5, 0.5]]])
    with pytest.raises(ValueError, match="has no dynamics_"):
        DataMapDisplay.from_estimator(ConfidentLearning(GaussianNB()).fit(X, y))


def test_robustness_curve_band_is_the_range():
    scores = {"symmetric": np.array([[0.9, 0.8, 0.85], [0.7, 0.5, 0.6]]), "pair": [[1.0], [0.5]]}
    curve = Bunch(kinds=["symmetric", "pair"], rates=[0, 0.2], scores=scores)
    display = RobustnessCurveDisplay.from_cv_results(curve)
    np.testing.assert_allclose(display.lines_["symmetric"].get_ydata(), [0.85, 0.6])
    corners = display.bands_["symmetric"].get_paths()[0].vertices[:, 1]
    assert (corners.min(), corners.max()) == (0.5, 0.9)
    with pytest.raises(ValueError, match=r"scores\['pair'\] must have shape"):
        RobustnessCurveDisplay([0, 0.2], {"pair": [0.5, 0.4]}).plot()


def test_robustness_curve_from_an_estimator(iris):
    X, _, y = iris
    display = RobustnessCurveDisplay.from_estimator(
        GaussianNB(), X, y, scoring="balanced_accuracy", rates=[0, 0.3], kind="pair", random_state=0
    )
    assert display.ax_.get_ylabel() == "Balanced accuracy"
    assert display.lines_["pair"].get_xdata().tolist() == [0, 0.3]
    scores = display.lines_["pair"].get_ydata()
    assert scores[0] > scores[1]


def test_nested_width(iris):
    display = NestedWidthDisplay([0.4, 0.8, 0.7], width=2).plot()
    assert display.line_.get_xdata().tolist() == [1, 2, 3]
    assert display.chosen_.get_xdata()[0] == 2
    with pytest.raises(ValueError, match="width must be an integer from 1 to 3"):
        NestedWidthDisplay([0.4, 0.8, 0.7], width=4).plot()
    X, _, y = iris
    with pytest.raises(ValueError, match="has no width_scores_"):
        NestedWidthDisplay.from_estimator(GaussianNB().fit(X, y))


def test_nested_width_of_a_network(iris):
    pytest.importorskip("skorch")
    from skrobust.neural import NestedDropoutClassifier

    X, _, y = iris
    model = NestedDropoutClassifier(max_epochs=2, hidden_layer_sizes=(8,), random_state=0).fit(X, y)
    display = NestedWidthDisplay.from_estimator(model)
    assert len(display.line_.get_xdata()) == 8
    assert display.chosen_.get_xdata()[0] == model.width_


def test_not_fitted():
    with pytest.raises(NotFittedError):
        LabelQualityDisplay.from_estimator(ConfidentLearning())


def test_names_are_text_on_one_line():
    names = ["a$b$", "x" * 100, "two\nlines\x1b"]
    display = TransitionMatrixDisplay(MATRIX, classes=names).plot(sort=False)
    shown = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert shown[0] == r"a\$b\$"
    assert len(shown[1]) == 18
    assert shown[2] == "two lines "
    display._repr_png_()
