"""The examples in the docstrings of what a user calls are run, and every one of those has one."""

import doctest

import pytest

import emvsmcmc as ev

NAMES = [
    "Spec", "condition", "fit_em", "fit_mcmc", "compare", "choose", "simulate", "semisupervised", "suggest", "calibrate",
    "to_pymc", "recover",
]  # fmt: skip


def run(docstring: str, name: str) -> tuple[doctest.TestResults, str]:
    """(attempted and failed, what went wrong) of the examples of a docstring, each with names of its own."""
    output: list[str] = []
    example = doctest.DocTestParser().get_doctest(docstring, {}, name, None, 0)
    return doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False).run(example, out=output.append), "".join(output)


@pytest.mark.parametrize("name", NAMES)
def test_example(name: str) -> None:
    results, report = run(getattr(ev, name).__doc__, name)
    assert results.attempted >= 3
    assert not results.failed, report


def test_a_wrong_example_is_noticed() -> None:
    """Negative control."""
    results, report = run(">>> 1 + 1\n3\n>>> 2\n2", "wrong")
    assert results == (1, 2)
    assert "Expected" in report
