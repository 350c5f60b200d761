"""Agreement of reviewers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable


def krippendorff_alpha(ratings: Iterable[tuple]) -> float | None:
    """Return Krippendorff's alpha of nominal ratings.

    Parameters
    ----------
    ratings : iterable of (unit, value)
        One pair for each rating.

    Returns
    -------
    alpha : float or None
        1 for full agreement, 0 for that of chance; None where no unit has two ratings, or all
        ratings are of one value.
    """
    units = defaultdict(Counter)
    for unit, value in ratings:
        units[unit][value] += 1
    totals, disagreement = Counter(), 0.0
    for counts in units.values():
        size = counts.total()
        if size < 2:
            continue
        totals.update(counts)
        disagreement += (size**2 - sum(n**2 for n in counts.values())) / (size - 1)
    n = totals.total()
    expected = n**2 - sum(count**2 for count in totals.values())
    if n < 2 or expected == 0:
        return None
    return 1 - (n - 1) * disagreement / expected
