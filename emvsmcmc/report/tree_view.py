"""What the page is made of, read from the DataTree of `Comparison.to_datatree` or of a saved file, and nothing else."""

from __future__ import annotations

import ast
import json
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..words import entry, name_of


class View:
    """A comparison's tree with the questions that the page asks of it."""

    def __init__(self, tree: xr.DataTree) -> None:
        self.tree = tree
        self.result: dict[str, Any] = json.loads(tree.attrs["comparison"])
        self.about: dict[str, Any] = json.loads(tree.attrs["about"])

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a scalar parameter, columns of `comparison.metrics.table`."""
        return self.tree["table"].to_dataset().to_dataframe()

    @cached_property
    def invariant(self) -> pd.DataFrame:
        """The same columns for what no rotation changes; empty where no latent is hidden, or in older files."""
        quantities = self.dataset("invariant")
        return self.table.iloc[:0] if quantities is None else quantities.to_dataframe()

    @cached_property
    def deciding(self) -> pd.DataFrame:
        """The rows that the verdict looked at: without parameters that are determined up to a rotation only, with what no
        rotation changes.
        """
        keep = [not self.is_turned(str(label)) for label in self.table.index]
        parts = [t for t in (self.table[keep], self.invariant) if len(t)]
        return pd.concat(parts) if parts else self.table

    def is_turned(self, label: str) -> bool:
        """Whether a row of the table is determined up to a rotation only, so that it decides nothing."""
        return name_of(label) in self.about.get("turned", [])

    @cached_property
    def hard(self) -> xr.Dataset | None:
        """Soft beside hard assignment (see `comparison.hidden.side_by_side`) with the objective of each iteration."""
        values, history = self.dataset("hard/values"), self.dataset("hard/history")
        if values is None:
            return None
        return values if history is None else values.assign(objective=history["objective"])

    @property
    def rotations(self) -> list[dict[str, Any]]:
        """Latents whose axes may be turned: latent, dim, size, carriers, and what leaves density and posterior as they are."""
        return list(self.about.get("rotations", []))

    @property
    def name(self) -> str:
        return str(self.result["model"])

    @property
    def title(self) -> str:
        return self.name.replace("_", " ").strip().capitalize()

    @cached_property
    def weights(self) -> np.ndarray:
        return self.array("rows", "weight").values

    def dataset(self, path: str) -> xr.Dataset | None:
        """A group's Dataset, None where the group is missing or empty."""
        try:
            node = self.tree[path]
        except KeyError:
            return None
        group = node.to_dataset() if isinstance(node, xr.DataTree) else None
        return group if group is not None and len(group.data_vars) else None

    def array(self, group: str, name: str) -> xr.DataArray:
        """One variable of a group."""
        return self.tree[group].to_dataset()[name]

    @cached_property
    def draws(self) -> dict[str, np.ndarray]:
        """{parameter label: (chain, draw)} after alignment."""
        return self._scalars("posterior")

    @cached_property
    def raw_draws(self) -> dict[str, np.ndarray]:
        """{parameter label: (chain, draw)} as they were sampled."""
        return self._scalars("posterior_unaligned")

    def _scalars(self, group: str) -> dict[str, np.ndarray]:
        out = {}
        dataset = self.tree[group].to_dataset()
        for variable in dataset.data_vars.values():
            for at in np.ndindex(*variable.shape[2:]):
                out[entry(variable, at)] = variable.values[(slice(None), slice(None), *at)]
        return {label: out[label] for label in self.table.index}

    def along(self, name: str, dim: str) -> list[list[str]]:
        """Labels of a parameter along one dim of two or more positions, once for every position of its other dims."""
        variable = self.array("posterior", name)
        dims, shape = variable.dims[2:], variable.shape[2:]
        at = dims.index(dim)
        out = []
        for position in np.ndindex(*shape[:at], *shape[at + 1 :]):
            places = [(*position[:at], i, *position[at:]) for i in range(shape[at])]
            out.append([entry(variable, place) for place in places])
        return [column for column in out if len(column) > 1 and set(column) <= set(self.table.index)]

    def role(self, *roles: str) -> list[str]:
        return [name for name, role in self.about["roles"].items() if role in roles]

    @cached_property
    def observed(self) -> list[str]:
        """Observed variables that are there in the data, in order of declaration."""
        data = self.tree["observed_data"]
        return [name for name in self.role("observed") if name in data]

    @property
    def chains(self) -> int:
        return int(self.tree["posterior"].sizes["chain"])

    @property
    def draws_per_chain(self) -> int:
        return int(self.tree["posterior"].sizes["draw"])

    @cached_property
    def exchangeable(self) -> list[str]:
        """Dims whose labels were aligned."""
        return [d for d, reason in self.about["exchangeable"].items() if reason is None]

    @cached_property
    def relabelled(self) -> float:
        """Share of draws in which alignment changed at least one label of an exchangeable dim."""
        turned = {name for r in self.rotations for name in r["carriers"]}
        renamed = {name for dim in self.exchangeable for name in self.about["carriers"].get(dim, [])}
        names = renamed - turned or renamed
        changed = [self.draws[k] != self.raw_draws[k] for k in self.table.index if name_of(k) in names]
        return float(np.any(changed, axis=0).mean()) if changed else 0.0

    def shares(self, name: str) -> dict[str, float]:
        """{dim or latent: share of draws} that alignment wrote down: label_uncertainty, turned, undetermined."""
        return dict(ast.literal_eval(self.tree.attrs.get(name, "{}")))

    @cached_property
    def divergent(self) -> float:
        stats = self.tree["sample_stats"]
        return float(self.array("sample_stats", "diverging").mean()) if "diverging" in stats else 0.0

    @property
    def seed(self) -> int | None:
        seed = int(self.tree.attrs.get("random_seed", -1))
        return None if seed < 0 else seed
