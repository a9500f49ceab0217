"""Make a small model in the format in which the hub holds BGE-M3: python checkpoint.py FOLDER CSV

One layer, random weights, and a tokenizer of its own, made from the titles in CSV.
"""

import sys
from pathlib import Path

import pandas as pd
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaModel

folder = Path(sys.argv[1])
folder.mkdir()
special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
tokenizer = Tokenizer(models.Unigram())
tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
trainer = trainers.UnigramTrainer(
    vocab_size=1500, special_tokens=special, unk_token="<unk>", show_progress=False
)
tokenizer.train_from_iterator(pd.read_csv(sys.argv[2])["title"], trainer)
tokenizer.post_processor = processors.TemplateProcessing(
    single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
)
PreTrainedTokenizerFast(
    tokenizer_object=tokenizer,
    bos_token="<s>",
    cls_token="<s>",
    eos_token="</s>",
    sep_token="</s>",
    pad_token="<pad>",
    unk_token="<unk>",
    mask_token="<mask>",
    model_max_length=8192,
).save_pretrained(folder)
torch.manual_seed(0)
config = XLMRobertaConfig(
    vocab_size=tokenizer.get_vocab_size(),
    hidden_size=1024,
    num_hidden_layers=1,
    num_attention_heads=16,
    intermediate_size=256,
    max_position_embeddings=8194,
    bos_token_id=0,
    pad_token_id=1,
    eos_token_id=2,
)
model = XLMRobertaModel(config)
config.architectures = ["XLMRobertaModel"]
config.save_pretrained(folder)
torch.save(model.state_dict(), folder / "pytorch_model.bin")  # as the hub has it: no safetensors
torch.save(torch.nn.Linear(1024, 1024).state_dict(), folder / "colbert_linear.pt")
torch.save(torch.nn.Linear(1024, 1).state_dict(), folder / "sparse_linear.pt")
