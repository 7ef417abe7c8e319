"""Named tensors read one by one, from a file or from memory."""
from __future__ import annotations

import builtins
import mmap
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from gradsz import _core, _info, _params
from gradsz.api import message_bytes
from gradsz.errors import ParameterError
from gradsz.tensors import decode_tensors, places_of

if TYPE_CHECKING:
    from typing import Self

    from gradsz._info import MessageInfo
    from gradsz._params import Bytes

__all__ = ["open", "Reader"]


def open(source: str | os.PathLike[str] | Bytes, *, reference: Mapping[str, Any] | None = None, nthreads: int = 1,
         max_output: int | None = None) -> Reader:
    """Open a message to read its tensors one by one.

    Parameters
    ----------
    source : path or buffer
        A file, which is mapped into memory and must not change until the reader is closed; or bytes, a memory map or
        another contiguous buffer.
    reference, nthreads, max_output
        As in `decompress_tensors`.

    Returns
    -------
    Reader
        A mapping of names to arrays.  The table is read and checked at once, tensors when they are asked for.

    Raises
    ------
    CorruptError, TruncatedError, UnsupportedError, LimitError, ParameterError, OSError

    Examples
    --------
    >>> import numpy as np, gradsz
    >>> message = gradsz.compress_tensors({"w": np.ones((3, 2)), "steps": np.int64(7)}, 1e-3)
    >>> with gradsz.open(message) as model:
    ...     list(model), int(model["steps"]), model.info.tensors[0].shape
    (['w', 'steps'], 7, (3, 2))
    """
    if not isinstance(source, (str, os.PathLike)):
        return Reader(source, None, reference, nthreads, max_output)
    with builtins.open(source, "rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            return Reader(b"", None, reference, nthreads, max_output)      # a truncated message; there is nothing to map
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        return Reader(mapped, mapped, reference, nthreads, max_output)
    except BaseException:
        mapped.close()
        raise


class Reader(Mapping[str, NDArray[Any]]):
    """The tensors of a message by name, in its order; made by `open`.

    ``reader[name]`` decodes that tensor alone, every time it is asked for.  A message of one unnamed array has the name "".
    Small tensors share sections, which are decoded as a whole: `read` gets several at once.  A context manager;
    may be used from several threads at once, except for `close`.
    """

    def __init__(self, source: Bytes, mapped: mmap.mmap | None, reference: Mapping[str, Any] | None = None, nthreads: int = 1,
                 max_output: int | None = None):
        self._mapped = mapped
        self._reference = reference
        self._message: _core.Message | None = _core.Message(message_bytes(source), _params.nthreads(nthreads), _params.max_output(max_output))
        self._places = {self._message.entry(i)[0] or "": i for i in range(len(self._message))}

    def _open(self) -> _core.Message:
        if self._message is None:
            raise ParameterError("the reader is closed: open the message again")
        return self._message

    def __getitem__(self, name: str) -> NDArray[Any]:
        place = self._places[name]
        return decode_tensors(self._open(), {place}, reference=self._reference)[name]

    def read(self, names: Iterable[str] | None = None) -> dict[str, NDArray[Any]]:
        """Several tensors, or all of them, at once: as `decompress_tensors`."""
        message = self._open()
        return decode_tensors(message, None if names is None else places_of(message, names), reference=self._reference)

    @property
    def info(self) -> MessageInfo:
        """What the header says, as `gradsz.info`."""
        return _info.of(self._open())

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, name: object) -> bool:
        return name in self._places         # Mapping would decode it

    __eq__ = object.__eq__                  # and everything here
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        if self._message is None:
            return "<gradsz.Reader, closed>"
        return f"<gradsz.Reader of {len(self)} tensor{'s' * (len(self) != 1)}, {self._message.nbytes:,} bytes>"

    def close(self) -> None:
        """Give the file back.  Arrays that were read stay; nothing more can be read."""
        self._message = None                # it holds the buffer
        if self._mapped is not None:
            self._mapped.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
