"""The real SmolLM2-135M-Instruct, from its GGUF file, against the reference's results with the dequantised weights in f32.

    tests/golden/smollm2.py NLP FILE.gguf

Ids of 100 texts and 6 chats, those also from their messages (by test_chat, beside NLP), the logits behind 5 prompts with what greedy decoding makes of them, the log-likelihood of 3 paragraphs;
then what an import makes of the file without a wish, its log-likelihood, and its perplexity on three larger texts.
"""
import array
import json
import math
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from harness import SHARED, check, finish, json_lines, read_safetensors, run  # noqa: E402

NLP, GGUF = sys.argv[1:3]
LOGIT_LIMIT, LIKELIHOOD_LIMIT, GAP_LIMIT, GROWTH_LIMIT, PERPLEXITY_LIMIT = 2e-2, 1e-3, 1e-4, 5e-3, 1e-2
LM_TEXTS, N_WINDOWS, WINDOW = ["tinyshakespeare.txt", "tinystories-197k.txt", "wiki.valid.raw"], 3, 256


def tensors_of(path):
    """Rows of the F32 tensors of a safetensors file, by name."""
    header, body = read_safetensors(path)
    out = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        first, last = entry["data_offsets"]
        values, width = array.array("f", body[first:last]), entry["shape"][-1]
        out[name] = [values[i:i + width] for i in range(0, len(values), width)]
    return out


def trace(model, ids, n_greedy, work):
    out = os.path.join(work, "trace.safetensors")
    lines = json_lines(NLP, ["trace", "-m", model, "--out", out, "--greedy", str(n_greedy)], [{"ids": row} for row in ids])
    return lines, tensors_of(out)


def log_likelihood(rows, ids):
    total = 0.0
    for row, following in zip(rows, ids[1:]):
        most = max(row)
        total += row[following] - most - math.log(sum(math.exp(x - most) for x in row))
    return total


def same_greedy(got, gaps, want):
    for mine, gap, theirs in zip(got, gaps, want):
        if mine != theirs:
            return gap < GAP_LIMIT
    return len(got) >= len(want)


def check_ids(model, record):
    rows = record["tokens"]
    got = json_lines(NLP, ["tokens", "-m", model], [{"text": r["text"]} for r in rows])
    wrong = [i for i, (g, r) in enumerate(zip(got, rows)) if g["ids"] != r["input_ids"] or g["offsets"] != r["offsets"]]
    check(f"ids and offsets of {len(rows)} texts", not wrong, wrong[:5])
    chats = record["chat"]
    got = json_lines(NLP, ["tokens", "-m", model], [{"text": c["rendered"]} for c in chats])
    wrong = [i for i, (g, c) in enumerate(zip(got, chats)) if g["ids"] != c["input_ids"]]
    check(f"ids of {len(chats)} rendered chats", not wrong, wrong)


def check_chats(model):
    """From messages to ids, which the command line does not show."""
    status, out, problem = run([os.path.join(os.path.dirname(NLP), "tests", "test_chat"), "smollm2"], env={"NLP_SMOLLM2_PACK": model, "NLP_SHARED": SHARED})
    check("ids of 6 chats from their messages", status == 0 and "1 passed" in out, out + problem)


def check_logits(model, record, work):
    rows = record["generate"]
    n = max(len(r["greedy"]) for r in rows)
    lines, tensors = trace(model, [r["input_ids"] for r in rows], n, work)
    worst = 0.0
    for i, r in enumerate(rows):
        last = tensors[f"logits.{i}"][-1]
        worst = max([worst] + [abs(last[t["id"]] - t["logit"]) for t in r["top_logits"][:10]])
    check(f"top-10 logits of {len(rows)} prompts: largest difference {worst:.1e}", worst <= LOGIT_LIMIT)
    wrong = [i for i, (g, r) in enumerate(zip(lines, rows)) if not same_greedy(g["ids"], g["gaps"], r["greedy"])]
    check(f"greedy ids of {len(rows)} prompts", not wrong, wrong)


def check_likelihood(model, record, work):
    for r in record["teacher_forced"]:
        _, tensors = trace(model, [r["input_ids"]], 1, work)
        got = log_likelihood(tensors["logits.0"], r["input_ids"])
        check(f"log-likelihood {got:.4f}, reference {r['sum']:.4f}", abs(got - r["sum"]) <= LIKELIHOOD_LIMIT * abs(r["sum"]))


def check_best(record, work):
    """A Q4_1 file goes over in 4 bits with minima, its weights exactly, so only activations cost anything."""
    model = os.path.join(work, "best.nlp")
    status, out, problem = run([NLP, "import", GGUF, "--out", model, "--json"])
    report = json.loads(out) if status == 0 else {}
    check("import without a precision takes q4m, and it passes", report.get("precision") == "q4m" and report["accuracy"][0]["passed"], problem)
    rows = record["teacher_forced"]
    got = sum(log_likelihood(trace(model, [r["input_ids"]], 1, work)[1]["logits.0"], r["input_ids"]) for r in rows)
    growth = got / sum(r["sum"] for r in rows) - 1
    check(f"q4m: -ln p of {len(rows)} paragraphs grows by {100 * growth:.2f} %", growth <= GROWTH_LIMIT)


def log_likelihood_of_windows(model, windows, work):
    """As log_likelihood, over many rows of the vocabulary's width."""
    import numpy
    total = 0.0
    for ids in windows:
        rows = numpy.array(trace(model, [ids], 1, work)[1]["logits.0"], numpy.float64)[-len(ids):]
        rows -= rows.max(1, keepdims=True)
        total += (rows[numpy.arange(len(ids) - 1), ids[1:]] - numpy.log(numpy.exp(rows[:-1]).sum(1))).sum()
    return float(total)


def check_perplexity(exact, work):
    """Windows from all over a text."""
    for name in LM_TEXTS:
        with open(os.path.join(SHARED, "data", "text", "lm-small", name), encoding="utf-8") as file:
            text = file.read()
        places = [len(text) * i // N_WINDOWS for i in range(N_WINDOWS)]
        lines = json_lines(NLP, ["tokens", "-m", exact], [{"text": text[at:at + 8 * WINDOW]} for at in places])
        windows = [line["ids"][:WINDOW] for line in lines]
        n = sum(len(ids) - 1 for ids in windows)
        want, got = (log_likelihood_of_windows(model, windows, work) / n for model in (exact, os.path.join(work, "best.nlp")))
        growth = math.exp(want - got) - 1
        check(f"q4m: perplexity on {n} tokens of {name} is {math.exp(-got):.3f}, of f32 {math.exp(-want):.3f}: {100 * growth:+.2f} %", growth <= PERPLEXITY_LIMIT)


def main():
    with open(os.path.join(SHARED, "fixtures", "golden", "smollm2", "expected.json"), encoding="utf-8") as file:
        record = json.load(file)
    with tempfile.TemporaryDirectory() as work:
        os.chmod(work, 0o755)
        model = os.path.join(work, "smollm2.nlp")
        status, _, problem = run([NLP, "import", GGUF, "--out", model, "--precision", "f32"])
        check("import", status == 0, problem)
        check_ids(model, record)
        check_chats(model)
        check_logits(model, record, work)
        check_likelihood(model, record, work)
        check_best(record, work)
        check_perplexity(model, work)
    finish()


main()
