"""Comments labelled spam or ham by ten rules, and by annotators."""

from __future__ import annotations

import csv
import gzip
import io
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from skrobust.datasets._common import (
    check_bool,
    check_option,
    import_pandas,
    read_bytes,
    read_text,
)

SUBSETS = ("train", "valid", "test", "all")
TARGET_NAMES = ("ham", "spam")


def load_youtube_spam(
    *, subset: str = "train", return_X_y: bool = False, as_frame: bool = False
) -> Bunch | tuple[Any, Any]:
    """Load comments on YouTube videos whose labels come from rules, 14 % of them wrong.

    Ten labelling functions (keywords, patterns, length, sentiment) vote spam, ham, or abstain;
    the given label is the vote of the majority. Annotators labelled every comment too.

    =================   =================================
    Classes                                2 (ham, spam)
    Samples total       1506 (train), 120, 250, 2056 (all)
    Wrong labels                    13.9 % of train
    Features                                        text
    =================   =================================

    Parameters
    ----------
    subset : {"train", "valid", "test", "all"}, default="train"
        Which rows to load. "train" holds the 1506 training rows on which at least one labelling
        function voted; "valid" and "test" hold every row of theirs; "all" holds every row there
        is, the 180 training rows without any vote included.

    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of a `Bunch`.

    as_frame : bool, default=False
        If True, `data`, `target` and `verified_target` are pandas Series, and `frame` is a
        DataFrame with them and `split` as columns.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object with the following attributes.

        data : list of str or Series
            The comments.
        target : ndarray of shape (n_samples,) or Series, object
            The labels given by the rules, "ham" or "spam"; None where no rule voted.
        verified_target : ndarray of shape (n_samples,) or Series, object
            The labels given by annotators, "ham" or "spam".
        votes : ndarray of shape (n_samples, 10), int8
            Vote of each labelling function: 0 for ham, 1 for spam, -1 for abstain.
        split : ndarray of shape (n_samples,), str
            "train", "valid" or "test".
        target_names : list of str
            Names of the classes.
        frame : DataFrame
            Only if ``as_frame=True``.
        DESCR : str
            Where the data come from and what they mean.

    (data, target) : tuple if ``return_X_y`` is True
        The comments and the labels given by the rules.

    See Also
    --------
    load_mnist_errors : Digits with labels verified by annotators.

    Notes
    -----
    Errors made by rules can be learned from the text, because the rules read the same text; they
    are harder to find than errors made at random.

    .. versionadded:: 0.1

    References
    ----------
    Alberto, Lochter and Almeida (2015). TubeSpam: comment spam filtering on YouTube. ICMLA.

    Zhang, Yu, Li, Wang, Yang, Yang and Ratner (2021). WRENCH: a comprehensive benchmark for weak
    supervision. NeurIPS datasets and benchmarks.

    Examples
    --------
    >>> from skrobust.datasets import load_youtube_spam
    >>> comments = load_youtube_spam()
    >>> len(comments.data)
    1506
    >>> wrong = comments.target != comments.verified_target
    >>> round(float(wrong.mean()), 3)
    0.139
    """
    check_option("subset", subset, SUBSETS)
    check_bool("return_X_y", return_X_y)
    check_bool("as_frame", as_frame)

    table = gzip.decompress(read_bytes("youtube_spam.csv.gz")).decode("utf-8")
    # newline="" leaves line ends inside quoted comments as they were written.
    rows = list(csv.DictReader(io.StringIO(table, newline="")))
    if subset == "train":
        rows = [row for row in rows if row["split"] == "train" and row["weak_label"]]
    elif subset != "all":
        rows = [row for row in rows if row["split"] == subset]

    data = [row["text"] for row in rows]
    target = np.array([row["weak_label"] or None for row in rows], dtype=object)
    verified_target = np.array([row["label"] for row in rows], dtype=object)
    split = np.array([row["split"] for row in rows])
    rules = [name for name in rows[0] if name.startswith("lf")]
    votes = np.array([[row[rule] for rule in rules] for row in rows]).astype(np.int8)

    frame = None
    if as_frame:
        pandas = import_pandas()
        data = pandas.Series(data, name="text")
        target = pandas.Series(target, name="target", dtype=object)
        verified_target = pandas.Series(verified_target, name="verified_target", dtype=object)
        frame = pandas.concat(
            [data, target, verified_target, pandas.Series(split, name="split")], axis=1
        )
    if return_X_y:
        return data, target

    bunch = Bunch(
        data=data,
        target=target,
        verified_target=verified_target,
        votes=votes,
        split=split,
        target_names=list(TARGET_NAMES),
        DESCR=read_text("youtube_spam.md"),
    )
    if as_frame:
        bunch.frame = frame
    return bunch
