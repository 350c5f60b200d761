"""The threads of a training."""

import functools
import threading

import torch

from skrobust.neural._plan import threads_for


def test_threads_get_their_own_number_of_torch_threads_back(two_threads):
    def call(function):
        found = []
        thread = threading.Thread(target=lambda: found.append(function()))
        thread.start()
        thread.join()
        return found[0]

    small = torch.nn.Linear(2, 2)
    limit = functools.partial(threads_for, small, torch.device("cpu"), (2,), 5)
    inside, leave = threading.Event(), threading.Event()
    seen = []

    def hold():
        torch.set_num_threads(3)
        with limit(), limit():
            seen.append(torch.get_num_threads())
            inside.set()
            leave.wait(10)
        seen.append(torch.get_num_threads())

    other = threading.Thread(target=hold)
    with limit():
        other.start()
        assert inside.wait(10)
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
    leave.set()
    other.join()
    assert seen == [1, 3]
    assert torch.get_num_threads() == 2
    with limit():  # a thread that starts meanwhile does not inherit the limit
        assert call(torch.get_num_threads) == 2
