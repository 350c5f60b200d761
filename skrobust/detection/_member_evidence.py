"""Out-of-sample predictions of the members of an ensemble; what members share is fitted once."""

from collections.abc import Iterator

import numpy as np

from skrobust.detection._confident_learning import ConfidentLearning
from skrobust.evidence._out_of_bag import gather_at_leaf_sizes, gives_out_of_bag
from skrobust.evidence._progress import step
from skrobust.utils._random import private_random_state


def gather_members(members, names, data, round_number: int) -> list[np.ndarray]:
    """Gather the out-of-sample probabilities of detectors, one for each model.

    Forests that are read out of bag and differ in the size of their leaves only are grown once,
    with the smallest leaves, and read at each size.

    Parameters
    ----------
    members : list of detector
        With ``gather_proba``.
    names : list of str
        Names of their models, for a display of progress.
    data : LabelledData
        Rows.
    round_number : int
        For the display.

    Returns
    -------
    proba : list of ndarray of shape (n_samples, n_classes), dtype float32
        In the order of `members`.
    """
    groups = list(_groups(members, data))
    found: list = [None] * len(members)
    for place, group in enumerate(groups, 1):
        with step(f"{names[group[0]]}, round {round_number}", place, len(groups)):
            some = [members[j] for j in group]
            proba = [some[0].gather_proba(data)] if len(some) == 1 else _read_forest(some, data)
        for j, one in zip(group, proba, strict=True):
            # Single precision: predictions are no more precise, and several are held.
            found[j] = one.astype(np.float32)
    return found


def _groups(members, data) -> Iterator[list[int]]:
    """Positions of members that share a fit."""
    by_params: dict = {}
    for j, member in enumerate(members):
        by_params.setdefault(_shared_params(member, data) or j, []).append(j)
    yield from by_params.values()


def _shared_params(member, data) -> str | None:
    """What forests have in common that are fitted once; None for other models."""
    forest = getattr(member, "estimator", None)
    if data.groups is not None or type(member) is not ConfidentLearning:
        return None
    if not gives_out_of_bag(forest) or not isinstance(forest.min_samples_leaf, int):
        return None
    params = forest.get_params(deep=False)
    del params["min_samples_leaf"]
    return f"{type(forest).__name__} {params}"


def _read_forest(members, data) -> list[np.ndarray]:
    """Grow one forest for members that differ in the size of leaves."""
    leaf_sizes = [member.estimator.min_samples_leaf for member in members]
    first = members[int(np.argmin(leaf_sizes))]
    evidence = gather_at_leaf_sizes(
        first.estimator,
        data.X,
        data.y_train,
        data.classes,
        data.used,
        leaf_sizes=leaf_sizes,
        sample_weight=data.sample_weight,
        n_jobs=first.n_jobs,
        random_state=private_random_state(first.random_state),
    )
    for member, one in zip(members, evidence, strict=True):
        member._keep_models(one)
    return [one.pred_proba for one in evidence]
