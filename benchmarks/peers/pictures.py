"""ResNet-18 from random weights, the way of torchvision's reference classification training.

ImageFolder, RandomResizedCrop and a flip, a shuffled DataLoader with workers, evaluation of the validation rows after each epoch. Its
optimizer is tunesmith's (AdamW at the same rate, warmup and linear fall), so that only the loops and the data path differ.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch
import torchvision
from _told import told
from torchvision import transforms
from torchvision.transforms import InterpolationMode

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def loader(folder: Path, size: int, batch: int, workers: int, train: bool) -> Any:
    """Batches of a folder of pictures; only training pictures are cropped at random."""
    first = [
        transforms.RandomResizedCrop(size, interpolation=InterpolationMode.BILINEAR, antialias=True),
        transforms.RandomHorizontalFlip(),
    ]
    plain = [transforms.Resize(size, antialias=True), transforms.CenterCrop(size)]
    after = [transforms.PILToTensor(), transforms.ConvertImageDtype(torch.float), transforms.Normalize(MEAN, STD)]
    pictures = torchvision.datasets.ImageFolder(str(folder), transforms.Compose([*(first if train else plain), *after]))
    return torch.utils.data.DataLoader(pictures, batch_size=batch, shuffle=train, num_workers=workers)


def accuracy(model: Any, batches: Any) -> float:
    """Share of pictures whose class is told."""
    model.eval()
    right = count = 0
    with torch.inference_mode():
        for pictures, target in batches:
            right += int((model(pictures).argmax(1) == target).sum())
            count += len(target)
    return right / count


def main() -> None:
    """Train, score the test pictures, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds train, validation and test")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    torch.manual_seed(0)
    size, batch = options.size, options.batch_size
    train = loader(options.folder / "train", size, batch, options.workers, True)
    validation, test = (loader(options.folder / name, size, batch, options.workers, False) for name in ("validation", "test"))
    model = torchvision.models.resnet18(num_classes=len(train.dataset.classes))
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.lr, weight_decay=0.01)
    total = options.epochs * len(train)
    rising = max(1, int(0.06 * total))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min((step + 1) / rising, 1 - (step - rising) / total))
    criterion = torch.nn.CrossEntropyLoss()
    seconds = 0.0
    for _ in range(options.epochs):
        model.train()
        started = time.perf_counter()
        for pictures, target in train:
            loss = criterion(model(pictures), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        seconds += time.perf_counter() - started
        accuracy(model, validation)
    told(seconds, accuracy(model, test), workers=options.workers)


if __name__ == "__main__":
    main()
