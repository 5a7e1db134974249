"""What the stored weights of a folder give in float64, by transformers: its golden.json, with which the tests compare.

python weights/golden.py weights/movie-bert
"""

import json
import sys

import torch
from transformers import BertForMaskedLM, BertForSequenceClassification, BertTokenizer

CLASSIFIED = [
    "a gorgeous , witty , seductive movie .",
    "it 's slow -- very , very slow .",
    "An utterly charming film, and I loved every minute of it.",
    "Dull, lifeless and far too long.",
    "not bad at all",
]
MASKED = [
    "this [MASK] is funny .",
    "one of the best [MASK] of the year .",
    "the performances are [MASK] .",
    "a [MASK] and funny film .",
    "the film is too [MASK] .",
]

folder = sys.argv[1]
tokenizer = BertTokenizer.from_pretrained(folder)
classifier = BertForSequenceClassification.from_pretrained(folder, dtype=torch.float64).eval()
masked_lm = BertForMaskedLM.from_pretrained(folder, dtype=torch.float64).eval()
golden = {"classification": [], "fill_mask": []}
with torch.no_grad():
    for text in CLASSIFIED:
        ids = tokenizer(text)["input_ids"]
        probabilities = classifier(torch.tensor([ids])).logits[0].softmax(-1).tolist()
        golden["classification"].append({"text": text, "ids": ids, "probabilities": probabilities})
    for text in MASKED:
        ids = tokenizer(text)["input_ids"]
        logits = masked_lm(torch.tensor([ids])).logits[0, ids.index(tokenizer.mask_token_id)]
        scores, words = logits.softmax(-1).topk(5)
        top = [[token, score] for token, score in zip(tokenizer.convert_ids_to_tokens(words.tolist()), scores.tolist())]
        golden["fill_mask"].append({"text": text, "ids": ids, "top5": top})
with open(f"{folder}/golden.json", "w", encoding="utf-8") as file:
    json.dump(golden, file, indent=1)
