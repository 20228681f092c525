"""The goals of bench/compare, and docs/performance.md made of the newest results."""
import os
import re
from collections import namedtuple
from dataclasses import dataclass
from statistics import median

from preparation import ROOT, say
from results import newest, number, ratios

PAGE = os.path.join(ROOT, "docs", "performance.md")
LEVELS = {"amx": "CPUs with AMX", "avx512vnni": "CPUs with AVX-512 VNNI", "avx2": "CPUs with AVX2 only", "base": "Other CPUs"}
Found = namedtuple("Found", "own peer own_value peer_value unit ratio least most n_rounds n_busy")


@dataclass(frozen=True)
class Goal:
    """A ratio of nlp to the best of `peers` (words of their names) in a workload, or to the figure itself where there are none."""
    label: str
    section: str
    workload: str
    own: str
    peers: tuple
    must: float
    stretch: float
    less_is_better: bool = False


INT8, F32 = ("openvino", "onnxruntime", "ctranslate2"), ("openvino", "onnxruntime", "ctranslate2", "torch")
VNNI_GOALS = [
    Goal("MiniLM i8 16x1", "int8", "16x1", "nlp i8", INT8, 1.4, 1.7), Goal("MiniLM i8 32x1", "int8", "32x1", "nlp i8", INT8, 1.4, 1.7),
    Goal("MiniLM i8 128x1", "int8", "128x1", "nlp i8", INT8, 1.15, 1.35), Goal("MiniLM i8 256x1", "int8", "256x1", "nlp i8", INT8, 1.1, 1.35),
    Goal("MiniLM i8 32x32", "int8", "32x32", "nlp i8", INT8, 1.05, 1.2), Goal("MiniLM i8 ragged 6-32", "int8", "ragged", "nlp i8", INT8, 1.7, 2.0),
    Goal("banking77 with tokenizer", "int8", "banking77", "nlp i8", ("openvino",), 1.15, 1.4), Goal("banking77 with tokenizer", "int8", "banking77", "nlp i8", ("onnxruntime",), 1.6, 1.9),
    Goal("reviews with tokenizer", "int8", "reviews", "nlp i8", ("openvino",), 1.15, 1.4), Goal("reviews with tokenizer", "int8", "reviews", "nlp i8", ("onnxruntime",), 1.6, 1.9),
    Goal("two processes 32x32", "processes", "32x32, 2 processes", "nlp i8", INT8, 1.05, 1.2), Goal("two processes ragged", "processes", "ragged, 2 processes", "nlp i8", INT8, 1.7, 2.0),
    Goal("MiniLM f32 32x32", "f32", "32x32", "nlp f32", F32, 1.05, 1.2), Goal("MiniLM f32 ragged", "f32", "ragged", "nlp f32", F32, 1.7, 1.9),
    Goal("SmolLM2 decode, q4m", "writing", "decode, 128x1", "nlp q4m", ("llama q4_0",), 1.15, 1.4), Goal("SmolLM2 decode, i8", "writing", "decode, 128x1", "nlp i8", ("llama q8_0",), 1.4, 1.7),
    Goal("SmolLM2 16 streams, q4m", "writing", "decode, 128x16", "nlp q4m", ("llama q4_0", "ctranslate2"), 2.5, 3.3),
    Goal("SmolLM2 16 streams, i8", "writing", "decode, 128x16", "nlp i8", ("llama q4_0", "ctranslate2"), 2.5, 3.3),
    Goal("SmolLM2 prompt of 128, i8", "writing", "prompt, 128x1", "nlp i8", ("ctranslate2",), 1.9, 2.3), Goal("SmolLM2 prompt of 512, i8", "writing", "prompt, 512x1", "nlp i8", ("ctranslate2",), 1.6, 1.9),
    Goal("SmolLM2 first token of 40, i8", "writing", "first token, 40x1", "nlp i8", ("ctranslate2",), 0.65, 0.5, True),
    Goal("SQLite rows, banking77", "rows", "banking77", "nlp i8", ("sqlite_ai",), 5, 7), Goal("SQLite rows, reviews", "rows", "reviews", "nlp i8", ("sqlite_ai",), 5, 7),
]
AVX2_GOALS = [
    Goal("MiniLM i8 16x1", "int8", "16x1", "nlp i8", ("onnxruntime",), 1.0, 1.25), Goal("MiniLM i8 32x1", "int8", "32x1", "nlp i8", ("onnxruntime",), 1.0, 1.25),
    Goal("MiniLM i8 128x1", "int8", "128x1", "nlp i8", ("onnxruntime",), 1.0, 1.25), Goal("MiniLM i8 256x1", "int8", "256x1", "nlp i8", ("onnxruntime",), 1.0, 1.25),
    Goal("MiniLM i8 32x32", "int8", "32x32", "nlp i8", ("onnxruntime",), 1.0, 1.25), Goal("MiniLM i8 ragged 6-32", "int8", "ragged", "nlp i8", ("onnxruntime",), 1.4, 1.8),
    Goal("banking77 with tokenizer", "int8", "banking77", "nlp i8", ("onnxruntime",), 1.0, 1.25), Goal("reviews with tokenizer", "int8", "reviews", "nlp i8", ("onnxruntime",), 1.0, 1.25),
    Goal("two processes 32x32", "processes", "32x32, 2 processes", "nlp i8", ("onnxruntime",), 1.0, 1.25),
    Goal("two processes ragged", "processes", "ragged, 2 processes", "nlp i8", ("onnxruntime",), 1.4, 2.0),
    Goal("MiniLM f32 32x32", "f32", "32x32", "nlp f32", F32, 1.05, 1.2), Goal("MiniLM f32 ragged", "f32", "ragged", "nlp f32", F32, 1.05, 1.2),
    Goal("SmolLM2 decode, q4m", "writing", "decode, 128x1", "nlp q4m", ("llama q4_0",), 1.15, 1.4),
    Goal("SmolLM2 16 streams, q4m", "writing", "decode, 128x16", "nlp q4m", ("llama q4_0", "ctranslate2"), 2.0, 2.6),
    Goal("SQLite rows, banking77", "rows", "banking77", "nlp i8", ("sqlite_ai",), 5, 7),
]
MEMORY_GOAL, ACCURACY_GOAL = (12, 6), ((0.998, 0.99), (0.9993, 0.997))


def chosen_goals(level):
    return VNNI_GOALS if level in ("amx", "avx512vnni") else AVX2_GOALS


def measured(goal, lines):
    """What the lines say of a goal; None where nlp or all its peers are missing."""
    here = [line for line in lines if (line["section"], line["workload"]) == (goal.section, goal.workload) and "value" in line]
    own = next((line for line in here if line["engine"] == goal.own), None)
    peers = [line for line in here if any(word in line["engine"] for word in goal.peers)]
    if not own or not peers:
        return None
    best = (min if goal.less_is_better else max)(peers, key=lambda line: line["value"])
    found = ratios(own, best)
    return Found(own["engine"], best["engine"], own["value"], best["value"], own["unit"], median(found), min(found), max(found), len(found), own["busy_rounds"] + best["busy_rounds"])


# ---- Tables ----------------------------------------------------------------------------------------------------------

def verdict(good):
    return "yes" if good else "**no**"


def goal_row(goal, lines):
    found, bound = measured(goal, lines), "≤" if goal.less_is_better else "≥"
    wanted = f"{bound} {goal.must:g} | {goal.stretch:g}"
    if not found:
        return f"| {goal.label} | {', '.join(goal.peers)} | – | – | not measured | {wanted} | – |"
    good = found.ratio <= goal.must if goal.less_is_better else found.ratio >= goal.must
    return (f"| {goal.label} | {found.peer} | {number(found.own_value)} {found.unit} | {number(found.peer_value)} | **{found.ratio:.2f}** ({found.least:.2f}–{found.most:.2f}) | {wanted} "
            f"| {verdict(good)} |")


def goal_table(lines):
    rows = [goal_row(goal, lines) for goal in chosen_goals(lines[0]["level"])]
    return ["| workload, 1 thread | best peer | nlp | peer | nlp : peer (range) | must | stretch | reached |", "|---|---|--:|--:|--:|--:|--:|---|", *rows]


def section_lines(lines, section):
    return [line for line in lines if line["section"] == section and "value" in line]


def memory_table(lines):
    rows = section_lines(lines, "memory")
    if not rows:
        return []
    must, stretch = MEMORY_GOAL
    return ["", f"Memory that each further process adds with MiniLM, MB by PSS, above a Python with the packages imported (goal: ≤ {must}, stretch {stretch}):", "",
            "| " + " | ".join(line["engine"] for line in rows) + " |", "|" + "--:|" * len(rows), "| " + " | ".join(number(line["value"]) for line in rows) + " |"]


def accuracy_table(lines):
    rows = section_lines(lines, "accuracy")
    if not rows:
        return []
    (mean, least), (better_mean, better_least) = ACCURACY_GOAL
    return ["", f"Cosine to f32 over {rows[0]['workload']} (goal: mean ≥ {mean}, least ≥ {least}; stretch {better_mean} and {better_least}):", "", "| engine | way | mean | least |", "|---|---|--:|--:|",
            *(f"| {line['engine']} | {line['variant']} | {line['cosine_mean']:.5f} | {line['cosine_min']:.5f} |" for line in rows)]


def all_figures(lines):
    """A table for each section: workloads down, engines across."""
    out = []
    for section in ("int8", "f32", "processes", "rows", "writing"):
        rows = section_lines(lines, section)
        engines, workloads = (list(dict.fromkeys(line[key] for line in rows)) for key in ("engine", "workload"))
        if rows:
            cell = {(line["workload"], line["engine"]): line for line in rows}
            out += ["", f"All engines, {section}:", "", f"| | {' | '.join(engines)} |", "|---|" + "--:|" * len(engines)]
            out += [f"| {workload}, {next(line['unit'] for line in rows if line['workload'] == workload)} | "
                    + " | ".join(number(cell[workload, engine]["value"]) if (workload, engine) in cell else "–" for engine in engines) + " |" for workload in workloads]
    return out


def versions(lines):
    """Each engine with its version and the kernels it says it uses, a line each."""
    found = {}
    for line in lines:
        if "value" in line:
            found.setdefault(line["engine"], f"{line['version']}; {line['kernels']}")
    return ["", "Versions, and the kernels each says it uses:", "", *(f"- {engine}: {text}" for engine, text in found.items())]


def missing(lines):
    found = list(dict.fromkeys(f"- {line['engine']} ({line['workload'] or line['section']}): {line['missing']}" for line in lines if "missing" in line))
    return ["", "Missing:", "", *found] if found else []


def plots(stem):
    found = [f"{stem}-{kind}.svg" for kind in ("ratios", "lengths") if os.path.exists(f"{stem}-{kind}.svg")]
    return [part for path in found for part in ("", f"![{os.path.basename(path)}]({os.path.relpath(path, os.path.dirname(PAGE))})")]


def level_part(level, stem, lines):
    first = lines[0]
    busy, n = sum(line.get("busy_rounds", 0) for line in lines), sum(len(line.get("rounds", [])) for line in lines)
    held = f" Engines were held to {first['isa']} by their switches." if first["isa"] != "native" else ""
    quick = " A quick run: short rounds." if any(line["quick"] for line in lines) else ""
    return [f"### {LEVELS[level]}: {first['cpu']}", "", f"{first['date']}; {busy} of {n} rounds busy.{held}{quick} Raw: [{os.path.basename(stem)}.csv]({os.path.relpath(stem, os.path.dirname(PAGE))}.csv).", "",
            *goal_table(lines), *memory_table(lines), *accuracy_table(lines), *plots(stem), *all_figures(lines), *versions(lines), *missing(lines), ""]


def write_docs(folder):
    """Puts the tables between the page's two marks."""
    found = newest(folder)
    order = sorted(found, key=lambda key: list(LEVELS).index(key[0]))
    parts = [line for key in order for line in level_part(key[0], *found[key])] or ["No results are kept here yet.", ""]
    with open(PAGE, encoding="utf-8") as file:
        page = file.read()
    begin, end = "<!-- made by bench/compare --write docs: begin -->\n", "<!-- end -->"
    page = re.sub(f"(?s){begin}.*{end}", lambda _: begin + "\n" + "\n".join(parts) + "\n" + end, page)
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(page)
    say(f"{PAGE}: {', '.join(' '.join(key) for key in order) or 'no results'}")
