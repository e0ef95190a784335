#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""report.py TITLE JSON: what a bench measured, from lines "NAME BLOCK VALUE" on standard input.

Names are those of METRICS; a name with .on (with the plugin) and .off (without) is a pair: block N of the one
belongs to block N of the other. Prints the text, and writes all numbers to the file JSON. "#" begins a remark.
"""

import datetime
import fnmatch
import json
import os
import platform
import statistics
import sys

# pattern of the name, what it is, unit, and for the whole or the pairs' comparison: the goal
METRICS = [
    ("attach", "virsh attach-device", "ms", ("ratio", 1.05)),
    ("detach", "virsh detach-device, until the device is at home", "ms", None),
    ("held.detach", "libvirt held, device goes to VFIO", "us", None),
    ("held.reattach", "libvirt held, device comes home", "us", None),
    ("own.detach", "  of that our own, device goes to VFIO", "us", ("median", 500)),
    ("own.reattach", "  of that our own, device comes home", "us", ("median", 500)),
    ("open.drivers_probe", "an unrelated open of drivers_probe", "us", ("difference", 100)),
    ("open.driver_override", "an unrelated open of a driver_override", "us", ("difference", 100)),
    ("ready", "start-up, until the socket answers", "ms", None),
    ("idle.*.switches", "context switches in 60 s without work", "", ("median", 0)),
    ("memory.*.rss", "resident memory", "KiB", ("median", 6 * 1024)),
    ("memory.*.pss", "proportional share of resident memory", "KiB", None),
    ("memory.*.private", "private memory", "KiB", None),
    ("gate.marks.*", "setting the marks", "us", None),
    ("gate.stranger-probe.*", "an unrelated open of drivers_probe", "us", ("difference", 100)),
    ("gate.stranger-override.*", "an unrelated open of a driver_override", "us", ("difference", 100)),
    ("gate.libvirt-probe.*", "a held open, let go at once", "us", ("difference", 5000)),
    ("gate.libvirt-override.*", "an open that announces", "us", ("difference", 5000)),
    ("service.probe.*", "libvirt's open of drivers_probe and its write, fake kernel", "us", None),
    ("service.held.*", "libvirt held, fake kernel", "us", None),
    ("service.own.*", "  of that our own", "us", ("median", 500)),
    ("service-quick.probe.*", "the same, after an unbind that took no time", "us", None),
    ("service-quick.held.*", "libvirt held, after an unbind that took no time", "us", None),
    ("service-quick.own.*", "  of that our own, and the worker's getting ready", "us", None),
    ("gate.held.*", "a held open, from the gate seeing it to its answer", "us", None),
]


def read(stream):
    """{name: {block: [values]}}, in the order in which they came, and the remarks"""
    samples, remarks = {}, []
    for line in stream:
        if line.startswith("#"):
            remarks.append(line[1:].strip())
            continue
        name, block, value = line.split()
        samples.setdefault(name, {}).setdefault(int(block), []).append(float(value))
    return samples, remarks


def summary(values):
    values = sorted(values)
    last = len(values) - 1
    return {
        "n": len(values),
        "median": statistics.median(values),
        "p10": values[round(last * 0.1)],
        "p90": values[round(last * 0.9)],
    }


def flat(blocks):
    return [value for values in blocks.values() for value in values]


def compare(on, off):
    """of the blocks' medians, pair by pair"""
    pairs = [(statistics.median(on[b]), statistics.median(off[b])) for b in on if b in off]
    return {
        "ratio": summary([with_it / without for with_it, without in pairs]),
        "difference": summary([with_it - without for with_it, without in pairs]),
    }


def metric_of(name):
    for pattern, what, unit, goal in METRICS:
        if fnmatch.fnmatchcase(name, pattern):
            return what, unit, goal
    sys.exit(f"report.py: no metric is called {name}")


def evaluate(samples):
    results = {}
    for name, blocks in samples.items():
        base = name.removesuffix(".on").removesuffix(".off")
        if base in results:
            continue
        what, unit, goal = metric_of(base)
        result = results[base] = {"what": what.strip(), "unit": unit}
        if base == name:
            result["value"] = summary(flat(blocks))
            figure = result["value"]["median"]
        else:
            on, off = samples[base + ".on"], samples[base + ".off"]
            result["on"], result["off"] = summary(flat(on)), summary(flat(off))
            result.update(compare(on, off))
            figure = result[goal[0]]["median"] if goal else None
        if goal:
            result["goal"] = {"of": goal[0], "at_most": goal[1], "met": figure <= goal[1]}
    return results


def spread(figures, unit):
    return f"{figures['median']:.5g} {unit} ({figures['p10']:.5g} to {figures['p90']:.5g}, n={figures['n']})"


def goal_line(goal, unit):
    unit = "" if goal["of"] == "ratio" else " " + unit
    return f"goal: {goal['of']} at most {goal['at_most']:g}{unit}: {'met' if goal['met'] else 'NOT MET'}"


def print_results(title, results, remarks):
    print(f"\n{title}\nmedian (p10 to p90, number of samples)\n")
    for remark in remarks:
        print(f"  {remark}")
    for name, result in results.items():
        unit = result["unit"]
        print(f"\n{name}: {result['what']}")
        if "value" in result:
            print(f"    {spread(result['value'], unit)}")
        else:
            print(f"    without     {spread(result['off'], unit)}")
            print(f"    with        {spread(result['on'], unit)}")
            print(f"    ratio       {spread(result['ratio'], '')}")
            print(f"    difference  {spread(result['difference'], unit)}")
        if "goal" in result:
            print(f"    {goal_line(result['goal'], unit)}")


def machine():
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as cpuinfo:
        models = [line.split(":")[1].strip() for line in cpuinfo if line.startswith("model name")]
    return {"cpu": models[0] if models else platform.machine(), "cpus": os.cpu_count(), "kernel": platform.release()}


def main():
    title, path = sys.argv[1:]
    samples, remarks = read(sys.stdin)
    if not samples:
        sys.exit("report.py: nothing was measured")
    results = evaluate(samples)
    print_results(title, results, remarks)
    date = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    with open(path, "w", encoding="utf-8") as out:
        json.dump(
            {"title": title, "date": date, "machine": machine(), "remarks": remarks, "results": results}, out, indent=2
        )
        out.write("\n")


if __name__ == "__main__":
    main()
