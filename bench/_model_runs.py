"""`python -m bench._model_runs PEER NETWORK EPOCHS DEVICE`: trains once, prints its times and losses as JSON.

Peers: ours (the trainer as it is, with validation, checkpoints and streaming), plain (a loop over a DataLoader),
lightning (its Trainer as it comes). All see the same 1,000 windows of 100 x 10, 200 of them to
validate, in batches of 64.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["OMP_WAIT_POLICY"] = "passive"
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

WINDOWS, LENGTH, FEATURES, TRAIN, BATCH = 1000, 100, 10, 800, 64
SEED = 3


def windows() -> tuple[Tensor, Tensor]:
    """[1000, 100, 10] of sines with noise; the target needs both the recent and the distant past."""
    chance = np.random.default_rng(SEED)
    phase = chance.uniform(0, 6.28, (WINDOWS, 1, FEATURES))
    speed = chance.uniform(0.05, 0.3, (WINDOWS, 1, FEATURES))
    values = np.sin(phase + speed * np.arange(LENGTH).reshape(1, LENGTH, 1)) + 0.3 * chance.standard_normal(
        (WINDOWS, LENGTH, FEATURES)
    )
    target = values[:, -20:, :3].mean((1, 2)) + 0.5 * values[:, :, 3].mean(1) + 0.5 * np.tanh(values[:, -5:, 4].mean(1))
    return torch.from_numpy(values.astype(np.float32)), torch.from_numpy(target.astype(np.float32)).unsqueeze(1)


class PlainLstm(nn.Module):
    """As one writes it first."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(FEATURES, 64, 2, batch_first=True, dropout=0.2)
        self.head = nn.Linear(64, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The last state through the head."""
        output: Tensor = self.head(self.lstm(x)[0][:, -1])
        return output


class PlainTransformer(nn.Module):
    """As one writes it first."""

    def __init__(self) -> None:
        from services.model.networks.transformer import sinusoids

        super().__init__()
        self.entry = nn.Linear(FEATURES, 64)
        self.register_buffer("positions", sinusoids(LENGTH, 64))
        layer = nn.TransformerEncoderLayer(64, 4, 256, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(64, 1)
        self.positions: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """The mean over time through the head."""
        output: Tensor = self.head(self.encoder(self.entry(x) + self.positions).mean(1))
        return output


NETWORKS: dict[str, type[nn.Module]] = {"lstm": PlainLstm, "transformer": PlainTransformer}


def loaders() -> tuple[DataLoader[Any], DataLoader[Any]]:
    """Training (shuffled) and validation."""
    inputs, targets = windows()
    return (
        DataLoader(TensorDataset(inputs[:TRAIN], targets[:TRAIN]), batch_size=BATCH, shuffle=True),
        DataLoader(TensorDataset(inputs[TRAIN:], targets[TRAIN:]), batch_size=BATCH),
    )


def validate(network: nn.Module, loader: DataLoader[Any]) -> float:
    """Mean squared error in float32."""
    network.eval()
    with torch.no_grad():
        device = next(network.parameters()).device
        errors = [(network(inputs.to(device)) - targets.to(device)).square().cpu() for inputs, targets in loader]
    network.train()
    return float(torch.cat(errors).mean())


def plain(name: str, epochs: int, device: str) -> dict[str, Any]:
    """The loop of every tutorial."""
    torch.manual_seed(SEED)
    network = NETWORKS[name]().to(device)
    train, valid = loaders()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    seconds, walls, losses = [], [], []
    for _ in range(epochs):
        began, began_wall = time.process_time(), time.monotonic()
        for batch in train:
            inputs, targets = (tensor.to(device) for tensor in batch)
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(network(inputs), targets)
            loss.backward()
            optimizer.step()
            loss.item()
        losses.append(validate(network, valid))
        seconds.append(time.process_time() - began)
        walls.append(time.monotonic() - began_wall)
    return {"seconds": seconds, "wall": walls, "losses": losses}


def lightning(name: str, epochs: int, device: str) -> dict[str, Any]:
    """Its Trainer with defaults: logger off (it has no sink), checkpoints and progress bar on."""
    import warnings

    import pytorch_lightning as pl

    warnings.simplefilter("ignore")
    train, valid = loaders()
    seconds: list[float] = []
    walls: list[float] = []
    losses: list[float] = []

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(SEED)
            self.network = NETWORKS[name]()

        def training_step(self, batch: Any, _: int) -> Tensor:
            loss = nn.functional.mse_loss(self.network(batch[0]), batch[1])
            self.log("train_loss", loss)
            return loss

        def validation_step(self, batch: Any, _: int) -> None:
            self.log("val_loss", nn.functional.mse_loss(self.network(batch[0]), batch[1]))

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=1e-3)

    class Clock(pl.Callback):
        began, began_wall = 0.0, 0.0

        def on_train_epoch_start(self, *_: Any) -> None:
            self.began, self.began_wall = time.process_time(), time.monotonic()

        def on_train_epoch_end(self, *_: Any) -> None:
            seconds.append(time.process_time() - self.began)
            walls.append(time.monotonic() - self.began_wall)

    with tempfile.TemporaryDirectory() as folder:
        trainer = pl.Trainer(
            max_epochs=epochs,
            accelerator="gpu" if device == "cuda" else "cpu",
            callbacks=[Clock()],
            logger=False,
            default_root_dir=folder,
        )
        module = Module()
        trainer.fit(module, train, valid)
        losses.append(validate(module.network, valid))
    return {"seconds": seconds, "wall": walls, "losses": losses}


def ours(name: str, epochs: int, device_name: str) -> dict[str, Any]:
    """The trainer's own loop: streaming into a pipe, checkpoints on disk, validation."""
    from services.model.convert.spec import training_spec_of_json
    from services.model.networks.shape import Shape
    from services.model.trainer.data.dataset import Dataset
    from services.model.trainer.data.windows import Windows
    from services.model.trainer.learning.assembly import assemble
    from services.model.trainer.learning.loop import Loop
    from services.model.trainer.ranks import Alone
    from services.model.trainer.state.saver import Saver
    from services.model.trainer.state.state import State
    from services.model.trainer.stopping import Stopping

    spec = training_spec_of_json(
        {
            "name": "bench",
            "data": {"data_id": "data_1", "targets": ["y"]},
            "architecture": {name: {}},
            "optimization": {"epochs": epochs},
            "seed": SEED,
        }
    )
    inputs, targets = windows()

    def part(first: int, last: int) -> Windows:
        rows = inputs[first:last].reshape(-1, FEATURES).contiguous()
        truths = targets[first:last].repeat_interleave(LENGTH, 0).contiguous()
        starts = torch.arange(0, len(rows), LENGTH)
        return Windows(rows, truths, starts, window=LENGTH, offset=LENGTH - 1).to(device)

    device = torch.device(device_name)
    dataset = Dataset(
        parts={"train": part(0, TRAIN), "validation": part(TRAIN, WINDOWS)},
        features=(),
        targets=("y",),
        classes=(),
        weights=None,
        window=LENGTH,
        horizon=0,
        shape=Shape(LENGTH, FEATURES, 1),
        digest="",
    )
    ranks = Alone()
    assembly = assemble(spec, dataset, device, ranks, None)
    reporter = _Timed(open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - the process ends with it
    with tempfile.TemporaryDirectory() as folder:
        saver = Saver(Path(folder), spec.checkpointing, {}, ranks, reporter, device=device)
        loop = Loop(
            spec, dataset, assembly, State(), None, ranks=ranks, reporter=reporter, saver=saver, stopping=Stopping()
        )
        loop.run()
    losses = [point.value for point in loop.state.history if point.name == "val/loss"]
    return {
        "seconds": reporter.seconds,
        "wall": reporter.walls,
        "losses": losses,
        "precision": assembly.precision,
        "kernel_share": kernel_share(loop) if device.type == "cuda" else 0.0,
        "streaming": reporter.spent / max(sum(reporter.seconds), 1e-9),
    }


def kernel_share(loop: Any) -> float:
    """Time in kernels over wall time of 50 steps, by the profiler."""
    from torch.profiler import ProfilerActivity, profile

    numbers = torch.arange(BATCH, device="cuda")
    torch.cuda.synchronize()
    began = time.monotonic()
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        for _ in range(50):
            loop._assembly.stepping.step([numbers], 1e-3)
        torch.cuda.synchronize()
    wall = time.monotonic() - began
    return float(sum(event.self_device_time_total for event in profiler.key_averages()) / 1e6 / wall)


def _timed() -> Any:
    from services.model.trainer.reporter import Reporter

    class Timed(Reporter):
        """Counts the CPU time of speaking, and of each epoch."""

        def __init__(self, stream: Any) -> None:
            super().__init__(stream)
            self.spent = 0.0
            self.seconds: list[float] = []
            self.walls: list[float] = []
            self._began, self._began_wall = time.process_time(), time.monotonic()

        def points(self, points: Any, progress: Any) -> None:
            """Counted."""
            began = time.process_time()
            super().points(points, progress)
            self.spent += time.process_time() - began

        def progress(self, fraction: float, message: str) -> None:
            """The end of an epoch but for its checkpoint, which counts to the next one."""
            now, wall = time.process_time(), time.monotonic()
            self.seconds.append(now - self._began)
            self.walls.append(wall - self._began_wall)
            self._began, self._began_wall = now, wall
            super().progress(fraction, message)
            self.spent += time.process_time() - now

        def alive(self) -> None:
            """Counted."""
            began = time.process_time()
            super().alive()
            self.spent += time.process_time() - began

    return Timed


_Timed = _timed()
PEERS = {"ours": ours, "plain": plain, "lightning": lightning}


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(PEERS[sys.argv[1]](sys.argv[2], int(sys.argv[3]), sys.argv[4])))
