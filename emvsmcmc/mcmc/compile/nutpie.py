"""Import nutpie without what it does not need here."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any


class _LazyArviz(ModuleType):
    """Stands for arviz while nutpie is imported: nutpie needs it for a conversion we do not use, and it costs seconds."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(importlib.import_module("arviz"), name)


def import_nutpie() -> ModuleType:
    """`import nutpie` without its `import arviz` (and matplotlib); nutpie loads it when it first uses it."""
    if "nutpie" not in sys.modules and "arviz" not in sys.modules:
        placeholder = _LazyArviz("arviz")
        sys.modules["arviz"] = placeholder
        try:
            importlib.import_module("nutpie")
        finally:
            if sys.modules.get("arviz") is placeholder:
                del sys.modules["arviz"]
    return importlib.import_module("nutpie")
