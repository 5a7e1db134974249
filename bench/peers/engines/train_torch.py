"""A training step of transformers' BERT in PyTorch on the CPU. Its side of the conversation is that of serve.mjs."""

import array
import json
import resource
import sys
import time


def answer(message):
    print("@peer " + json.dumps(message), flush=True)


def main():
    import torch
    from transformers import BertForSequenceClassification

    with open(sys.argv[1]) as file:
        task = json.load(file)
    model = BertForSequenceClassification.from_pretrained(task["model"])
    model.eval()  # no dropout; gradients are made all the same
    ids = torch.tensor(task["ids"]).reshape(task["batch"], task["tokens"])
    labels = torch.arange(task["batch"]) % model.config.num_labels
    named = [(name, weight) for name, weight in model.named_parameters()]
    plain = lambda name: name.endswith("bias") or "LayerNorm" in name
    groups = [
        {"params": [w for n, w in named if not plain(n)], "weight_decay": task["weightDecay"]},
        {"params": [w for n, w in named if plain(n)], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=task["learningRate"])
    losses = []

    def step():
        optimizer.zero_grad()
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), task["maxNorm"])
        optimizer.step()
        losses.append(loss.item())

    step()
    answer({})
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] == "run":
            started = time.perf_counter()
            step()
            answer({"ms": (time.perf_counter() - started) * 1e3})
        elif command["do"] == "output":
            with open(command["file"], "wb") as file:
                array.array("f", losses).tofile(file)
            answer({})
        else:
            kilo = 1 if sys.platform == "darwin" else 1024
            answer({"peakBytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * kilo})
            break


try:
    main()
except Exception as error:
    answer({"error": f"{type(error).__name__}: {error}"})
    sys.exit(1)
