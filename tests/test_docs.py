"""Examples are true: docstrings, the Python blocks of README.md and docs/*.md, docs/example.c."""

import doctest
import importlib
import os
import pkgutil
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import gradsz

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MODULES = sorted(m.name for m in pkgutil.walk_packages(gradsz.__path__, "gradsz.") if m.name != "gradsz.__main__")
OPTIONAL = {"click", "rich", "sklearn", "matplotlib", "ml_dtypes", "scipy"}
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def imported(name):
    """The module, or a skip where a package of an extra is missing."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        if package not in OPTIONAL:
            raise
        pytest.skip(f"{name} needs {package}")


def run_doctest(text, name, path, line, names):
    test = doctest.DocTestParser().get_doctest(text, names, name, str(path), line)
    report = []
    doctest.DocTestRunner(verbose=False).run(test, out=report.append, clear_globs=False)
    names.update(test.globs)
    assert not report, "".join(report)


@pytest.mark.parametrize("name", ["gradsz", *MODULES])
def test_docstrings(name):
    module = imported(name)
    report = []
    runner = doctest.DocTestRunner(verbose=False)
    for test in doctest.DocTestFinder().find(module, name):
        runner.run(test, out=report.append)
    assert not report, "".join(report)


def test_public_functions_have_examples():
    for name in ("compress", "decompress", "compress_bound", "compress_tensors", "open", "quantize", "info", "verify"):
        assert ">>>" in getattr(gradsz, name).__doc__, name


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_python_blocks(page, tmp_path, monkeypatch):
    """Blocks of a page run one after another; those with prompts as doctests, the others as they stand."""
    monkeypatch.chdir(tmp_path)
    text = page.read_text(encoding="utf-8")
    names = {"__name__": "__main__"}
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start(1))
        if ">>>" in match[1]:
            run_doctest(match[1], page.name, page, line, names)
        else:
            exec(compile("\n" * line + match[1], str(page), "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links(page):
    """Links to other files lead somewhere; so do those to headings."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, heading = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name}: {target}"
        assert not heading or heading in headings(file), f"{page.name}: {target}"


def headings(page):
    """Names that headings have as link targets."""
    found = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in found}


def test_api_page_has_the_signatures():
    """docs/api.md shows every public function with the parameters that it has."""
    import inspect

    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    for name in gradsz.__all__:
        value = getattr(gradsz, name)
        assert name == "__version__" or name in page, name
        if not inspect.isfunction(value):
            continue
        heading = re.search(rf"^### `{name}\((.*)\) -> ", page, re.MULTILINE)
        shown = re.findall(r"(\w+)(?:=([^,]+))?", heading[1].replace("*, ", ""))
        actual = [(p.name, "" if p.default is p.empty else repr(p.default).replace("'", '"'))
                  for p in inspect.signature(value).parameters.values()]
        assert shown == actual, name


def test_c_example(tmp_path):
    """docs/example.c is what docs/c-api.md shows; it compiles, runs and succeeds."""
    source = ROOT / "docs" / "example.c"
    assert source.read_text(encoding="utf-8") in (ROOT / "docs" / "c-api.md").read_text(encoding="utf-8")
    said = run_c_example(source, tmp_path)
    assert "every weight is within the bound" in said
    assert "damaged: checksum mismatch" in said


def test_c_example_of_a_model(tmp_path):
    said = run_c_example(ROOT / "docs" / "example_model.c", tmp_path)
    assert "every tensor is within its bound" in said and "layers.7.bias is what it was" in said


def run_c_example(source, tmp_path):
    compiler = next(filter(None, map(shutil.which, (os.environ.get("CC", "cc"), "gcc", "clang"))), None)
    if compiler is None:
        pytest.skip("no C compiler")
    core = ROOT / "src_c"
    files = [source, *sorted(core.glob("*.c")), *sorted(core.glob("*/*.c"))]
    program = tmp_path / "example"
    subprocess.run([compiler, "-std=c99", "-Wall", "-Wextra", "-ffp-contract=off", f"-I{core}", *map(str, files), "-lpthread", "-o", str(program)],
                   check=True, capture_output=True, text=True)
    return subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout
