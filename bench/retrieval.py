"""How well and how fast the offline assistant answers: `python bench/retrieval.py --data FOLDER [--documents 50000]`.

FOLDER holds SQuAD-shaped JSON (CMRC2018 dev and trial: CC BY-SA 4.0, fetched by you, never part of this repository).
Quality is measured on the passages alone; speed on an index filled up with distractors made by splitting and mixing
the same texts, with the whole answer timed: analyse, search, rank sentences, compose.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path

from dragoman.knowledge.answer import answer, best_sentences, coverage
from dragoman.knowledge.model import Asker, Document, Source
from dragoman.knowledge.passages import Block, cut, sentences
from dragoman.knowledge.shelf import Shelf

SOURCE = Source("bench", "ten_bench", "Bench", "Bench", "CC-BY-SA-4.0")
ASKER = Asker("ten_bench")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--documents", type=int, default=50_000)
    options.add_argument("--questions", type=int, default=4_000)
    options.add_argument("--seed", type=int, default=7)
    chosen = options.parse_args()
    texts, questions = read(chosen.data)
    random.seed(chosen.seed)
    with tempfile.TemporaryDirectory() as folder:
        shelf = Shelf(Path(folder, "quality"))
        shelf.put(SOURCE, [document(f"d{i}", text) for i, text in enumerate(texts)])
        result = {"passages": shelf.index.passages, "questions": len(questions), **quality(shelf, questions)}
        print(json.dumps(result, indent=1))
        if chosen.documents:
            print(json.dumps(speed(Path(folder, "speed"), texts, questions, chosen), indent=1))


def read(folder: Path) -> tuple[list[str], list[tuple[int, str, list[str]]]]:
    texts: list[str] = []
    questions = []
    for path in sorted(folder.glob("*.json")):
        for article in json.loads(path.read_bytes())["data"]:
            for paragraph in article["paragraphs"]:
                questions.extend(
                    [
                        (len(texts), asked["question"], [a["text"] for a in asked["answers"]])
                        for asked in paragraph["qas"]
                    ]
                )
                texts.append(paragraph["context"])
    return texts, questions


def document(name: str, text: str) -> Document:
    return Document(name, "", "zh", "", tuple(cut([Block(text)])))


def quality(shelf: Shelf, questions: list[tuple[int, str, list[str]]]) -> dict[str, float]:
    seen: Counter[str] = Counter()
    covers: list[float] = []
    for gold, question, answers in questions:
        given = answer(shelf, question, ASKER)
        seen[given.outcome] += 1
        if given.outcome != "answered":
            continue
        first = given.hits[0]
        cited = "".join(first.passage.sentence(i) for i in best_sentences(shelf, question, first))
        seen["hit@1"] += first.document == f"d{gold}"
        seen["answer in shown passage"] += any(a in first.passage.text for a in answers)
        seen["answer in answer text"] += any(a in given.text for a in answers)
        seen["answer in two sentences"] += any(a in cited for a in answers)
        covers.append(coverage(shelf, question, first))
    shares = {name: round(count / len(questions), 4) for name, count in seen.items()}
    return {**shares, "coverage p5": round(statistics.quantiles(covers, n=20)[0], 3)}


def speed(
    folder: Path, texts: list[str], questions: list[tuple[int, str, list[str]]], chosen: argparse.Namespace
) -> dict[str, float]:
    parts = [text[a:b] for text in texts for a, b in sentences(text)]
    documents = [document(f"d{i}", text) for i, text in enumerate(texts)]
    while len(documents) < chosen.documents:
        documents.append(document(f"x{len(documents)}", "".join(random.sample(parts, 6))))
    shelf = Shelf(folder)
    begun = time.perf_counter()
    shelf.put(SOURCE, documents)
    built = time.perf_counter() - begun
    asked = [random.choice(questions)[1] for _ in range(chosen.questions)]
    for question in asked[:200]:
        answer(shelf, question, ASKER)
    wall, used = [], []
    for question in asked:
        begun, cpu = time.perf_counter(), time.thread_time()
        answer(shelf, question, ASKER)
        wall.append((time.perf_counter() - begun) * 1e3)
        used.append((time.thread_time() - cpu) * 1e3)
    cuts, cpu_cuts = statistics.quantiles(wall, n=100), statistics.quantiles(used, n=100)
    size = sum(path.stat().st_size for path in folder.glob("index-*/*"))
    return {
        "documents": len(documents),
        "passages": shelf.index.passages,
        "build s": round(built, 2),
        "index MB": round(size / 1e6, 1),
        "p50 ms": round(cuts[49], 2),
        "p95 ms": round(cuts[94], 2),
        "p99 ms": round(cuts[98], 2),
        "CPU p50 ms": round(cpu_cuts[49], 2),
        "CPU p99 ms": round(cpu_cuts[98], 2),
        "load": round(os.getloadavg()[0], 1),
    }


if __name__ == "__main__":
    main()
