"""`explain` says what the engines do: the steps in its text are those that `em` compiled, and its formulas hold in numbers."""

import re
from typing import Any

import numpy as np
import pytest

import emvsmcmc as ev
from emvsmcmc import gallery
from emvsmcmc.em.mstep import MStep
from emvsmcmc.em.starts import random_start
from emvsmcmc.expect import objective
from emvsmcmc.expect.coefficients import coefficients
from emvsmcmc.expect.layout import Statistics
from emvsmcmc.expect.plan import Plan
from emvsmcmc.expect.planner import make_plan
from emvsmcmc.expect.rows import expect
from emvsmcmc.explain.example_problem import tiny_problem
from emvsmcmc.explain.explanation import Explanation
from emvsmcmc.explain.means import mean_step
from emvsmcmc.explain.plan_view import View
from emvsmcmc.families import ALL, Prior
from emvsmcmc.families.kinds import Kind
from emvsmcmc.spec.evaluate import Environment


def regressions(scale: str) -> ev.Spec:
    """Two regression lines, with a scale for each or one for both."""
    with ev.Spec(coords={"component": 2}) as spec:
        x = ev.Data("x", dims="row")
        weight = ev.Dirichlet("weight", [2, 3], dims="component")
        a = ev.Normal("a", 0, 10, dims="component")
        b = ev.Normal("b", 1, 10, dims="component")
        sd = ev.HalfCauchy("sd", 3) if scale == "tied" else ev.HalfCauchy("sd", 3, dims="component")
        z = ev.Categorical("z", weight, dims="row")
        ev.Normal("y", a[z] + b[z] * x, sd if scale == "tied" else sd[z], dims="row")
    return spec


def factors() -> ev.Spec:
    with ev.Spec(coords={"item": 5, "factor": 2}) as spec:
        loading = ev.Normal("loading", 0, 1, dims=("item", "factor"))
        mean = ev.Normal("mean", 0, 10, dims="item")
        noise = ev.InverseGamma("noise", 2, 1, dims="item")
        score = ev.Normal("score", 0, 1, dims=("person", "factor"))
        ev.Normal("y", mean + ev.dot(loading, score), variance=noise, dims=("person", "item"))
    return spec


def classes() -> ev.Spec:
    """Categories, a Bernoulli and a Binomial that share a probability, waiting times."""
    with ev.Spec(coords={"class": 3, "item": 4, "answer": ["a", "b", "c"]}) as spec:
        size = ev.Dirichlet("size", 1.0, dims="class")
        p = ev.Dirichlet("p", 1.5, dims=("class", "item", "answer"))
        q = ev.Beta("q", 2, 2, dims="class")
        lam = ev.Exponential("lam", 1.0, dims="class")
        z = ev.Categorical("z", size, dims="person")
        trials = ev.Data("trials", dims="person")
        ev.Categorical("y", p[z], dims=("person", "item"))
        ev.Bernoulli("u", q[z], dims="person")
        ev.Binomial("hits", trials, q[z], dims="person")
        ev.Exponential("wait", lam[z], dims="person")
    return spec


def counts() -> ev.Spec:
    """Two latents, an exposure, a link, and one mean under two precisions."""
    with ev.Spec(coords={"c": 2, "d": 2}) as spec:
        w = ev.Dirichlet("w", 1.0, dims="c")
        T = ev.Dirichlet("T", 1.0, dims=("c", "d"))
        first = ev.Categorical("first", w, dims="row")
        second = ev.Categorical("second", T[first], dims="row")
        exposure = ev.Data("exposure", dims="row")
        rate = ev.Gamma("rate", 2, 1, dims="d")
        ev.Poisson("y", rate[second] * exposure, dims="row")
        a, b = ev.Normal("a", 0, 1), ev.Normal("b", 0, 1, dims="c")
        ev.Poisson("y2", ev.exp(a + b[first] * exposure), dims="row")
        s = ev.HalfNormal("s", 1, dims="c")
        shared = ev.Normal("shared", 0, 3)
        ev.Normal("g", shared, s[first], dims="row")
    return spec


def vectors() -> ev.Spec:
    with ev.Spec(coords={"c": 2, "axis": ["x", "y"]}) as spec:
        w = ev.Dirichlet("w", 1.0, dims="c")
        mean = ev.MvNormal("mean", [0, 0], np.eye(2), dims=("c", "axis"))
        cov = ev.LKJCov("cov", 2, ev.HalfNormal.dist(2), dims=("axis", "axis_bis"))
        z = ev.Categorical("z", w, dims="row")
        ev.MvNormal("point", mean[z], cov, dims=("row", "axis"))
    return spec


def groups() -> ev.Spec:
    """Known groups whose effects have a prior with parameters of its own."""
    with ev.Spec(coords={"g": 3}) as spec:
        group = ev.Data("group", dims="row")
        centre, spread = ev.Normal("centre", 0, 1), ev.HalfNormal("spread", 1)
        effect = ev.Normal("effect", centre, spread, dims="g")
        sd = ev.Uniform("sd", 0, 5)
        ev.Normal("y", effect[group], sd, dims="row")
    return spec


SPECS = {
    "regressions": lambda: regressions("own"),
    "tied": lambda: regressions("tied"),
    "factors": factors,
    "classes": classes,
    "counts": counts,
    "vectors": vectors,
    "groups": groups,
} | {
    f"{name}-{'-'.join(options)}": lambda name=name, options=options: gallery.load(name).spec(**options)
    for name in gallery.names()
    for options in gallery.load(name).cases
}


def section(text: str, heading: str) -> str:
    """The lines under one heading."""
    found = re.search(rf"^{re.escape(heading)}\n(.*?)(?=\n\n\S|\Z)", text, flags=re.S | re.M)
    assert found, f"no section {heading}"
    return found.group(1)


ML, MAP = "M-step, maximum likelihood", "M-step, posterior mode (MAP)"


@pytest.mark.parametrize(
    ("name", "heading", "lines"),
    [
        (
            "old_faithful-",
            "Model",
            ["waiting[eruption] ~ Normal(mean[group], sd[group])", "weight ~ Dirichlet(1)", "mean[component] ~ Normal(65, 30)"],
        ),
        ("old_faithful-", "Roles", ["weight   parameter", "group    assignment", "waiting  measurement"]),
        (
            "old_faithful-",
            "E-step",
            ["f[eruption, k] = weight[k] · Normal(waiting[eruption] | mean[k], sd[k])", "N[k] = Σ_eruption r[eruption, k]"],
        ),
        (
            "old_faithful-",
            ML,
            [
                "mean: weighted mean",
                "mean[k] = Σ_eruption r[eruption, k] waiting[eruption] / N[k]",
                "weight[k] = N[k] / Σ_k N[k]",
            ],
        ),
        ("old_faithful-", ML, ["sd[k]² = Σ_eruption r[eruption, k] (waiting[eruption] − mean[k])² / N[k]"]),
        ("old_faithful-", MAP, ["(Σ_eruption r[eruption, k] waiting[eruption] / sd[k]² + 65 / 30²) / (N[k] / sd[k]² + 1 / 30²)"]),
        ("old_faithful-", MAP, ["sd: quadratic in its square, under its HalfNormal prior", "s⁴ / 20² + N s² − SS = 0"]),
        ("old_faithful-", "PyMC samples", ["pm.HalfNormal  log transform, 2 coordinates", "5 unconstrained coordinates"]),
        ("old_faithful-", "Summed out", ["group: 2 values, summed out"]),
        (
            "old_faithful-both",
            "Model",
            ["geyser[eruption] ~ MvNormal(mean[group], cov[group])", "InverseWishart(4, [[0.25, 0], [0, 100]])"],
        ),
        ("old_faithful-both", ML, ["(geyser[eruption] − mean[k]) (geyser[eruption] − mean[k])ᵀ / N[k]"]),
        ("old_faithful-both", MAP, ["mode of an inverse Wishart", "+ [[0.25, 0], [0, 100]]) / (N[k] + 7)"]),
        (
            "old_faithful-both",
            "PyMC samples",
            ["InverseWishart, a density on the matrix itself", "6 coordinates", "11 unconstrained"],
        ),
        ("poisson_mixture-", ML, ["rate: events over exposure", "rate[k] = Σ_year r[year, k] count[year] / N[k]"]),
        ("poisson_mixture-", MAP, ["rate: mode of a Gamma", "(Σ_year r[year, k] count[year] + 3) / (N[k] + 0.2)"]),
        ("zero_inflated_poisson-", "Model", ["Poisson(rate)  where resting = 0", "Dirac(0)       where resting = 1"]),
        (
            "zero_inflated_poisson-",
            "E-step",
            ["Bernoulli(k | rest) · p(count[interval] | k)", "k = 0) = Poisson(count[interval] | rate)"],
        ),
        (
            "zero_inflated_poisson-",
            ML,
            ["rest = N[1] / (N[1] + N[0])", "rate = Σ_interval r[interval, 0] count[interval] / N[0]"],
        ),
        (
            "regressions",
            ML,
            ["a, b: weighted regression (4 unknowns", "Σ_{row, k} r[row, k] (y[row] − (a[k] + b[k] · x[row]))² / sd[k]²"],
        ),
        (
            "regressions",
            MAP,
            ["+ Σ_component a[component]² / 10²  (prior)", "+ Σ_component (b[component] − 1)² / 10²", "N[k] + [1, 2]"],
        ),
        ("tied", ML, ["sd² = Σ_{row, k} r[row, k] (y[row] − (a[k] + b[k] · x[row]))² / Σ_{row, k} r[row, k]"]),
        ("factors", "Roles", ["score    latent", "y        measurement"]),
        (
            "factors",
            "E-step",
            [
                "given the row, score is Normal with information parameters J (precision) and h: mean J⁻¹ h, covariance J⁻¹",
                "J = D_scoreᵀ diag(1⁻²) D_score + D_yᵀ diag(noise[item]⁻¹) D_y",
                "h = −(D_scoreᵀ diag(1⁻²) e_score + D_yᵀ diag(noise[item]⁻¹) e_y)",
            ],
        ),
        (
            "factors",
            "Rotation",
            [
                "the 2 axes of score may be turned, loading with them: no density changes, nor the posterior",
                "19 free parameters, 20 coordinates less 1 angle of these turns",
            ],
        ),
        ("one_factor-", "Rotation", ["the sign of z may change, slope with it: no density changes", "12 free parameters"]),
        (
            "mixture_of_factor_analysers-",
            "Rotation",
            ["the sign of position may change, loading with it, at each component on its own"],
        ),
        (
            "mixture_of_factor_analysers-",
            "E-step",
            ["· Π_column Normal(x[point, column] | mean[k, column] + Σ_factor loading[k, column, factor] · position"],
        ),
        (
            "factors",
            ML,
            ["loading, mean: regression (15 unknowns", "E[(y[person, item] − (mean[item] + Σ_factor loading[item, factor]"],
        ),
        ("factors", MAP, ["noise: mode of an inverse Gamma", "+ 2) / (n + 6)"]),
        ("factors", "Summed out", ["score: 2 hidden Gaussian values a row, integrated out"]),
        ("classes", ML, ["p[k, item, answer] = Σ_person r[person, k] [y[person, item] = answer] / Σ_answer"]),
        ("classes", ML, ["Σ_person r[person, k] u[person] + Σ_person r[person, k] hits[person]"]),
        ("classes", ML, ["(trials[person] − hits[person])"]),
        ("classes", ML, ["lam[k] = N[k] / Σ_person r[person, k] wait[person]"]),
        ("classes", MAP, ["lam[k] = N[k] / (Σ_person r[person, k] wait[person] + 1)"]),
        ("counts", "E-step", ["r[row, k1, k2] = f[row, k1, k2] / Σ_{k1, k2} f[row, k1, k2]"]),
        (
            "counts",
            ML,
            [
                "rate[k2] = Σ_{row, k1} r[row, k1, k2] y[row] / Σ_{row, k1} r[row, k1, k2] exposure[row]",
                "T[k1, k2] = N[k1, k2] / Σ_k2 N[k1, k2]",
            ],
        ),
        ("counts", ML, ["shared: weighted regression (1 unknown", "a, b: no closed form; safeguarded Newton on Q, together"]),
        ("counts", "Summed out", ["together 4 configurations"]),
        ("vectors", MAP, ["cov: no closed form; safeguarded Newton", "a LKJCov prior is not conjugate to a cov slot"]),
        ("groups", "E-step", ["r[row, group] = 1 at the row's own group, else 0"]),
        ("groups", ML, ["refused: centre, spread in priors only", "moved to the nearer bound of its Uniform prior"]),
        ("groups", MAP, ["/ sd² + centre / spread²) / (N[group] / sd² + 1 / spread²)", "centre, spread: no closed form"]),
    ],
)
def test_what_it_says(name: str, heading: str, lines: list[str]) -> None:
    text = section(str(SPECS[name]().explain()), heading)
    for line in lines:
        assert line in text, f"{line!r} is not in\n{text}"


def test_it_shows_itself_in_a_console() -> None:
    found = SPECS["old_faithful-"]().explain()
    assert isinstance(found, Explanation)
    assert repr(found) == str(found) == found
    assert not [line for line in found.splitlines() if line != line.rstrip()]


@pytest.mark.parametrize("name", list(SPECS))
@pytest.mark.parametrize(("goal", "heading"), [(objective.ML, ML), (objective.MAP, MAP)], ids=["ml", "map"])
def test_the_steps_are_those_that_em_compiled(name: str, goal: objective.Objective, heading: str) -> None:
    """Every parameter stands under the kind of step that its compiled M-step takes."""
    spec = SPECS[name]()
    text = section(str(spec.explain()), heading)
    step = MStep(make_plan(tiny_problem(spec)), goal)
    titles = [line.split(". ", 1)[1] for line in text.splitlines() if re.match(r" *\d+\. ", line)]
    kinds = {}
    for title in titles:
        names, _, kind = title.partition(": ")
        kinds |= dict.fromkeys(names.split(", "), kind)
    for regression in step.regressions:
        assert all(re.search("weighted mean|regression", kinds.pop(p.label)) for p in regression.parameters)
    for look_up in step.look_ups:
        assert re.search("counts|share|events|sum of|mode of|quadratic", kinds.pop(look_up.parameter.label))
    for name in set().union(*step.numeric):
        assert "Newton" in kinds.pop(name) if name in kinds else f"refused: {name}" in text or f", {name} in priors" in text
    assert not kinds


def statistics(plan: Plan) -> tuple[Environment, Statistics]:
    env = random_start(plan, MStep(plan, objective.MAP), np.random.default_rng(3))
    return env, expect(plan, coefficients(plan, env))[1]


@pytest.mark.parametrize(
    "name", [n for n in SPECS if n not in ("classes", "poisson_mixture-", "poisson_mixture-components", "zero_inflated_poisson-")]
)
def test_a_weighted_mean_does_not_depend_on_scales(name: str) -> None:
    """That is what the words claim; a regression under several precisions does depend on them."""
    plan = make_plan(tiny_problem(SPECS[name]()))
    view, step = View(plan), MStep(plan, objective.ML)
    env, S = statistics(plan)
    for regression in step.regressions:
        first = regression.solve(env, S, objective.ML)
        second = regression.solve(_other_scales(plan, env), S, objective.ML)
        change = max(np.abs(first[k] - second[k]).max() for k in first)
        if "weighted mean" in mean_step(view, regression, objective.ML)[0]:
            assert change < 1e-9
        elif name in ("counts",):
            assert change > 1e-6


def _other_scales(plan: Plan, env: Environment) -> Environment:
    rng = np.random.default_rng(4)
    values = {v.label: env.values[v.label].array for v in plan.parameters}
    for v in plan.parameters:
        if v.family.matrix:
            p = values[v.label].shape[-1]
            A = rng.standard_normal(values[v.label].shape)
            values[v.label] = A @ A.swapaxes(-1, -2) + np.eye(p)
        elif v.label in ("sd", "s", "noise"):
            values[v.label] = values[v.label] * rng.uniform(0.2, 3, values[v.label].shape)
    return plan.environment(values)


EQUATIONS = [(f, kind) for f in ALL if isinstance(f, Prior) for kind in f.equations]


@pytest.mark.parametrize(("family", "kind"), EQUATIONS, ids=lambda x: getattr(x, "name", x))
def test_equations_of_scale_modes_hold(family: Any, kind: Kind) -> None:
    """The text of each equation, read as arithmetic, is zero at the family's own mode."""
    given = {"sigma": 1.7, "alpha": 2.5, "beta": 0.8}
    arguments = {k: np.asarray(given[k]) for k in family.arguments}
    N, SS = np.array([3.0, 40.0, 0.5]), np.array([2.0, 100.0, 7.0])
    s = family.mode(kind, (N, SS), **arguments)
    left, right = family.equations[kind][1].format(**given).split(" = ")
    assert right == "0"
    code = left.replace("⁴", "**4").replace("²", "**2").replace("−", "-")
    code = re.sub(r"(?<=[\w)]) (?=[\w(])", " * ", code)
    np.testing.assert_allclose(eval(code, {"s": s, "N": N, "SS": SS}), 0, atol=1e-10 * (s**4 + SS).max())


def test_what_data_hide() -> None:
    """With a problem: rows, distinct rows, patterns, labels and holes of these very data."""
    spec = SPECS["gaussian_mixture-two"]()
    rng = np.random.default_rng(0)
    point, group = rng.normal(size=(40, 2)), np.full(40, -1)
    point[3, 1], group[:6] = np.nan, [0, 1, 2, 0, 1, 2]
    text = str(spec.explain(ev.condition(spec, {"point": point, "group": group})))
    data = section(text, "Data")
    assert "40 row rows, 40 distinct" in data
    assert "5 patterns" in data
    assert "4 with one configuration, collapsed to moments (total weight 6" in data
    assert "group: 6 of 40 labels given" in data
    assert "point: 1 of 80 cells missing" in data
    assert "group   assignment  discrete, with plate row; 6 of 40 labels are given" in section(text, "Roles")
    assert "where group is given, r is 0 at its other values" in section(text, "E-step")
    assert "Σ_ho Σ_oo⁻¹ (x_o − μ_o)" in section(text, "E-step")
    assert "E[point[row] | row, k] / N[k]" in section(text, ML)
    soft = np.tile([0.2, 0.3, 0.5], (40, 1))
    text = str(spec.explain(ev.condition(spec, {"point": point, "group": soft})))
    assert "r[row, k] = f[row, k] q_group[row, k] / Σ_k f[row, k] q_group[row, k]" in text


def test_weights_fixed_parameters_and_levels() -> None:
    model = gallery.load("zero_inflated_poisson")
    text = str(model.spec().explain(model.problem()))
    assert "rows have weights w" in section(text, "E-step")
    assert "6 interval rows, 6 distinct, total weight 240" in section(text, "Data")
    spec = counts()
    rng = np.random.default_rng(0)
    data = {
        "y": rng.poisson(2, 30),
        "y2": rng.poisson(2, 30),
        "g": rng.normal(size=30),
        "exposure": np.arange(30) % 5 + 1,
        "a": 0.1,
    }
    text = str(spec.explain(ev.condition(spec, data)))
    assert "depends on row data: 5 distinct values" in section(text, "Summed out")
    assert re.search(r"a +fixed +no plate, and its value is given", section(text, "Roles"))
    assert "b: no closed form; safeguarded Newton on Q\n" in section(text, ML)


def test_a_model_that_is_refused_says_why() -> None:
    with ev.Spec() as spec:
        a, b = ev.Normal("a", 0, 1), ev.Normal("b", 0, 1)
        ev.Normal("y", a * b, 1, dims="row")
    assert "No steps can be derived. y: mean: expected a mean that is jointly affine" in section(str(spec.explain()), "Inference")


def test_letters_that_the_spec_uses_are_marked() -> None:
    """A spec with a variable r and a dim k: the text's own r and k must not be taken for them."""
    with ev.Spec(coords={"k": 2}) as spec:
        f = ev.Dirichlet("f", 1.0, dims="k")
        r = ev.Gamma("r", 2, 1, dims="k")
        z = ev.Categorical("z", f, dims="row")
        ev.Poisson("y", r[z], dims="row")
    text = section(str(spec.explain()), "E-step")
    assert "f*[row, j] = f[j] · Poisson(y[row] | r[j])" in text
    assert "r*[row, j] = f*[row, j] / Σ_j f*[row, j]" in text
