"""Write the golden messages: python tests/golden/make.py, from the root of the repository, with gradsz built.

    vN/good/index.json     file: what it shows, and name, dtype and shape of its tensors
    vN/good/NAME.gsz       a message
    vN/good/NAME.npz       its values, t0, t1, ...: the bits as unsigned little-endian integers; what both ends have of
                           tensor 0: r0, p0_0 (the latest round), p1_0
    vN/bad/index.json      file: the error it must give, the core's status, and the rule it breaks
    vN/bad/NAME.gsz        a message with one flaw

Version 0 is a draft and its files are written again whenever it changes.  From version 1 on a version is frozen once
its folder exists: this program then refuses, because released messages must be read for ever.
Inputs are the same bits on every machine; the encoder's bytes may differ between releases, the values must not.
"""
from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
from bad import bad_messages
from good import Known, good_messages

import gradsz
from gradsz import _core, _reference
from gradsz.tensors import decode_tensors

HERE = Path(__file__).parent


def bits_of(a: np.ndarray) -> np.ndarray:
    return a.reshape(-1).view(f"u{a.itemsize}").astype(f"<u{a.itemsize}")


def write_good(folder: Path, messages: dict[str, tuple[str, bytes, Known]]) -> None:
    index = {}
    for name, (shows, message, known) in sorted(messages.items()):
        values = _reference.decode(message, reference=known.reference, past=known.past)
        core = decode_tensors(_core.Message(message), None, False, known.reference, known.past)
        for key, v in values.items():
            assert (core[key].dtype, core[key].shape) == (v.dtype, v.shape), name
            assert core[key].tobytes() == v.tobytes(), name
        (folder / f"{name}.gsz").write_bytes(message)
        arrays = {"t": values, "r": known.reference, **{f"p{k}_": earlier for k, earlier in enumerate(known.past)}}
        np.savez_compressed(folder / f"{name}.npz", **{f"{prefix}{i}": bits_of(of[key]) for prefix, of in arrays.items()
                                                       for i, key in enumerate(values) if key in of})
        index[name] = {"shows": shows, "tensors": [[key, v.dtype.name, list(v.shape)] for key, v in values.items()]}
    write_index(folder, index)


def write_bad(folder: Path, messages: dict[str, tuple[bytes, str, int, str]]) -> None:
    index = {}
    for name, (message, error, code, rule) in sorted(messages.items()):
        (folder / f"{name}.gsz").write_bytes(message)
        index[name] = {"error": error, "code": code, "rule": rule}
    write_index(folder, index)


def write_index(folder: Path, index: dict) -> None:
    lines = [f"{json.dumps(name)}: {json.dumps(row)}" for name, row in index.items()]
    (folder / "index.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def main() -> None:
    version = gradsz.info(gradsz.compress(0, 0)).version
    home = HERE / f"v{version}"
    if version > 0 and home.exists():
        sys.exit(f"format version {version} is frozen: {home} is never written again")
    print(f"format version {version}" + (" (draft: files are written anew)" * (version == 0)))
    parts = ("good", write_good, good_messages()), ("bad", write_bad, bad_messages())
    shutil.rmtree(home, ignore_errors=True)
    for part, write, messages in parts:
        (home / part).mkdir(parents=True)
        write(home / part, messages)
    files = [f for f in home.rglob("*") if f.is_file()]
    print(f"{len(files)} files, {sum(f.stat().st_size for f in files):,} bytes")


if __name__ == "__main__":
    main()
