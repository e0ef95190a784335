#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reports the results of the benches, from their lines "NAME BLOCK VALUE" and "NAME=WHO BLOCK VALUE"; "#" starts a remark.

Usage: report.py print FILE           the figures of one bench, as text
       report.py write FOLDER DOCS    DOCS/performance/figures.rst and plots, of all files in FOLDER

metrics.py defines the NAMEs. Where several contestants do the same task, a ratio is the median of the ratios of the blocks.
So a machine that becomes slower or faster during the run favours no contestant. FOLDER contains a file PART.txt of each
bench, and machine.txt, which describes the machine.
"""

import fnmatch
import os
import pathlib
import re
import statistics
import subprocess
import sys

from metrics import METRICS

# In the order of the report; file names of the emulated hosts include the suite
PARTS = {
    "selection": "Selection",
    "hook": "The qemu hook",
    "devices": "Many devices: list and match",
    "gate": "The gate",
    "service": "A whole rebind, on a fake kernel",
    "footprint": "Idle daemon",
    "attach-bookworm": "Hot plug in the emulated host: Debian 12, libvirt 9.0",
    "attach-trixie": "Hot plug in the emulated host: Debian 13, libvirt 11.3",
    "attach-forky": "Hot plug in the emulated host: Debian 14 (testing), libvirt 12",
    "hands-bookworm": "Rebind in the emulated host",
    "many-bookworm": "Many devices in the emulated host",
}


class Figure:
    """One NAME: {who: {block: [values]}}; who is "" for a single contestant"""

    def __init__(self, name):
        self.name = name
        self.samples = {}
        self.metric = next((m for m in METRICS if fnmatch.fnmatchcase(name, m.pattern)), None)
        if not self.metric:
            sys.exit(f"report.py: no metric is called {name}")

    def add(self, who, block, value):
        self.samples.setdefault(who, {}).setdefault(block, []).append(value)

    def contestants(self):
        """Returns: the names, ours first"""
        return sorted(self.samples, key=lambda who: (who != self.metric.ours, who))

    def values(self, who):
        return sorted(value for values in self.samples[who or ""].values() for value in values)

    def median(self, who):
        return statistics.median(self.values(who))

    def spread(self, who):
        values = self.values(who)
        last = len(values) - 1
        return values[round(last * 0.1)], values[round(last * 0.9)]

    def pairs(self, who, other):
        mine, theirs = self.samples[who], self.samples[other]
        return [(statistics.median(mine[b]), statistics.median(theirs[b])) for b in mine if b in theirs]

    def ratio(self, who, other):
        """Returns: None if the time of the other contestant was too short to measure"""
        pairs = self.pairs(who, other)
        return statistics.median(a / b for a, b in pairs) if pairs and all(b for _, b in pairs) else None

    def difference(self, who, other):
        return statistics.median(a - b for a, b in self.pairs(who, other))

    def goals(self):
        """Returns: [(text, whether met)] of the goals whose contestants were measured"""
        results = []
        unit = f" {self.metric.unit}" if self.metric.unit else ""
        for kind, *who, most in self.metric.goals:
            if any((w or "") not in self.samples for w in who):
                continue
            if kind == "median":
                results.append((f"at most {most:g}{unit}", self.median(who[0]) <= most))
            elif kind == "ratio":
                ratio = self.ratio(*who)
                text = f"{1 / most:g} times faster than {who[1]}" if most < 1 else f"at most {most:g} of {who[1]}"
                if most == 1:
                    text = f"faster than {who[1]}"
                results.append((text, ratio is not None and ratio <= most))
            else:
                results.append((f"at most {most:g}{unit} more than {who[1]}", self.difference(*who) <= most))
        return results


def read(path):
    """Returns: ({name: Figure}, in the order of the file, and the remarks)"""
    figures, remarks = {}, []
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("#"):
                remarks.append(line[1:].strip())
                continue
            name, block, value = line.split()
            name, _, who = name.partition("=")
            figures.setdefault(name, Figure(name)).add(who, int(block), float(value))
    if not figures:
        sys.exit(f"report.py: {path}: nothing was measured")
    return figures, list(dict.fromkeys(remarks))


def number(value):
    if value == 0:
        return "0"
    digits = 3 if abs(value) < 1000 else 4
    text = f"{value:.{digits}g}"
    return f"{float(text):.0f}" if "e" in text else text


def spread_text(figure, who):
    """Returns: an empty string for a single value, or if all values are the same"""
    low, high = figure.spread(who)
    return f"({number(low)} to {number(high)})" if low != high else ""


def compared(figure, who):
    """Returns: the duration as a multiple of ours"""
    ours = figure.metric.ours
    if not ours or ours not in figure.samples or who == ours:
        return ""
    ratio = figure.ratio(who, ours)
    return f"{number(ratio)} x" if ratio is not None else ""


def verdict(figure):
    return "; ".join(f"{text}: {'met' if met else 'NOT MET'}" for text, met in figure.goals())


# --- text ---


def print_figures(path):
    figures, remarks = read(path)
    for remark in remarks:
        print(f"    # {remark}")
    for figure in figures.values():
        unit = figure.metric.unit
        print(f"    {figure.name}: {figure.metric.what}")
        for who in figure.contestants():
            spread = spread_text(figure, who)
            print(f"        {who:14} {number(figure.median(who)):>8} {unit:3} {spread:20} {compared(figure, who)}".rstrip())
        if figure.goals():
            print(f"        {verdict(figure)}")


# --- reStructuredText ---


def cell(figure, who):
    if who not in figure.samples:
        return ""
    ratio = compared(figure, who)
    text = f"{number(figure.median(who))} {spread_text(figure, who)}".rstrip()
    return text + (f"; **{ratio}**" if ratio else "")


def groups(figures):
    """Groups figures with the same contestants and the same meaning into one table"""
    found = {}
    for figure in figures.values():
        found.setdefault((figure.metric.what, figure.metric.unit, tuple(figure.contestants())), []).append(figure)
    return found


def table(out, what, unit, contestants, figures):
    out.append(f"{what[0].upper()}{what[1:]}{', ' + unit if unit else ''}:\n")
    goal = any(figure.goals() for figure in figures)
    header = ["", *[who or "median" for who in contestants]] + (["goal"] if goal else [])
    out.append(".. list-table::\n   :header-rows: 1\n")
    for row in [header] + [[f"``{f.name}``", *[cell(f, w) for w in contestants]] + ([verdict(f)] if goal else [])
                           for f in figures]:
        out.extend(f"   {'*' if i == 0 else ' '} - {text}".rstrip() for i, text in enumerate(row))
    out.append("")


def write_part(out, part, title, path, folder):
    figures, remarks = read(path)
    out += [title, "-" * len(title), ""]
    out += [f"- {remark}" for remark in remarks] + ([""] if remarks else [])
    for (what, unit, contestants), members in groups(figures).items():
        table(out, what, unit, contestants, members)
    for name in plot_part(part, figures, folder):
        out += [f".. image:: performance/{name}", f"   :alt: {title}", ""]


# --- plots, by gnuplot ---

# Figures by a number in their names: part, plot, pattern of the names with a group for the number, meaning of the number
LINES = [
    ("selection", "selection-cold", r"selection\.cold\.linux-6\.12\.x(\d+)", "aliases, as a multiple of those of Linux 6.12"),
    ("hook", "hook-prepare", r"hook\.prepare\.(\d+)", "hostdevs of the domain, at prepare"),
    ("hook", "hook-start", r"hook\.start\.(\d+)", "hostdevs of the domain, at start"),
    ("devices", "devices-list", r"devices\.list\.(\d+)", "devices"),
    ("gate", "gate-override", r"gate\.stranger-override\.(\d+)", "watched devices"),
    ("many-bookworm", "many-detach", r"many\.detach\.(\d+)\.j1", "devices to VFIO, one after another"),
    ("many-bookworm", "many-reattach", r"many\.reattach\.(\d+)\.j1", "devices back from VFIO, one after another"),
    ("many-bookworm", "many-jobs", r"many\.reattach\.127\.j(\d+)", "jobs for 127 devices back from VFIO"),
]

# Figures that add up: part, plot, pattern of the names with a group for the share and a group for the whole
STACKS = [
    ("service", "service-phases", r"service\.phase\.(\w+)\.(\w+)"),
    ("attach-bookworm", "attach-phases", r"phase\.(\w+)\.(\w+)"),
]


def plot(path, script):
    settings = f"""set terminal svg size 640,400 dynamic background rgb 'white' font 'sans-serif,13'
set output '{path}'
set grid
set key outside right top
"""
    subprocess.run(["gnuplot"], input=settings + script, encoding="utf-8", check=True)


def plot_lines(path, axis, unit, series):
    """series: {who: [(x, y)]}; both axes are logarithmic, with 0 drawn at 0.5"""
    data = "".join(
        f"${i} << E\n" + "\n".join(f"{max(x, 0.5)} {y}" for x, y in sorted(points)) + "\nE\n"
        for i, points in enumerate(series.values())
    ).replace("$", "$d")
    ticks = ", ".join(f"'{x}' {max(x, 0.5)}" for x in sorted({x for points in series.values() for x, _ in points}))
    curves = ", ".join(f"$d{i} with linespoints lw 2 pt 7 ps 0.6 title '{who}'" for i, who in enumerate(series))
    plot(path, f"""{data}set logscale xy
set xlabel '{axis}'
set ylabel '{unit}'
set xtics ({ticks})
plot {curves}
""")


def plot_stack(path, unit, shares):
    """shares: {share: {whole: y}}"""
    wholes = sorted({whole for share in shares.values() for whole in share})
    rows = [" ".join(["whole", *shares])]
    rows += [" ".join([whole, *[str(share.get(whole, 0)) for share in shares.values()]]) for whole in wholes]
    data = "$d << E\n" + "\n".join(rows) + "\nE\n"
    plot(path, f"""{data}set style data histograms
set linetype 9 lc rgb '#999999'
set style histogram rowstacked
set style fill solid 0.8 border -1
set boxwidth 0.5
set yrange [0:*]
set ylabel 'median, {unit}'
plot for [i=2:{len(shares) + 1}] $d using i:xtic(1) title columnheader(i)
""")


def plot_part(part, figures, folder):
    """Returns: the names of the plots"""
    names = []
    for _, name, pattern, axis in [line for line in LINES if line[0] == part]:
        series, unit = {}, ""
        for figure in figures.values():
            found = re.fullmatch(pattern, figure.name)
            for who in figure.contestants() if found else []:
                series.setdefault(who, []).append((int(found.group(1)), figure.median(who)))
                unit = figure.metric.unit
        if series:
            names.append(f"{name}.svg")
            plot_lines(folder / names[-1], axis, unit, series)
    for _, name, pattern in [stack for stack in STACKS if stack[0] == part]:
        shares, unit = {}, ""
        for figure in figures.values():
            found = re.fullmatch(pattern, figure.name)
            if found:
                shares.setdefault(found.group(1), {})[found.group(2)] = figure.median(None)
                unit = figure.metric.unit
        if shares:
            names.append(f"{name}.svg")
            plot_stack(folder / names[-1], unit, shares)
    return names


def write(folder, docs):
    target = docs / "performance"
    target.mkdir(exist_ok=True)
    for old in target.glob("*.svg"):
        old.unlink()
    out = [".. SPDX-License-Identifier: LGPL-2.1-or-later", ".. Generated by ./run bench. Do not edit.", ""]
    out += [(folder / "machine.txt").read_text(encoding="utf-8").strip(), "",
            "Medians, with the 10th and 90th percentiles in parentheses. Bold: the duration as a multiple of ours.", ""]
    for part, title in PARTS.items():
        path = folder / f"{part}.txt"
        if path.exists():
            write_part(out, part, title, path, target)
    text = "\n".join(out) + "\n"
    (target / "figures.rst.new").write_text(text, encoding="utf-8")
    os.replace(target / "figures.rst.new", target / "figures.rst")


def main():
    if sys.argv[1:2] == ["print"] and len(sys.argv) == 3:
        print_figures(sys.argv[2])
    elif sys.argv[1:2] == ["write"] and len(sys.argv) == 4:
        write(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
