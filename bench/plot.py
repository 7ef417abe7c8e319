"""The picture of a run: how small and how fast, one column of panels for each bound."""
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

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
