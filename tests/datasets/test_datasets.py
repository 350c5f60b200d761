"""The shipped data: counts, checksums, options, and that the files can be built again."""

import csv
import gzip
import hashlib
import importlib.util
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from skrobust.datasets import load_mnist_errors, load_youtube_spam

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "skrobust" / "datasets" / "data"


@pytest.fixture(scope="module")
def digits():
    return load_mnist_errors()


def _digest(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


def test_mnist_shapes_and_types(digits):
    assert digits.data.shape == (5000, 784)
    assert digits.data.dtype == np.float64
    assert (digits.data.min(), digits.data.max()) == (0, 255)
    assert digits.images.shape == (5000, 28, 28)
    assert digits.images.dtype == np.uint8
    np.testing.assert_array_equal(digits.images.reshape(5000, -1), digits.data)
    assert digits.target.dtype == np.int64
    assert digits.verified_target.dtype == np.float64
    assert digits.is_error.dtype == np.int8
    assert digits.review_outcome.dtype.kind == "U"
    assert digits.target_names == list("0123456789")
    assert len(digits.feature_names) == 784
    assert "frame" not in digits


def test_mnist_content(digits):
    assert _digest(digits.images) == "eb52766d3112b3a8"
    assert _digest(digits.target.astype("<i8")) == "c21f58044c533141"
    assert _digest(digits.index.astype("<i8")) == "3c7e39a3f2c9f30b"
    assert (np.diff(digits.index) > 0).all()
    assert digits.index.max() < 10000


def test_mnist_review_outcomes(digits):
    checked = digits.is_error >= 0
    wrong = digits.is_error == 1
    assert checked.sum() == 100
    assert wrong.sum() == 15
    np.testing.assert_array_equal(np.isnan(digits.verified_target), ~checked)
    np.testing.assert_array_equal(
        wrong[checked], (digits.verified_target != digits.target)[checked]
    )
    names, counts = np.unique(digits.review_outcome, return_counts=True)
    assert dict(zip(names.tolist(), counts.tolist())) == {
        "correctable": 10,
        "neither": 3,
        "non_agreement": 2,
        "non_error": 85,
        "unchecked": 4900,
    }
    assert set(digits.review_outcome[wrong]) == {"correctable", "neither", "non_agreement"}
    given = digits.votes[:, digits.vote_names.index("given")]
    assert (given[wrong] < 3).all()
    assert (given[digits.is_error == 0] >= 3).all()
    assert (digits.votes[~checked] == -1).all()


def test_mnist_options(digits):
    pandas = pytest.importorskip("pandas")
    X, y = load_mnist_errors(return_X_y=True)
    np.testing.assert_array_equal(X, digits.data)
    np.testing.assert_array_equal(y, digits.target)
    framed = load_mnist_errors(as_frame=True)
    assert isinstance(framed.data, pandas.DataFrame)
    assert list(framed.data.columns) == digits.feature_names
    assert framed.frame.shape == (5000, 785)
    assert framed.target.name == "target"
    assert framed.verified_target.notna().sum() == 100
    X, y = load_mnist_errors(return_X_y=True, as_frame=True)
    assert isinstance(X, pandas.DataFrame)
    assert isinstance(y, pandas.Series)


YOUTUBE = {
    "train": (1506, 0, 0.139, "350b99b25dd3106d"),
    "valid": (120, 15, 0.162, "200c8c555870ec09"),
    "test": (250, 18, 0.151, "df954f26a8fe6060"),
    "all": (2056, 213, 0.142, "8216c3765bfc3143"),
}


@pytest.mark.parametrize("subset", YOUTUBE)
def test_youtube(subset):
    n_rows, n_missing, noise, digest = YOUTUBE[subset]
    comments = load_youtube_spam(subset=subset)
    assert isinstance(comments.data, list)
    assert all(isinstance(text, str) for text in comments.data)
    assert len(comments.data) == len(comments.target) == len(comments.verified_target) == n_rows
    assert hashlib.sha256("\0".join(comments.data).encode()).hexdigest()[:16] == digest
    covered = np.array([label is not None for label in comments.target])
    assert (~covered).sum() == n_missing
    assert set(comments.target[covered]) == set(comments.verified_target) == {"ham", "spam"}
    wrong = comments.target[covered] != comments.verified_target[covered]
    assert round(float(wrong.mean()), 3) == noise
    assert comments.votes.shape == (n_rows, 10)
    np.testing.assert_array_equal((comments.votes >= 0).any(axis=1), covered)
    assert set(comments.split) == ({"train", "valid", "test"} if subset == "all" else {subset})


def test_youtube_options():
    pandas = pytest.importorskip("pandas")
    comments = load_youtube_spam()
    texts, labels = load_youtube_spam(return_X_y=True)
    assert texts == comments.data
    np.testing.assert_array_equal(labels, comments.target)
    framed = load_youtube_spam(subset="test", as_frame=True)
    assert isinstance(framed.data, pandas.Series)
    assert list(framed.frame.columns) == ["text", "target", "verified_target", "split"]
    assert framed.target.isna().sum() == 18
    texts, labels = load_youtube_spam(return_X_y=True, as_frame=True)
    assert isinstance(labels, pandas.Series)


@pytest.mark.parametrize("load", [load_mnist_errors, load_youtube_spam])
def test_descriptions(load):
    text = load().DESCR
    assert "licence" in text
    assert "CC BY" in text
    assert "Apache-2.0" in text


@pytest.mark.parametrize("load", [load_mnist_errors, load_youtube_spam])
@pytest.mark.parametrize("name", ["return_X_y", "as_frame"])
def test_bad_flag(load, name):
    with pytest.raises(ValueError, match=f"{name}='no' is not a boolean; expected True or False"):
        load(**{name: "no"})


@pytest.mark.parametrize("subset", ["training", None, 3])
def test_bad_subset(subset):
    with pytest.raises(ValueError, match=r"subset=.* expected one of 'train', 'valid'"):
        load_youtube_spam(subset=subset)


def test_files_are_small_and_hold_no_pickle():
    assert (DATA / "mnist_errors.npz").stat().st_size < 1_200_000
    assert (DATA / "youtube_spam.csv.gz").stat().st_size < 200_000
    with np.load(DATA / "mnist_errors.npz", allow_pickle=False) as archive:
        for name in archive.files:
            assert archive[name].dtype.kind in "iufU"


def test_notice_names_every_source():
    notice = (DATA / "NOTICE.md").read_text(encoding="utf-8")
    for word in ("LeCun", "Northcutt", "Alberto", "WRENCH", "by-sa/3.0", "by/4.0", "Apache"):
        assert word in notice


def test_without_pandas():
    code = (
        "import sys; sys.modules['pandas'] = None\n"
        "from skrobust.datasets import load_mnist_errors, load_youtube_spam\n"
        "load_mnist_errors(), load_youtube_spam()\n"
        "try:\n    load_mnist_errors(as_frame=True)\n"
        "except ImportError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert 'pip install "skrobust[report]"' in done.stdout


def _builder():
    spec = importlib.util.spec_from_file_location(
        "build_datasets", ROOT / "tools/build_datasets.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.data
def test_rebuild(data_dir, tmp_path):
    """Two builds give the same bytes, and the content that is shipped.

    The bytes of a compressed file depend on the version of zlib, so those are not compared with
    the shipped ones.
    """
    build = _builder().build
    build(data_dir, tmp_path / "one")
    build(data_dir, tmp_path / "two")
    for name in ("mnist_errors.npz", "youtube_spam.csv.gz"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    with (
        np.load(DATA / "mnist_errors.npz") as old,
        np.load(tmp_path / "one/mnist_errors.npz") as new,
    ):
        assert old.files == new.files
        for name in old.files:
            np.testing.assert_array_equal(old[name], new[name])
    texts = [
        gzip.decompress((folder / "youtube_spam.csv.gz").read_bytes())
        for folder in (DATA, tmp_path / "one")
    ]
    assert texts[0] == texts[1]
    rows = list(csv.DictReader(io.StringIO(texts[0].decode(), newline="")))
    assert len(rows) == 2056
