"""The confident joint against published values, against cleanlab, and against itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from skrobust.noise import confident_joint, confident_thresholds
from skrobust.noise._confident_joint import (
    FEW_CLASSES,
    calibrate_joint,
    confident_predictions,
    label_proba,
    mean_self_confidence,
    round_keeping_row_totals,
)
from tests._probabilities import TOY_LABELS, TOY_PROBA, make_noisy

noisy = st.builds(
    make_noisy,
    st.integers(0, 2**32 - 1),
    st.integers(120, 400),
    st.sampled_from([2, 3, 5, 10, FEW_CLASSES, FEW_CLASSES + 1, 100]),
    noise=st.sampled_from([0.05, 0.3, 0.6]),
    margin=st.sampled_from([0.0, 1.0, 4.0]),
    dtype=st.sampled_from([np.float32, np.float64]),
)


class TestValues:
    def test_toy(self):
        assert_allclose(
            confident_thresholds(TOY_LABELS, TOY_PROBA), [0.6, 0.55, 0.5666667], atol=1e-7
        )
        assert_array_equal(
            confident_joint(TOY_LABELS, TOY_PROBA), [[2, 1, 0], [0, 1, 0], [1, 0, 2]]
        )
        codes = TOY_LABELS
        predicted, disagrees = confident_predictions(
            codes, TOY_PROBA, mean_self_confidence(codes, TOY_PROBA), disagreements=True
        )
        assert_array_equal(predicted, [0, 0, 1, 1, -1, 2, 0, 2])
        assert_array_equal(np.flatnonzero(disagrees), [2, 4, 6])

    def test_calibrated_rows_sum_to_class_counts(self):
        joint = confident_joint(TOY_LABELS, TOY_PROBA, calibrate=True)
        assert_array_equal(joint.sum(axis=1), [3, 2, 3])
        assert_array_equal(joint, [[2, 1, 0], [0, 2, 0], [1, 0, 2]])

    def test_class_without_rows(self):
        y, proba = make_noisy(0, 200, 4)
        y[y == 2] = 1
        assert confident_thresholds(y, proba)[2] == 2
        joint = confident_joint(y, proba)
        assert_array_equal(joint[2], [0, 0, 1, 0])
        assert joint[:, 2].sum() == 1
        assert confident_joint(y, proba, calibrate=True).sum() == 200

    def test_diagonal_is_at_least_one(self):
        joint = confident_joint([0, 0, 1, 1], np.array([[0.1, 0.9], [0.2, 0.8]] * 2)[:, ::1])
        assert joint.diagonal().min() >= 1

    @pytest.mark.parametrize("name, off_argmax", [("mnist", 87), ("20news", 577)])
    @pytest.mark.data
    def test_published(self, data_dir, cleanlab, name, off_argmax):
        data = np.load(data_dir / "label_errors" / f"{name}.npz")
        y, proba = data["labels"], data["pred_probs"]
        assert np.count_nonzero(proba.argmax(axis=1) != y) == off_argmax
        check_joints_of_cleanlab(y, proba)


def check_joints_of_cleanlab(y, proba):
    from cleanlab.count import compute_confident_joint

    raw = compute_confident_joint(y, proba, calibrate=False)
    assert_array_equal(confident_joint(y, proba), raw)
    assert_array_equal(confident_joint(y, proba, calibrate=True), compute_confident_joint(y, proba))


@pytest.mark.usefixtures("cleanlab")
class TestAgainstCleanlab:
    @given(noisy)
    def test_random(self, case):
        self.check(*case)

    @given(noisy, st.data())
    def test_missing_class(self, case, data):
        y, proba = case
        k = data.draw(st.integers(0, proba.shape[1] - 1))
        self.check(np.where(y == k, (k + 1) % proba.shape[1], y), proba)

    @pytest.mark.parametrize("n_classes", [2, 47, 48, 49, 64, 300, 1000])
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_number_of_classes(self, n_classes, dtype):
        self.check(*make_noisy(n_classes, 3 * n_classes + 500, n_classes, margin=3, dtype=dtype))

    def check(self, y, proba):
        from cleanlab.count import get_confident_thresholds

        present = np.isin(np.arange(proba.shape[1]), y)
        thresholds = confident_thresholds(y, proba)
        assert_allclose(thresholds[present], get_confident_thresholds(y, proba)[present], rtol=1e-5)
        check_joints_of_cleanlab(y, proba)


class TestInvariance:
    @given(noisy, st.integers(0, 99))
    def test_weights_are_repetitions(self, case, seed):
        y, proba = case
        weight = np.random.default_rng(seed).integers(0, 4, len(y))
        weight[0] = 1
        again = np.repeat(y, weight), np.repeat(proba, weight, axis=0)
        assert_allclose(
            confident_thresholds(y, proba, sample_weight=weight),
            confident_thresholds(*again),
            rtol=1e-12,
        )
        for calibrate in (False, True):
            weighted = confident_joint(y, proba, sample_weight=weight, calibrate=calibrate)
            assert weighted.dtype.kind == "i"
            assert_array_equal(weighted, confident_joint(*again, calibrate=calibrate))

    @given(noisy)
    def test_row_order(self, case):
        y, proba = case
        order = np.random.default_rng(0).permutation(len(y))
        assert_array_equal(confident_joint(y, proba), confident_joint(y[order], proba[order]))

    @given(noisy)
    def test_class_order(self, case):
        y, proba = case
        order = np.random.default_rng(0).permutation(proba.shape[1])
        place = np.argsort(order)
        joint = confident_joint(y, proba)
        assert_array_equal(confident_joint(place[y], proba[:, order]), joint[order][:, order])

    def test_rounding_follows_the_given_order_of_classes(self):
        joint = confident_joint(*make_noisy(3, 400, 60, noise=0.6, margin=1))
        totals = np.full(60, 7)
        order = np.random.default_rng(0).permutation(60)
        place = np.argsort(order)
        moved = joint[order][:, order]
        assert_array_equal(
            calibrate_joint(moved, totals, order=place),
            calibrate_joint(joint, totals)[order][:, order],
        )

    def test_fractional_weights(self):
        y, proba = make_noisy(0, 300, 5)
        weight = np.random.default_rng(0).random(300)
        joint = confident_joint(y, proba, sample_weight=weight, calibrate=True)
        assert joint.dtype == np.float64
        assert_allclose(joint.sum(axis=1), np.bincount(y, weights=weight))

    @pytest.mark.parametrize("n_classes", [10, 70])
    def test_how_the_input_lies_in_memory(self, n_classes, tmp_path):
        y, proba = make_noisy(0, 20000, n_classes, dtype=np.float32)
        path = tmp_path / "proba.npy"
        np.save(path, proba)
        wide = np.zeros((len(y), 2 * n_classes), dtype=np.float32)
        wide[:, ::2] = proba
        expected = confident_joint(y, proba)
        layouts = {
            "memmap": np.load(path, mmap_mode="r"),
            "columns first": np.asfortranarray(proba),
            "strided": wide[:, ::2],
            "other byte order": proba.astype(proba.dtype.newbyteorder()),
            "list": proba.astype(np.float64).tolist(),
        }
        for name, layout in layouts.items():
            assert_array_equal(confident_joint(y, layout), expected, err_msg=name)
        assert_array_equal(confident_joint(y, proba, n_jobs=2), expected)
        for kind in ("u1", "i2", "u8", "f4"):
            assert_array_equal(confident_joint(y.astype(kind), proba), expected, err_msg=kind)

    @pytest.mark.parametrize("n_classes", [3, 60])
    def test_negative_zeros_are_zeros(self, n_classes):
        y, proba = make_noisy(0, 300, n_classes)
        proba[:, 0] = 0
        proba /= proba.sum(axis=1, keepdims=True)
        signed = proba.copy()
        signed[:, 0] = -0.0
        assert_array_equal(confident_joint(y, signed), confident_joint(y, proba))

    @pytest.mark.parametrize("n_classes", [3, 60])
    def test_rows_that_take_no_part(self, n_classes):
        y, proba = make_noisy(0, 400, n_classes)
        codes = np.where(np.arange(400) % 3 == 0, -1, y)
        used = codes >= 0
        thresholds = mean_self_confidence(codes, proba)
        assert_allclose(thresholds, mean_self_confidence(y[used], proba[used]), rtol=1e-12)
        predicted, disagrees = confident_predictions(codes, proba, thresholds, disagreements=True)
        assert_array_equal(predicted[~used], -1)
        assert not disagrees[~used].any()
        part, part_disagrees = confident_predictions(
            y[used], proba[used], thresholds, disagreements=True
        )
        assert_array_equal(predicted[used], part)
        assert_array_equal(disagrees[used], part_disagrees)
        assert_array_equal(label_proba(codes, proba)[used], proba[used, y[used]])

    def test_global_random_state_is_left_alone(self):
        before = np.random.get_state()[1].copy()  # noqa: NPY002
        confident_joint(TOY_LABELS, TOY_PROBA, calibrate=True)
        assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


class TestRounding:
    @given(st.integers(0, 1000), st.integers(1, 8), st.integers(2, 30), st.sampled_from([0.3, 5.0]))
    def test_rows_keep_their_totals(self, seed, n_rows, n_columns, scale):
        rng = np.random.default_rng(seed)
        counts = rng.random((n_rows, n_columns)) * scale
        totals = np.round(counts.sum(axis=1))
        counts *= (totals / counts.sum(axis=1))[:, None]
        rounded = round_keeping_row_totals(counts)
        assert_array_equal(rounded.sum(axis=1), totals)
        assert np.abs(rounded - counts).max() < 1
        assert rounded.dtype == np.int64

    def test_the_largest_fractions_are_rounded_up(self):
        counts = np.array([[1.40, 1.45, 1.48, 1.30, 1.37], [1.60, 1.55, 1.52, 1.70, 1.63]])
        assert_array_equal(round_keeping_row_totals(counts), [[1, 2, 2, 1, 1], [2, 1, 1, 2, 2]])


class TestLabels:
    @pytest.mark.parametrize(
        "names",
        [["b", "a", "c"], [7, 3, 11], np.array([2.5, 1.5, 3.5]).astype(object).astype(str)],
    )
    def test_names_of_columns(self, names):
        names = np.asarray(names)
        y = names[TOY_LABELS]
        expected = confident_joint(TOY_LABELS, TOY_PROBA)
        assert_array_equal(confident_joint(y, TOY_PROBA, classes=names), expected)
        order = np.argsort(names)
        assert_array_equal(confident_joint(y, TOY_PROBA[:, order]), expected[order][:, order])

    def test_booleans(self):
        y, proba = make_noisy(0, 100, 2)
        expected = confident_joint(y, proba)
        assert_array_equal(confident_joint(y == 1, proba), expected)
        assert_array_equal(confident_joint(y == 0, proba[:, ::-1]), expected[::-1, ::-1])
        assert_array_equal(confident_joint(y == 1, proba, classes=[False, True]), expected)


class TestMessages:
    @pytest.mark.parametrize("n_classes", [3, 60])
    @pytest.mark.parametrize(
        "value, message",
        [
            (np.nan, "pred_proba has a NaN or infinite entry in row 7"),
            (-np.nan, "pred_proba has a NaN or infinite entry in row 7"),
            (np.inf, "pred_proba has a NaN or infinite entry in row 7"),
            (-np.inf, "pred_proba has a NaN or infinite entry in row 7"),
            (-0.25, r"pred_proba has a negative entry \(-0.25\)"),
            (1.5, "must sum to 1, but row 7 sums to"),
            (0.0, "must sum to 1, but row 7 sums to 0"),
        ],
    )
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_bad_entries(self, n_classes, value, message, dtype):
        y, proba = make_noisy(0, 200, n_classes, dtype=dtype)
        if value == 0:
            proba[7] = 0
        else:
            proba[7, 1] = value
        with pytest.raises(ValueError, match=message):
            confident_joint(y, proba)

    @pytest.mark.parametrize(
        "y, proba, message",
        [
            ([0, 1], [[0.5, 0.5]], "same number of rows, got 2 and 1"),
            ([0, 0], [[1.0], [1.0]], "at least two classes, got 1 column"),
            ([0, 1], [0.5, 0.5], r"must have shape \(n_samples, n_classes\)"),
            ([], np.empty((0, 2)), "pred_proba has no row"),
            ([0, None], [[0.5, 0.5]] * 2, "y has 1 missing labels"),
            (["a", "b", "c"], [[0.5, 0.5]] * 3, "3 distinct labels but pred_proba has 2 columns"),
            ([0, 5, -1], [[0.5, 0.5]] * 3, "3 distinct labels but pred_proba has 2 columns"),
            ([0, 1], [["a", "b"]] * 2, "pred_proba must be numbers"),
            ([[0, 1], [1, 0]], [[0.5, 0.5]] * 2, "1d array"),
        ],
    )
    def test_bad_shapes(self, y, proba, message):
        with pytest.raises(ValueError, match=message):
            confident_joint(y, proba)

    def test_bad_classes(self):
        with pytest.raises(ValueError, match="classes must name the 3 columns"):
            confident_joint(TOY_LABELS, TOY_PROBA, classes=[0, 1])
        with pytest.raises(ValueError, match="not among the 3 known classes: 0"):
            confident_joint(TOY_LABELS, TOY_PROBA, classes=[1, 2, 3])

    @pytest.mark.parametrize(
        "weight, message",
        [
            (np.zeros(8), "no positive entry|non-zero"),
            (-np.ones(8), "[Nn]egative"),
            (np.ones(7), "sample_weight"),
            (np.full(8, np.nan), "NaN"),
        ],
    )
    def test_bad_weights(self, weight, message):
        with pytest.raises(ValueError, match=message):
            confident_joint(TOY_LABELS, TOY_PROBA, sample_weight=weight)
