"""Several processes, one work: what multi_gpu_train.yaml and multi_gpu_evaluate.yaml are made of."""

from fetal_monai.distributed.launch import local_device, rank, require_single_process, world_size
from fetal_monai.distributed.lost_process import explain_lost_process
from fetal_monai.distributed.process_group import destroy_process_group, init_process_group, sync_batch_norm
from fetal_monai.distributed.shares import batch_share, each_once

__all__ = [
    "batch_share",
    "destroy_process_group",
    "each_once",
    "explain_lost_process",
    "init_process_group",
    "local_device",
    "rank",
    "require_single_process",
    "sync_batch_norm",
    "world_size",
]
