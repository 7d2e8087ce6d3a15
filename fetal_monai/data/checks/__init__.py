"""Everything that is wrong with a data set, in one pass: table, files, duplicates, leaks, balance."""

from fetal_monai.data.checks.before_training import check_headers
from fetal_monai.data.checks.data_set import DataReport, check_data
from fetal_monai.data.checks.finding import Finding

__all__ = ["DataReport", "Finding", "check_data", "check_headers"]
