"""How good a ranking is, and a picture of it."""
import math

COLOURS = {"rank_bm25": "#b0b0b0", "sqlite": "#4477aa", "postgresql": "#cc6677"}


def ndcg(ranked, gains, k=10):
    found = sum(gains.get(document, 0) / math.log2(place + 2) for place, document in enumerate(ranked[:k]))
    best = sum(gain / math.log2(place + 2) for place, gain in enumerate(sorted(gains.values(), reverse=True)[:k]))
    return found / best


def measures(ranked, qrels):
    """Means over the queries: nDCG@10 with linear gains, recall@100, the reciprocal rank of the first good document, and how often one is in the top 3."""
    n = len(ranked)
    first = [next((1 / (place + 1) for place, d in enumerate(documents) if d in qrels[q]), 0) for q, documents in ranked.items()]
    return {"ndcg": sum(ndcg(d, qrels[q]) for q, d in ranked.items()) / n,
            "recall": sum(len(set(d[:100]) & set(qrels[q])) / len(qrels[q]) for q, d in ranked.items()) / n,
            "mrr": sum(first) / n, "top3": sum(rank >= 1 / 3 for rank in first) / n, "queries": n}


def bar(x, y, width, height, colour, label):
    return (f'<rect x="{x}" y="{y:.1f}" width="{width}" height="{height:.1f}" fill="{colour}"/>'
            f'<text x="{x + width / 2}" y="{y - 4:.1f}" text-anchor="middle">{label}</text>')


def plot(rows, path):
    """nDCG@10 as bars: a group for each collection, a bar for each engine and mode."""
    top = max(row["ndcg"] for row in rows)
    parts, x, step, height = [], 50, 62, 240
    for i, row in enumerate(rows):
        x += step if not i or rows[i - 1]["collection"] == row["collection"] else step + 30
        bar_height = height * row["ndcg"] / top
        parts.append(bar(x, 290 - bar_height, 44, bar_height, COLOURS.get(row["engine"], "#888888"), f"{row['ndcg']:.3f}"))
        parts.append(f'<text x="{x + 22}" y="306" text-anchor="middle">{row["engine"]}</text><text x="{x + 22}" y="320" text-anchor="middle">{row["mode"]}</text>')
        if not i or rows[i - 1]["collection"] != row["collection"]:
            parts.append(f'<text x="{x}" y="340">{row["collection"]}, nDCG@10</text>')
    with open(path, "w", encoding="utf-8") as file:
        file.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{x + 90}" height="350" font-family="sans-serif" font-size="11">'
                   f'<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n')
