"""The classifiers: one backbone or two, global average pooling, fusion, dropout and a linear head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Optional, Union

import torch
from torch import nn
from torch.jit import is_scripting, is_tracing  # type: ignore[attr-defined]

from fetal_monai.errors import FetalMonaiError
from fetal_monai.networks.mirror_images import mean_over_mirrors, mirror_images, unsure
from fetal_monai.utils.serialization import Recorded
from fetal_monai.utils.shallow_view import shallow_view

# TorchScript reads annotations itself and knows Optional and Union better than their newer spelling.
Logits = Union[torch.Tensor, tuple[torch.Tensor, torch.Tensor, torch.Tensor]]  # noqa: UP007


def _out_channels(backbone: nn.Module, name: str) -> int:
    channels = getattr(backbone, "out_channels", None)
    if not isinstance(channels, int):
        raise FetalMonaiError(
            f"{name}: {type(backbone).__name__} has no integer attribute out_channels, so the head cannot be sized; "
            "set it to the number of channels of the feature map that the backbone returns"
        )
    return channels


def _linear(in_features: int, out_features: int, *, zero: bool) -> nn.Linear:
    head = nn.Linear(in_features, out_features)
    if zero:
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
    return head


def _pool(features: torch.Tensor) -> torch.Tensor:
    return nn.functional.adaptive_avg_pool2d(features, 1).flatten(1)


class _Classifier(Recorded, nn.Module):
    """What both classifiers share: mirror images; frozen backbones, whose BatchNorm and dropout must rest as well."""

    if TYPE_CHECKING:  # TorchScript reads annotations of a class, and knows this one not
        head: nn.Linear

    def __init__(self, *, freeze_backbones: bool, average_flips: float) -> None:
        super().__init__()
        if not isinstance(average_flips, (int, float)) or not 0 <= average_flips <= 1:
            raise FetalMonaiError(f"average_flips is {average_flips!r}; give a probability, 0: never, 1: always")
        self.freeze_backbones = freeze_backbones
        self.average_flips = float(average_flips)

    def _backbones(self) -> list[nn.Module]:
        return [child for name, child in self.named_children() if name.startswith("backbone")]

    def _freeze(self) -> None:
        for backbone in self._backbones():
            backbone.requires_grad_(not self.freeze_backbones)

    def train(self, mode: bool = True) -> _Classifier:
        """Switch to training or evaluation; frozen backbones stay in evaluation."""
        super().train(mode)
        if self.freeze_backbones:
            for backbone in self._backbones():
                backbone.train(False)
        return self

    def _one_pass(self, image: torch.Tensor, image_shallow: Optional[torch.Tensor]) -> torch.Tensor:  # noqa: UP045
        """Pooled features (B, F) of the images as they are."""
        raise NotImplementedError

    def _fuse(self, pooled: torch.Tensor) -> torch.Tensor:
        """Bring pooled features to what the head sees."""
        return pooled

    def _pooled(self, image: torch.Tensor, image_shallow: Optional[torch.Tensor]) -> torch.Tensor:  # noqa: UP045
        """Pooled features (B, F), in evaluation averaged over mirror images where the head is not sure without."""
        pooled = self._one_pass(image, image_shallow)
        if self.average_flips == 0 or self.training:
            return pooled
        if not is_scripting():  # noqa: SIM102 (TorchScript must see this condition alone)
            if is_tracing() or torch.compiler.is_exporting():  # a recorded graph cannot choose
                return mean_over_mirrors(pooled, self._of_mirrors(image, image_shallow))
        rows = unsure(self.head.forward(self._fuse(pooled)), self.average_flips)  # not what hooks on the head wait for
        if len(rows) == 0:
            return pooled
        means = []
        for some in rows.split(max(1, len(image) // 3)):  # in passes of about the size of the batch, which fits
            mirrored = self._of_mirrors(image[some], None if image_shallow is None else image_shallow[some])
            means.append(mean_over_mirrors(pooled[some], mirrored))
        return pooled.index_copy(0, rows, torch.cat(means).to(pooled.dtype))  # autocast on a GPU sums in float32

    def _of_mirrors(self, image: torch.Tensor, image_shallow: Optional[torch.Tensor]) -> torch.Tensor:  # noqa: UP045
        """Pooled features (3 B, F) of the mirror images."""
        return self._one_pass(mirror_images(image), None if image_shallow is None else mirror_images(image_shallow))


class DualBranchClassifier(_Classifier):
    """Two views of one image, a coarse and a fine one, through a backbone each; their pooled features feed one head.

    The network of arXiv 2506.08623. A backbone is any module that maps (B, 3, H, W) to a feature map (B, out_channels,
    h, w) and has the attribute `out_channels`.

    Args:
        num_classes: number of classes C.
        shallow: the backbone of the coarse view.
        detailed: the backbone of the fine view.
        shallow_size: (H, W) to which the coarse view is resized when only the fine one is given.
        dropout: probability of dropping a fused feature in training.
        gate: weigh the branches by a learnable alpha that starts at 0.5: alpha * shallow, (1 - alpha) * detailed.
        auxiliary_heads: give each branch a head of its own, for training and for `branch_logits`; `forward` in
            evaluation does without.
        freeze_backbones: train the heads (and the gate) alone; the backbones' BatchNorm statistics stay too.
        average_flips: in evaluation, average the features of an image and its three mirror images (left-right,
            up-down, both) where the image alone leaves its most probable class at most this probable; 0: never, 1: of
            every image. The head is linear, so this averages their logits. For networks trained on images flipped both
            ways: three more passes for the images in doubt. A traced or exported graph averages over all.
        zero_init_head: start the head at zero, so that the first predictions are uniform.

    Raises:
        FetalMonaiError: if a backbone has no `out_channels`, or `average_flips` is no probability.

    Example:
        >>> from fetal_monai.networks import ResNetBackbone
        >>> network = DualBranchClassifier(16, ResNetBackbone(18), ResNetBackbone(18), shallow_size=(64, 96)).eval()
        >>> network(torch.zeros(2, 3, 128, 192)).shape
        torch.Size([2, 16])
    """

    def __init__(
        self,
        num_classes: int,
        shallow: nn.Module,
        detailed: nn.Module,
        *,
        shallow_size: Sequence[int] = (224, 224),
        dropout: float = 0.0,
        gate: bool = False,
        auxiliary_heads: bool = False,
        freeze_backbones: bool = False,
        average_flips: float = 0.0,
        zero_init_head: bool = False,
    ) -> None:
        channels = _out_channels(shallow, "shallow"), _out_channels(detailed, "detailed")
        super().__init__(freeze_backbones=freeze_backbones, average_flips=average_flips)
        self.backbone_shallow = shallow
        self.backbone_detailed = detailed
        self._freeze()
        self.num_classes = num_classes
        self.shallow_size = [int(side) for side in shallow_size]
        self.shallow_channels = channels[0]
        self.alpha = nn.Parameter(torch.tensor(0.5)) if gate else None
        self.dropout = nn.Dropout(dropout)
        self.head = _linear(sum(channels), num_classes, zero=zero_init_head)
        self.auxiliary_shallow = _linear(channels[0], num_classes, zero=zero_init_head) if auxiliary_heads else None
        self.auxiliary_detailed = _linear(channels[1], num_classes, zero=zero_init_head) if auxiliary_heads else None

    def forward(self, image: torch.Tensor, image_shallow: Optional[torch.Tensor] = None) -> Logits:  # noqa: UP045
        """Classify.

        Args:
            image: the fine view, float (B, 3, H, W), standardised as the backbones' weights expect it.
            image_shallow: the coarse view, likewise; derived from `image` by `shallow_view` when absent, as
                `DualResolutiond(shallow_from="detailed")` derives it.

        Returns:
            Logits (B, C). In eager training with auxiliary heads: the three logits of the fused head, the coarse and
            the fine branch, which `monai.losses.DeepSupervisionLoss` takes as they are.
        """
        pooled = self._pooled(image, image_shallow)
        logits: torch.Tensor = self.head(self.dropout(self._fuse(pooled)))
        if not is_scripting():  # noqa: SIM102 (TorchScript must see this condition alone)
            if self.training and self.auxiliary_shallow is not None and self.auxiliary_detailed is not None:
                shallow, detailed = self._split(pooled)
                return logits, self.auxiliary_shallow(shallow), self.auxiliary_detailed(detailed)
        return logits

    @torch.jit.export
    def forward_features(
        self,
        image: torch.Tensor,
        image_shallow: Optional[torch.Tensor] = None,  # noqa: UP045
    ) -> torch.Tensor:
        """Return the fused embedding that the head sees, (B, shallow.out_channels + detailed.out_channels)."""
        return self._fuse(self._pooled(image, image_shallow))

    def branch_logits(
        self,
        image: torch.Tensor,
        image_shallow: Optional[torch.Tensor] = None,  # noqa: UP045
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Classify by each branch alone.

        Auxiliary heads were trained for this. Without them the fused head is split: it is linear, so its logits are the
        sum of what either branch brings, the bias shared evenly, and its probabilities are proportional to the product
        of the branches'.

        Args:
            image: as for `forward`.
            image_shallow: likewise.

        Returns:
            Logits (B, C) of the coarse and of the fine branch.
        """
        pooled = self._pooled(image, image_shallow)
        if self.auxiliary_shallow is not None and self.auxiliary_detailed is not None:
            shallow, detailed = self._split(pooled)
            return self.auxiliary_shallow(shallow), self.auxiliary_detailed(detailed)
        weight, bias = self.head.weight, self.head.bias / 2
        parts = zip(self._split(self._fuse(pooled)), self._split(weight), strict=True)
        shallow_logits, detailed_logits = (nn.functional.linear(features, of, bias) for features, of in parts)
        return shallow_logits, detailed_logits

    def _one_pass(self, image: torch.Tensor, image_shallow: Optional[torch.Tensor]) -> torch.Tensor:  # noqa: UP045
        if image_shallow is None:
            image_shallow = shallow_view(image, self.shallow_size)
        return torch.cat((_pool(self.backbone_shallow(image_shallow)), _pool(self.backbone_detailed(image))), dim=1)

    def _split(self, pooled: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The columns of the coarse and of the fine branch."""
        return pooled[:, : self.shallow_channels], pooled[:, self.shallow_channels :]

    def _fuse(self, pooled: torch.Tensor) -> torch.Tensor:
        if self.alpha is not None:
            shallow, detailed = self._split(pooled)
            pooled = torch.cat((self.alpha * shallow, (1 - self.alpha) * detailed), dim=1)
        return pooled


class SingleBranchClassifier(_Classifier):
    """One backbone on one view, with the same calls as `DualBranchClassifier`.

    Args:
        num_classes: number of classes C.
        backbone: maps (B, 3, H, W) to a feature map and has the attribute `out_channels`.
        dropout: probability of dropping a pooled feature in training.
        freeze_backbones: train the head alone; the backbone's BatchNorm statistics stay too.
        average_flips: in evaluation, average over mirror images; see `DualBranchClassifier`.
        zero_init_head: start the head at zero.

    Raises:
        FetalMonaiError: if the backbone has no `out_channels`, or `average_flips` is no probability.

    Example:
        >>> from fetal_monai.networks import ResNetBackbone
        >>> network = SingleBranchClassifier(16, ResNetBackbone(18)).eval()
        >>> network(torch.zeros(2, 3, 96, 128)).shape, network.forward_features(torch.zeros(2, 3, 96, 128)).shape
        (torch.Size([2, 16]), torch.Size([2, 512]))
    """

    def __init__(
        self,
        num_classes: int,
        backbone: nn.Module,
        *,
        dropout: float = 0.0,
        freeze_backbones: bool = False,
        average_flips: float = 0.0,
        zero_init_head: bool = False,
    ) -> None:
        channels = _out_channels(backbone, "backbone")
        super().__init__(freeze_backbones=freeze_backbones, average_flips=average_flips)
        self.backbone = backbone
        self._freeze()
        self.num_classes = num_classes
        self.dropout = nn.Dropout(dropout)
        self.head = _linear(channels, num_classes, zero=zero_init_head)

    def forward(
        self,
        image: torch.Tensor,
        image_shallow: Optional[torch.Tensor] = None,  # noqa: UP045
    ) -> torch.Tensor:
        """Map float (B, 3, H, W) to logits (B, C); a second view is accepted and unused, so that pipelines fit."""
        logits: torch.Tensor = self.head(self.dropout(self.forward_features(image, image_shallow)))
        return logits

    @torch.jit.export
    def forward_features(
        self,
        image: torch.Tensor,
        image_shallow: Optional[torch.Tensor] = None,  # noqa: UP045
    ) -> torch.Tensor:
        """Return the pooled features, (B, backbone.out_channels)."""
        return self._pooled(image, image_shallow)

    def _one_pass(self, image: torch.Tensor, image_shallow: Optional[torch.Tensor]) -> torch.Tensor:  # noqa: ARG002, UP045
        return _pool(self.backbone(image))
