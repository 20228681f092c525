"""What bench/compare measures, section by section."""
import json
import os
import subprocess
import time
from contextlib import contextmanager
from statistics import fmean, median

from engines import EncodingWorker, Nlp, NlpSql, RowsWorker, Workload, WritingWorker, python_for_sqlite
from measuring import COSINE_LIMIT, undisturbed
from peers import ENVIRONMENTS, F32, INT8, ISAS, ROWS, WRITERS
from preparation import ROOT, Missing, cpu, example_reviews, fetch_gguf, fetch_model, made_texts, make_environment, make_pack, prompts, real_texts, say, write_lines
from results import cpu_level

ONE_THREAD = {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
SHAPES = ["16x1", "32x1", "128x1", "256x1", "32x32", "ragged"]
F32_SHAPES = ["32x1", "32x32", "ragged"]
SENTENCES = ["banking77", "reviews"]
TWO_PROCESSES = ["32x32", "ragged"]
N_ACCURACY, N_ROWS, N_FURTHER, N_PERPLEXITY = 250, 200, 4, 10
N_NEW, N_STREAMS, STREAM_PROMPT, FIRST_PROMPT, PROMPTS = 128, 16, 128, 40, (128, 512)
LLAMA_FLAGS = ("--no-binary", "llama-cpp-python", "--no-cache-dir")  # pip's cache does not tell builds of other flags apart


def pss(processes):
    """Megabytes: what is shared counts once, in parts."""
    total = 0
    for process in processes:
        with open(f"/proc/{process.pid}/smaps_rollup", encoding="ascii") as file:
            total += next(int(line.split()[1]) for line in file if line.startswith("Pss:"))
    return total / 1024


class Comparison:
    def __init__(self, options):
        self.options, self.cache, self.isa = options, options.cache, ISAS[options.isa]
        self.lines, self.section = [], None
        model, self.flags = cpu()
        self.header = {"date": time.strftime("%Y-%m-%d"), "cpu": model, "level": cpu_level(options.isa, self.flags), "isa": options.isa, "quick": options.quick, "threads": 1}
        self.environment = os.environ | ONE_THREAD | self.isa.environment
        if options.isa == "native" and {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"} <= set(self.flags):
            self.environment.setdefault("CT2_FORCE_CPU_ISA", "AVX512")  # on AMD, CTranslate2 would choose AVX2 and be slower
        self.folder = fetch_model(self.cache)

    # ---- Lines ----

    def add(self, workload, engine, **fields):
        self.lines.append(self.header | {"section": self.section, "workload": workload, "engine": engine} | fields)

    def miss(self, workload, engine, reason):
        said = self.header | {"section": self.section, "workload": workload, "engine": engine, "missing": str(reason)}
        if said not in self.lines:
            say(f"{engine}: {workload or self.section}: {reason}")
            self.lines.append(said)

    def take_lines(self):
        lines, self.lines = self.lines, []
        return lines

    def add_rounds(self, workload, group, rounds):
        engine, figures = group[0], [figure for figure, _ in rounds]
        cosines = engine.all_cosines.get(engine.variant) if engine.variant else None
        self.add(workload.name, engine.name, unit=workload.unit, value=round(median(figures), 3), rounds=[round(figure, 3) for figure in figures],
                 busy_rounds=sum(busy for _, busy in rounds), processes=workload.processes, variant=engine.variant, batch=engine.batch, **engine.about,
                 **({"cosine_mean": round(fmean(cosines), 5), "cosine_min": round(min(cosines), 5)} if cosines else {}))

    # ---- Engines ----

    def peer_python(self, peer):
        packages = ENVIRONMENTS[peer.environment]
        if peer.environment == "llama":
            return make_environment(self.cache, f"llama-{self.options.isa}", packages, {"CMAKE_ARGS": self.llama_flags()}, LLAMA_FLAGS)
        return make_environment(self.cache, peer.environment, packages)

    def llama_flags(self):
        """Where the CPU has AMX, clang builds it: gcc 12 drops stores that llama.cpp's code for tiles needs, and it crashes; clang 14 leaves that code out."""
        flags = f"{self.isa.llama} -DLLAVA_BUILD=OFF"
        by_clang = " -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++"
        return flags + by_clang * (self.options.isa == "native" and "amx_int8" in self.flags)

    def wanted(self, peers):
        for peer in peers:
            if self.options.peers and not any(word in peer.name for word in self.options.peers.split(",")):
                self.miss("", peer.name, "not asked for (--peers)")
            elif self.options.quick and peer.slow:
                self.miss("", peer.name, "not part of --quick")
            else:
                yield peer

    def worker(self, kind, peer, python, **arguments):
        log = os.path.join(self.cache, "logs", peer.name.replace(" ", "-") + ".log")
        return kind(peer.name, python, peer.module, self.environment, log, **arguments)

    def encoder(self, peer, ways=None):
        return self.worker(EncodingWorker, peer, self.peer_python(peer), precision=peer.precision, folder=self.folder, cache=self.cache, isa=self.options.isa,
                           ways=ways or ("few" if self.options.quick else "all"))

    def writer(self, peer):
        return self.worker(WritingWorker, peer, self.peer_python(peer), precision=peer.precision, gguf=fetch_gguf(self.cache), cache=self.cache)

    def nlp(self, precision):
        pack = make_pack(self.options.nlp, self.folder, os.path.join(self.cache, "packs", "minilm.nlp" if precision == "i8" else f"minilm-{precision}.nlp"), precision)
        return Nlp(self.options.nlp, pack, precision, self.environment)

    def nlp_writer(self, precision):
        pack = make_pack(self.options.nlp, fetch_gguf(self.cache), os.path.join(self.cache, "packs", f"smollm2-{precision}.nlp"), precision)
        return Nlp(self.options.nlp, pack, precision, self.environment)

    @contextmanager
    def groups(self, makers):
        """Groups of engines that work: of each (name, makers of its processes, checked by `check`); closed in the end."""
        ready, all_engines = [], []
        try:
            for name, make, n, check in makers:
                try:
                    group = []
                    for _ in range(n):
                        group.append(make())
                        all_engines.append(group[-1])
                        check(group[-1])
                    ready.append(group)
                except Missing as missing:
                    self.miss("", name, missing)
            yield ready
        finally:
            for engine in all_engines:
                engine.close()

    # ---- Rounds ----

    def rounds(self, groups, workload):
        """Each group in turn, as often as there are rounds."""
        say(f"  {workload.name}")
        found = {}
        for group in groups:
            try:
                for engine in group:
                    engine.choose(workload)
                found[group[0].name] = group, []
            except Missing as missing:
                self.miss(workload.name, group[0].name, missing)
        for _ in range(self.options.rounds):
            for name, (group, rounds) in list(found.items()):
                try:
                    rounds.append(undisturbed(group, self.options.seconds))
                except Missing as missing:
                    self.miss(workload.name, name, missing)
                    del found[name]
        for group, rounds in found.values():
            self.add_rounds(workload, group, rounds)

    def text_file(self, name):
        texts = real_texts(name, 200 if self.options.quick else 1000) if name in SENTENCES else made_texts(name, self.folder)
        return write_lines(os.path.join(self.cache, f"{name}.txt"), texts)

    def encoding_workloads(self, names, processes=1):
        for name in names:
            try:
                yield Workload(f"{name}, {processes} processes" if processes > 1 else name, "sentences/s" if name in SENTENCES else "tok/s", self.text_file(name), processes=processes)
            except Missing as missing:
                self.miss(name, "all", missing)

    def references(self):
        """PyTorch's vectors, of texts that are not cut."""
        with open(os.path.join(ROOT, "tests", "data", "golden", "minilm.jsonl"), encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        whole = [json.dumps({"text": line["text"], "embedding": line["embedding"]}) for line in lines if len(line["input_ids"]) < 256]
        return write_lines(os.path.join(self.cache, "references.jsonl"), whole)

    def encoders(self, precision, peers, n=1):
        path = self.references()

        def check(engine):
            if hasattr(engine, "load"):
                engine.load()
            engine.all_cosines = engine.cosines(path)
            for variant, cosines in engine.all_cosines.items():
                if min(cosines) <= COSINE_LIMIT:
                    self.miss("", f"{engine.name}, {variant}", f"left out: a cosine to the reference is {min(cosines):.3f}")
        makers = [(f"nlp {precision}", lambda: self.nlp(precision), n, check)]
        makers += [(peer.name, lambda peer=peer: self.encoder(peer), n, check) for peer in self.wanted(peers)]
        return self.groups(makers)

    # ---- Sections ----

    def int8(self):
        self.section = "int8"
        with self.encoders("i8", INT8) as groups:
            for workload in self.encoding_workloads(SHAPES + SENTENCES):
                self.rounds(groups, workload)

    def f32(self):
        self.section = "f32"
        with self.encoders("f32", F32) as groups:
            for workload in self.encoding_workloads(F32_SHAPES):
                self.rounds(groups, workload)

    def processes(self):
        self.section = "processes"
        with self.encoders("i8", INT8, 2) as groups:
            for workload in self.encoding_workloads(TWO_PROCESSES, 2):
                self.rounds(groups, workload)

    def accuracy(self):
        """Cosine to nlp's own f32 vectors, which are PyTorch's to the seventh digit, over sentences."""
        self.section = "accuracy"
        texts = []
        for name in SENTENCES:
            try:
                texts += real_texts(name, N_ACCURACY)
            except Missing as missing:
                self.miss(name, "all", missing)
        vectors = self.nlp("f32").vectors(texts)
        path = write_lines(os.path.join(self.cache, "sentences.jsonl"), [json.dumps({"text": text, "embedding": vector}) for text, vector in zip(texts, vectors)])
        with self.encoders("i8", INT8) as groups:
            for engine, in groups:
                for variant, cosines in engine.cosines(path).items():
                    self.add(f"{len(texts)} sentences", engine.name, unit="cosine", value=round(fmean(cosines), 5), rounds=[round(fmean(cosines), 5)], busy_rounds=0, variant=variant,
                             batch=0, cosine_mean=round(fmean(cosines), 5), cosine_min=round(min(cosines), 5), **engine.about)

    def memory(self):
        """What loading the model adds in each further process, above a Python that has the packages imported."""
        self.section = "memory"
        makers = [("nlp i8", self.sqlite_nlp)] + [(peer.name, lambda peer=peer: self.encoder(peer, "one")) for peer in self.wanted(INT8)]
        for name, make in makers:
            with self.groups([(name, make, N_FURTHER + 1, lambda engine: None)]) as groups:
                for group in groups:
                    self.weigh(name, group)

    def weigh(self, name, group):
        try:
            totals = []
            for engine in group:
                engine.load().call("use", text="the same text in each process")
                totals.append(pss(engine.process for engine in group))
        except Missing as missing:
            return self.miss("further process", name, missing)
        each = (totals[-1] - totals[0]) / N_FURTHER
        self.add("further process", name, unit="MB", value=round(each, 2), rounds=[round(each, 2)], busy_rounds=0, variant=f"mean of {N_FURTHER}", batch=0, **group[0].about)

    def sqlite_nlp(self):
        pack = self.nlp("i8").pack
        extension = os.path.join(os.path.dirname(self.options.nlp), "sqlite", "nlp")
        environment = self.environment | {"NLP_MODEL_PATH": os.path.dirname(pack)}
        return RowsWorker("nlp i8", python_for_sqlite(), "sqlite_nlp", environment, os.path.join(self.cache, "logs", "sqlite-nlp.log"), extension=extension)

    def sqlite_ai(self, peer):
        python, gguf = self.peer_python(peer), os.path.join(self.cache, "minilm-q8_0.gguf")
        if not os.path.exists(gguf):
            subprocess.run([python, "-m", "peers.minilm_gguf", self.folder, gguf], check=True, cwd=os.path.dirname(os.path.abspath(__file__)))
        where = "import importlib.util; print(importlib.util.find_spec('sqliteai').submodule_search_locations[0])"
        package = subprocess.run([python, "-c", where], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        return self.worker(RowsWorker, peer, python_for_sqlite(), extension=os.path.join(package, "binaries", "cpu", "ai"), gguf=gguf)

    def rows(self):
        """SELECT over a table in SQLite."""
        self.section = "rows"
        path = self.references()

        def check(engine):
            engine.load()
            engine.all_cosines = engine.cosines(path)
            engine.variant, = engine.all_cosines
        makers = [("nlp i8", self.sqlite_nlp, 1, check)] + [(peer.name, lambda peer=peer: self.sqlite_ai(peer), 1, check) for peer in self.wanted(ROWS)]
        with self.groups(makers) as groups:
            for name in SENTENCES:
                try:
                    texts = write_lines(os.path.join(self.cache, f"rows-{name}.txt"), real_texts(name, N_ROWS))
                    self.rounds(groups, Workload(name, "rows/s", texts))
                except Missing as missing:
                    self.miss(name, "all", missing)

    def writing_workload(self, figure, rows, n_prompt, n_new):
        path = write_lines(os.path.join(self.cache, f"prompts-{n_prompt}x{rows}.txt"), prompts(n_prompt, rows))
        return Workload(f"{figure}, {n_prompt}x{rows}", "ms" if figure == "first token" else "tok/s", path, rows, n_prompt, n_new, figure)

    def writing(self):
        self.section = "writing"
        n_new = 32 if self.options.quick else N_NEW

        ids = self.nlp_writer("q4m").ids(" ".join(example_reviews()[:N_PERPLEXITY]))

        def check(engine):
            if hasattr(engine, "load"):
                engine.about["perplexity"] = round(engine.load().call("perplexity", ids=ids), 2)
        makers = [(f"nlp {precision}", lambda precision=precision: self.nlp_writer(precision), 1, check) for precision in ("q4m", "i8")]
        makers += [(peer.name, lambda peer=peer: self.writer(peer), 1, check) for peer in self.wanted_writers()]
        with self.groups(makers) as groups:
            self.rounds(groups, self.writing_workload("decode", 1, STREAM_PROMPT, n_new))
            self.rounds(groups, self.writing_workload("decode", N_STREAMS, STREAM_PROMPT, n_new))
            for n_prompt in PROMPTS:
                self.rounds(groups, self.writing_workload("prompt", 1, n_prompt, 1))
            self.rounds(groups, self.writing_workload("first token", 1, FIRST_PROMPT, 1))
            if self.options.psql:
                others = [group for group in groups if not group[0].name.startswith("nlp")]
                self.rounds([[NlpSql(self.options.psql)], *others], self.writing_workload("whole", N_STREAMS, STREAM_PROMPT, n_new))

    def wanted_writers(self):
        """llama.cpp takes a quarter of an hour to build: --quick takes it where it is built."""
        built = os.path.exists(os.path.join(self.cache, f"llama-{self.options.isa}", "complete"))
        for peer in self.wanted(WRITERS):
            if self.options.quick and peer.environment == "llama" and not built:
                self.miss("", peer.name, "not built yet, and not built by --quick")
            else:
                yield peer
