"""Parts of an estimator: what the user told the whole, they are told as well."""

from skrobust.utils._random import draw_seed, is_integer_seed, private_random_state


def hand_on(part, **params):
    """Set parameters of a part, where it has them and the whole was given a value.

    Parameters
    ----------
    part : estimator object
        Not the caller's own: it is changed.
    **params : dict
        Parameters of the whole. None stands for nothing given. A `random_state` that is no
        integer becomes a seed drawn from it: a generator would be copied with its state, and
        every refit would draw the same.

    Returns
    -------
    part : estimator object
        The same.
    """
    known = part.get_params(deep=False)
    given = {key: value for key, value in params.items() if value is not None and key in known}
    if "random_state" in given and not is_integer_seed(given["random_state"]):
        given["random_state"] = draw_seed(private_random_state(given["random_state"]))
    return part.set_params(**given)
