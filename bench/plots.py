"""Plots of bench/compare as plain SVG: bars of ratios with their ranges, and throughput over text length."""
from performance import chosen_goals, measured
from results import is_own

WIDTH, ROW, LEFT, TOP = 860, 26, 330, 40
COLOURS = ["#4477aa", "#cc6677", "#228833", "#ccbb44", "#aa3377", "#66ccee", "#888888"]
LENGTHS = [16, 32, 128, 256]


def text(x, y, content, anchor="start", weight="normal"):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">{escaped(content)}</text>'


def escaped(content):
    return str(content).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def line(x1, y1, x2, y2, colour="#333333", extra=""):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" {extra}/>'


def write_svg(path, height, parts):
    with open(path, "w", encoding="utf-8") as file:
        file.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="12">'
                   f'<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(parts) + "\n</svg>\n")


def title(lines):
    first = lines[0]
    return f"{first['cpu']}, {first['level']}, {first['date']}"


# ---- Ratios ----------------------------------------------------------------------------------------------------------

def advantage(goal, found):
    """How many times as good nlp is: least, median and most of the rounds."""
    values = (found.least, found.ratio, found.most)
    return tuple(1 / value for value in reversed(values)) if goal.less_is_better else values


def ratio_bar(y, goal, found, scale):
    least, ratio, most = advantage(goal, found)
    middle, must = y + ROW / 2 - 3, 1 / goal.must if goal.less_is_better else goal.must
    colour = "#4477aa" if ratio >= must else "#cc6677"
    return [text(LEFT - 8, middle + 4, f"{goal.label} : {found.peer}", "end"),
            f'<rect x="{LEFT}" y="{y}" width="{ratio * scale:.1f}" height="{ROW - 8}" fill="{colour}"/>',
            line(LEFT + least * scale, middle, LEFT + most * scale, middle, extra='stroke-width="2"'),
            line(LEFT + must * scale, y - 2, LEFT + must * scale, y + ROW - 6, "#000000", 'stroke-dasharray="3 2"'),
            text(LEFT + max(most, must) * scale + 6, middle + 4, f"{ratio:.2f}")]


def write_ratios(lines, path):
    rows = [(goal, found) for goal in chosen_goals(lines[0]["level"]) if goal.must and (found := measured(goal, lines))]
    if not rows:
        return False
    most = max(max(advantage(goal, found)[2], 1 / goal.must if goal.less_is_better else goal.must) for goal, found in rows)
    scale, bottom = (WIDTH - LEFT - 60) / most, TOP + ROW * len(rows)
    parts = [text(10, 22, f"nlp against the best peer, times as good (dashed: the goal; thin line: range of the rounds): {title(lines)}", weight="bold")]
    for i, (goal, found) in enumerate(rows):
        parts += ratio_bar(TOP + ROW * i, goal, found, scale)
    parts.append(line(LEFT + scale, TOP - 6, LEFT + scale, bottom, "#999999"))
    write_svg(path, bottom + 20, parts)
    return True


# ---- Throughput ------------------------------------------------------------------------------------------------------

def throughput(lines):
    """{engine: [(tokens of the text, tok/s)]} of one text at a time."""
    found = {}
    for one in lines:
        if one["section"] == "int8" and one["workload"].endswith("x1") and "value" in one:
            found.setdefault(one["engine"], []).append((int(one["workload"].split("x")[0]), one["value"]))
    return {engine: sorted(points) for engine, points in found.items()}


def write_throughput(lines, path):
    curves = throughput(lines)
    if not curves:
        return False
    left, bottom, height = 70, 330, 270
    top = max(value for points in curves.values() for _, value in points)
    places = {n: left + i * 160 for i, n in enumerate(LENGTHS)}
    parts = [text(10, 22, f"MiniLM, one text at a time, tok/s: {title(lines)}", weight="bold"), line(left, bottom, 600, bottom)]
    parts += [text(x, bottom + 18, f"{n} tokens", "middle") for n, x in places.items()]
    for i in range(1, 5):
        y = bottom - height * i / 4
        parts += [line(left, y, 600, y, "#dddddd"), text(left - 6, y + 4, f"{top * i / 4:,.0f}", "end")]
    for i, (engine, points) in enumerate(curves.items()):
        colour = COLOURS[i % len(COLOURS)]
        at = [(places[n], bottom - height * value / top) for n, value in points]
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
        parts.append(f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="{3 if is_own({"engine": engine}) else 1.5}"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in at]
        parts += [line(630, 60 + 20 * i, 655, 60 + 20 * i, colour, 'stroke-width="3"'), text(662, 64 + 20 * i, engine)]
    write_svg(path, 370, parts)
    return True


def write_plots(lines, stem):
    """Those that the lines have figures for."""
    return [path for write, path in ((write_ratios, stem + "-ratios.svg"), (write_throughput, stem + "-lengths.svg")) if write(lines, path)]
