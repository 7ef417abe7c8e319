"""The pictures: how small and how fast, one column of panels for each bound; the error of means against bits;
accuracy after training against bytes; the time of a round against bandwidth."""
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from report import COPY, H0, OURS, WAYS

FAMILIES = {"gradsz": "tab:red", "sz3": "tab:blue", "sz2": "tab:cyan", "zfp": "tab:green",
            "pco": "tab:purple", "blosc2": "tab:brown", "zstd": "tab:olive"}
MARKERS = "osD^v"


def styles(codecs):
    """{codec: (colour, marker)}: a colour for each family, a marker for each member."""
    seen, out = {}, {}
    for codec in codecs:
        family = codec.split("-")[0]
        out[codec] = FAMILIES.get(family, "grey"), MARKERS[seen.setdefault(family, 0) % len(MARKERS)]
        seen[family] += 1
    return out


def panel(axes, results, bound, way, style):
    h0 = results.ratio(bound, H0)
    for codec, (colour, marker) in style.items():
        axes.plot(results.ratio(bound, codec) / h0, results.speed(bound, codec, way), marker, color=colour,
                  markersize=9 if codec == OURS else 6.5, markeredgecolor="black", markeredgewidth=0.5,
                  linestyle="none", label=codec)
    axes.axhline(results.speed(bound, COPY, way), color="black", linestyle=":", linewidth=1)
    axes.axvline(1, color="black", linestyle=":", linewidth=1)
    axes.set_yscale("log")
    axes.grid(alpha=0.25, which="both", linewidth=0.5)
    axes.set_axisbelow(True)


def plot(results, path):
    style = styles([c for c in results.codecs if c not in (H0, COPY)])
    bounds = results.bounds
    figure, grid = plt.subplots(2, len(bounds), figsize=(max(7, 2.9 * len(bounds) + 1.2), 7), squeeze=False,
                                sharey="row", sharex=True, layout="constrained")
    for column, bound in enumerate(bounds):
        for row, way in enumerate(WAYS):
            panel(grid[row][column], results, bound, way, style)
        grid[0][column].set_title(f"{bound}   (H0 ratio {results.ratio(bound, H0):.3g})", fontsize=10)
        grid[1][column].set_xlabel("ratio / H0 ratio")
    for row, way in enumerate(WAYS):
        grid[row][0].set_ylabel(f"{way}, MB/s")
        grid[row][-1].annotate("memory copy", (0.98, results.speed(bounds[-1], COPY, way)), xytext=(0, -9),
                               xycoords=("axes fraction", "data"), textcoords="offset points", ha="right", fontsize=8)
    figure.suptitle("Right: smaller. Up: faster. One thread, means over traces, same bound for all.", fontsize=11)
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 7), frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


# ---- mean.py -----------------------------------------------------------------------------------


def scheme_style(name):
    """Red and orange: gradsz's random grids, dashed without slots, thin below `best`. Dotted: biased schemes."""
    others = {"eden": "tab:blue", "correlated": "tab:green", "qsgd": "tab:purple", "sparse": "tab:brown",
              "gradsz-centred-best": "tab:red", "sz3": "tab:cyan", "top-k": "tab:olive"}
    if name in others:
        return dict(color=others[name])
    return dict(color="tab:red" if "shrunk" in name else "tab:orange",
                linestyle="-" if name.endswith("-slots") else "--", linewidth=1.8 if "best" in name else 0.9)


def mean_panel(axes, findings, known, networks, budgets):
    """Error against bits, geometric mean over networks."""
    for name in findings.schemes:
        errors = np.array([[findings.error(network, name, bits) for bits in budgets] for network in networks])
        dotted = dict(linestyle=":", linewidth=1.4) if known[name].biased else {}
        axes.plot(budgets, np.exp(np.log(errors).mean(axis=0)), label=name, **scheme_style(name) | dotted)
    axes.set_title(networks[0] if len(networks) == 1 else f"mean of {len(networks)} networks", fontsize=10)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.grid(alpha=0.25, which="both", linewidth=0.5)


def plot_means(findings, known, path):
    budgets = np.geomspace(0.1, 4, 40)
    panels = [[network] for network in findings.networks]
    if len(panels) > 1:
        panels.insert(0, findings.networks)
    columns = min(len(panels), 3 if len(panels) <= 6 else 4)
    rows = -(-len(panels) // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(max(7, 3.6 * columns), 3.2 * rows + 1.8), squeeze=False,
                                sharex=True, sharey=True, layout="constrained")
    for axes, networks in zip(grid.flat, panels):
        mean_panel(axes, findings, known, networks, budgets)
    for axes in grid.flat[len(panels):]:
        axes.set_visible(False)
    ticks = (0.1, 0.25, 0.5, 1, 2, 4)
    for axes in grid.flat:
        axes.set_xticks(ticks, [f"{t:g}" for t in ticks], minor=False)
        axes.minorticks_off()
        axes.set_xlabel("bits a value")
        axes.set_ylabel("||error of mean||² / mean ||x||²")
        axes.label_outer()
    figure.suptitle("Down and left: better. Dashed: without slots. Thin: balanced. Dotted: biased.", fontsize=11)
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns + 1, frameon=False, fontsize=9)
    figure.savefig(path, dpi=110)
    plt.close(figure)


# ---- training.py -------------------------------------------------------------------------------

GRIDS = {"fedsz": "tab:blue", "centred": "tab:green", "dithered": "tab:orange", "shrunk": "tab:red"}


def training_panel(axes, findings, network):
    """A line for each scheme: accuracy and its spread, and how many times fewer bytes; a band where nothing is compressed."""
    for i, scheme in enumerate(findings.schemes):
        mean, spread = findings.accuracy(network, scheme)
        axes.errorbar(mean, i, xerr=spread, marker="o", capsize=3, color=GRIDS.get(scheme.split("-")[0], "black"))
        axes.annotate(f"{findings.ratio(network, scheme):.3g} x", (1, i), xycoords=("axes fraction", "data"), xytext=(5, 0),
                      textcoords="offset points", va="center", fontsize=9)
        if scheme == "none":
            axes.axvspan(mean - spread, mean + spread, color="black", alpha=0.08, linewidth=0)
            axes.axvline(mean, color="black", linewidth=1, linestyle=":")
    axes.set_yticks(range(len(findings.schemes)), findings.schemes)
    axes.grid(alpha=0.25, linewidth=0.5)
    axes.set_title(network, fontsize=10)
    axes.set_xlabel("test accuracy, %")


def plot_training(findings, path):
    columns = len(findings.networks)
    figure, grid = plt.subplots(1, columns, figsize=(2 + 5 * columns, 1.5 + 0.3 * len(findings.schemes)), squeeze=False, sharey=True,
                                layout="constrained")
    for axes, network in zip(grid.flat, findings.networks):
        training_panel(axes, findings, network)
    grid[0][0].invert_yaxis()
    figure.suptitle("Bars: one standard deviation over seeds. Numbers: times fewer bytes than float32.", fontsize=11)
    figure.savefig(path, dpi=110)
    plt.close(figure)


# ---- fedsz.py ----------------------------------------------------------------------------------

WAYS_TO_SEND = {"none": "black", "SZ 2": "tab:cyan", "SZ3": "tab:blue", "gradsz fast": "tab:orange", "gradsz balanced": "tab:red"}


def save_row(figure, grid, title, path):
    """A row of axes with the same lines: title above, one legend below."""
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.suptitle(title, fontsize=11)
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=9)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def plot_rounds(found, path):
    """found: {rel: ways to send}, each with a name and the seconds of a round by bandwidth."""
    bandwidths = np.geomspace(1e6, 1e10, 81)
    figure, grid = plt.subplots(1, len(found), figsize=(1 + 4.2 * len(found), 4.6), squeeze=False, sharex=True, sharey=True, layout="constrained")
    for axes, (rel, ways) in zip(grid.flat, found.items()):
        for way in ways:
            axes.plot(bandwidths, way.round(bandwidths), label=way.name, color=WAYS_TO_SEND.get(way.name, "tab:red"),
                      linestyle="--" if "reference" in way.name else ":" if way.name == "none" else "-")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks([1e6, 1e7, 1e8, 1e9, 1e10], ["1 M", "10 M", "100 M", "1 G", "10 G"])
        axes.grid(alpha=0.25, which="both", linewidth=0.5)
        axes.set_title(f"rel {rel:g}", fontsize=10)
        axes.set_xlabel("bits a second")
    grid[0][0].set_ylabel("seconds of a round: compress, send, decompress")
    save_row(figure, grid, "Down: better. ResNet-18's shapes, drawn weights, one thread.", path)


# ---- papers.py, convex.py ----------------------------------------------------------------------

SCHEME_COLOURS = ("tab:red", "tab:grey", "tab:olive", "tab:blue", "black", "tab:orange", "tab:green", "tab:purple", "tab:brown")


def plot_distortion(curves, budgets, path):
    """curves: {M: {scheme: distortion at each budget, NaN where it does not reach}}."""
    figure, grid = plt.subplots(1, len(curves), figsize=(1 + 3.4 * len(curves), 4.4), squeeze=False, sharex=True, layout="constrained")
    for axes, (m, schemes) in zip(grid.flat, curves.items()):
        for colour, (scheme, values) in zip(SCHEME_COLOURS, schemes.items()):
            axes.plot(budgets, values, marker="o", markersize=4, color=colour, label=scheme)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks(budgets, [f"{b:g}" for b in budgets])
        axes.minorticks_off()
        axes.grid(alpha=0.25, linewidth=0.5)
        axes.set_title(f"M = {m}", fontsize=10)
        axes.set_xlabel("bits an entry")
    grid[0][0].set_ylabel("sum |x|^M (x - x')² / sum |x|^(M + 2)")
    save_row(figure, grid, "Down and left: better. Means over traces, everything sent counted.", path)


def plot_descent(best, path):
    """best: {problem: {scheme: bytes until the target}}."""
    figure, grid = plt.subplots(1, len(best), figsize=(2 + 4.4 * len(best), 3.4), squeeze=False, sharey=True, layout="constrained")
    for axes, (problem, schemes) in zip(grid.flat, best.items()):
        for i, (scheme, size) in enumerate(schemes.items()):
            axes.barh(i, size, color="tab:red" if "gradsz" in scheme else "tab:blue")
            axes.annotate(f"{size:,}", (size, i), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)
        axes.set_yticks(range(len(schemes)), schemes)
        axes.set_xscale("log")
        axes.set_xlim(right=axes.get_xlim()[1] * 4)
        axes.set_title(problem, fontsize=10)
        axes.set_xlabel("bytes sent until the target")
    grid[0][0].invert_yaxis()
    figure.savefig(path, dpi=110)
    plt.close(figure)
