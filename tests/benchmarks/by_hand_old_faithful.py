"""Old Faithful's waiting times by hand: scikit-learn's EM, PyMC's NUTS, ArviZ, and a page that sets them side by side.

This is what a practised user writes without emvsmcmc, and what `emvsmcmc compare old_faithful` is timed against. It imports
nothing from the package.

    python tests/benchmarks/by_hand_old_faithful.py [FOLDER] [SEED]
"""

import base64
import io
import sys
import time
from pathlib import Path

import arviz as az
import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pymc as pm
from scipy.special import logsumexp
from scipy.stats import gaussian_kde, norm
from sklearn.mixture import GaussianMixture

DATA = Path(__file__).resolve().parents[2] / "models" / "data" / "faithful.csv"
PARAMETERS = ("weight", "mean", "sd")


def fit_em(x, seed):
    """Best of 20 starts, components in order of their means: (weight, mean, sd), each (2,)."""
    em = GaussianMixture(2, n_init=20, tol=1e-12, max_iter=10_000, reg_covar=0.0, random_state=seed)
    em.fit(x[:, None])
    order = np.argsort(em.means_[:, 0])
    return em.weights_[order], em.means_[order, 0], np.sqrt(em.covariances_[order, 0, 0]), em


def log_joint(x, weight, mean, sd):
    """log p(row, component): (..., rows, 2) for parameters (..., 2)."""
    return np.log(weight)[..., None, :] + norm.logpdf(x[:, None], mean[..., None, :], sd[..., None, :])


def log_likelihood(theta, x):
    first, *rest = theta
    mean, sd = np.reshape(rest, (2, 2))
    return logsumexp(log_joint(x, np.array([first, 1 - first]), mean, sd), axis=-1).sum()


def standard_errors(x, weight, mean, sd):
    """Square roots of the diagonal of the inverse observed information, by central second differences."""
    theta = np.r_[weight[0], mean, sd]
    step = 1e-4 * np.abs(theta)
    hessian = np.empty((5, 5))
    for i, ei in enumerate(np.diag(step)):
        for j, ej in enumerate(np.diag(step)):
            corners = [log_likelihood(theta + s * ei + t * ej, x) * s * t for s in (1, -1) for t in (1, -1)]
            hessian[i, j] = sum(corners) / (4 * step[i] * step[j])
    se = np.sqrt(np.diag(np.linalg.inv(-hessian)))
    return np.r_[se[0], se[0]], se[1:3], se[3:5]


def build(x):
    """Groups summed out by `pm.NormalMixture`."""
    with pm.Model(coords={"component": range(2), "eruption": range(len(x))}) as model:
        weight = pm.Dirichlet("weight", np.ones(2), dims="component")
        mean = pm.Normal("mean", 65, 30, dims="component")
        sd = pm.HalfNormal("sd", 20, dims="component")
        pm.NormalMixture("waiting", weight, mean, sigma=sd, observed=x, dims="eruption")
    return model


def fit_nuts(x, seed):
    """Four chains with nutpie; pointwise log-likelihood and posterior predictive draws added."""
    with build(x):
        idata = pm.sample(draws=1000, tune=1000, chains=4, nuts_sampler="nutpie", random_seed=seed, progressbar=False)
        pm.compute_log_likelihood(idata, progressbar=False)
        pm.sample_posterior_predictive(idata, random_seed=seed, extend_inferencedata=True, progressbar=False)
    return idata


def relabel(posterior):
    """Put each draw's components in order of their means."""
    order = posterior["mean"].argsort(axis=-1)
    return posterior[list(PARAMETERS)].isel(component=order.drop_vars("component")).assign_coords(component=range(2))


def table(estimate, error, posterior):
    """One row a parameter: EM, its standard error, and ArviZ's summary of the aligned draws."""
    rows = az.summary(posterior, ci_prob=0.94, ci_kind="hdi", round_to="none")
    rows.insert(0, "em", np.concatenate(estimate))
    rows.insert(1, "em_se", np.concatenate(error))
    rows["gap"] = (rows["em"] - rows["mean"]) / rows["sd"]
    rows["se_ratio"] = rows["em_se"] / rows["sd"]
    return rows


def as_image(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    plt.close(figure)
    return f'<img src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'


def figures(x, estimate, error, em, idata, aligned):
    """The fitted mixture, posterior densities with EM laid over, predictive draws, EM's path, draws before and after."""
    grid = np.linspace(x.min() - 5, x.max() + 5, 300)
    draws = aligned.stack(sample=("chain", "draw")).transpose("sample", "component")
    some = draws.isel(sample=slice(None, None, 20))
    curves = np.exp(logsumexp(log_joint(grid, *(some[name].values for name in PARAMETERS)), axis=-1))

    fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
    ax.hist(x, 25, density=True, color="0.85")
    ax.plot(grid, curves.T, color="C0", alpha=0.03)
    ax.plot(grid, np.exp(logsumexp(log_joint(grid, *estimate), axis=-1)), color="C3", label="EM")
    ax.set(xlabel="waiting time (minutes)", ylabel="density", title="Fitted mixture: EM (line) and posterior draws")
    ax.legend()
    yield as_image(fig)

    fig, axes = plt.subplots(3, 2, figsize=(8, 7), layout="constrained")
    for row, name, value, se in zip(axes, PARAMETERS, estimate, error, strict=True):
        for k, ax in enumerate(row):
            sample = draws[name].values[:, k]
            at = np.linspace(sample.min(), sample.max(), 200)
            ax.fill_between(at, gaussian_kde(sample)(at), alpha=0.4)
            ax.plot(at, norm.pdf(at, value[k], se[k]), color="C3")
            ax.set(title=f"{name}[{k}]", yticks=[])
    yield as_image(fig)

    fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
    for y in idata["posterior_predictive"]["waiting"].stack(sample=("chain", "draw")).values.T[::80]:
        ax.plot(grid, gaussian_kde(y)(grid), color="C0", alpha=0.15)
    ax.plot(grid, gaussian_kde(x)(grid), color="k", label="data")
    ax.set(xlabel="waiting time (minutes)", title="Posterior predictive draws")
    ax.legend()
    yield as_image(fig)

    fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
    ax.plot(len(x) * np.array(em.lower_bounds_))
    ax.set(xlabel="iteration", ylabel="log-likelihood", title="EM's path, best start")
    yield as_image(fig)

    fig, axes = plt.subplots(1, 2, figsize=(9, 3), sharey=True, layout="constrained")
    for ax, posterior, title in zip(axes, (idata["posterior"], aligned), ("as drawn", "aligned"), strict=True):
        for k in range(2):
            ax.plot(posterior["mean"].isel(component=k).values.ravel(), lw=0.3)
        ax.set(title=f"mean, {title}", xlabel="draw, chains end to end")
    yield as_image(fig)


def main(folder="reports/old_faithful_by_hand", seed=1):
    began = time.perf_counter()
    x = pd.read_csv(DATA)["waiting"].to_numpy(float)
    *estimate, em = fit_em(x, seed)
    error = standard_errors(x, *estimate)
    em_seconds = time.perf_counter() - began
    idata = fit_nuts(x, seed)
    nuts_seconds = time.perf_counter() - began - em_seconds
    aligned = relabel(idata["posterior"].to_dataset())
    probability = np.exp(log_joint(x, *estimate) - logsumexp(log_joint(x, *estimate), axis=-1, keepdims=True))
    summary = table(estimate, error, aligned)
    before = az.rhat(idata["posterior"].to_dataset()[list(PARAMETERS)]).to_array().max().item()
    loo = az.loo(idata)
    bic = 5 * np.log(len(x)) - 2 * em.score(x[:, None]) * len(x)
    facts = (
        f"log-likelihood at EM {em.score(x[:, None]) * len(x):.5f}; BIC {bic:.2f}; LOO {loo.elpd:.2f} ± {loo.se:.2f}; "
        f"largest R-hat {before:.3f} as drawn, {summary['r_hat'].max():.3f} aligned; "
        f"{(probability.max(1) < 0.9).sum()} eruptions with an uncertain group; EM {em_seconds:.1f} s, NUTS {nuts_seconds:.1f} s"
    )
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    images = "\n".join(figures(x, estimate, error, em, idata, aligned))
    page = f"<h1>Old Faithful by hand</h1><p>{facts}</p>{summary.to_html(float_format='%.4f')}\n{images}"
    (target / "index.html").write_text(f'<!doctype html><meta charset="utf-8">{page}\n', encoding="utf-8")
    print(summary.to_string(float_format="%.4f"), facts, f"wrote {target / 'index.html'}", sep="\n")


if __name__ == "__main__":
    main(*sys.argv[1:2], *map(int, sys.argv[2:3]))
