"""A multi-layer perceptron as a classifier: a vector is an input of one position."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from cod_runner.api import Attribution, BuildContext, CodrunError, DataError, Encoded, Input, ModelShape, Outputs
from codrun_moons.plugin import MLPOptions

_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}


class MLP(nn.Module):
    """Blocks are hidden layers: linear map and activation. Without any, it is logistic regression."""

    def __init__(self, options: MLPOptions, labels: Sequence[str], seed: int = 0) -> None:
        super().__init__()
        self.options, self.labels = options, tuple(labels)
        sizes = [options.inputs, *options.hidden]
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.blocks = nn.ModuleList(
                nn.Sequential(nn.Linear(before, after), _ACTIVATIONS[options.activation]())
                for before, after in pairwise(sizes)
            )
            self.head = nn.Linear(sizes[-1], len(labels))
        self.shape = ModelShape(layers=len(options.hidden), width=sizes[-1], classes=len(labels))
        self.untrained_head = True
        if options.margin_weights is not None:
            self._take_margin(options.margin_weights)

    def _take_margin(self, weights: Sequence[float]) -> None:
        """Logits -w.x/2 and w.x/2, so that class 1 has probability sigmoid(w.x)."""
        if len(self.labels) != 2:
            raise CodrunError(f"mlp's `margin_weights` describe two classes, but the data have {len(self.labels)}")
        half = torch.tensor(weights) / 2
        with torch.no_grad():
            self.head.weight.copy_(torch.stack([-half, half]))
            self.head.bias.zero_()
        self.untrained_head = False

    @property
    def fingerprint(self) -> str:
        """Hash of every weight and of everything else that decides the outputs."""
        digest = hashlib.sha256(json.dumps(self._settings(), sort_keys=True).encode())
        for name, value in sorted(self.state_dict().items()):
            digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def encode(self, inputs: Sequence[Input]) -> list[Encoded]:
        """One position per vector; raises :class:`DataError` for a text, or a vector of another length."""
        encoded = []
        for value in inputs:
            if not isinstance(value, tuple) or len(value) != self.options.inputs:
                what = "a text" if isinstance(value, str) else "a mixture of texts"
                if isinstance(value, tuple):
                    what = f"a vector of {len(value)} numbers; set its `inputs`, or mend the data"
                raise DataError(f"mlp reads vectors of {self.options.inputs} numbers but met {what}")
            encoded.append(Encoded(ids=(0,), fields={"vector": value}))
        return encoded

    def collate(self, encoded: Sequence[Encoded], multiple_of: int = 1) -> dict[str, Tensor]:
        """``vectors``: ``[batch, inputs]``; there is nothing to pad."""
        return {"vectors": torch.tensor([one.fields["vector"] for one in encoded], dtype=torch.float32)}

    def forward(self, batch: Mapping[str, Tensor], hidden: Sequence[int] = ()) -> Outputs:
        if 0 in hidden:
            raise CodrunError("mlp has no hidden state 0: what enters block 1 is the vector itself")
        states = batch["vectors"]
        read: dict[int, Tensor] = {}
        for number, block in enumerate(self.blocks, start=1):
            states = block(states)
            if number in hidden:
                read[number] = states[:, None]
        rows, device = len(states), states.device
        return Outputs(
            logits=self.head(states),
            hidden=read,
            mask=torch.ones(rows, 1, dtype=torch.bool, device=device),
            pooled_at=torch.zeros(rows, dtype=torch.long, device=device),
        )

    def attribution(self, inputs: Sequence[Input], targets: Sequence[int]) -> list[list[Attribution]]:
        """Derivative of the target's logit margin over the best other class, with respect to each coordinate."""
        device = self.head.weight.device
        vectors = self.collate(self.encode(inputs))["vectors"].to(device).requires_grad_()
        chosen = torch.tensor(targets, device=device)[:, None]
        self.eval()
        with torch.enable_grad():
            logits = self({"vectors": vectors}).logits
            others = logits.scatter(1, chosen, -torch.inf).amax(1)
            (slope,) = torch.autograd.grad((logits.gather(1, chosen)[:, 0] - others).sum(), vectors)
        return [[Attribution(place, place + 1, score) for place, score in enumerate(row)] for row in slope.tolist()]

    def distance(self, original: Input, changed: Input) -> tuple[float, float]:
        """Euclidean distance, and the same over the original's norm."""
        assert isinstance(original, tuple) and isinstance(changed, tuple)
        moved = math.dist(original, changed)
        return moved, moved / max(math.hypot(*original), 1e-12)

    def compact(self, encoded: Sequence[Encoded]) -> None:
        """There is no vocabulary to cut."""

    def save(self, folder: Path) -> None:
        """``model.safetensors`` and ``mlp.json``: everything :func:`saved` needs."""
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}
        save_file(weights, folder / "model.safetensors")
        (folder / "mlp.json").write_text(json.dumps(self._settings(), indent=2) + "\n", encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Weights that ``save`` wrote. Raises :class:`CodrunError` if they are damaged, or another model's."""
        try:
            self.load_state_dict(load_file(folder / "model.safetensors"))
        except (OSError, RuntimeError, SafetensorError) as error:
            why = str(error).strip().splitlines()[0]
            raise CodrunError(f"{folder} holds no weights of this model that can be read ({why})") from error
        self.untrained_head = False

    def _settings(self) -> dict[str, object]:
        return {"labels": list(self.labels), "options": self.options.model_dump(mode="json")}


def build(options: MLPOptions, context: BuildContext) -> MLP:
    """A teacher or a student for the data set's labels, initialised from the context's seed."""
    return MLP(options, context.labels, context.seed)


def saved(folder: Path) -> MLP:
    """The classifier that :meth:`MLP.save` wrote into ``folder``."""
    try:
        settings = json.loads((folder / "mlp.json").read_text(encoding="utf-8"))
        classifier = MLP(MLPOptions.model_validate(settings["options"]), settings["labels"])
        classifier.load(folder)
    except (CodrunError, OSError, ValueError, KeyError, TypeError) as error:
        raise CodrunError(
            f"{folder} holds no classifier that can be read; repeat the command with `--fresh`, which makes it again"
        ) from error
    classifier.eval()
    return classifier
