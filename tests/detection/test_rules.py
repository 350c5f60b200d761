"""The rules of confident learning against published counts, against cleanlab, and themselves."""

import warnings

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from skrobust.detection import find_label_errors
from skrobust.detection._rules import RULES, FittedRule, fit_rule, group_thresholds
from skrobust.noise._confident_joint import FEW_CLASSES
from skrobust.utils._weights import upper_threshold
from tests._probabilities import TOY_LABELS, TOY_PROBA, make_noisy

each_rule = pytest.mark.parametrize("rule", RULES)


def make_tied(seed, n_samples):
    """Make probabilities of two classes in tenths, and noisy labels."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n_samples)
    tenths = np.clip(rng.binomial(10, np.where(y == 1, 0.7, 0.3)), 1, 9)
    y ^= rng.random(n_samples) < 0.2
    y[:2] = 0, 1
    return y, np.column_stack([10 - tenths, tenths]) / 10


def flag_by_cleanlab(y, proba, rule):
    from cleanlab.filter import find_label_issues

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="May not flag all label issues")
        return find_label_issues(y, proba, filter_by=rule, n_jobs=1)


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
        flagged = find_label_errors(TOY_LABELS, TOY_PROBA, rule="confident_learning")
        assert_array_equal(np.flatnonzero(flagged), [2, 6])
        flagged = find_label_errors(TOY_LABELS, TOY_PROBA)
        assert_array_equal(np.flatnonzero(flagged), [2, 6])
        flagged = find_label_errors(TOY_LABELS, TOY_PROBA, rule="predicted_neq_given")
        assert_array_equal(np.flatnonzero(flagged), [2, 4, 6])

    @pytest.mark.parametrize(
        "name, rule, n_flagged, n_confirmed",
        [
            ("mnist", "predicted_neq_given", 87, None),
            ("mnist", "confident_learning", 15, 7),
            ("mnist", "prune_by_noise_rate", 15, 7),
            ("20news", "predicted_neq_given", 577, None),
            ("20news", "confident_learning", 55, 40),
            ("20news", "prune_by_noise_rate", 95, 55),
        ],
    )
    @pytest.mark.data
    def test_published(self, data_dir, name, rule, n_flagged, n_confirmed):
        data = np.load(data_dir / "label_errors" / f"{name}.npz")
        flagged = find_label_errors(data["labels"], data["pred_probs"], rule=rule)
        assert flagged.sum() == n_flagged
        if n_confirmed is not None:
            assert (data["is_error"][flagged] == 1).sum() == n_confirmed

    @pytest.mark.parametrize("name", ["mnist", "20news"])
    @each_rule
    @pytest.mark.data
    def test_published_as_cleanlab(self, data_dir, cleanlab, name, rule):
        data = np.load(data_dir / "label_errors" / f"{name}.npz")
        y, proba = data["labels"], data["pred_probs"]
        differ = find_label_errors(y, proba, rule=rule) != flag_by_cleanlab(y, proba, rule)
        if rule in ("prune_by_class", "both", "low_self_confidence"):
            # Some probabilities of the given label tie at the threshold.
            own = proba[np.arange(len(y)), y]
            assert all(len(np.unique(own[differ & (y == k)])) <= 1 for k in np.unique(y))
            assert differ.sum() < 10
        else:
            assert not differ.any()


@pytest.mark.usefixtures("cleanlab")
class TestAgainstCleanlab:
    @given(noisy)
    def test_random(self, case):
        self.check(*case)

    @given(noisy, st.data())
    def test_missing_class(self, case, data):
        y, proba = case
        assume(proba.shape[1] > 2)  # cleanlab wants two classes to be given
        k = data.draw(st.integers(0, proba.shape[1] - 1))
        self.check(np.where(y == k, (k + 1) % proba.shape[1], y), proba)

    @pytest.mark.parametrize("n_classes", [2, 47, 48, 49, 64, 300, 1000])
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_number_of_classes(self, n_classes, dtype):
        # Without a margin of the true class most pairs want more rows than there are suspects.
        margin = 0.5 if n_classes < 50 else 4
        self.check(
            *make_noisy(n_classes, 3 * n_classes + 500, n_classes, margin=margin, dtype=dtype)
        )

    @pytest.mark.parametrize("margin", [0.5, 3])
    def test_large_classes(self, margin):
        self.check(*make_noisy(0, 300_000, 4, margin=margin, dtype=np.float32))

    def check(self, y, proba):
        for rule in RULES:
            theirs = flag_by_cleanlab(y, proba, rule)
            assert_array_equal(find_label_errors(y, proba, rule=rule), theirs, err_msg=rule)

    @given(st.integers(0, 2**32 - 1), st.integers(20, 300))
    def test_ties(self, seed, n_samples):
        y, proba = make_tied(seed, n_samples)
        own = proba[np.arange(n_samples), y]
        for rule in RULES:
            ours = find_label_errors(y, proba, rule=rule)
            theirs = flag_by_cleanlab(y, proba, rule)
            for k in (0, 1):
                # With two classes every rule ranks the rows of a class by this one number.
                tied = np.unique(own[(y == k) & (ours != theirs)])
                assert len(tied) <= 1
                fate = ours[(y == k) & np.isin(own, tied)]
                assert fate.all() or not fate.any()


class TestInvariance:
    @given(noisy, st.integers(0, 99))
    def test_weights_are_repetitions(self, case, seed):
        self.check_weights(*case, seed)

    @given(st.integers(0, 2**32 - 1), st.integers(20, 300), st.integers(0, 99))
    def test_weights_are_repetitions_with_ties(self, case_seed, n_samples, seed):
        self.check_weights(*make_tied(case_seed, n_samples), seed)

    @pytest.mark.parametrize("margin", [0.5, 3])
    def test_weights_are_repetitions_in_large_classes(self, margin):
        self.check_weights(*make_noisy(0, 200_000, 3, margin=margin, dtype=np.float32), 0)

    def check_weights(self, y, proba, seed):
        weight = np.random.default_rng(seed).integers(0, 4, len(y))
        weight[0] = 1
        again = np.repeat(y, weight), np.repeat(proba, weight, axis=0)
        for rule in RULES:
            fitted, flagged = fit_rule(rule, y, proba, weight=weight.astype(float))
            again_fitted, flagged_again = fit_rule(rule, *again)
            assert_array_equal(np.repeat(flagged, weight), flagged_again, err_msg=rule)
            assert_array_equal(fitted.joint, again_fitted.joint)
            for name in ("margin", "confidence", "score"):
                one, other = getattr(fitted, name), getattr(again_fitted, name)
                assert (one is None) == (other is None)
                if one is not None:
                    assert_array_equal(one, other, err_msg=f"{rule}: {name}")

    @given(st.booleans(), noisy, st.integers(0, 2**32 - 1))
    def test_row_order(self, tied, case, seed):
        y, proba = make_tied(seed, 200) if tied else case
        order = np.random.default_rng(0).permutation(len(y))
        for rule in RULES:
            assert_array_equal(
                find_label_errors(y, proba, rule=rule)[order],
                find_label_errors(y[order], proba[order], rule=rule),
                err_msg=rule,
            )

    @pytest.mark.parametrize("n_classes", [4, 60])
    @each_rule
    def test_class_order(self, rule, n_classes):
        y, proba = make_noisy(1, 3000, n_classes)
        order = np.random.default_rng(0).permutation(n_classes)
        place = np.argsort(order)
        _, flagged = fit_rule(rule, y, proba)
        _, moved = fit_rule(rule, place[y], proba[:, order], order=place)
        assert_array_equal(moved, flagged)

    @pytest.mark.parametrize("n_classes", [5, 70])
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @each_rule
    def test_how_the_input_lies_in_memory(self, rule, n_classes, dtype, tmp_path):
        y, proba = make_noisy(0, 20000, n_classes, dtype=dtype)
        path = tmp_path / "proba.npy"
        np.save(path, proba)
        wide = np.zeros((len(y), 2 * n_classes), dtype=dtype)
        wide[:, ::2] = proba
        expected = find_label_errors(y, proba, rule=rule)
        layouts = {
            "memmap": np.load(path, mmap_mode="r"),
            "columns first": np.asfortranarray(proba),
            "strided": wide[:, ::2],
        }
        for name, layout in layouts.items():
            assert_array_equal(find_label_errors(y, layout, rule=rule), expected, err_msg=name)
        assert_array_equal(find_label_errors(y, proba, rule=rule, n_jobs=2), expected)

    @each_rule
    def test_integer_types_of_labels(self, rule):
        y, proba = make_noisy(0, 500, 5)
        expected = find_label_errors(y, proba, rule=rule)
        for kind in ("u1", "i2", "i4", "u8", "f8"):
            assert_array_equal(find_label_errors(y.astype(kind), proba, rule=rule), expected)

    @pytest.mark.parametrize("n_classes", [4, 60])
    @each_rule
    def test_rows_that_take_no_part(self, rule, n_classes):
        y, proba = make_noisy(0, 2000, n_classes)
        codes = np.where(np.arange(2000) % 3 == 0, -1, y)
        used = codes >= 0
        _, flagged = fit_rule(rule, codes, proba)
        assert not flagged[~used].any()
        assert_array_equal(flagged[used], fit_rule(rule, y[used], proba[used])[1])

    @pytest.mark.parametrize("weighted", [False, True])
    @pytest.mark.parametrize("n_classes", [4, 60])
    @each_rule
    def test_a_fitted_rule_flags_the_rows_of_the_fit(self, rule, n_classes, weighted):
        y, proba = make_noisy(0, 3000, n_classes, dtype=np.float32)
        weight = np.random.default_rng(0).random(3000) if weighted else None
        fitted, flagged = fit_rule(rule, y, proba, weight=weight)
        assert isinstance(fitted, FittedRule)
        assert flagged.any()
        for n_jobs in (1, 2):
            assert_array_equal(fitted.flag(y, proba, n_jobs=n_jobs), flagged)
        codes = np.where(np.arange(3000) % 2 == 0, -1, y)
        assert_array_equal(fitted.flag(codes, proba), flagged & (codes >= 0))

    @each_rule
    def test_nothing_is_wrong(self, rule):
        y = np.arange(30) % 3
        assert not find_label_errors(y, np.eye(3)[y], rule=rule).any()

    @each_rule
    def test_all_rows_of_one_class(self, rule):
        proba = np.tile([0.6, 0.4], (10, 1))
        assert not find_label_errors(np.zeros(10, dtype=int), proba, rule=rule).any()

    def test_global_random_state_is_left_alone(self):
        before = np.random.get_state()[1].copy()  # noqa: NPY002
        find_label_errors(TOY_LABELS, TOY_PROBA)
        assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@each_rule
def test_every_rule_is_documented(rule):
    assert f'"{rule}"' in find_label_errors.__doc__


class TestThresholdAboveLowest:
    @pytest.mark.parametrize(
        "values, total_weight, expected",
        [
            ([1, 2, 3, 4], 2, 3),
            ([1, 2, 3, 4], 0, np.inf),
            ([1, 2, 3, 4], 9, 1),
            ([1, 2, 2, 4], 2, 2),
            ([1, 2, 2, 2, 4], 2, 4),
            ([3, 3, 3, 3], 1, np.inf),
            ([3, 3, 3, 3], 2, 3),
            ([], 1, np.inf),
        ],
    )
    def test_values(self, values, total_weight, expected):
        values = np.array(values, dtype=float)
        ones = np.ones(len(values))
        assert upper_threshold(values, total_weight) == expected
        assert upper_threshold(values, total_weight, ones) == expected
        group = np.zeros(len(values), dtype=int)
        assert group_thresholds(values, group, np.array([total_weight]), None)[0] == expected
        assert group_thresholds(values, group, np.array([total_weight]), ones)[0] == expected

    @given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.booleans())
    def test_groups(self, seed, n_groups, weighted):
        rng = np.random.default_rng(seed)
        values = rng.integers(-4, 5, 200) / 8
        group = rng.integers(0, n_groups, 200)
        weight = rng.integers(0, 4, 200).astype(float) if weighted else None
        wanted = rng.integers(1, 60, n_groups)
        expected = [
            upper_threshold(values[group == g], wanted[g], weight[group == g] if weighted else None)
            for g in range(n_groups)
        ]
        assert_array_equal(group_thresholds(values, group, wanted, weight), expected)


class TestLabels:
    @pytest.mark.parametrize("names", [["b", "a", "c"], [7, 3, 11]])
    @each_rule
    def test_names_of_columns(self, rule, names):
        names = np.asarray(names)
        expected = find_label_errors(TOY_LABELS, TOY_PROBA, rule=rule)
        y = names[TOY_LABELS]
        assert_array_equal(find_label_errors(y, TOY_PROBA, rule=rule, classes=names), expected)
        columns = TOY_PROBA[:, np.argsort(names)]
        assert_array_equal(find_label_errors(y, columns, rule=rule), expected)

    def test_booleans(self):
        y, proba = make_noisy(0, 100, 2)
        expected = find_label_errors(y, proba)
        assert_array_equal(find_label_errors(y == 1, proba), expected)
        assert_array_equal(find_label_errors(y == 1, proba, classes=[False, True]), expected)

    @pytest.mark.parametrize("names", [[3, 7], ["no", "yes"]])
    def test_two_classes(self, names):
        y, proba = make_noisy(0, 100, 2)
        names = np.asarray(names)
        expected = find_label_errors(y, proba)
        assert_array_equal(find_label_errors(names[y], proba), expected)
        reverse = find_label_errors(names[y], proba[:, ::-1], classes=names[::-1])
        assert_array_equal(reverse, expected)


class TestMessages:
    @pytest.mark.parametrize("rule", ["nonsense", None, 3])
    def test_unknown_rule(self, rule):
        with pytest.raises(ValueError, match="rule must be one of 'prune_by_noise_rate'"):
            find_label_errors(TOY_LABELS, TOY_PROBA, rule=rule)

    @pytest.mark.parametrize(
        "value, message",
        [
            (np.nan, "NaN or infinite entry in row 3"),
            (np.inf, "NaN or infinite entry in row 3"),
            (-0.1, "negative entry"),
            (0.9, "must sum to 1, but row 3 sums to 1.8"),
        ],
    )
    @each_rule
    def test_bad_entries(self, rule, value, message):
        proba = TOY_PROBA.copy()
        proba[3, 0] = value
        with pytest.raises(ValueError, match=message):
            find_label_errors(TOY_LABELS, proba, rule=rule)

    @pytest.mark.parametrize(
        "y, proba, message",
        [
            ([0, 1], [[0.5, 0.5]], "same number of rows, got 2 and 1"),
            ([0, 0], [[1.0], [1.0]], "at least two classes, got 1 column"),
            ([0, np.nan], [[0.5, 0.5]] * 2, "y has 1 missing labels"),
            (["a", "b", "c"], [[0.5, 0.5]] * 3, "3 distinct labels but pred_proba has 2 columns"),
        ],
    )
    def test_bad_shapes(self, y, proba, message):
        with pytest.raises(ValueError, match=message):
            find_label_errors(y, proba)

    @pytest.mark.parametrize(
        "weight, message",
        [
            (np.zeros(8), "no positive entry|non-zero"),
            (-np.ones(8), "[Nn]egative"),
            (np.ones(7), "sample_weight"),
        ],
    )
    def test_bad_weights(self, weight, message):
        with pytest.raises(ValueError, match=message):
            find_label_errors(TOY_LABELS, TOY_PROBA, sample_weight=weight)
