"""The settings of gradient-aware prediction, to put where a predictor goes: ``Encoder(1e-2, predictor=GradientAware(beta=0.2))``."""
from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import ClassVar

from gradsz import _params
from gradsz.errors import ParameterError

__all__ = ["GradientAware"]


@dataclass(frozen=True)
class GradientAware:
    """Prediction of a tensor of a stream: magnitudes from earlier rounds times signs that are sent or that persist.

    Magnitudes of the round before, less their mean and over their deviation, go into a moving average of each element; the
    mean and deviation of this round, which are sent, make a magnitude of it.  Its sign is that of the element's kernel, for
    kernels of which most elements have one sign (two bitmaps tell which and which); or, tensor by tensor, that of the round
    before, or the opposite, as gradients of full batches oscillate.  What is sent is the difference, within the bound.  Every tensor is tried
    with and without, so that it costs time but no bytes worth naming.

    Ye, Di, Wang, Zhong, Zhang, Yu, arXiv 2511.05770.  What differs from the authors' code: docs/streams.md.

    Parameters
    ----------
    beta : float
        Weight of a new round in the moving average, above 0 and at most 1; kept in multiples of 2**-16.
    tau : float
        Least sign consistency of a kernel that is predicted, 0 to 1: 0.5 asks for three quarters of one sign.
    bias_corrected : bool
        Divide the average by the weight that it has so far and bring it up to date for every element in every round.  As
        published, only elements that were predicted count, and early predictions are near the mean.

    Raises
    ------
    ParameterError

    Examples
    --------
    >>> import numpy as np, gradsz
    >>> encoder = gradsz.Encoder(1e-2, predictor=gradsz.GradientAware(bias_corrected=True))
    >>> decoder = gradsz.Decoder()
    >>> base = np.random.default_rng(0).normal(size=(50, 40)).astype("float32")
    >>> for round in range(3):
    ...     message = encoder.encode({"w": base * 0.9**round})
    ...     got = decoder.decode(message)
    >>> bool(np.abs(got["w"] - base * 0.9**2).max() < 0.1)
    True
    """

    predictor: ClassVar[str] = "gradient-aware"
    beta: float = 0.07
    tau: float = 0.5
    bias_corrected: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.bias_corrected, bool):
            raise ParameterError(f"bias_corrected must be True or False, not {self.bias_corrected!r}")
        object.__setattr__(self, "beta", _params.number("beta", self.beta, 0, 1, "(]"))
        object.__setattr__(self, "tau", _params.number("tau", self.tau, 0, 1, "[]"))

    def to_json(self) -> str:
        """JSON that `from_json` reads."""
        return json.dumps({"predictor": self.predictor, **asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> GradientAware:
        """The settings that `to_json` wrote.

        Raises
        ------
        ParameterError
            The text is no JSON of such settings.

        Examples
        --------
        >>> import gradsz
        >>> settings = gradsz.GradientAware(tau=0.7)
        >>> gradsz.GradientAware.from_json(settings.to_json()) == settings
        True
        """
        def made(members):
            if members.pop("predictor") != "gradient-aware":
                raise ValueError("another predictor")
            return cls(**members)
        return _params.from_json(text, "a GradientAware", made)
