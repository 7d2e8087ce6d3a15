"""`python -m fetal_monai` is `fetal-monai`."""

from fetal_monai.cli import app

app(prog_name="fetal-monai")
