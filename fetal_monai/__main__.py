"""`python -m fetal_monai` is `fetal-monai`."""

from fetal_monai.cli import app

if __name__ == "__main__":
    app(prog_name="fetal-monai")
