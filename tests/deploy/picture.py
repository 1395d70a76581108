#!/usr/bin/env python3
"""Draws deploy/grafana/dashboard.json as a picture: each of its questions is asked of a running Prometheus, and plotted in its place.

    python3 tests/deploy/picture.py http://127.0.0.1:9090 SECONDS docs/images/dashboard.png

This is not Grafana: it shows the dashboard's data and lay-out, not Grafana's own looks. Needs matplotlib, which
brings Pillow. The picture in the documentation is made by the test `the_picture_of_the_dashboard` (docs/monitoring.md).
"""

import io
import json
import math
import pathlib
import sys
import time
import urllib.parse
import urllib.request

import matplotlib
import PIL.Image

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

DASHBOARD = pathlib.Path(__file__).parents[2] / "deploy/grafana/dashboard.json"
VARIABLES = {"$__rate_interval": "10s", "$job": "hikyaku", "$instance": ".*"}
INK, PAPER, PANEL, GRID = "#d8d9da", "#111217", "#181b1f", "#2c3235"
COLOURS = ["#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#705da0", "#37872d", "#fade2a", "#447ebc", "#c15c17"]
plt.rcParams.update({"text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK, "font.size": 6.5})


class Prometheus:
    def __init__(self, url, seconds):
        self.url, self.end = url, time.time()
        self.start = self.end - seconds
        self.step = max(1, round(seconds / 150))

    def ask(self, kind, expr, **more):
        for name, value in VARIABLES.items():
            expr = expr.replace(name, value)
        query = urllib.parse.urlencode({"query": expr, **more})
        with urllib.request.urlopen(f"{self.url}/api/v1/{kind}?{query}") as answer:
            return json.load(answer)["data"]["result"]

    def range(self, expr):
        return self.ask("query_range", expr, start=self.start, end=self.end, step=self.step)

    def now(self, expr):
        return self.ask("query", expr, time=self.end)


def short(value, unit):
    """A number as Grafana would write it, about."""
    if math.isnan(value):
        return "–"
    if unit == "percentunit":
        return f"{value * 100:.1f} %"
    if unit == "bytes":
        for name in ["B", "KiB", "MiB", "GiB", "TiB"]:
            if abs(value) < 1024 or name == "TiB":
                return f"{value:.3g} {name}"
            value /= 1024
    if unit == "s":
        return f"{value * 1000:.3g} ms" if abs(value) < 1 and value else f"{value:.3g} s"
    for limit, name in [(1e9, "G"), (1e6, "M"), (1e3, "k")]:
        if abs(value) >= limit:
            return f"{value / limit:.3g}{name}"
    return f"{value:.3g}" + {"eps": " /s", "reqps": " /s"}.get(unit, "")


def label(target, metric):
    text = target.get("legendFormat", "")
    for name, value in metric.items():
        text = text.replace("{{" + name + "}}", value)
    return text


def lines(panel, prometheus):
    """(label, times, values) of each series of a panel."""
    for target in panel["targets"]:
        for series in prometheus.range(target["expr"]):
            times = [float(at) - prometheus.end for at, _ in series["values"]]
            yield label(target, series["metric"]), times, [float(value) for _, value in series["values"]]


def draw_stat(axes, panel, prometheus):
    (found,) = list(lines(panel, prometheus)) or [("", [0], [math.nan])]
    value, unit = found[2][-1], panel["fieldConfig"]["defaults"]["unit"]
    text, colour = short(value, unit), INK
    for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]:
        if step["value"] is None or value >= step["value"]:
            colour = {"green": "#73bf69", "orange": "#ff9830", "red": "#f2495c"}.get(step["color"], INK)
    for mapping in panel["fieldConfig"]["defaults"].get("mappings", []):
        text = mapping["options"].get(f"{value:g}", {}).get("text", text)
    axes.fill_between(found[1], found[2], color=colour, alpha=0.15, linewidth=0)
    axes.text(0.5, 0.45, text, transform=axes.transAxes, ha="center", va="center", fontsize=13, color=colour)
    axes.set_xticks([]), axes.set_yticks([])


def draw_lines(axes, panel, prometheus):
    defaults = panel["fieldConfig"]["defaults"]
    custom, found = defaults.get("custom", {}), list(lines(panel, prometheus))
    if custom.get("stacking", {}).get("mode") == "normal":
        times = sorted({at for _, series, _ in found for at in series})
        at = [dict(zip(series, values)) for _, series, values in found]
        stacks = [[known.get(moment, 0) for moment in times] for known in at]
        axes.stackplot(times, stacks, labels=[name for name, _, _ in found], colors=COLOURS, alpha=0.6)
    else:
        for number, (name, times, values) in enumerate(found):
            axes.plot(times, values, linewidth=0.9, color=COLOURS[number % len(COLOURS)], label=name)
    if custom.get("scaleDistribution", {}).get("type") == "log":
        axes.set_yscale("log")
    elif defaults.get("min") == 0:
        axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(lambda value, _: short(value, defaults["unit"]))
    axes.legend(loc="upper left", fontsize=4.6, ncols=2 if len(found) > 4 else 1, labelcolor=INK,
                facecolor=PANEL, edgecolor="none", framealpha=0.6)


def draw_heatmap(axes, panel, prometheus):
    found = prometheus.range(panel["targets"][0]["expr"])
    found.sort(key=lambda series: float(series["metric"]["le"].replace("+Inf", "inf")))
    count = min(len(series["values"]) for series in found)
    sums = [[float(value) for _, value in series["values"][-count:]] for series in found]
    cells = [[max(0, b - a) ** 0.5 for a, b in zip(below, above)] for below, above in zip([[0] * count] + sums, sums)]
    axes.imshow(cells, aspect="auto", origin="lower", cmap="inferno",
                extent=[-count * prometheus.step, 0, 0, len(cells)])
    axes.set_yticks(range(1, len(cells) + 1, 3), [f"{s['metric']['le']} s" for s in found][::3])


def draw_states(axes, panel, prometheus):
    found = list(lines(panel, prometheus))
    for row, (_, times, values) in enumerate(found):
        axes.barh([row] * len(times), [prometheus.step] * len(times), left=times, height=0.8,
                  color=["#f2495c" if value else "#37872d" for value in values])
    axes.set_yticks(range(len(found)), [name for name, _, _ in found])


def draw_table(axes, panel, prometheus):
    axes.axis("off")
    rows = prometheus.now(panel["targets"][0]["expr"])
    for number, series in enumerate(rows):
        metric = series["metric"] | {"runs for": short(float(series["value"][1]), "s")}
        text = "\n".join(f"{name}: {metric[name]}" for name in ["version", "queue", "store", "role", "runs for"])
        axes.text(0.04, 0.9 - number * 0.5, text, transform=axes.transAxes, va="top", fontsize=7)


DRAW = {"stat": draw_stat, "timeseries": draw_lines, "heatmap": draw_heatmap, "state-timeline": draw_states, "table": draw_table}


def main(url, seconds, to):
    dashboard, prometheus = json.loads(DASHBOARD.read_text()), Prometheus(url, float(seconds))
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"])
    figure = plt.figure(figsize=(13, rows * 0.215), facecolor=PAPER)
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        left, width = at["x"] / 24, at["w"] / 24
        top = 1 - at["y"] / rows
        if panel["type"] == "row":
            figure.text(0.006, top - 0.6 / rows, panel["title"], fontsize=8, weight="bold", va="center")
            continue
        is_stat = panel["type"] == "stat"
        inset = (0.004, 0.004) if is_stat else (0.042, 0.005)
        height = (at["h"] - (1.3 if is_stat else 2.6)) / rows
        axes = figure.add_axes([left + inset[0], top - (at["h"] - (0.2 if is_stat else 1.3)) / rows, width - sum(inset), height], facecolor=PANEL)
        axes.set_title(panel["title"], fontsize=7, loc="left", pad=2.5)
        axes.grid(color=GRID, linewidth=0.4)
        for spine in axes.spines.values():
            spine.set_color(GRID)
        axes.tick_params(length=0)
        if panel["type"] not in ("stat", "table"):
            axes.set_xlim(-prometheus.end + prometheus.start, 0)
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g} s")
        DRAW[panel["type"]](axes, panel, prometheus)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=100, facecolor=PAPER)
    # 128 colours are enough for lines, and half the bytes.
    PIL.Image.open(drawn).convert("RGB").quantize(128).save(to, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
