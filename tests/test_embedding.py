"""BGE-M3: its real loading code on a small checkpoint of the same format; and what happens without it."""
import json
import socket
import threading

import numpy as np
import pandas as pd
import pytest
import torch

from conftest import SAMPLE, CellError, text_of


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """A folder like the one that the hub holds for BGE-M3: one layer, random weights, a tokenizer of its own."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaModel
    folder = tmp_path_factory.mktemp("models") / "small-bge-m3"
    folder.mkdir()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=1500, special_tokens=special, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(pd.read_csv(SAMPLE)["title"], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", cls_token="<s>", eos_token="</s>", sep_token="</s>",
        pad_token="<pad>", unk_token="<unk>", mask_token="<mask>", model_max_length=8192).save_pretrained(folder)
    torch.manual_seed(0)
    config = XLMRobertaConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=1024, num_hidden_layers=1, num_attention_heads=16,
        intermediate_size=256, max_position_embeddings=8194, bos_token_id=0, pad_token_id=1, eos_token_id=2)
    model = XLMRobertaModel(config)
    config.architectures = ["XLMRobertaModel"]
    config.save_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")  # as the hub has it: no safetensors
    torch.save(torch.nn.Linear(1024, 1024).state_dict(), folder / "colbert_linear.pt")
    torch.save(torch.nn.Linear(1024, 1).state_dict(), folder / "sparse_linear.pt")
    return folder


@pytest.fixture(scope="session")
def bge_run(new_kernel, checkpoint):
    kernel = new_kernel()
    kernel.said = text_of(kernel.run(EMBEDDING_MODEL=checkpoint))
    return kernel


def test_bge_m3_from_the_checkpoint_to_the_map(bge_run):
    embeddings = bge_run.value("embeddings")
    assert embeddings.shape == (501, 1024) and embeddings.dtype == np.float32
    assert np.allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    assert len(bge_run.value("fig.data[0].x")) == 501
    assert (bge_run.folder / "output" / "clusters.csv").exists()


def test_what_is_stored_is_what_the_model_says(bge_run):
    said_now = bge_run.value("embed(texts[:20].tolist())")
    assert np.allclose(said_now, bge_run.value("embeddings")[:20], atol=1e-4)


def test_only_new_headlines_are_embedded_and_gone_ones_leave(bge_run, checkpoint, tmp_path):
    sample = pd.read_csv(SAMPLE)
    changed = sample.drop(index=[0, 1, 2]).reset_index(drop=True)
    changed.loc[5, "title"] = "A title that nobody has seen before"
    changed.to_csv(tmp_path / "changed.csv", index=False)
    counting = "calls = []\nembed_texts = embed\nembed = lambda texts: (calls.extend(texts), embed_texts(texts))[1]"
    said = text_of(bge_run.run(until="## 5.", before={"## 4.": counting}, EMBEDDING_MODEL=checkpoint,
                               NEWS_CSV=tmp_path / "changed.csv"))
    assert "1 headlines embedded and stored, 4 deleted: 498 in Milvus" in said
    calls = bge_run.value("calls")
    assert len(calls) == 1 and calls[0].startswith("A title that nobody has seen before")


def test_another_model_starts_over(bge_run, checkpoint):
    """Runs after the test above, on its collection."""
    said = text_of(bge_run.run(until="## 5.", EMBEDDING_MODEL="lsa"))
    assert "starting over with lsa" in said and "501 headlines embedded and stored" in said
    assert bge_run.value("embeddings.shape[1]") < 1024


@pytest.fixture
def hub():
    """A hub that hangs up on everybody: its address, and the list of those who called."""
    calls = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def hang_up():
            while True:
                connection, caller = listener.accept()
                calls.append(caller)
                connection.close()
        threading.Thread(target=hang_up, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", calls


def test_a_fallback_gives_up_nothing_that_is_stored(bge_run, checkpoint, tmp_path):
    bge_run.run(until="## 5.", EMBEDDING_MODEL=checkpoint, MILVUS_ADDRESS=tmp_path / "milvus.db")
    with pytest.raises(CellError, match="^ValueError: The embeddings stored are of .* EMBEDDING_MODEL to lsa"):
        bge_run.run(until="## 5.", EMBEDDING_MODEL=None, MILVUS_ADDRESS=tmp_path / "milvus.db")
    said = text_of(bge_run.run(until="## 5.", EMBEDDING_MODEL=checkpoint, MILVUS_ADDRESS=tmp_path / "milvus.db"))
    assert "501 headlines are stored already" in said and "0 headlines embedded and stored" in said


def test_hub_out_of_reach_falls_back_to_lsa_at_once(new_kernel, hub):
    """At once: without the model loader's own retries, which ask the hub again and again for half a minute."""
    address, calls = hub
    kernel = new_kernel(HF_ENDPOINT=address)
    said = text_of(kernel.run(until="## 4.", EMBEDDING_MODEL=None))
    assert "cannot be downloaded, so lsa is used" in said and "Embedding with lsa" in said
    assert 1 <= len(calls) <= 3


@pytest.mark.parametrize("name", ["BAAI/bge-m3", "./no/such/folder", "nobody/nothing"])
def test_a_named_model_that_cannot_be_read_is_an_error(workbench, name):
    with pytest.raises(CellError, match=f"^OSError: EMBEDDING_MODEL {name} is neither a folder .* nor"):
        workbench.run(until="## 4.", EMBEDDING_MODEL=name)


def test_a_folder_without_a_model_is_an_error(workbench, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "xlm-roberta"}))
    with pytest.raises(CellError, match="^OSError: EMBEDDING_MODEL .* is neither a folder .* nor"):
        workbench.run(until="## 4.", EMBEDDING_MODEL=tmp_path)


def test_lsa_does_not_depend_on_the_order_of_the_texts(workbench):
    workbench.run(until="## 4.")
    assert workbench.value("fit_lsa(texts[::-1])[1] == fingerprint")
    assert np.allclose(*workbench.value("(fit_lsa(texts[::-1])[0](texts), embed(texts))"), atol=1e-6)
