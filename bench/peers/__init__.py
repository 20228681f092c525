"""The peers: each runs in a process of its own (worker.py), with the Python of its environment."""
from dataclasses import dataclass

# Versions that were tried together; a newer one is a change of this table.
ENVIRONMENTS = {
    "onnxruntime": ("onnxruntime==1.32.0", "onnx==1.23.2", "safetensors==0.8.0", "tokenizers==0.23.3"),
    "openvino": ("openvino==2026.4.1", "nncf==3.4.0", "safetensors==0.8.0", "tokenizers==0.23.3"),
    "ctranslate2": ("ctranslate2==4.8.5", "safetensors==0.8.0", "tokenizers==0.23.3", "gguf==0.19.0"),
    "torch": ("torch==2.15.0", "transformers==5.24.0", "safetensors==0.8.0", "tokenizers==0.23.3"),
    "llama": ("llama-cpp-python==0.3.36",),
    "sqlite-ai": ("sqlite-ai==1.0.8", "gguf==0.19.0", "safetensors==0.8.0"),
}


@dataclass(frozen=True)
class Isa:
    """A level that engines are held to: by these variables, and llama.cpp by how it is built."""
    environment: dict
    llama: str


ISAS = {
    "native": Isa({}, "-DGGML_NATIVE=ON"),
    "avx512vnni": Isa({"NLP_ISA": "avx512vnni", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI", "DNNL_MAX_CPU_ISA": "AVX512_CORE_VNNI", "CT2_FORCE_CPU_ISA": "AVX512",
                       "MKL_ENABLE_INSTRUCTIONS": "AVX512_E1", "ATEN_CPU_CAPABILITY": "avx512"},
                      "-DGGML_NATIVE=OFF -DGGML_AVX=ON -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON -DGGML_AVX512=ON -DGGML_AVX512_VBMI=ON -DGGML_AVX512_VNNI=ON"),
    "avx2": Isa({"NLP_ISA": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "DNNL_MAX_CPU_ISA": "AVX2", "CT2_FORCE_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2",
                 "ATEN_CPU_CAPABILITY": "avx2"},
                "-DGGML_NATIVE=OFF -DGGML_AVX=ON -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON"),
}


@dataclass(frozen=True)
class Peer:
    module: str
    precision: str
    environment: str
    slow: bool = False  # not part of --quick

    @property
    def name(self):
        return f"{self.module.removesuffix('_writer')} {self.precision}"


INT8 = [Peer("openvino", "int8", "openvino"), Peer("onnxruntime", "int8", "onnxruntime"), Peer("ctranslate2", "int8", "ctranslate2")]
F32 = [Peer("openvino", "f32", "openvino"), Peer("onnxruntime", "f32", "onnxruntime"), Peer("ctranslate2", "f32", "ctranslate2", slow=True),
       Peer("torch", "f32", "torch", slow=True)]
WRITERS = [Peer("llama", "q4_0", "llama"), Peer("llama", "q8_0", "llama", slow=True), Peer("ctranslate2_writer", "int8", "ctranslate2")]
ROWS = [Peer("sqlite_ai", "q8_0", "sqlite-ai")]
