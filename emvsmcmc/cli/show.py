"""What the command line prints: tables for people, JSON for programs."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..errors import Status
from ..words import entries, labelled, labels_in, name_of

if TYPE_CHECKING:
    from ..comparison.result import Comparison
    from ..em.result import EMFit

PLAIN_WIDTH = 140  # columns of a table that goes to a file or a pipe
COMPARED = {  # column of Comparison.table -> heading, digits
    "em": ("EM", 4),
    "se": ("s.e.", 4),
    "fmi": ("missing", 2),
    "map": ("MAP", 4),
    "mean": ("mean", 4),
    "sd": ("s.d.", 4),
    "hdi_lower": ("94% from", 4),
    "hdi_upper": ("to", 4),
    "ess_bulk": ("ESS", 0),
    "r_hat": ("R-hat", 3),
    "gap": ("gap", 2),
    "se_ratio": ("s.e./s.d.", 2),
    "truth": ("truth", 4),
}
SPARED = ("fmi", "map", "ess_bulk", "hdi_lower", "hdi_upper", "r_hat")  # what a narrow terminal does without, first to go first
MOST_SHARES = 12  # communalities in a line
SUMMARY = {
    "mean": ("mean", 4),
    "sd": ("s.d.", 4),
    "hdi_lower": ("94% from", 4),
    "hdi_upper": ("to", 4),
    "ess_bulk": ("bulk ESS", 0),
    "ess_tail": ("tail ESS", 0),
    "r_hat": ("R-hat", 3),
}


def console(error: bool = False) -> Console:
    """Standard output, or standard error. Made anew each time, since either may be redirected."""
    stream = sys.stderr if error else sys.stdout
    return Console(file=stream, highlight=False, soft_wrap=error, width=None if stream.isatty() else PLAIN_WIDTH)


def say(text: str = "") -> None:
    """A line on standard output, brackets as they stand; it wraps where the terminal ends."""
    console().print(escape(text), soft_wrap=True)


def warn(text: str) -> None:
    """A sentence on standard error."""
    console(error=True).print(escape(text))


def print_json(result: Any) -> None:
    """The result for programs: NaN and infinities as null."""
    sys.stdout.write(json.dumps(clean(result), indent=2, ensure_ascii=False) + "\n")


def clean(x: Any) -> Any:
    """Only what JSON knows."""
    if isinstance(x, Mapping):
        return {str(k): clean(v) for k, v in x.items()}
    if hasattr(x, "tolist"):
        x = x.tolist()
    if isinstance(x, (list, tuple)):
        return [clean(v) for v in x]
    if isinstance(x, float):
        return x if math.isfinite(x) else None
    return x if x is None or isinstance(x, (bool, int, str)) else str(x)


def number(x: float, digits: int) -> str:
    """x to `digits` decimals, never a negative zero; – for None and NaN, ∞ and −∞."""
    if x is None or math.isnan(x):
        return "–"
    return f"{round(x, digits) + 0.0:.{digits}f}" if math.isfinite(x) else "−∞" if x < 0 else "∞"  # no minus zero


def table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], numbers: bool = True) -> None:
    """A table on standard output; columns after the first are numbers, to the right, unless told otherwise."""
    out = Table(box=SIMPLE_HEAD, pad_edge=False, title=escape(title) if title else None, title_justify="left", title_style="bold")
    for i, heading in enumerate(headings):
        widest = max(len(row[i]) for row in [headings, *rows])
        # a number is never cut short; names fold where the terminal is narrow
        kept = {"justify": "right", "no_wrap": True, "min_width": widest} if i and numbers else {"overflow": "fold"}
        out.add_column(escape(heading), **kept)
    for row in rows:
        out.add_row(*map(escape, row))
    console().print(out)


# --------------------------------------------------------------------------------------------------------------------- results


def fit_dict(name: str, fit: EMFit) -> dict[str, Any]:
    """An EMFit as JSON-ready values: `parameters` a row a scalar, `estimate` and `standard_error` as nested lists."""
    return {
        "model": name,
        "status": fit.status.value,
        "reason": fit.reason,
        "objective": fit.objective,
        "objective_value": fit.objective_value,
        "assignment": fit.assignment,
        "log_likelihood": fit.log_likelihood,
        "n": fit.problem.n,
        "n_parameters": fit.n_parameters,
        "aic": fit.aic,
        "bic": fit.bic,
        "iterations": fit.iterations,
        "seconds": fit.seconds,
        "random_seed": fit.random_seed,
        "estimate": {str(k): v.values for k, v in fit.estimate.data_vars.items()},
        "standard_error": {str(k): v.values for k, v in fit.standard_error.data_vars.items()},
        "missing_information": {str(k): v.values for k, v in fit.missing_information.data_vars.items()},
        "predicted_rate": fit.predicted_rate,
        "parameters": [
            {"parameter": label, "estimate": fit.estimate[v].values[at], "standard_error": fit.standard_error[v].values[at]}
            for label, v, at in entries(fit.estimate)
        ],
        "no_standard_error": fit.reasons,
        "starts": [
            {"objective": s.objective, "iterations": s.iterations, "status": s.status.value, "optimum": s.optimum}
            for s in fit.starts
        ],
        "notes": list(fit.problem.notes),
    }


def show_fit(name: str, fit: EMFit) -> None:
    """Estimates with standard errors, then how the fit went."""
    objective = {"ml": "maximum likelihood", "map": "posterior mode"}[fit.objective]
    columns = [("estimate", fit.estimate, 4), ("standard error", fit.standard_error, 4), ("missing", fit.missing_information, 2)]
    if not any(v.notnull().any() for v in fit.missing_information.data_vars.values()):
        columns.pop()
    rows = [
        [label, *[number(float(dataset[v].values[at]), digits) for _, dataset, digits in columns]]
        for label, v, at in entries(fit.estimate)
        if not _mirrored(fit, v, at)
    ]
    table(f"{name}: {objective}", ["parameter", *[heading for heading, _, _ in columns]], rows)
    if math.isfinite(fit.predicted_rate):
        say(f"missing: fraction of missing information; of all combinations at most {fit.predicted_rate:.3f}, plain EM's rate.")
    _say_reasons(fit)
    best = sum(s.optimum == 0 for s in fit.starts)
    value = "" if fit.objective == "ml" else f", objective {fit.objective_value:.5f}"
    say(f"Log-likelihood {fit.log_likelihood:.5f}{value}; {fit.n_parameters} parameters; AIC {fit.aic:.3f}, BIC {fit.bic:.3f}.")
    say(f"{best} of {len(fit.starts)} starts reached this optimum; {fit.status.value} after {fit.iterations} iterations.")


def _say_reasons(fit: EMFit) -> None:
    from ..em.uncertainty import by_reason

    for parameters, reason in by_reason(fit.reasons):
        say(f"No standard error for {parameters}: {reason}")


def _mirrored(fit: EMFit, name: str, at: tuple[int, ...]) -> bool:
    """True for the entries of a symmetric matrix below its diagonal; a named function of parameters is no matrix."""
    variable = fit.problem.spec.variables.get(name)
    return variable is not None and variable.family.matrix and at[-2] > at[-1]


def show_posterior(name: str, summary: Any, attrs: Mapping[str, Any]) -> None:
    """The posterior in a table, then what it took."""
    rows = [[str(label), *_numbers(row, SUMMARY)] for label, row in summary.iterrows()]
    table(f"{name}: posterior", ["parameter", *[heading for heading, _ in SUMMARY.values()]], rows)
    seconds = [f"{what} {float(attrs[key]):.1f} s" for key, what in _STAGES if key in attrs]
    if seconds:
        say(f"{', '.join(seconds)}.")


_STAGES = (("compile_seconds", "compiling"), ("sampling_seconds", "sampling"))


def show_comparison(comparison: Comparison) -> None:
    """The table's main columns, what no rotation changes in a line, the verdict in its sentence, the time it took."""
    columns = {c: shape for c, shape in COMPARED.items() if c in comparison.table}
    spared = list(SPARED)
    while True:
        rows = [[str(label), *_numbers(row, columns)] for label, row in comparison.table.iterrows()]
        headings = ["parameter", *[heading for heading, _ in columns.values()]]
        if not spared or _width([headings, *rows]) <= console().width:
            break
        columns.pop(spared.pop(0), None)
    table(f"{comparison.name}: EM beside the posterior (gap: EM − mean, in s.d.)", headings, rows)
    if len(comparison.invariant):
        say(invariant_line(comparison))
    _say_reasons(comparison.em)
    if comparison.em.status is not Status.CONVERGED:
        warn(f"EM ended as {comparison.em.status.value}: {comparison.em.sentence}")
    console().print(f"[bold]{escape(str(comparison.verdict))}[/bold]", soft_wrap=True)
    (say if comparison.contract.holds else warn)(comparison.contract.sentence)
    times = comparison.timings
    stages = [f"{stage} {seconds:.1f} s" for stage, seconds in times.items() if stage != "effective draws a second"]
    say(f"{', '.join(stages)}; {times['effective draws a second']:.0f} effective draws a second of sampling.")


def invariant_line(comparison: Comparison) -> str:
    """Communalities under EM, and the widest gap of all that no rotation changes."""
    t = comparison.invariant
    shares = {labels_in(k): x for k, x in t["em"].items() if name_of(k) == "communality"}
    if any("," in k for k in shares):
        shares = {labelled("", [k]): x for k, x in shares.items()}
    shown = [f"{k} {number(float(x), 2)}" for k, x in list(shares.items())[:MOST_SHARES]]
    more = f" and {len(shares) - MOST_SHARES} more" if len(shares) > MOST_SHARES else ""
    gap = t["gap"].abs()
    widest = f"the widest gap of what no rotation changes is {number(float(gap.max()), 2)} s.d. ({gap.idxmax()})"
    return f"Communalities: {', '.join(shown)}{more}; {widest}."


def _width(rows: Sequence[Sequence[str]]) -> int:
    """Of the table with these rows: three spaces a column."""
    return sum(max(map(len, column)) + 3 for column in zip(*rows, strict=True))


def _numbers(row: Any, columns: Mapping[str, tuple[str, int]]) -> list[str]:
    return [number(float(row[c]), digits) for c, (_, digits) in columns.items()]
