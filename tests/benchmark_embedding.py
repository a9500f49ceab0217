"""The speed of the notebook's embedding beside a bare loop over transformers.

python tests/benchmark.py --embedding [--layers 24] [--repeat 2]
python tests/benchmark_embedding.py [--layers 24] [--repeat 2]
    The same; the second way needs nothing but what the notebook imports.

On a GPU, where there is one, and what is measured is said. The model has BGE-M3's size and random
weights; 2 GB of disk and 8 GB of memory. TFLOP/s are those of the texts' own tokens: what goes
into padding, or into trying out a batch, does not count.
"""

import argparse
import platform
import time
from tempfile import TemporaryDirectory
from unittest import mock

import numpy as np
import pandas as pd
import torch
from transformers import (
    AutoModel,
    AutoTokenizer,
    XLMRobertaConfig,
    XLMRobertaModel,
    XLMRobertaTokenizer,
)

from notebook import ROOT, batches, load_bge_m3, step_size

ON_GPU = torch.cuda.is_available()
COUNT = 8192 if ON_GPU else 256  # texts whose embedding is timed
COMPARED = 256  # of them, those whose embeddings are compared with float32
SHORTER = {"dtype": torch.float16} if ON_GPU else {}  # what a bare loop would take


def read_texts():
    """Return the sample's texts, over and over, each with a number in front: COUNT of them."""
    table = pd.read_csv(ROOT / "data" / "sample_headlines.csv", dtype=str, keep_default_na=False)
    texts = table["title"] + "\n" + table["description"]
    return [f"{number} {texts[number % len(texts)]}" for number in range(COUNT)]


def make_model(folder, texts, layers):
    """Make a model of BGE-M3's size with random weights, and a tokenizer for these texts."""
    torch.manual_seed(0)
    tokenizer = XLMRobertaTokenizer().train_new_from_iterator(texts, 3000, show_progress=False)
    tokenizer.save_pretrained(folder)
    XLMRobertaModel(
        XLMRobertaConfig(
            vocab_size=3000,
            hidden_size=1024,
            num_hidden_layers=layers,
            num_attention_heads=16,
            intermediate_size=4096,
            max_position_embeddings=8194,
        )
    ).save_pretrained(folder)
    return str(folder)


def bare_loop(folder, batch, **kind):
    """Return a function from texts to unit vectors: transformers, texts in batches as they come."""
    device = "cuda:0" if ON_GPU else "cpu"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, **kind).to(device).eval()

    @torch.inference_mode()
    def embed(texts):
        found = []
        for part in batches(len(texts), batch):
            tokens = tokenizer(
                texts[part], padding=True, truncation=True, max_length=512, return_tensors="pt"
            ).to(device)
            found.append(model(**tokens).last_hidden_state[:, 0].float().cpu())
        return torch.nn.functional.normalize(torch.cat(found), dim=1).numpy()

    return embed


def in_steps(embed):
    """Return a function that embeds texts step by step, as the notebook does."""
    return lambda texts: np.concatenate(
        [embed(texts[part]) for part in batches(len(texts), step_size())]
    )


def no_bfloat16():
    """Return a context in which the notebook sees a processor without bfloat16."""
    return mock.patch("torch.cpu.get_capabilities", dict)


def count_tokens(folder, texts):
    """Return how many tokens of each text the model reads: an array."""
    tokens = AutoTokenizer.from_pretrained(folder)(texts, truncation=True, max_length=512)
    return np.array([len(each) for each in tokens["input_ids"]])


def count_operations(lengths, layers, width=1024, inner=4096):
    """Return the additions and multiplications for texts of so many tokens.

    For each token, the products with the matrices of a layer, four of width x width and two of
    width x inner; for each pair of tokens of a text, two products of lists of `width` numbers."""
    matrices = 2 * lengths * (4 * width**2 + 2 * width * inner)
    attention = 4 * lengths**2 * width
    return layers * (matrices + attention).sum()


def describe_device():
    """Return what computes, in words."""
    if ON_GPU:
        return f"{torch.cuda.get_device_name(0)}, of {torch.cuda.device_count()}, float16"
    capable = [name for name, has_it in torch.cpu.get_capabilities().items() if has_it]
    return (
        f"{platform.machine()}, {torch.get_num_threads()} threads, bfloat16: "
        f"{[name for name in capable if 'bf16' in name]}"
    )


def peak_memory(embed, texts):
    """Return how many GiB of a GPU embedding takes at most, the model's weights included."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    embed(texts)
    return torch.cuda.max_memory_reserved() / 2**30


def measure_ways(ways, texts, operations, repeat):
    """Print the best speed of each way, of so many; return {way: its n x 1,024 vectors}."""
    best, found = dict.fromkeys(ways, np.inf), {}
    for embed in ways.values():
        embed(texts[:16])
    for way, embed in list(ways.items()) * repeat:
        started = time.perf_counter()
        found[way] = embed(texts)
        best[way] = min(best[way], time.perf_counter() - started)
    for way, seconds in best.items():
        print(
            f"{way}: {len(texts) / seconds:,.2f} headlines/s, {operations / seconds / 1e12:.2f} "
            f"TFLOP/s, {best['bare loop, 16 at a time'] / seconds:.2f} times the bare loop"
        )
    return found


def compare(way, vectors, exact):
    """Print how far vectors are from those of a bare loop in float32."""
    between, exactly = (each.astype(float) @ each.T.astype(float) for each in (vectors, exact))
    near, nearest = (np.argsort(-each, axis=1)[:, 1:16] for each in (between, exactly))
    common = np.mean(
        [len(set(one) & set(other)) / 15 for one, other in zip(near, nearest, strict=True)]
    )
    print(
        f"{way} against float32: cosine at least {(vectors * exact).sum(axis=1).min():.6f}; "
        f"15 nearest in common {common:.1%}; not finite {(~np.isfinite(vectors)).sum()}"
    )


def measure_embedding(layers, repeat):
    """Print headlines per second, operations and memory of the notebook, and of bare loops."""
    texts = read_texts()
    with TemporaryDirectory() as folder:
        folder = make_model(folder, texts[:501], layers)
        lengths = count_tokens(folder, texts)
        print(
            f"{describe_device()}; torch {torch.__version__}; {layers} layers; {len(texts):,} "
            f"headlines of {lengths.mean():.1f} tokens, {step_size()} a step"
        )
        ways = {"notebook": in_steps(load_bge_m3(folder))}
        if ON_GPU:
            long = [" ".join(texts[row : row + 20]) for row in range(step_size())]
            shortest = count_tokens(folder, long).min()
            print(
                f"memory: {peak_memory(ways['notebook'], texts[: step_size()]):.2f} GiB; where "
                f"each text has {shortest} tokens, {peak_memory(ways['notebook'], long):.2f} GiB"
            )
            ways["bare loop, 128 at a time"] = bare_loop(folder, 128, **SHORTER)
        else:
            with no_bfloat16():
                ways["notebook, no bfloat16"] = in_steps(load_bge_m3(folder))
        ways["bare loop, 16 at a time"] = bare_loop(folder, 16, **SHORTER)
        found = measure_ways(ways, texts, count_operations(lengths, layers), repeat)
        exact = bare_loop(folder, 16)(texts[:COMPARED])
        for way, vectors in found.items():
            compare(way, vectors[:COMPARED], exact)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layers", type=int, default=24, help="of the model; less: a quick check")
    parser.add_argument("--repeat", type=int, default=2, help="take the best of so many")
    given = parser.parse_args()
    measure_embedding(given.layers, given.repeat)


if __name__ == "__main__":
    main()
