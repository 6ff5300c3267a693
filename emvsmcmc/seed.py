"""What a seed may be. Nothing heavy loads here, so that options can be checked before anything does."""

from __future__ import annotations

from numbers import Integral

from .errors import BadInput


def checked_seed(seed: object, generator: bool = False) -> None:
    """A seed is a whole number from 0 or None; `generator` : or a numpy Generator. Raises BadInput."""
    if seed is None or (generator and hasattr(seed, "bit_generator")):
        return
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        wanted = f"a whole number of at least 0{', a numpy Generator' if generator else ''} or None"
        raise BadInput("random_seed", wanted, repr(seed), "Such as random_seed=0.")
