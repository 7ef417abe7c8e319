"""What each part of the gradient model is worth: bytes without it, on every trace and bound.

    python bench/ablation.py TRACES [--rounds 1] [--out bench/results]

Builds the core once for every part that is left out (a C compiler, half a minute each) into build/ablation. Writes ablation.md.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import peers                    # first: it sets the number of threads of what is imported later
import report
import timing
import traces

METHOD = """\
Float32 tensors of more than {minimum:,} elements of the last {rounds} round(s), one message each, level balanced. Bytes without a part, in percent
more than with all; what is left is fitted again. The mean of each is the geometric one over traces. Features and parts: docs/model.md."""

# name: bits of GSZ_WITHOUT (src_c/model.h), options of compress_tensors
PARTS = {
    "nothing": (0, {}),
    "neighbours": (1 << 0, {}), "earlier taps": (1 << 1, {}), "previous tap": (1 << 2, {}), "tap above": (1 << 3, {}), "all means": (15, {}),
    "columns": (1 << 6, {}), "row scales": (1 << 7, {}), "columns, rows": (3 << 6, {}),
    "inner pairs": (1 << 8, {}), "low rank": (0, {"predictor": "structure"}), "centred bins": (0, {"grid": "aligned"}),
}
ROOT = Path(__file__).parent.parent
NEEDED = ("setup.py", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in", "gradsz", "src_c")

# ---- in a process of its own, with the gradsz that was built for it ------------------------------


def sizes(folder, rounds, options):
    """{bound: {trace: bytes}}"""
    import gradsz
    found = {}
    for path in traces.trace_files(folder):
        updates = {}
        for tensor in traces.load(path, rounds):
            updates.setdefault(tensor.round, {})[tensor.name] = tensor.values
        for bound in traces.BOUNDS:
            messages = [gradsz.compress_tensors(u, float(bound[3:]), mode=bound[:3], **options) for u in updates.values()]
            found.setdefault(bound, {})[path.stem] = sum(map(len, messages))
    return found


# ---- builds --------------------------------------------------------------------------------------


def built(without):
    """The folder of a gradsz without these parts."""
    target = ROOT / "build" / "ablation" / f"without-{without}"
    source = target.with_name("source")
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    for name in NEEDED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    shutil.rmtree(target, ignore_errors=True)
    flags = f"{os.environ.get('GRADSZ_CFLAGS', '')} -DGSZ_WITHOUT={without}u"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", target, source], check=True,
                   env=os.environ | {"GRADSZ_CFLAGS": flags})
    return target


def measured(folder, rounds):
    """{part: {bound: {trace: bytes}}}"""
    found, builds = {}, {}
    for part, (without, options) in PARTS.items():
        builds[without] = builds.get(without) or built(without)
        worker = [sys.executable, __file__, folder, "--rounds", str(rounds), "--worker", json.dumps(options)]
        result = subprocess.run(worker, check=True, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(builds[without])})
        found[part] = json.loads(result.stdout)
        print(part, file=sys.stderr, flush=True)
    return found


def tables(found):
    whole = found["nothing"]
    for bound, usual in whole.items():
        rows = []
        for part in list(found)[1:]:
            more = {trace: found[part][bound][trace] / size for trace, size in usual.items()}
            cells = [*more.values(), report.geometric_mean(more.values())]
            rows.append([part, *[f"{100 * (cell - 1):+.1f}" for cell in cells]])
        yield f"## {bound}"
        yield report.table(["without", *usual, "mean"], rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("traces", help="folder of .npz traces")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--out", default="bench/results", help="folder of ablation.md (default: %(default)s)")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker is not None:
        print(json.dumps(sizes(args.traces, args.rounds, json.loads(args.worker))))
        return
    environment = timing.environment()
    method = METHOD.format(minimum=traces.MIN_ELEMENTS, rounds=args.rounds)
    text = report.page("Ablation", environment, method, *tables(measured(args.traces, args.rounds)))
    report.save(args.out, "ablation.md", text)
    print(text)


if __name__ == "__main__":
    main()
