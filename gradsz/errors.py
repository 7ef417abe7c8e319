"""Exceptions.  Every error that gradsz raises is a GradszError; the kinds tell whose turn it is to act.

    ParameterError, UnsupportedDtypeError   the caller: an argument is wrong
    TruncatedError                          the sender: bytes are missing (wait for more, or ask again)
    CorruptError                            the sender: bytes are wrong; nothing was released
    UnsupportedError                        upgrade: written by a newer version
    LimitError                              a limit: max_output, or memory
    StateMismatchError                      the two ends differ: give the reference it was made with, or ask for a key message
"""
from __future__ import annotations

__all__ = ["GradszError", "ParameterError", "UnsupportedDtypeError", "CorruptError", "TruncatedError",
           "UnsupportedError", "LimitError", "StateMismatchError"]


class GradszError(Exception):
    """Base of all errors.  `code` is the status number of the core (gradsz.h), 0 where Python found the error."""

    def __init__(self, message: str, code: int = 0):
        super().__init__(message)
        self.code = code

    def __reduce__(self):
        return type(self), (*self.args, self.code)


class ParameterError(GradszError, ValueError):
    """An argument is out of its range."""


class UnsupportedDtypeError(GradszError, TypeError):
    """The array's dtype has no place in the format."""


class CorruptError(GradszError):
    """The bytes are not a message, or were damaged."""


class TruncatedError(CorruptError):
    """The bytes stop before the message does."""


class UnsupportedError(GradszError):
    """The message needs a newer version of gradsz."""


class LimitError(GradszError):
    """Decoding would pass a limit: `max_output`, memory, or what this platform can address."""


class StateMismatchError(GradszError):
    """The message was made with a state (a reference, earlier rounds) that is not this end's; nothing was changed.

    `expected` and `got` describe both for a stream, and are None elsewhere."""

    def __init__(self, message: str, code: int = 70, expected: object = None, got: object = None):
        super().__init__(message, code)
        self.expected, self.got = expected, got

    def __reduce__(self):
        return type(self), (*self.args, self.code, self.expected, self.got)


def _kind(code: int) -> type[GradszError]:
    """Class of a status: the families are tens (gradsz.h)."""
    if code in (11, 12):
        return UnsupportedError
    if code == 20:
        return TruncatedError
    if code == 51:
        return UnsupportedDtypeError
    return {5: ParameterError, 6: LimitError, 7: StateMismatchError}.get(code // 10, CorruptError if code < 50 else GradszError)


def raise_status(code: int) -> None:
    """Raise the exception of a status of the core."""
    from gradsz._core import status_text
    raise _kind(code)(status_text(code), code)
