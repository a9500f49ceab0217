"""The speed of embedding beside a bare loop over transformers: `benchmark.py --embedding`."""
import time
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import numpy as np
import torch
from benchmark_notebook import N_NEIGHBORS, cluster, make_news, proven_tree
from benchmark_ways import recall
from conftest import SAMPLE
from notebook import load_bge_m3, put_itself_first, read_table
from scipy.spatial.distance import pdist
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import NearestNeighbors
from transformers import (
    AutoModel,
    AutoTokenizer,
    XLMRobertaConfig,
    XLMRobertaModel,
    XLMRobertaTokenizer,
)


def no_bfloat16():
    """Return a context in which the notebook sees a processor without bfloat16."""
    return mock.patch("torch.cpu.get_capabilities", dict)


def make_model(folder, texts, layers, width, spread):
    """Make a model in BGE-M3's format with random weights of this spread.

    Its tokenizer makes 50 tokens of a text.
    """
    torch.manual_seed(0)
    tokenizer = XLMRobertaTokenizer().train_new_from_iterator(texts, 3000, show_progress=False)
    tokenizer.save_pretrained(folder)
    XLMRobertaModel(XLMRobertaConfig(
        vocab_size=3000, hidden_size=1024, num_hidden_layers=layers, num_attention_heads=16,
        intermediate_size=width, max_position_embeddings=8194, initializer_range=spread,
    )).save_pretrained(folder)
    return str(folder)


def bare_loop(folder):
    """Return a function from texts to unit vectors: transformers, batches of 16 as they come."""
    device, kind = ("cuda", torch.float16) if torch.cuda.is_available() else ("cpu", torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, dtype=kind).to(device).eval()

    @torch.inference_mode()
    def embed(texts):
        found = []
        for start in range(0, len(texts), 16):
            tokens = tokenizer(texts[start:start + 16], padding=True, truncation=True,
                               max_length=512, return_tensors="pt")
            found.append(model(**tokens.to(device)).last_hidden_state[:, 0].float().cpu())
        return torch.nn.functional.normalize(torch.cat(found), dim=1).numpy()
    return embed


def measure_embedding(layers, repeat):
    """Print headlines per second of bare loop and notebook, and what bfloat16 changes."""
    texts = make_news(read_table(SAMPLE))["text"].tolist()
    with TemporaryDirectory() as folder:
        large = make_model(Path(folder, "large"), texts, layers, 4096, 0.02)
        small = make_model(Path(folder, "small"), texts, 1, 256, 0.06)  # distances as BGE-M3's
        ways = {"bare loop": bare_loop(large), "notebook": load_bge_m3(large)}
        pair = [load_bge_m3(small)]
        with no_bfloat16():
            ways["notebook, no bfloat16"] = load_bge_m3(large)
            pair.append(load_bge_m3(small))
        capable = [name for name, has_it in torch.cpu.get_capabilities().items()
                   if has_it and "bf16" in name]
        print(f"{layers} layers; {torch.get_num_threads()} threads; bfloat16: {capable}; "
              f"GPU: {torch.cuda.is_available()}")
        compare_embeddings(measure_ways(ways, texts[:256], repeat))
        compare_labels([embed(texts) for embed in pair])


def measure_ways(ways, texts, repeat):
    """Print the best speed of each way, of so many; return {way: its n x 1,024 vectors}."""
    best, found = dict.fromkeys(ways, np.inf), {}
    for embed in ways.values():
        embed(texts[:16])
    for way, embed in list(ways.items()) * repeat:
        started = time.perf_counter()
        found[way] = embed(texts)
        best[way] = min(best[way], time.perf_counter() - started)
    for way, seconds in best.items():
        print(f"{way}: {len(texts) / seconds:.2f} headlines/s, "
              f"{best['bare loop'] / seconds:.2f} times the bare loop")
    return found


def compare_embeddings(found):
    """Print how far the vectors of each two ways are apart."""
    for one, other in combinations(found, 2):
        distances, others = pdist(found[one].astype(float)), pdist(found[other].astype(float))
        print(f"{one} against {other}: a distance (median {np.median(distances):.3f}) changes by "
              f"at most {np.abs(distances - others).max():.5f}; "
              f"cosine at least {(found[one] * found[other]).sum(axis=1).min():.6f}")


def compare_labels(pair):
    """Print what bfloat16 changes in the sample: its vectors with it, and without."""
    labels, neighbours = [], []
    for vectors in pair:
        near = NearestNeighbors(n_neighbors=N_NEIGHBORS, algorithm="brute").fit(vectors)
        distances, found = near.kneighbors(vectors)
        found, distances = put_itself_first(found, distances)
        tree, _ = proven_tree(vectors, found, distances, is_exact=True)
        labels.append(cluster(tree)[1])
        neighbours.append(found)
    stories = " and ".join(f"{own.max() + 1} stories, {np.mean(own < 0):.0%} noise"
                           for own in labels)
    print(f"sample, small model of random weights, with and without bfloat16: {stories}; adjusted "
          f"Rand index {adjusted_rand_score(*labels):.3f}; neighbours in common "
          f"{recall(*neighbours):.1%}")
