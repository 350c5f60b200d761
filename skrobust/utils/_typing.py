"""Types of the arguments of estimators and functions."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from numpy.typing import ArrayLike

if TYPE_CHECKING:
    # SciPy has no type information.
    CSRMatrix: TypeAlias = Any
else:
    from scipy.sparse import csr_matrix as CSRMatrix

__all__ = ["CSRMatrix", "CrossValidation", "LabelsLike", "MatrixLike", "Splitter"]

# Array-like, sparse matrix or data frame; of the last two, types are not known everywhere.
MatrixLike: TypeAlias = Any
# Array-like in which None may stand for a missing label.
LabelsLike: TypeAlias = ArrayLike | Sequence[Any]


class Splitter(Protocol):
    """Splitter of rows into training and test sets."""

    def split(self, X: Any, y: Any, groups: Any, /) -> Iterable[tuple[ArrayLike, ArrayLike]]:
        """Generate positions of training and test rows."""
        ...


CrossValidation: TypeAlias = int | Splitter | Iterable[tuple[ArrayLike, ArrayLike]] | None
