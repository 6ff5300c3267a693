"""The gallery: model files, found by name or path.

A model file is Python that defines `spec(**options)`, and may define

data(**options)   what `condition` takes; without it, data must be given
WEIGHTS           the column of the data, used where it is there, that holds row weights
OPTIONS           {option: what it does}, for those of spec() and of data(); a True/False default makes it a switch, a whole
                  number takes a value
truth(**options)  parameters that simulated data were drawn with; None under options whose data are real
REFERENCE         [{"options", "estimate", "log_likelihood", "source"}]: known maximum likelihood estimates, of all parameters or
                  some, with "standard_error" where those are known too

Its docstring opens with a title and reads like the page of the paper it comes from.
"""

from __future__ import annotations

import difflib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from .errors import BadFile, BadInput, EmvsmcmcError, MissingData, NotAModel
from .problem.chunked import AnyProblem
from .problem.condition import condition
from .spec.model import Spec

HERE = Path(__file__).resolve()
# inside the package where it was installed from a wheel, at the top of the repository where it runs from there
FOLDERS = (HERE.parent / "models", HERE.parents[1] / "models")


@dataclass(frozen=True)
class Model:
    """One model file.

    name : of the file, without ".py". title : first line of its docstring. options : {name: what it does}, of spec() and data().
    """

    name: str
    title: str
    path: Path
    options: dict[str, str]
    module: ModuleType

    @property
    def docstring(self) -> str:
        return inspect.cleandoc(self.module.__doc__ or "")

    def default(self, option: str) -> Any:
        """What an option is when it is not given. Raises BadInput for one that the model does not have."""
        if option not in self.options:
            raise BadInput(
                f"option {option!r}", f"options of {self.name!r}: {_listed(self.options)}", "another", _hint(option, self.options)
            )
        return _defaults(self.module)[option]

    def spec(self, **options: Any) -> Spec:
        """The declaration. Raises BadInput for unknown options, BadFile where the file's code fails."""
        for option in options:
            self.default(option)
        declared = self._run("spec", self.module.spec, _accepted(self.module.spec, options))
        if not isinstance(declared, Spec):
            raise NotAModel(
                str(self.path), "a function spec() that returns an ev.Spec", type(declared).__name__, "End it with 'return spec'."
            )
        return declared

    def data(self, **options: Any) -> Any:
        """The data that come with the model. Raises MissingData where none do."""
        for option in options:
            self.default(option)
        make = getattr(self.module, "data", None)
        if make is None:
            raise MissingData(
                self.name, "data: none come with this model", "none", "Pass a file with --data, or define data() in it."
            )
        return self._run("data", make, _accepted(make, options))

    def problem(self, data: Any = None, weights: Any = None, ignore_extra: bool = True, **options: Any) -> AnyProblem:
        """The spec conditioned on `data`, by default those of the model. Row weights come from the column that the file names as
        WEIGHTS where the data have it. Raises what `condition` raises."""
        spec = self.spec(**options)
        data = self.data(**options) if data is None else data
        column = getattr(self.module, "WEIGHTS", None)
        if weights is None and column is not None and column in data:
            weights = column
        return condition(spec, data, weights=weights, ignore_extra=ignore_extra)

    def truth(self, **options: Any) -> dict[str, Any] | None:
        """Parameters that the model's own data were drawn with; None where they are real."""
        make = getattr(self.module, "truth", None)
        return None if make is None else self._run("truth", make, _accepted(make, options))

    def reference(self, **options: Any) -> Mapping[str, Any] | None:
        """Known maximum likelihood answer under these options, with its source; None where there is none."""
        given = {k: v for k, v in options.items() if v != self.default(k)}
        return next((case for case in getattr(self.module, "REFERENCE", []) if case["options"] == given), None)

    @property
    def cases(self) -> list[dict[str, Any]]:
        """Options of every case with a reference; one case with no options where there is none."""
        return [dict(case["options"]) for case in getattr(self.module, "REFERENCE", [])] or [{}]

    def _run(self, what: str, function: Callable[..., Any], options: dict[str, Any]) -> Any:
        try:
            return function(**options)
        except EmvsmcmcError:
            raise
        except Exception as error:
            raise BadFile(str(self.path), f"a {what}() that runs", _complaint(error, self.path)) from error


def names() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(path.stem for path in _folder().glob("*.py") if not path.stem.startswith("_"))


def load(name_or_path: str | Path) -> Model:
    """A model of the gallery by its name, or any file by its path.

    Raises NotAModel for a name that the gallery does not have and for a file without spec(), BadFile for one that is not there or
    does not run.
    """
    text = str(name_or_path)
    path = Path(text).expanduser()
    known = names()
    if text in known:
        return _read(_folder() / f"{text}.py")
    if path.suffix == ".py" or path.is_file():
        return _read(path)
    if path.is_dir():
        raise NotAModel(text, "the name of a model or a Python file with spec()", "a folder", "Give a file in it.")
    raise NotAModel(text, f"a model of the gallery ({_listed(known)}) or a path to a .py file", "neither", _hint(text, known))


def _folder() -> Path:
    for folder in FOLDERS:
        if (folder / "old_faithful.py").is_file():
            return folder
    raise BadFile(
        str(FOLDERS[0]), "the folder of the gallery", "nothing", "Install the package again, or give a path to a model file."
    )


def _read(path: Path) -> Model:
    if not path.is_file():
        raise BadFile(
            str(path), "a Python file with spec()", "no such file", "`emvsmcmc list` names the models that come with it."
        )
    name = f"emvsmcmc_model_{path.stem}"
    file = importlib.util.spec_from_file_location(name, path)
    if file is None or file.loader is None:
        raise NotAModel(str(path), "a Python file with spec()", f"a file ending in {path.suffix!r}", "Rename it to end in .py.")
    module = importlib.util.module_from_spec(file)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # no __pycache__ beside other people's files
    try:
        file.loader.exec_module(module)
    except EmvsmcmcError:
        raise
    except Exception as error:
        raise BadFile(str(path), "a Python file that runs", _complaint(error, path)) from error
    finally:
        sys.dont_write_bytecode = before
    if not callable(getattr(module, "spec", None)):
        raise NotAModel(
            str(path), "a file that defines spec()", "none", "Put the declaration into a function spec() that returns it."
        )
    title = inspect.cleandoc(module.__doc__ or path.stem).splitlines()[0].rstrip(".")
    return Model(path.stem, title, path, _options(module, path), module)


def _options(module: ModuleType, path: Path) -> dict[str, str]:
    """Keyword parameters with a default of spec() and of data(), described by OPTIONS. Raises NotAModel where one option has two
    defaults, for then it would not say what happens without it, and where OPTIONS describes one that neither takes."""
    defaults = _defaults(module)
    of_data = _keywords(getattr(module, "data", None))
    for name, default in of_data.items():
        if default != defaults[name]:
            got = f"{defaults[name]!r} in spec() and {default!r} in data()"
            raise NotAModel(str(path), f"one default for option {name!r}", got, "Give it the same default in both.")
    described = getattr(module, "OPTIONS", {})
    if unknown := [name for name in described if name not in defaults]:
        wanted = f"OPTIONS to describe keywords of spec() or data(): {_listed(defaults)}"
        raise NotAModel(str(path), wanted, repr(unknown[0]), _hint(unknown[0], defaults))
    return {name: str(described.get(name, "")) for name in defaults}


def _defaults(module: ModuleType) -> dict[str, Any]:
    """{option: default}, those of spec() first."""
    of_spec = _keywords(module.spec)
    return of_spec | {name: default for name, default in _keywords(getattr(module, "data", None)).items() if name not in of_spec}


def _keywords(function: Callable[..., Any] | None) -> dict[str, Any]:
    """{keyword parameter: default} of a function; nothing for no function."""
    if not callable(function):
        return {}
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}


def _accepted(function: Callable[..., Any], options: dict[str, Any]) -> dict[str, Any]:
    """Those options that the function takes: spec(), data() and truth() need not take the same ones."""
    parameters = inspect.signature(function).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return options
    return {k: v for k, v in options.items() if k in parameters}


def _complaint(error: Exception, path: Path) -> str:
    """An exception in words, with the line of the file where it arose."""
    if isinstance(error, SyntaxError):
        return f"{error.msg} in line {error.lineno}"
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).resolve() == path.resolve()
    ]
    return f"{type(error).__name__}: {error}" + (f" in line {lines[-1]}" if lines else "")


def _listed(words: Any) -> str:
    return ", ".join(words) or "none"


def _hint(word: str, known: Any) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"Did you mean {close[0]!r}?" if close else ""
