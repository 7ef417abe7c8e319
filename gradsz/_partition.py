"""Which tensors of a message lose, and within which bound: the argument `lossy` of compress_tensors."""
from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from fnmatch import translate

import numpy as np

from gradsz import _arrays, _params
from gradsz.errors import ParameterError

LOSSY_ABOVE = 1024      # elements: smaller tensors stay bit-exact, as in FedSZ (arXiv 2312.13461)

Rule = Callable[[str, np.ndarray, int], float]      # the bound of a tensor by name, array and dtype code; 0.0 = bit-exact

_ALLOWED = ("lossy must be None, a function of name and array, an iterable of name patterns such as [\"*.weight\"], or a mapping "
            "of name patterns to bounds such as {\"head.*\": 1e-4, \"embed*\": False}")


def default_lossy(array: np.ndarray, code: int) -> bool:
    """Which tensors lose: floating and more than 1,024 elements."""
    return array.size > LOSSY_ABOVE and code in _arrays.FLOATING


def rule_of(lossy: object, error_bound: float, names: Iterable[str]) -> Rule:
    """The rule that `lossy` asks for; `names` are those of the message."""
    if lossy is None:
        return lambda name, array, code: error_bound if default_lossy(array, code) else 0.0
    if callable(lossy):
        return lambda name, array, code: error_bound if lossy(name, array) else 0.0
    if isinstance(lossy, (str, bytes)):
        raise ParameterError(f"{_ALLOWED}; not the single pattern {lossy!r}: write [{lossy!r}]")
    if isinstance(lossy, Mapping):
        return _by_pattern(lossy, error_bound, names)
    if isinstance(lossy, Iterable):
        patterns = _Patterns(lossy, names)
        return lambda name, array, code: error_bound if patterns.first(name) is not None else 0.0
    raise ParameterError(f"{_ALLOWED}; not {lossy!r}")


def _by_pattern(lossy: Mapping, error_bound: float, names: Iterable[str]) -> Rule:
    patterns = _Patterns(lossy, names)
    bounds = {pattern: _bound(pattern, value, error_bound) for pattern, value in lossy.items()}

    def rule(name: str, array: np.ndarray, code: int) -> float:
        pattern = patterns.first(name)
        if pattern is None:
            return error_bound if default_lossy(array, code) else 0.0
        return bounds[pattern]
    return rule


def _bound(pattern: str, value: object, error_bound: float) -> float:
    if isinstance(value, (bool, np.bool_)):
        return error_bound if value else 0.0
    try:
        return _params.error_bound(value)
    except ParameterError as error:
        raise ParameterError(f"lossy[{pattern!r}]: {error}; True stands for error_bound, False for bit-exact") from None


class _Patterns:
    """Glob patterns in order; one that is a name stands for that name, whatever characters it has."""

    def __init__(self, patterns: Iterable, names: Iterable[str]):
        self.matchers = {}
        names = set(names)
        for pattern in patterns:
            if not isinstance(pattern, str):
                raise ParameterError(f"{_ALLOWED}; {pattern!r} is no name pattern")
            if pattern not in names and not re.search(r"[*?\[]", pattern):
                raise ParameterError(f"lossy: the message has no tensor named {pattern!r} (a pattern of several names has *, ? or [...])")
            self.matchers[pattern] = re.compile(translate(pattern)).match

    def first(self, name: str) -> str | None:
        """The first pattern that matches, or is, the name."""
        return next((pattern for pattern, match in self.matchers.items() if pattern == name or match(name)), None)
