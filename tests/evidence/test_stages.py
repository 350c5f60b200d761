"""Statistics that are added up stage by stage, against the whole history."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skrobust.detection._training_dynamics import STATISTICS, quality_from
from skrobust.evidence._stages import StageRecorder


def _history(seed, n_stages, n_samples, n_classes):
    rng = np.random.default_rng(seed)
    proba = rng.dirichlet(np.full(n_classes, 0.7), size=(n_stages, n_samples))
    return proba, rng.integers(n_classes, size=n_samples)


def _record(proba, codes, norms=None):
    n_classes = proba.shape[2]
    recorder = StageRecorder(None, codes, np.arange(n_classes))
    for i, stage in enumerate(proba):
        recorder.add(stage, np.arange(n_classes), norms=None if norms is None else norms[i])
    return recorder.result()


def _naive(proba, codes, norms):
    """The same, row by row, from the whole history."""
    n_stages, n_samples, n_classes = proba.shape
    names = (*STATISTICS, "confidence", "variability")
    result = {name: np.zeros(n_samples) for name in names}
    for i, y in enumerate(codes):
        p = proba[:, i]
        others = np.delete(p, y, axis=1).max(axis=1)
        error = np.linalg.norm(p - np.eye(n_classes)[y], axis=1)
        correct = p[:, y] >= others
        result["aum"][i] = (p[:, y] - others).mean()
        logs = np.log(p)
        best_log = np.delete(logs, y, axis=1).max(axis=1)
        result["aum_logits"][i] = (logs[:, y] - best_log).mean()
        result["el2n"][i] = error.mean()
        result["grand"][i] = (error * norms[:, i]).mean()
        result["mean_loss"][i] = -np.log(p[:, y]).mean()
        events = np.sum(correct[:-1] & ~correct[1:])
        result["forgetting"][i] = events if correct.any() else np.inf
        if n_stages > 1:
            result["oscillation"][i] = np.mean((p[1:] * np.log(p[1:] / p[:-1])).sum(axis=1))
        result["confidence"][i] = p[:, y].mean()
        result["variability"][i] = p[:, y].std()
    return result


@given(st.integers(0, 1000), st.integers(1, 6), st.integers(2, 5))
def test_equals_the_statistic_of_the_whole_history(seed, n_stages, n_classes):
    proba, codes = _history(seed, n_stages, 7, n_classes)
    norms = np.random.default_rng(seed).uniform(1, 3, size=proba.shape[:2])
    seen = _record(proba, codes, norms)
    for name, expected in _naive(proba, codes, norms).items():
        np.testing.assert_allclose(seen[name], expected, atol=1e-9, err_msg=name)
    np.testing.assert_allclose(seen["mean_proba"], proba.mean(axis=0))


@given(st.integers(0, 1000), st.integers(2, 5))
def test_el2n_lies_in_its_bounds(seed, n_classes):
    proba, codes = _history(seed, 3, 9, n_classes)
    el2n = _record(proba, codes)["el2n"]
    assert el2n.min() >= 0
    assert el2n.max() <= np.sqrt(2) + 1e-12
    if n_classes == 2:
        expected = np.sqrt(2) * (1 - proba[:, np.arange(9), codes].mean(axis=0))
        np.testing.assert_allclose(el2n, expected)


def test_canonical_cases():
    perfect = np.eye(3)[None, [0, 2]].repeat(4, axis=0)
    seen = _record(perfect, np.array([0, 2]))
    for name in ("el2n", "mean_loss", "oscillation", "forgetting", "variability"):
        np.testing.assert_array_equal(seen[name], 0, name)
    np.testing.assert_array_equal(seen["aum"], 1)
    seen = _record(perfect, np.array([1, 0]))
    np.testing.assert_array_equal(seen["aum"], -1)
    np.testing.assert_allclose(seen["el2n"], np.sqrt(2))
    np.testing.assert_array_equal(seen["forgetting"], np.inf)
    own = np.array([0.9, 0.2, 0.8, 0.4, 0.3])
    seen = _record(np.stack([own, 1 - own], axis=1)[:, None], np.array([0]))
    assert seen["forgetting"] == 2
    assert seen["oscillation"] > 0


def test_qualities_are_monotone_and_in_bounds():
    for name in STATISTICS:
        low, high = {"aum": (-1, 1), "aum_logits": (-9, 9), "el2n": (0, np.sqrt(2))}.get(
            name, (0, 50)
        )
        quality = quality_from(name, np.linspace(low, high, 20), 2.0)
        assert quality.min() >= 0, name
        assert quality.max() <= 1, name
        sign = 1 if name.startswith("aum") else -1
        assert (np.diff(quality) * sign >= 0).all(), name
    assert quality_from("forgetting", np.array([np.inf]))[0] == 0
    assert quality_from("aum", np.array([1.0]))[0] == 1
    assert quality_from("el2n", np.array([np.sqrt(2)]))[0] == 0


def test_columns_follow_the_classes_of_the_model():
    recorder = StageRecorder(None, np.array([2, 0]), np.array(["a", "b", "c"]))
    recorder.add(np.array([[0.7, 0.3], [0.4, 0.6]]), np.array(["c", "a"]))
    np.testing.assert_allclose(recorder.result()["confidence"], [0.7, 0.6])


def test_bad_stages_are_refused():
    recorder = StageRecorder(None, np.array([0, 1]), np.arange(2))
    with pytest.raises(ValueError, match="no stage"):
        recorder.result()
    with pytest.raises(ValueError, match=r"shape \(2, 2\)"):
        recorder.add(np.ones((3, 2)), np.arange(2))
    with pytest.raises(ValueError, match="NaN or infinite"):
        recorder.add(np.full((2, 2), np.nan), np.arange(2))


def test_recorded_statistics_are_taken_as_they_are():
    recorder = StageRecorder(None, np.array([0, 1]), np.arange(2), in_sample=True)
    recorder.with_X("other rows").take({"aum": np.array([0.5, -0.5])})
    np.testing.assert_array_equal(recorder.result()["aum"], [0.5, -0.5])
