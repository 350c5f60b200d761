"""Private names of scikit-learn, imported here and nowhere else, and a public one with its types.

Everything here exists, with the behaviour used here, in every supported release. When scikit-learn
moves one of these names, this is the one file to mend.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from sklearn.base import _fit_context
from sklearn.metrics._scorer import _BaseScorer as BaseScorer
from sklearn.utils import _safe_indexing as safe_indexing
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    StrOptions,
    validate_params,
)
from sklearn.utils._param_validation import (
    validate_parameter_constraints as validate_parameters,
)
from sklearn.utils.metadata_routing import _raise_for_params as raise_for_params
from sklearn.utils.metadata_routing import _routing_enabled as routing_enabled
from sklearn.utils.validation import _check_feature_names as check_feature_names
from sklearn.utils.validation import _check_n_features as check_n_features
from sklearn.utils.validation import _check_sample_weight as check_weight_array
from sklearn.utils.validation import _num_samples

from skrobust.utils._error_messages import explain_names, explain_text

if TYPE_CHECKING:

    class Tags(Protocol):
        """Tags of an estimator; ``scikit-learn-stubs`` are of a release without them."""

        estimator_type: str | None
        target_tags: Any
        transformer_tags: Any
        classifier_tags: Any
        regressor_tags: Any
        array_api_support: bool
        no_validation: bool
        non_deterministic: bool
        requires_fit: bool
        input_tags: Any

else:
    from sklearn.utils import Tags

__all__ = [
    "BaseScorer",
    "HasMethods",
    "Interval",
    "StrOptions",
    "Tags",
    "check_feature_names",
    "check_n_features",
    "check_weight_array",
    "fit_context",
    "num_samples",
    "raise_for_params",
    "routing_enabled",
    "safe_indexing",
    "validate_parameters",
    "validate_params",
    "validate_params_of",
]

num_samples = _num_samples
Fit = TypeVar("Fit", bound=Callable)


def fit_context(*, prefer_skip_nested_validation: bool) -> Callable[[Fit], Fit]:
    """Decorate ``fit`` as in scikit-learn, and explain foreign argument names and text in X."""
    validate = _fit_context(prefer_skip_nested_validation=prefer_skip_nested_validation)
    return lambda fit: explain_names(explain_text(validate(fit)))


def validate_params_of(estimator) -> None:
    """Validate the parameters of an estimator as its own ``fit`` would."""
    estimator._validate_params()
