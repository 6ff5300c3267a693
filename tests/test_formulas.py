"""docs/formulas.md against the classes: its tables are those of the code, and every cell of terms and messages is evaluated."""

import numpy as np
import pytest
from formulas import PAGE, PRIVATE, cells, filled
from scipy.special import gammaln, i0

from emvsmcmc.families import ALL, BY_NAME, ConjugateFamily, Family, TableFamily, ValueFamily
from emvsmcmc.families.support import Simplex
from emvsmcmc.families.uncharted import Counts
from emvsmcmc.spec import private_dims

ROWS = {row[0]: row[1:] for row in cells("Terms")}
MESSAGES = {(row[0], row[1]): row[2] for row in cells("Messages")}
TERMS = [f for f in ALL if isinstance(f, TableFamily | ValueFamily)]
LABELS = " of each label"


def test_tables_follow_from_the_code() -> None:
    """`python tests/formulas.py` writes them."""
    page = PAGE.read_text(encoding="utf-8")
    assert filled(page) == page


def test_a_change_is_noticed() -> None:
    """Negative control."""
    page = PAGE.read_text(encoding="utf-8")
    for old, new in (("| Poisson | log p", "| Fish | log p"), ("x² = SS / N", "x = SS / N"), ("`mu` (rate)", "`mu` (mean)")):
        assert old in page
        altered = page.replace(old, new)
        assert altered != filled(altered) == page


def test_every_family_with_terms_has_its_row() -> None:
    assert sorted(ROWS) == sorted(f.name for f in TERMS)
    assert {name for name, _ in MESSAGES} == {f.name for f in ALL if isinstance(f, ConjugateFamily)}


def values_of(family: Family) -> dict[str, np.ndarray]:
    """A value of every argument: a number, or probabilities; numbers that are read as bounds rise."""
    out = {}
    for i, (name, argument) in enumerate(family.arguments.items()):
        if isinstance(argument.support, Simplex):
            out[name] = np.array([0.2, 0.5, 0.3])
        else:
            out[name] = np.array(7.0 if isinstance(argument.support, Counts) else 0.3 + 0.1 * i)
    return out


def points(family: Family, arguments: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Values that it may have; a vector each where its values are vectors."""
    event = (3,) * family.event_dims
    drawn = list(family.sample(np.random.default_rng(0), (4, *event), **arguments).astype(float))
    return drawn + ([np.array(0.0), np.array(1.0)] if family.indexes or (isinstance(family, ValueFamily) and family.mass) else [])


def evaluated(cell: str, x: np.ndarray, arguments: dict[str, np.ndarray]) -> list[np.ndarray]:
    known = {"log": np.log, "exp": np.exp, "cos": np.cos, "sin": np.sin, "lgamma": gammaln, "I0": i0, "inf": np.inf, "pi": np.pi}
    return [np.asarray(eval(text, known, {"x": x, **arguments}), dtype=float) for text in cell.split(";")]


def assert_same(wanted: list[np.ndarray], ours: list[np.ndarray]) -> None:
    assert len(wanted) == len(ours)
    for a, b in zip(wanted, ours, strict=True):
        np.testing.assert_allclose(a, np.broadcast_to(b, np.broadcast_shapes(np.shape(a), np.shape(b))), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("family", TERMS, ids=lambda f: f.name)
def test_terms_are_what_the_page_says(family: Family) -> None:
    multipliers, tables, at_value = ROWS[family.name]
    arguments = values_of(family)
    assert bool(multipliers) == bool(tables) == isinstance(family, TableFamily)
    assert bool(at_value) == isinstance(family, ValueFamily)
    for x in points(family, arguments):
        if isinstance(family, TableFamily):
            fixed = {k: v for k, v in arguments.items() if family.arguments[k].fixed}
            free = {k: v for k, v in arguments.items() if not family.arguments[k].fixed}
            assert_same(evaluated(multipliers, x, arguments), family.multipliers(x, **fixed))
            assert_same(evaluated(tables, x, arguments), family.tables(np, **free))
        if isinstance(family, ValueFamily):
            value = None if family.counted is not None else x
            given = {k: arguments[k] for k in family.value_reads}
            assert_same(evaluated(at_value.removesuffix(LABELS), x, arguments), [family.at_value(np, value, **given)])


@pytest.mark.parametrize("family", TERMS, ids=lambda f: f.name)
def test_terms_add_up_to_the_textbook_density(family: Family) -> None:
    multipliers, tables, at_value = ROWS[family.name]
    arguments = values_of(family)
    for x in points(family, arguments):
        total = np.zeros(())
        for cell, other in zip(multipliers.split(";"), tables.split(";"), strict=True) if multipliers else ():
            total = total + evaluated(cell, x, arguments)[0] * evaluated(other, x, arguments)[0]
        if at_value.endswith(LABELS):
            total = total + evaluated(at_value.removesuffix(LABELS), x, arguments)[0][int(x)]
        elif at_value:
            total = total + evaluated(at_value, x, arguments)[0]
        np.testing.assert_allclose(total.sum(), family.logpdf(x, **arguments).sum(), rtol=1e-10)


@pytest.mark.parametrize(("name", "argument"), MESSAGES)
def test_messages_are_what_the_page_says(name: str, argument: str) -> None:
    family = BY_NAME[name]
    assert isinstance(family, ConjugateFamily)
    others = {k: v for k, v in values_of(family).items() if k != argument and not family.arguments[k].fixed}
    if isinstance(family, TableFamily):
        sums = [np.array([[2.0 + i]]) for i in range(len(ROWS[name][1].split(";")))]
        known = {f"s{i + 1}": s for i, s in enumerate(sums)}
    else:
        sums = [np.array([[2.0, 5.0]])]  # at 0 and at 1
        known = {"s": lambda x: sums[0][..., [x]]}
    cell = MESSAGES[name, argument]
    if cell.endswith(LABELS):
        known = {"s": lambda _: sums[0]}
    wanted = [eval(text, {"x": None, **others, **known}) for text in cell.removesuffix(LABELS).split(";")]
    for ours, theirs in zip(wanted, family.message(argument, sums, **others), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_every_private_dim_has_its_row() -> None:
    here = {n for n in vars(private_dims) if not n.startswith(("_", "is_")) and n not in ("annotations", "latent_of", "UNNAMED")}
    assert set(PRIVATE) == here
