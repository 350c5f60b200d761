"""Independent work through joblib, whatever runs it."""

from collections.abc import Iterable

from joblib.parallel import get_active_backend
from sklearn.utils.parallel import Parallel


def stream(jobs: Iterable, *, n_jobs: int | None = None, require: str | None = None) -> Iterable:
    """Run delayed calls and yield their results in order.

    Results come one by one, so that not all of them need be held, where the backend in use can
    do that; else all at once.

    Parameters
    ----------
    jobs : iterable of delayed calls
        As of :func:`sklearn.utils.parallel.delayed`.
    n_jobs : int, default=None
        As of joblib.
    require : {"sharedmem", None}, default=None
        As of joblib.

    Returns
    -------
    results : iterable
        What the calls returned.
    """
    backend, _ = get_active_backend(require=require)
    one_by_one = getattr(backend, "supports_return_generator", False)
    return_as = "generator" if one_by_one else "list"
    return Parallel(n_jobs=n_jobs, require=require, return_as=return_as)(jobs)
