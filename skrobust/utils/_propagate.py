"""Parts of an estimator: what the user told the whole, they are told as well."""

from skrobust.utils._random import draw_seed, is_integer_seed, private_random_state


def propagate_params(part, **params):
    """Set parameters of a part, where it has them and the whole was given a value."""
    known = part.get_params(deep=False)
    given = {key: value for key, value in params.items() if value is not None and key in known}
    if "random_state" in given and not is_integer_seed(given["random_state"]):
        given["random_state"] = draw_seed(private_random_state(given["random_state"]))
    return part.set_params(**given)
