"""Write the golden messages: python tests/golden/make.py, from the root of the repository, with gradsz built.

    vN/good/index.json     file: what it shows, and name, dtype and shape of its tensors
    vN/good/NAME.gsz       a message
    vN/good/NAME.npz       its values, t0, t1, ...: the bits as unsigned little-endian integers
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
from good import good_messages

import gradsz
from gradsz import _reference

HERE = Path(__file__).parent


def write_good(folder: Path, messages: dict[str, tuple[str, bytes]]) -> None:
    index = {}
    for name, (shows, message) in sorted(messages.items()):
        values = _reference.decode(message)
        core = gradsz.decompress_tensors(message)
        for key, v in values.items():
            assert (core[key].dtype, core[key].shape) == (v.dtype, v.shape), name
            assert core[key].tobytes() == v.tobytes(), name
        (folder / f"{name}.gsz").write_bytes(message)
        np.savez_compressed(folder / f"{name}.npz", **{
            f"t{i}": v.reshape(-1).view(f"u{v.itemsize}").astype(f"<u{v.itemsize}")
            for i, v in enumerate(values.values())})
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
