"""What a detector looks at: what models say about rows that they have not seen."""

from skrobust.evidence._neighbors import neighbor_graph
from skrobust.evidence._out_of_bag import out_of_bag_proba
from skrobust.evidence._out_of_fold import out_of_fold_proba
from skrobust.evidence._staged import staged_proba

__all__ = ["neighbor_graph", "out_of_bag_proba", "out_of_fold_proba", "staged_proba"]
