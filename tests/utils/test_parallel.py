"""One BLAS thread inside of repeated fits, and as many as before outside of them."""

import threading

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.dummy import DummyClassifier
from threadpoolctl import ThreadpoolController, threadpool_limits

from skrobust.detection import NeighborVote
from skrobust.evidence import out_of_fold_proba
from skrobust.utils._parallel import delayed, one_blas_thread, stream
from skrobust.wrappers import CleaningClassifier


def blas_threads():
    """Return the numbers of threads that the BLAS libraries use now."""
    found = ThreadpoolController().select(user_api="blas").info()
    return {library["num_threads"] for library in found}


def in_a_thread(function, *args):
    """Call a function in a thread that ends at once, and so holds no limit afterwards."""
    thread = threading.Thread(target=function, args=args)
    thread.start()
    thread.join()


@pytest.fixture
def three_threads():
    """Let BLAS have three threads; a test may not leave another number behind."""
    before = max(blas_threads())
    in_a_thread(threadpool_limits, 3, "blas")
    try:
        assert blas_threads() == {3}
        yield
        assert blas_threads() == {3}
    finally:
        in_a_thread(threadpool_limits, before, "blas")


@pytest.mark.parametrize(("backend", "n_jobs"), [("loky", 1), ("threading", 2), ("loky", 2)])
def test_stream_limits_blas_threads_in_jobs_only(three_threads, backend, n_jobs):
    with parallel_config(backend=backend):
        for found in stream((delayed(blas_threads)() for _ in range(3)), n_jobs=n_jobs):
            assert found == {1}
    assert blas_threads() == {3}


def test_one_blas_thread_ends_with_the_last_of_overlapping_blocks(three_threads):
    inside, leave = threading.Event(), threading.Event()

    def hold():
        with one_blas_thread:
            inside.set()
            leave.wait(10)

    with one_blas_thread:
        other = threading.Thread(target=hold)
        other.start()
        inside.wait(10)
    assert blas_threads() == {1}
    leave.set()
    other.join()
    assert blas_threads() == {3}


def test_one_blas_thread_ends_with_an_error(three_threads):
    with pytest.raises(ZeroDivisionError):
        list(stream([delayed(divmod)(1, 0)]))
    assert blas_threads() == {3}


class Recording(DummyClassifier):
    """Remembers how many BLAS threads its fits had."""

    seen: list = []

    def fit(self, X, y, sample_weight=None):
        Recording.seen.append(blas_threads())
        return super().fit(X, y, sample_weight)


def test_fits_over_folds_have_one_blas_thread(three_threads, monkeypatch):
    monkeypatch.setattr(Recording, "seen", [])
    X, y = np.arange(20.0)[:, None], np.arange(20) % 2
    out_of_fold_proba(Recording(), X, y)
    assert Recording.seen == [{1}] * 5


@pytest.mark.parametrize(("given", "expected"), [(True, 3), (False, 1)])
def test_only_the_default_of_a_wrapper_is_limited(three_threads, monkeypatch, given, expected):
    monkeypatch.setattr(Recording, "seen", [])
    monkeypatch.setattr("skrobust.wrappers._base.LogisticRegression", Recording)
    X = np.random.default_rng(0).normal(size=(60, 2))
    estimator = Recording() if given else None
    wrapper = CleaningClassifier(estimator, NeighborVote(), action="drop", trim=False)
    wrapper.fit(X, X[:, 0] > 0)
    assert Recording.seen[-1] == {expected}


def test_a_limit_that_the_caller_holds_is_restored(three_threads):
    with threadpool_limits(2, "blas"):
        with one_blas_thread:
            assert max(blas_threads()) <= 2
        assert blas_threads() == {2}
