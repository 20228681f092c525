"""Results of bench/compare: a JSON line for each workload and engine, kept by date, CPU and level in bench/results/."""
import csv
import glob
import json
import os
import re
from statistics import median

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results")
COLUMNS = ["section", "workload", "unit", "engine", "value", "rounds", "busy_rounds", "nlp", "nlp_ratio", "nlp_ratio_least", "nlp_ratio_most", "cosine_mean", "cosine_min", "perplexity",
           "variant", "batch", "processes", "version", "kernels", "date", "cpu", "level", "missing"]


def cpu_level(isa, flags):
    """What the engines could use: the level they were held to, or the CPU's."""
    if isa != "native":
        return isa
    return next((level for level, flag in (("amx", "amx_int8"), ("avx512vnni", "avx512_vnni"), ("avx2", "avx2")) if flag in flags), "base")


def ratios(own, peer):
    """nlp : peer, a number for each round."""
    return [a / b for a, b in zip(own["rounds"], peer["rounds"])]


def partner(line, lines):
    """The line of nlp that a peer's is put beside: of the same precision where there are several."""
    own = [other for other in lines if is_own(other) and same_work(line, other)]
    width = "q4m" if "q4" in line["engine"] else "f32" if "f32" in line["engine"] else "i8"
    return next((other for other in own if width in other["engine"]), own[0] if own else None)


def is_own(line):
    return line["engine"].startswith("nlp")


def same_work(a, b):
    return "rounds" in b and (a["section"], a["workload"]) == (b["section"], b["workload"])


def with_ratios(lines):
    """Each peer's line with its ratio: a median, and the least and most of the rounds."""
    for line in lines:
        own = None if is_own(line) or "missing" in line or line["section"] == "accuracy" else partner(line, lines)
        if own:
            found = ratios(own, line)
            line |= {"nlp": own["engine"], "nlp_ratio": round(median(found), 3), "nlp_ratio_least": round(min(found), 3), "nlp_ratio_most": round(max(found), 3)}
    return lines


def file_stem(line):
    cpu = re.sub(r"[^a-z0-9]+", "-", re.sub(r"\(\w+\)", "", line["cpu"].lower())).strip("-")
    return f"{line['date']}-{cpu}-{line['level']}"


def read(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def save(lines, folder=FOLDER):
    """Beside what the same day has of other sections; returns the path without its ending, and all lines."""
    os.makedirs(folder, exist_ok=True)
    stem = os.path.join(folder, file_stem(lines[0]))
    sections = {line["section"] for line in lines}
    kept = [line for line in read(stem + ".jsonl") if line["section"] not in sections] if os.path.exists(stem + ".jsonl") else []
    lines = kept + lines
    with open(stem + ".jsonl", "w", encoding="utf-8") as file:
        file.write("".join(json.dumps(line) + "\n" for line in lines))
    with open(stem + ".csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(line | {"rounds": " ".join(map(str, line.get("rounds", [])))} for line in lines)
    return stem, lines


def newest(folder=FOLDER):
    """Of each level and CPU, the lines of its newest day: {(level, CPU): (path without its ending, lines)}."""
    found = {}
    for path in sorted(glob.glob(os.path.join(folder, "*.jsonl"))):
        lines = read(path)
        found[lines[0]["level"], lines[0]["cpu"]] = path.removesuffix(".jsonl"), lines
    return found


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.4g}"


def print_table(lines):
    print(f"{'section':10} {'workload':22} {'engine':22} {'value':>9} {'unit':11} {'nlp : peer':>10} {'range':>13} {'cosine':>7}  how")
    for line in lines:
        if "missing" in line:
            print(f"{line['section']:10} {line['workload']:22} {line['engine']:22} missing: {line['missing']}")
            continue
        ratio = f"{line['nlp_ratio']:.3g}" if "nlp_ratio" in line else ""
        spread = f"{line['nlp_ratio_least']:.3g}-{line['nlp_ratio_most']:.3g}" if ratio else ""
        cosine = f"{line['cosine_min']:.4f}" if line.get("cosine_min") else ""
        how = ", ".join(str(part) for part in (line["variant"], line["batch"] and f"batches of {line['batch']}", line["kernels"], "perplexity" in line and f"perplexity {line['perplexity']}") if part)
        busy = f"; {line['busy_rounds']} of {len(line['rounds'])} rounds busy" if line["busy_rounds"] else ""
        print(f"{line['section']:10} {line['workload']:22} {line['engine']:22} {number(line['value']):>9} {line['unit']:11} {ratio:>10} {spread:>13} {cosine:>7}  {how}{busy}")
