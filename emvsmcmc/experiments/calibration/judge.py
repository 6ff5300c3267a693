"""What a calibration says: are ranks uniform, how often do intervals cover, and from which size on is EM's interval honest."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats.ecdf_utils import compute_ecdf, get_pointwise_confidence_band
from scipy.special import bdtr
from scipy.stats import chi2, norm

ALPHA = 0.05
TRIALS = 9999  # uniform samples that make the null distribution of the ECDF test
EXPECTED, BINS = 10, 20  # rows of the chi-squared test: so many a bin at least, so many bins at most
LEAST = 20  # simulations below which uniformity is not tested
ENGINE = {"wald": "em", "bootstrap": "em", "eti": "mcmc", "hdi": "mcmc"}


# ---------------------------------------------------------------------------------------------------------------- uniformity


def uniformity(result: xr.Dataset) -> pd.DataFrame:
    """One row a quantity and size: are its probability integral transforms uniform?

    count : simulations with a rank. chi2, chi2_p : Pearson's test on bins of equal width (20, or fewer so that each expects 10).
    ecdf_p : the graphical test of Säilynoja, Bürkner and Vehtari (2022): the smallest pointwise binomial tail probability of the
    ECDF over all its evaluation points, against its distribution in 9,999 uniform samples. holm : ecdf_p after Holm's (1979)
    correction for all rows of this table, and `uniform`, whether it exceeds 0.05: under a right posterior all rows hold with
    probability 0.95 at least, however they depend on each other. mean, spread : mean of the transforms (1/2) and their standard
    deviation over that of a uniform (1); below 1 the posterior is too wide, above 1 too narrow. NaN with fewer than 20.
    """
    rows = []
    for n in result["size"].values:
        for quantity in result["quantity"].values:
            u = result["pit"].sel(size=n, quantity=quantity).values
            u = u[np.isfinite(u)]
            if not len(u) and not np.isfinite(result["pit"].sel(quantity=quantity)).any():
                continue  # one number in every simulation, such as the log density of a flat prior
            row = {"quantity": str(quantity), "size": int(n), "count": len(u)}
            if len(u) >= LEAST:
                statistic, p = chi_squared(u)
                row |= {"chi2": statistic, "chi2_p": p, "ecdf_p": ecdf_p(u), "mean": u.mean()}
                row["spread"] = np.sqrt(np.mean((u - 0.5) ** 2) * 12)
            rows.append(row)
    columns = ["quantity", "size", "count", "chi2", "chi2_p", "ecdf_p", "mean", "spread"]
    table = pd.DataFrame(rows, columns=columns).set_index(["quantity", "size"])
    table["holm"] = holm(table["ecdf_p"].to_numpy(dtype=float))
    table["uniform"] = ~(table["holm"] < ALPHA)
    return table


def chi_squared(u: np.ndarray) -> tuple[float, float]:
    """Pearson's statistic of u in (0, 1) on bins of equal width, and its p-value."""
    bins = int(np.clip(len(u) // EXPECTED, 2, BINS))
    counts = np.histogram(u, bins, (0.0, 1.0))[0]
    statistic = float(((counts - len(u) / bins) ** 2).sum() / (len(u) / bins))
    return statistic, float(chi2.sf(statistic, bins - 1))


def ecdf_p(u: np.ndarray) -> float:
    """p-value of the simultaneous test that u is uniform; resolution 1e-4."""
    null = _null(len(u))
    return float((1 + (null <= _smallest_tail(np.sort(u)[None])[0]).sum()) / (len(null) + 1))


def envelope(count: int, level: float = 1 - ALPHA) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(points, lower, upper) of the band that holds the whole ECDF of `count` uniforms with probability `level`."""
    z = np.arange(1, count) / count
    tail = np.quantile(_null(count), 1 - level)
    lower, upper = get_pointwise_confidence_band(1 - 2 * tail, count, z)
    return np.r_[0.0, z, 1.0], np.r_[0.0, lower, 1.0], np.r_[0.0, upper, 1.0]


def ecdf(u: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Share of u at or below each point."""
    return compute_ecdf(u, points)


def _smallest_tail(u: np.ndarray) -> np.ndarray:
    """(samples,) smallest binomial tail probability of the ECDF of each sorted row of u at i / n."""
    n = u.shape[1]
    z = np.arange(1, n) / n
    flat = u + 2.0 * np.arange(len(u))[:, None]  # one search for all rows
    at = (z[None] + 2.0 * np.arange(len(u))[:, None]).ravel()
    counts = np.searchsorted(flat.ravel(), at, side="right").reshape(len(u), -1) - n * np.arange(len(u))[:, None]
    below = bdtr(counts, n, z)
    above = np.where(counts > 0, 1 - bdtr(np.maximum(counts - 1, 0), n, z), 1.0)
    return np.minimum(below, above).min(axis=1)


@lru_cache(maxsize=64)
def _null(count: int) -> np.ndarray:
    rng = np.random.default_rng(20220401)
    return np.concatenate([_smallest_tail(np.sort(rng.random((1111, count)), axis=1)) for _ in range(TRIALS // 1111)])


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's (1979) adjusted p-values; NaN stays NaN and does not count."""
    out = np.full(len(p), np.nan)
    there = np.flatnonzero(np.isfinite(p))
    order = there[np.argsort(p[there], kind="stable")]
    out[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return out


# ------------------------------------------------------------------------------------------------------------------ coverage


def coverage(result: xr.Dataset) -> pd.DataFrame:
    """One row a quantity, interval, level and size: how often the interval holds the truth.

    intervals : simulations with an interval, of `simulations`. where_there_is_one : share of those that cover. none_is_a_miss :
    share of all simulations that do, one without an interval (a fit that failed, an estimate on its boundary) counted as a miss.
    Each with the 95% Wilson (1927) interval of its Monte Carlo error, `..._lower` and `..._upper`. without : share of simulations
    without an interval. honest : none_is_a_miss_upper is at least the level. Densities have no interval of EM and are left out.
    """
    parts = result.sel(quantity=result["kind"].values != "density")
    truth, lower, upper = parts["truth"], parts["lower"], parts["upper"]
    there = np.isfinite(lower) & np.isfinite(upper) & np.isfinite(truth)
    held = xr.where(there & (lower <= truth) & (truth <= upper), 1, 0).sum(dim="simulation")
    count = xr.where(there, 1, 0).sum(dim="simulation")
    total = result.sizes["simulation"]
    frame = xr.Dataset({"held": held, "intervals": count}).to_dataframe()[["held", "intervals"]]
    frame = frame.reorder_levels(["quantity", "interval", "level", "size"])
    order = pd.MultiIndex.from_product(
        [parts[d].values.tolist() for d in ("quantity", "interval", "level", "size")],
        names=["quantity", "interval", "level", "size"],
    )
    frame = frame.reindex(order)
    frame = frame[frame.groupby(level="interval")["intervals"].transform("sum") > 0]
    k, m = frame["held"].to_numpy(dtype=float), frame["intervals"].to_numpy(dtype=float)
    for name, of in (("where_there_is_one", m), ("none_is_a_miss", np.full(len(m), float(total)))):
        with np.errstate(invalid="ignore", divide="ignore"):
            frame[name] = k / of
        frame[f"{name}_lower"], frame[f"{name}_upper"] = wilson(k, of)
    frame["simulations"] = total
    frame["without"] = 1 - m / total
    frame["honest"] = frame["none_is_a_miss_upper"].to_numpy() >= frame.index.get_level_values("level").to_numpy(dtype=float)
    return frame.drop(columns="held")


def wilson(hits: np.ndarray, of: np.ndarray, level: float = 1 - ALPHA) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's (1927) score interval of a share; NaN of nothing."""
    z = float(norm.ppf(0.5 + level / 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        p = hits / of
        centre = (p + z**2 / (2 * of)) / (1 + z**2 / of)
        half = z / (1 + z**2 / of) * np.sqrt(p * (1 - p) / of + z**2 / (4 * of**2))
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)


def honest_from(table: pd.DataFrame, method: str, level: float = 0.95) -> dict[str, int | None]:
    """{quantity: smallest size from which on, at every larger size too, the interval covers within Monte Carlo error, one without
    an interval counted as a miss; None where not even at the largest}. Quantities that never have an interval are left out."""
    out: dict[str, int | None] = {}
    part = table.xs((method, level), level=("interval", "level"))
    for quantity in part.index.get_level_values("quantity").unique():
        rows = part.loc[quantity].sort_index()
        if not rows["intervals"].sum():
            continue
        first = None
        for n, honest in reversed(list(rows["honest"].items())):
            if not honest:
                break
            first = int(n)
        out[str(quantity)] = first
    return out
