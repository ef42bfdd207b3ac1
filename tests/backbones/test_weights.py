"""Files of weights, for architectures of torchvision; same padding against an independent computation; offline errors."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from tunesmith.backbones.image import Image
from tunesmith.core.errors import BackboneError, UnknownNameError

WIDTHS = {"alexnet": 4096, "vgg11": 4096, "resnet18": 512, "mobilenet_v2": 1280}


def whole(architecture: str, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    network: nn.Module = torchvision.models.get_model(architecture, weights=None, num_classes=7)
    return network.eval()


def without_classifier(network: Any) -> nn.Module:
    """The textbook way of taking features: the last layer of each family by its own name."""
    if hasattr(network, "fc"):
        network.fc = nn.Identity()
    else:
        network.classifier[-1] = nn.Identity()
    module: nn.Module = network
    return module


@pytest.mark.parametrize(
    ("architecture", "kind"), [("mobilenet_v2", "safetensors"), ("resnet18", "pt"), ("alexnet", "half"), ("vgg11", "nested")]
)
def test_features_from_a_file_of_weights(architecture: str, kind: str, tmp_path: Path) -> None:
    network = whole(architecture)
    state = network.state_dict()
    path = tmp_path / ("w.safetensors" if kind in ("safetensors", "half") else "w.pt")
    if kind == "safetensors":
        save_file(state, path)
    elif kind == "half":
        save_file({name: tensor.half() for name, tensor in state.items()}, path)
        network.load_state_dict({name: tensor.half() for name, tensor in state.items()})
    elif kind == "pt":
        torch.save(state, path)
    else:
        torch.save({"epoch": 3, "state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}, path)
    backbone = Image(source=f"torchvision:{architecture}", weights=str(path))
    opened = backbone.open().eval()
    origin = backbone.origin()
    counted = [name for name in opened.state_dict() if not name.endswith("num_batches_tracked")]
    assert (origin["matched"], origin["missing"], origin["unexpected"]) == (len(counted), 0, 2)
    assert {p.dtype for p in opened.parameters()} == {torch.float32}
    pixels = torch.randn(2, 3, 64 if architecture in ("mobilenet_v2", "resnet18") else 96, 64 if architecture != "alexnet" else 96)
    with torch.no_grad():
        found = backbone.features(opened, {"pixels": pixels}).pooled
        expected = without_classifier(network)(pixels)
    assert found is not None
    assert found.shape == (2, WIDTHS[architecture])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    save_file(whole("resnet18").state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(BackboneError) as caught:
        Image(source="torchvision:mobilenet_v2", weights=str(tmp_path / "w.safetensors")).open()
    for told in ("fits this architecture too little", "0 of", "missing for example", "unexpected for example", "--backbone"):
        assert told in str(caught.value)


def test_a_file_with_parts_missing_is_counted_and_below_a_share_refused(tmp_path: Path) -> None:
    state = whole("resnet18").state_dict()
    some = {name: tensor for name, tensor in state.items() if not name.startswith("layer1.")}
    save_file(some, tmp_path / "some.safetensors")
    backbone = Image(source="torchvision:resnet18", weights=str(tmp_path / "some.safetensors"))
    backbone.open()
    assert backbone.origin()["missing"] == sum(n.startswith("layer1.") and not n.endswith("tracked") for n in state)
    few = {name: tensor for name, tensor in state.items() if not name.startswith("layer4.")}
    save_file(few, tmp_path / "few.safetensors")
    with pytest.raises(BackboneError, match="too little"):
        Image(source="torchvision:resnet18", weights=str(tmp_path / "few.safetensors")).open()


class Malicious:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("ran-code"),))


@pytest.mark.parametrize("form", ["torch", "pickle"])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "w.pt"
    if form == "torch":
        torch.save({"a": torch.zeros(1), "b": Malicious()}, path)
    else:
        path.write_bytes(pickle.dumps({"b": Malicious()}, protocol=2))
    with pytest.raises(BackboneError, match="a file that holds code is refused"):
        Image(source="torchvision:resnet18", weights=str(path)).open()
    assert not (tmp_path / "ran-code").exists()


def test_files_that_are_no_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{")
    torch.save([1, 2], tmp_path / "list.pt")
    for name, told in (("none.pt", "does not exist"), ("cut.safetensors", "not a complete"), ("list.pt", "no mapping")):
        with pytest.raises(BackboneError, match=told):
            Image(source="torchvision:resnet18", weights=str(tmp_path / name)).open()


def test_the_prefix_of_a_checkpoint_with_a_head_is_taken_off(checkpoints: Path, tmp_path: Path) -> None:
    weights = load_file(checkpoints / "vit" / "model.safetensors")
    save_file({f"vit.{name}": tensor for name, tensor in weights.items()}, tmp_path / "w.safetensors")
    backbone = Image(source=str(checkpoints / "vit"), weights=str(tmp_path / "w.safetensors"))
    network, plain = backbone.open(), Image(source=str(checkpoints / "vit")).open()
    assert (backbone.origin()["matched"], backbone.origin()["missing"]) == (len(weights), 0)
    assert all(torch.equal(tensor, plain.state_dict()[name]) for name, tensor in network.state_dict().items())
    few = {name: tensor for name, tensor in weights.items() if ".1." not in name}
    save_file(few, tmp_path / "few.safetensors")
    with pytest.raises(BackboneError, match="too little"):
        Image(source=str(checkpoints / "vit"), weights=str(tmp_path / "few.safetensors")).open()


@pytest.mark.parametrize("source", ["timm:test_resnet", "torchvision:resnet18", "nobody/no-such-vit"])
def test_pretrained_weights_that_cannot_be_fetched_are_never_random(source: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setattr("torch.hub.urlopen", refuse)
    with pytest.raises(BackboneError) as caught:
        Image(source=source).open()
    assert "--weights FILE" in str(caught.value)
    assert "--scratch" in str(caught.value)


def test_scratch_is_random_by_name() -> None:
    backbone = Image(source="timm:test_resnet", scratch=True)
    first, second = backbone.open().state_dict(), backbone.open().state_dict()
    assert not torch.equal(first["conv1.0.weight"], second["conv1.0.weight"])
    assert backbone.origin()["source"] == "random weights"


@pytest.mark.parametrize("source", ["timm:resnett18", "torchvision:resnett18", "resnett18"])
def test_a_misspelt_architecture_answers_with_the_nearest(source: str) -> None:
    with pytest.raises(UnknownNameError, match="resnet18"):
        _ = Image(source=source).open()


@pytest.mark.parametrize("source", ["timm:test_resnet", "vit"])
def test_same_padding_is_refused_where_it_would_do_nothing(source: str, checkpoints: Path) -> None:
    with pytest.raises(BackboneError, match="same_padding"):
        _ = Image(source=source if ":" in source else str(checkpoints / source), same_padding=True).library


def tensorflow_mobilenet(state: dict[str, torch.Tensor], pixels: torch.Tensor) -> torch.Tensor:
    """MobileNetV2's features, written out: before each convolution of stride 2, one row is padded below and one column to the right."""

    def block(name: str, x: torch.Tensor, stride: int, groups: int, activate: bool) -> torch.Tensor:
        conv, norm = name.rsplit(".", 1)[0] if activate else name, None
        weight = state[f"{name}.weight"]
        if stride == 2:
            x = F.pad(x, (0, 1, 0, 1))
        x = F.conv2d(x, weight, stride=stride, padding=0 if stride == 2 or weight.shape[-1] == 1 else 1, groups=groups)
        norm = f"{conv}.1" if activate else f"{name.rsplit('.', 1)[0]}.{int(name.rsplit('.', 1)[1]) + 1}"
        x = F.batch_norm(x, state[f"{norm}.running_mean"], state[f"{norm}.running_var"], state[f"{norm}.weight"], state[f"{norm}.bias"])
        return F.relu6(x) if activate else x

    x = block("features.0.0", pixels, 2, 1, True)
    strides = {2: 2, 4: 2, 7: 2, 14: 2}
    for i in range(1, 18):
        name, start, stride = f"features.{i}.conv", x, strides.get(i, 1)
        if i == 1:  # the first block has no expansion
            x = block(f"{name}.0.0", x, stride, x.shape[1], True)
            x = block(f"{name}.1", x, 1, 1, False)
        else:
            x = block(f"{name}.0.0", x, 1, 1, True)
            x = block(f"{name}.1.0", x, stride, x.shape[1], True)
            x = block(f"{name}.2", x, 1, 1, False)
        if x.shape == start.shape and stride == 1 and i > 1:
            x = x + start
    return block("features.18.0", x, 1, 1, True).mean((2, 3))


@pytest.mark.real
def test_real_mobilenet_with_tensorflows_padding(shared: Path) -> None:
    path = shared / "weights" / "mobilenetv2_imagenet" / "model.safetensors"
    half = (0.5, 0.5, 0.5)
    backbone = Image(source="torchvision:mobilenet_v2", weights=str(path), same_padding=True, mean=half, std=half)
    network = backbone.open().eval()
    origin = backbone.origin()
    assert (origin["missing"], origin["unexpected"]) == (0, 2)
    photo = next((shared / "coco_mini").rglob("*.jpg"))
    batch = backbone.collate([backbone.encode({"image": str(photo)})])
    assert batch["pixels"].shape == (1, 3, 224, 224)
    assert -1 <= float(batch["pixels"].min()) < float(batch["pixels"].max()) <= 1
    with torch.no_grad():
        found = backbone.features(network, batch).pooled
        expected = tensorflow_mobilenet({name: tensor.float() for name, tensor in load_file(path).items()}, batch["pixels"])
        other = Image(source="torchvision:mobilenet_v2", weights=str(path))
        unpadded = other.features(other.open().eval(), batch).pooled
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert float((unpadded - expected).abs().max()) > 0.1
