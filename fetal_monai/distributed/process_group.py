"""Joining the processes that torchrun has started, and leaving them."""

from __future__ import annotations

import logging
import os

import ignite.distributed as idist
import torch
from torch import distributed, nn
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from fetal_monai.distributed.launch import rank
from fetal_monai.distributed.lost_process import explain_lost_process
from fetal_monai.errors import FetalMonaiError


def init_process_group(device: torch.device, *, resume: bool | None = None) -> None:
    """Join the other processes: by NCCL on GPUs, by Gloo on CPUs.

    Processes other than the first log warnings and errors only. Where one of them ends before its time, the others say
    how to go on.

    Args:
        device: of this process.
        resume: of a training, whether it goes on from its checkpoint if there is one; None for what cannot go on.

    Raises:
        FetalMonaiError: if torchrun has not started this process, or would restart a training from its first epoch.
    """
    if not distributed.is_torchelastic_launched():
        raise FetalMonaiError(
            "this configuration is for several processes, and torchrun starts them: "
            "torchrun --nproc_per_node 2 -m monai.bundle run ...; leave out its multi_gpu_*.yaml to run it in one"
        )
    if resume is False and int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0")) > 0:
        raise FetalMonaiError(
            "torchrun --max_restarts would start this training anew from its first epoch; add --resume True, which "
            "goes on from the last whole epoch, and begins where there is none"
        )
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.set_device(device)  # where collectives of plain objects go
    store, number, processes = next(rendezvous("env://"))
    # torchrun keeps one store: processes that it starts again would find the addresses of those that are no more.
    store = PrefixStore(f"attempt {os.environ['TORCHELASTIC_RESTART_COUNT']}", store)
    distributed.init_process_group(
        "nccl" if on_gpu else "gloo",
        store=store,
        rank=number,
        world_size=processes,
        device_id=device if on_gpu else None,
    )
    idist.get_world_size()  # ignite communicates when first asked: all processes at once, or they would wait for ever
    if rank() > 0:
        logging.disable(logging.INFO)
    explain_lost_process(resumable=resume is not None)


def destroy_process_group() -> None:
    """Leave the other processes, if any were joined."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def sync_batch_norm(network: nn.Module, device: torch.device, *, sync: bool) -> nn.Module:
    """Let BatchNorm take its statistics over the batch of all processes.

    Args:
        network: its BatchNorm layers are replaced, their parameters, statistics and names stay.
        device: where it trains.
        sync: False leaves it as it is.

    Returns:
        The network.

    Raises:
        FetalMonaiError: on a CPU, for which torch has no such layer.
    """
    if not sync:
        return network
    if device.type == "cpu":
        raise FetalMonaiError("torch has SyncBatchNorm for GPUs only; leave out --sync_batch_norm True on CPUs")
    converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    return converted
