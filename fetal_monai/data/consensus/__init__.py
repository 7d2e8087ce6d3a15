"""Several experts' labels of the same images: their votes, and what can be concluded from them."""

from fetal_monai.data.consensus.dawid_skene import Consensus, Method, find_consensus
from fetal_monai.data.consensus.votes import Votes, read_votes

__all__ = ["Consensus", "Method", "Votes", "find_consensus", "read_votes"]
