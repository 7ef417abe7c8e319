"""The commands of `gradsz`: compress, decompress, info, verify, advise, demo (click, rich)."""

import functools
import json
import math
import mmap
import os
import re
import sys
import time

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

import gradsz
from gradsz import advice, files
from gradsz.errors import ParameterError

MODES = ("abs", "rel", "rms", "l2", "psnr")
PREDICTORS = ("auto", "none", "lorenzo1", "lorenzo2", "lorenzo3", "lorenzo")
SUFFIX = ".gsz"
MAGIC = b"GSZ"
TENSOR_FIELDS = (
    "name", "dtype", "shape", "nbytes", "compressed_nbytes", "codec", "mode", "eb", "grid", "predictor", "coder",
)  # fmt: skip
LARGE = 1 << 24  # bytes; below it, and with one tensor, a progress bar would only flicker

EXIT_CODES = """\b
Exit codes:
  0  done
  1  verify or demo found a bound violated
  2  wrong usage or parameter, or the output exists and -f is not given
  3  the input is corrupt, truncated or not supported
  4  reading or writing failed, or memory ran out
"""


def run(argv):
    """Run one command and return its exit code; errors of gradsz and of the system pass through."""
    try:
        with cli.make_context("gradsz", list(argv)) as context:
            cli.invoke(context)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        raise KeyboardInterrupt from None
    return 0


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=EXIT_CODES)
@click.version_option(gradsz.__version__, message="gradsz %(version)s")
def cli():
    """Error-bounded compression of model updates and numpy arrays."""


# --- options that several commands share -------------------------------------------------------------


def _shape(context, parameter, text):
    """The text "3,4" as (3, 4)."""
    if not text:
        return None
    try:
        shape = tuple(int(n) for n in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r}; give lengths, as in 100,64") from None
    if min(shape) < 0:
        raise click.BadParameter(f"{text!r} has a negative length")
    return shape


def _dtype(context, parameter, name):
    allowed = list(files.SAFETENSORS_NAMES)
    if name is not None and name not in allowed:
        raise click.BadParameter(f"{name!r}; allowed are {', '.join(allowed)}")
    return name


def options(*declarations):
    """One decorator of several."""

    def decorate(function):
        for declaration in reversed(declarations):
            function = declaration(function)
        return function

    return decorate


output_options = options(
    click.option("-o", "--output", metavar="OUT", help='Output file; "-" is standard output.'),
    click.option("-f", "--force", is_flag=True, help="Overwrite OUT if it exists; write binary to a terminal."),
    click.option("-q", "--quiet", is_flag=True, help="No progress bar, no figures at the end."),
    click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True),
)
format_option = click.option("--format", type=click.Choice(files.FORMATS), help="Default: from the extension.")
raw_options = options(
    click.option("--dtype", callback=_dtype, help="Of raw input, e.g. float32."),
    click.option("--shape", callback=_shape, help="Of raw input, e.g. 100,64 (default: one dimension)."),
)


# --- commands ----------------------------------------------------------------------------------------


@cli.command()
@click.argument("source", metavar="IN")
@click.option("--bound", type=float, required=True, help="Error bound; 0 is bit-exact.")
@click.option("--mode", type=click.Choice(MODES), default="rel", show_default=True, help="Meaning of the bound.")
@click.option("--level", default="balanced", show_default=True)
@click.option("--predictor", type=click.Choice(PREDICTORS), default="auto", show_default=True)
@click.option("--lossy-all", is_flag=True, help="Named tensors: also the small floating ones (1,024 elements or less).")
@format_option
@raw_options
@output_options
def compress(source, bound, mode, level, predictor, lossy_all, format, dtype, shape, output, force, quiet, threads):
    """Compress the arrays of a .npy, .npz, .safetensors or raw file to OUT (default: IN.gsz).

    \b
    Mode   the error of each finite value is at most
    abs    BOUND
    rel    BOUND x value range of the tensor
    rms    BOUND x root mean square of the tensor
    l2     what keeps |x - x'| <= BOUND x |x| (norm of the tensor)
    psnr   what keeps the tensor at BOUND dB or better

    Of named tensors (.npz, .safetensors) those that are floating and have more than 1,024 elements are
    lossy; all others are kept bit-exact.
    """
    target = output or ("-" if source == "-" else source + SUFFIX)
    read = _reader(source, format, dtype, shape)
    _refuse_terminal(target, force)
    with files.new_file(target, overwrite=force) as out:
        tensors = read(files.read_bytes(source))
        raw = sum(array.nbytes for array in tensors.values())
        single = list(tensors) == [""]
        if predictor != "auto" and not single:
            raise ParameterError("--predictor applies to a single array; for named tensors it is chosen per tensor")
        start = time.perf_counter()
        with _progress("compressing", len(tensors), raw, quiet):
            if single:
                message = gradsz.compress(
                    tensors[""], bound, mode=mode, level=level, predictor=predictor, nthreads=threads
                )
            else:
                lossy = _is_floating if lossy_all else None
                message = gradsz.compress_tensors(tensors, bound, mode=mode, level=level, lossy=lossy, nthreads=threads)
        seconds = time.perf_counter() - start
        out.write(message)
    if not quiet:
        _report(source, target, raw, len(message), seconds)


@cli.command()
@click.argument("source", metavar="IN")
@click.option("--name", "names", multiple=True, help="Only this tensor (may be repeated).")
@click.option("--format", type=click.Choice(files.FORMATS), help="Of OUT; default: from its extension.")
@click.option("--max-output", type=click.IntRange(min=0), metavar="BYTES", help="Refuse to decode to more than this.")
@output_options
def decompress(source, names, format, max_output, output, force, quiet, threads):
    """Decompress a message to OUT (default: IN without .gsz)."""
    target = output or _without_suffix(source)
    format = files.format_of(target, format)
    _refuse_terminal(target, force)
    with files.new_file(target, overwrite=force) as out:
        message = files.read_bytes(source)
        info = gradsz.info(message)
        start = time.perf_counter()
        with _progress("decompressing", len(info.tensors), info.raw_nbytes, quiet):
            tensors = gradsz.decompress_tensors(
                message, names=list(names) or None, nthreads=threads, max_output=max_output
            )
        seconds = time.perf_counter() - start
        files.write(out, tensors, format)
    if not quiet:
        packed = sum(t.compressed_nbytes for t in info.tensors if t.name in tensors) if names else len(message)
        _report(source, target, sum(array.nbytes for array in tensors.values()), packed, seconds)


@cli.command()
@click.argument("sources", metavar="FILE...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="A JSON list with one object per file.")
def info(sources, as_json):
    """Show what is in compressed files, from their headers."""
    infos = {source: _header(source) for source in sources}
    if as_json:
        click.echo(json.dumps([_plain(source, info) for source, info in infos.items()], indent=2))
        return
    for source, info in infos.items():
        click.echo(f"{source}\n{info}")


@cli.command()
@click.argument("original")
@click.argument("other", metavar="COMPRESSED_OR_DECOMPRESSED")
@click.option("--bound", type=float, help="Default: the bound stored with each tensor of a compressed file.")
@click.option("--mode", type=click.Choice(MODES), default="rel", show_default=True, help="Meaning of --bound.")
@click.option("--format", type=click.Choice(files.FORMATS), help="Of the files whose extension does not tell it.")
@raw_options
@click.option("-q", "--quiet", is_flag=True, help="Only the exit code.")
@click.pass_context
def verify(context, original, other, bound, mode, format, dtype, shape, quiet):
    """Compare a file with its compressed or decompressed form; exit code 1 if a bound is violated."""
    before = _reader(original, format, dtype, shape)(files.read_bytes(original))
    data = files.read_bytes(other)
    if data[:3] == MAGIC:
        after = gradsz.decompress_tensors(data)
        stored = {tensor.name or "": _bounded(tensor.eb) for tensor in gradsz.info(data).tensors}
    else:
        if bound is None:
            raise ParameterError(f"{other} is not compressed and holds no bound: give --bound")
        after, stored = _reader(other, format, dtype, shape)(data), {}
    if len(before) == len(after) == 1 and "" in (*before, *after):  # a single array has no name in some formats
        after, stored = (dict(zip(before, found.values())) for found in (after, stored))
    results = {}
    for name in {**before, **after}:
        limit = stored.get(name), "abs"
        if bound is not None:
            limit = (bound, mode) if _is_floating(name, before.get(name)) else (0, "abs")
        results[name] = _verify_one(before.get(name), after.get(name), *limit)
    ok = all(not isinstance(result, str) and bool(result) for result in results.values())
    if not quiet:
        _print_verified(results)
    context.exit(0 if ok else 1)


BIT_UNITS = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


def _bandwidth(context, parameter, text):
    """The text "10Mbit" as bit/s."""
    match = re.fullmatch(r"([0-9.]+(?:e[+-]?[0-9]+)?) ?([kMGT]?)(bit|bps|b|B|Bps)(?:/s)?", text)
    try:
        rate = float(match[1]) * BIT_UNITS[match[2]] * (8 if match[3].startswith("B") else 1)
    except (TypeError, ValueError):
        rate = 0.0
    if not 0 < rate < math.inf:
        raise click.BadParameter(f"{text!r}; give a rate above 0 with its unit: 10Mbit, 500kbit, 1.5Gbit; MB/s are bytes")
    return rate


@cli.command()
@click.argument("source", metavar="MODEL")
@click.option("--bandwidth", callback=_bandwidth, required=True, metavar="RATE", help="Of the link, e.g. 10Mbit.")
@click.option("--bound", type=float, default=1e-2, show_default=True, help="Error bound; 0 is bit-exact.")
@click.option("--mode", type=click.Choice(MODES), default="rel", show_default=True, help="Meaning of the bound.")
@click.option("--lossy-all", is_flag=True, help="Named tensors: also the small floating ones (1,024 elements or less).")
@click.option("--repeat", type=click.IntRange(min=1), default=3, show_default=True, help="Runs of each level; the fastest counts.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="A JSON object.")
@format_option
@raw_options
def advise(source, bandwidth, bound, mode, lossy_all, repeat, threads, as_json, format, dtype, shape):
    """Time every level on the tensors of MODEL and this machine, and recommend one for a bandwidth.

    A round is compression, transfer and decompression. Below its break-even bandwidth a level is faster than sending the
    tensors as they are.
    """
    tensors = _reader(source, format, dtype, shape)(files.read_bytes(source))
    raw = sum(array.nbytes for array in tensors.values())
    lossy = _is_floating if lossy_all or list(tensors) == [""] else None
    with _progress("timing", len(tensors), raw, as_json):
        found = advice.trials(tensors, bound, mode=mode, lossy=lossy, nthreads=threads, repeat=repeat)
    best = min(found, key=lambda trial: trial.round_seconds(bandwidth))
    if as_json:
        click.echo(json.dumps(_advice(found, best, bandwidth), indent=2))
    else:
        _print_advice(found, best, bandwidth, f"{source}: {len(tensors)} tensors, {_size(raw)}, {mode} {bound:g}")


@cli.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def demo(context, arguments):
    """Train a small network by federated averaging, every update through the codec.

    `gradsz demo --help` shows its options.
    """
    from gradsz import demo

    context.exit(demo.main(arguments, prog="gradsz demo"))


# --- helpers -----------------------------------------------------------------------------------------


def _reader(source, format, dtype, shape):
    """Function from the bytes of the file named `source` to its arrays; the options are checked here."""
    format = files.format_of(source, format)
    if format == "raw" and dtype is None:
        raise click.UsageError("raw input needs --dtype (and --shape, unless it has one dimension)")
    if format != "raw" and (dtype or shape):
        raise click.UsageError(f"--dtype and --shape describe raw input; {format} tells them itself")
    return functools.partial(files.read, format=format, dtype=dtype, shape=shape, note=_note)


def _note(text):
    click.echo(f"gradsz: note: {text}", err=True)


def _is_floating(name, array):
    return array is not None and (array.dtype.kind == "f" or array.dtype.name == "bfloat16")


def _without_suffix(source):
    if source == "-":
        return "-"
    if not source.endswith(SUFFIX):
        raise ParameterError(f"{source} does not end in {SUFFIX}: name the output with -o")
    return source.removesuffix(SUFFIX)


def _refuse_terminal(target, force):
    if target == "-" and sys.stdout.isatty() and not force:
        raise ParameterError("standard output is a terminal: redirect it, name a file with -o, or use -f")


def _header(source):
    """MessageInfo of a file; a regular file is mapped, so that only its headers are read."""
    if source == "-":
        return gradsz.info(files.read_bytes(source))
    with open(source, "rb") as file:
        mappable = os.path.isfile(source) and os.path.getsize(source)
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if mappable else file.read()
    return gradsz.info(data)


def _plain(source, info):
    """MessageInfo as JSON values."""
    sizes = {key: getattr(info, key) for key in ("version", "nbytes", "raw_nbytes", "ratio")}
    tensors = [{key: getattr(tensor, key) for key in TENSOR_FIELDS} for tensor in info.tensors]
    for tensor in tensors:
        tensor["eb"] = _bounded(tensor["eb"])
    return {"file": source, **sizes, "tensors": tensors}


def _bounded(eb):
    """None where a quantiser took the place of a bound: JSON has no infinity."""
    return eb if eb < float("inf") else None


def _verify_one(before, after, bound, mode):
    """VerifyResult of one tensor, or a text that says why there is none."""
    if before is None or after is None:
        return "only in the second file" if before is None else "only in the first file"
    if before.dtype.name != after.dtype.name or before.shape != after.shape:
        return f"{before.dtype} {before.shape} became {after.dtype} {after.shape}"
    return gradsz.verify(before, after, bound, mode)


def _print_verified(results):
    """The full result of a single tensor, one line each of several."""
    if len(results) == 1:
        (result,) = results.values()
        click.echo(str(result))
        return
    rows = [("tensor", "max error", "bound", "max/bound", "mean error", "PSNR dB", "violations")]
    for name, result in results.items():
        name = name if name.isprintable() else ascii(name)
        rows.append((name, result) if isinstance(result, str) else (name, *_figures(result)))
    width = max(len(row[0]) for row in rows)
    for name, *cells in rows:
        click.echo("  ".join([name.ljust(width)] + [cell.rjust(10) for cell in cells]))


def _figures(result):
    if result.eb is None:       # l2 and psnr bound the whole tensor, not each value
        bound, part = "-", "-"
    else:
        bound = f"{result.eb:.4g}"
        part = f"{result.max_error / result.eb if result.eb else float(result.max_error > 0):.4f}"
    return (
        f"{result.max_error:.4g}",
        bound,
        part,
        f"{result.mean_error:.3g}",
        f"{result.psnr:.2f}",
        f"{result.violations}",
    )


def _advice(found, best, bandwidth):
    fields = ("nbytes", "compress_seconds", "decompress_seconds")
    ways = {t.way: {**{name: getattr(t, name) for name in fields}, "round_seconds": t.round_seconds(bandwidth),
                    "breakeven": None if t.way == "none" or math.isinf(t.breakeven) else t.breakeven} for t in found}
    return {"bandwidth": bandwidth, "raw_nbytes": best.raw_nbytes, "recommended": best.way, "ways": ways}


def _print_advice(found, best, bandwidth, title):
    """One row a level, the fastest round marked, and a sentence."""
    table = Table(box=None, title=f"{title}, at {_rate(bandwidth)}", title_justify="left", padding=(0, 1))
    table.add_column("level")
    for name in ("bytes", "ratio", "compress s", "decompress s", "round s", "pays below"):
        table.add_column(name, justify="right")
    for t in found:
        table.add_row(t.way + (" *" if t is best else ""), f"{t.nbytes:,}", f"{t.raw_nbytes / max(t.nbytes, 1):.2f}", f"{t.compress_seconds:.3g}",
                      f"{t.decompress_seconds:.3g}", f"{t.round_seconds(bandwidth):.4g}", "-" if t.way == "none" else _rate(t.breakeven))
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    none = found[0].round_seconds(bandwidth)
    if best.way == "none":
        click.echo("recommended: no compression; the link is faster than the codec")
    else:
        click.echo(f"recommended: --level {best.way}, {none / max(best.round_seconds(bandwidth), 1e-12):.1f} times as fast as without compression")


def _rate(bits):
    for unit, size in reversed(BIT_UNITS.items()):
        if bits >= size and math.isfinite(bits):
            return f"{bits / size:.3g} {unit}bit/s"
    return f"{bits:.3g} bit/s"


def _progress(text, tensors, raw, quiet):
    """Spinner with the time passed, on a terminal, where the work is worth one."""
    shown = not quiet and sys.stderr.isatty() and (tensors > 1 or raw >= LARGE)
    columns = SpinnerColumn(), TextColumn(f"{text} {tensors} tensors, {_size(raw)}"), BarColumn(), TimeElapsedColumn()
    progress = Progress(*columns, console=Console(stderr=True), transient=True, disable=not shown)
    progress.add_task(text, total=None)
    return progress


def _report(source, target, raw, packed, seconds):
    """One line on standard error; the speed is raw bytes over the time in the codec."""
    speed = raw / max(seconds, 1e-9) / 1e6
    click.echo(
        f"{source} -> {target}: {_size(raw)} raw, {_size(packed)} compressed, "
        f"ratio {raw / max(packed, 1):.2f}, {speed:,.0f} MB/s",
        err=True,
    )


def _size(nbytes):
    for unit in ("B", "kB", "MB", "GB"):
        if nbytes < 1000 or unit == "GB":
            return f"{nbytes} B" if unit == "B" else f"{nbytes:.1f} {unit}"
        nbytes /= 1000
