"""Training across hospitals: weights travel, images stay. A site is MONAI's `MonaiAlgo`, NVFlare the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fetal_monai.utils.lazy_attributes import lazy_attributes

if TYPE_CHECKING:
    from fetal_monai.federated.job import federated_averaging, write_global, write_start
    from fetal_monai.federated.local_norms import LocalNorms
    from fetal_monai.federated.site import answer, make_site

__all__ = ["LocalNorms", "answer", "federated_averaging", "make_site", "write_global", "write_start"]

__getattr__ = lazy_attributes(
    __name__,
    {
        "LocalNorms": "fetal_monai.federated.local_norms:LocalNorms",
        "answer": "fetal_monai.federated.site:answer",
        "federated_averaging": "fetal_monai.federated.job:federated_averaging",
        "make_site": "fetal_monai.federated.site:make_site",
        "write_global": "fetal_monai.federated.job:write_global",
        "write_start": "fetal_monai.federated.job:write_start",
    },
)
