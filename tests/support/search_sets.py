"""The query sets of tests/data/search, judged, and made-up identifiers among their neighbours: what a search must find of them.
NLP_SEARCH_SETS names another folder with identifiers/, negations/ and paraphrases/."""
import os
import random
import sys

from harness import DATA, ROOT, check

sys.path.insert(0, os.path.join(ROOT, "bench"))
from collection import read_collection  # noqa: E402
from ranking import measures  # noqa: E402

OWN = os.path.join(DATA, "search")
FOLDER = os.environ.get("NLP_SEARCH_SETS") or OWN
SETS = ("identifiers", "negations", "paraphrases")
# what was measured with minilm, less two queries
FLOORS = {"identifiers": {"top3": 1, "ndcg": 0.98}, "negations": {"top3": 0.95, "ndcg": 0.87}, "paraphrases": {"top3": 0.84, "ndcg": 0.80}}

# 9 a digit, A and a letters, x either
PATTERNS = ("ERR-9999", "A99", "A.99", "AA9999A", "99-999-99", "9999.99.9999", "v9.9.99", "9.9.9-rc9", "A99/99", "AA_999_aa", "aaa_999", "99999999", "AA:99:AA", "xxxxxxxx", "0xxxxx", "Aa-999a",
            "RFC-9999", "aaa.aaa_aa", "/aaa/aaaa.conf", "aaaaaa@aaaaa.example", "--aaaa-aaaa", "aaaa::aaaa9", "AA+99", "9999-99-99A")
DOCUMENTS = ("The part {} is kept in the store beside the gate.", "{} means that the machine waits for the operator.", "When you see {}, turn the device off and on again.", "Use `{}` to change the limit.", "status={} is written when a pump stops.",
             "It is fixed since {}!", "This concerns {}/B and nothing else.", "Call it as {}() from the script.", "The old name was ({}): do not use it any more.")
QUESTIONS = ("{}", "what does {} mean?", "where is the part {} kept", "Which log has \"{}\" in it when a pump stops?", "the device shows {}, should I turn it off and on again")
LETTERS = "abcdefghijkmnopqrstuvwxyz"


def made_up(pattern, chance):
    kinds = {"9": "0123456789", "A": LETTERS.upper(), "a": LETTERS, "x": LETTERS + "0123456789"}
    return "".join(chance.choice(kinds[c]) if c in kinds and not pattern.startswith("ERR", max(0, i - 2), i + 1) else c for i, c in enumerate(pattern))


def neighbour(code, chance):
    """Differs in one letter or digit."""
    at = chance.choice([i for i, c in enumerate(code) if c.isalnum()])
    others = "0123456789" if code[at].isdigit() else LETTERS.upper() if code[at].isupper() else LETTERS
    return code[:at] + chance.choice([c for c in others if c != code[at]]) + code[at + 1:]


def codes_and_texts(n, seed):
    chance, codes = random.Random(seed), {}
    while len(codes) < n:
        code = made_up(chance.choice(PATTERNS), chance)
        for c in (code, neighbour(code, chance), neighbour(code, chance)):
            codes.setdefault(c.lower(), c)
    codes = list(codes.values())[:n]
    return codes, [chance.choice(DOCUMENTS).format(c) for c in codes], chance


def judge_made_up(build, search, n=240, seed=8):
    """Each code has one document, but those that go on within another's ("E17" in "E17/B") do not compete here."""
    codes, texts, chance = codes_and_texts(n, seed)
    build([(str(i), "", text) for i, text in enumerate(texts)])
    missed, n_queries = [], 0
    for i, code in enumerate(codes):
        for question in (QUESTIONS[0], chance.choice(QUESTIONS[1:])):
            query = question.format(chance.choice((code, code.lower(), code.upper())))
            n_queries += 1
            if str(i) not in search(query, "hybrid", 3):
                missed.append(query)
    check(f"{n_queries} queries with made-up identifiers: each in the top 3", not missed, missed)


def judge_set(name, search):
    collection = read_collection(os.path.join(FOLDER, name))
    found = {}
    for mode in ("text", "semantic", "hybrid"):
        ranked = {query: search(text, mode, 100) for query, text in collection.queries}
        found[mode] = measures(ranked, collection.qrels)
    print(f"{name}: " + ", ".join(f"{mode} nDCG@10 {m['ndcg']:.3f} top 3 {m['top3']:.3f}" for mode, m in found.items()), flush=True)
    missed = [text for query, text in collection.queries if not set(ranked[query][:3]) & set(collection.qrels[query])]
    check(f"{name}: {len(ranked)} queries", len(ranked) >= 50, len(ranked))
    return found, missed


def judge(build, search):
    """build(documents) makes an index, search(query, mode, k) gives ids, best first."""
    build(read_collection(os.path.join(FOLDER, SETS[0])).documents)
    found, missed = zip(*(judge_set(name, search) for name in SETS))
    check("identifiers: each in the top 3", not missed[0], missed[0])
    for name, modes in zip(SETS, found):
        best, other = modes["hybrid"], max((modes["text"], modes["semantic"]), key=lambda m: m["ndcg"])
        slack = 0.05 if name == "paraphrases" else 0.005
        check(f"{name}: both halves together find no less than the better one", best["ndcg"] >= other["ndcg"] - slack, (best, other))
        for measure, floor in FLOORS[name].items() if FOLDER == OWN else ():
            check(f"{name}: {measure} is {floor} or more", best[measure] >= floor, best)
    judge_made_up(build, search)
