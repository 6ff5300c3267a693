"""The front door: what there is, what type checkers see of it, and what a PyMC user's habits are answered with."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pymc as pm
import pytest
from stub import STUB, written

import emvsmcmc as ev
from emvsmcmc import errors
from emvsmcmc.families import ALL
from emvsmcmc.spec import habits

PUBLIC = [n for n in dir(pm) if not n.startswith("_")]


def test_the_stub_says_what_there_is() -> None:
    """`python tests/stub.py` writes it anew."""
    assert STUB.read_text(encoding="utf-8") == written()
    assert (STUB.parent / "py.typed").exists()


def test_every_family_is_at_the_front_door_with_pymc_s_argument_names() -> None:
    assert {f.name for f in ALL} <= set(ev.__all__) <= set(dir(ev))
    for family in ALL:
        constructor = getattr(ev, family.name)
        ours = set(inspect.signature(constructor).parameters) - {"name", "dims", "variance"}
        theirs = getattr(pm, family.twin.name if family.twin else "", None)
        if theirs is not None and family.name not in ("Dirac", "InverseWishart", "LKJCov"):
            assert ours <= set(inspect.signature(theirs.dist).parameters), family.name


def test_everything_can_be_imported_at_once() -> None:
    code = "from emvsmcmc import *; print(Normal, math.exp, errors.BadInput, fit_em)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "fit_em" in run.stdout


@pytest.mark.parametrize("name", [n for n in PUBLIC if n not in ev.__all__ and n not in ("version",)])
def test_every_name_of_pymc_has_an_answer(name: str) -> None:
    with pytest.raises(AttributeError) as caught:
        getattr(ev, name)
    assert name in {*habits.NAMES, *habits.OTHERS}
    assert f"emvsmcmc has no {'counterpart of ' if name in habits.OTHERS else ''}" in str(caught.value)
    assert "There are" in str(caught.value)
    assert "Normal" in str(caught.value)


@pytest.mark.parametrize(("name", "words"), [
    ("Truncated", "Uniform"), ("Potential", "weights"), ("NormalMixture", "mean[z]"), ("Mixture", "Switch"),
    ("Censored", "holes"), ("GaussianRandomWalk", "independent"), ("sample", "fit_mcmc"),
    ("Model", "ev.Spec"), ("MutableData", "ev.condition"),
])  # fmt: skip
def test_the_answer_says_what_to_write(name: str, words: str) -> None:
    with pytest.raises(AttributeError, match=name) as caught:
        getattr(ev, name)
    assert words in str(caught.value)
    with pytest.raises(AttributeError, match=r"ev\.math has no tanh: write 2 \* ev\.math\.sigmoid"):
        ev.math.tanh  # noqa: B018
    with pytest.raises(AttributeError, match=r"ev\.math has no cosh\. There are abs"):
        ev.math.cosh  # noqa: B018
    with pytest.raises(AttributeError, match=r"no nonsense\. There are"):
        ev.nonsense  # noqa: B018
    assert not hasattr(ev, "__wrapped__")


@pytest.mark.parametrize("name", habits.MATH)
def test_what_is_said_of_a_function_is_said_of_one_that_pymc_has(name: str) -> None:
    assert hasattr(pm.math, name)


def open_spec(body: Callable[[], Any], **options: Any) -> Callable[[], None]:
    def run() -> None:
        with ev.Spec(**options):
            body()

    return run


HABITS: list[tuple[Callable[[], Any], tuple[str, ...]]] = [
    (open_spec(lambda: ev.Normal("x", 0, 1, observed=[1.0])), ("observed", "ev.condition(spec, {name: values})")),
    (open_spec(lambda: ev.Normal("x", 0, 1, shape=3)), ("shape", "dims=", "coords")),
    (open_spec(lambda: ev.Normal("x", 0, 1, size=3)), ("size", "dims=")),
    (open_spec(lambda: ev.Normal("x", 0, 1, initval=0.0)), ("initval", "init={name: value}")),
    (open_spec(lambda: ev.Normal("x", 0, 1, transform=None)), ("transform", "ordered")),
    (open_spec(lambda: ev.MvNormal("x", 0, tau=np.eye(2))), ("tau", "precision")),
    (open_spec(lambda: ev.Poisson("x", 1, logit_p=1)), ("logit_p", "sigmoid")),
    (open_spec(lambda: ev.Normal("x", 0, 1, "row")), ("x.variance", "'row'", "dims='row'")),
    (open_spec(lambda: ev.Data("x", np.ones(3))), ("dims", "holds no data", "ev.condition")),
    (
        open_spec(lambda: ev.Data("x", dims=[1.0, 2.0])),
        ("dims", "holds no data"),
    ),
    (
        open_spec(lambda: ev.Data("x", np.ones(3), dims="row")),
        ("Data 'x'", "holds no data", "ev.condition(spec, {'x': values})"),
    ),
    (lambda: ev.Spec("model"), ("Spec", "no name")),
    (lambda: ev.Spec(name="model"), ("name", "no name")),
    (lambda: ev.Spec(coords_mutable={}), ("coords_mutable", "without coords")),
    (open_spec(lambda: None, ordered={"k": "mean"}), ("ordered['k']", "coords")),
    (open_spec(lambda: ev.Normal("m", 0, 1), coords={"k": 2}, ordered={"k": "m"}), ("ordered['k']", "none has it", "'m'")),
    (open_spec(lambda: ev.Normal("m", 0, 1, dims="k"), coords={"k": 2}, ordered={"k": "mean"}), ("dim 'k': m", "'mean'")),
    (lambda: ev.Spec(ordered="mean"), ("ordered", "component")),
    (lambda: ev.Spec(coords=["a"]), ("coords", "component")),
    (lambda: ev.Spec(plates="society"), ("plates", "['society']")),
    (open_spec(lambda: ev.Normal("x", 0, sigma=1, tau=1)), ("sigma and tau", "one set of arguments")),
    (open_spec(lambda: ev.Normal("x", 0, variance=1, tau=1)), ("tau and variance", "one set")),
    (open_spec(lambda: ev.Beta("x", 1, mu=0.5)), ("alpha and beta; or mu and sigma; or mu and nu",)),
    (open_spec(lambda: ev.Beta("x", mu=0.5)), ("mu and sigma; or mu and nu",)),
    (open_spec(lambda: ev.Beta("x", mu=0.5, sigma=0.2, nu=2)), ("mu and nu and sigma",)),
    (open_spec(lambda: ev.Beta("x", mu=0.5, sigma=0.5)), ("sigma**2 < mu * (1 - mu)", "0.5")),
    (open_spec(lambda: ev.Gamma("x", 2, 1, mu=1, sigma=1)), ("alpha and beta; or mu and sigma",)),
    (open_spec(lambda: ev.Gamma("x", mu=-1, sigma=1)), ("mu > 0", "-1")),
    (open_spec(lambda: ev.Normal("x", 0, tau=0)), ("tau > 0",)),
    (open_spec(lambda: ev.Exponential("x", 1, scale=1)), ("lam and scale",)),
    (open_spec(lambda: ev.Bernoulli("x", 0.5, logit_p=0)), ("logit_p and p",)),
    (open_spec(lambda: ev.HalfNormal("x", 1, tau=1)), ("sigma and tau",)),
    (open_spec(lambda: ev.Gamma("x", mu="a", sigma=1)), ("numbers", "'a'")),
]


@pytest.mark.parametrize(("run", "words"), HABITS, ids=range(len(HABITS)))
def test_a_habit_is_answered_with_a_sentence(run: Callable[[], Any], words: tuple[str, ...]) -> None:
    with pytest.raises(errors.InvalidSpec) as caught:
        run()
    for word in words:
        assert word in str(caught.value)
