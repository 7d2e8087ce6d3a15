"""Running the MONAI Deploy application: with the environment that has its SDK."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

SDK = "monai-deploy-app-sdk"
ENVIRONMENT = ".venv-deploy"


def run_python(python: str, root: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """A script or module in that environment, from the project's folder."""
    environment = {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    call = [python, *map(str, arguments)]
    return subprocess.run(call, capture_output=True, text=True, check=False, timeout=240, cwd=root, env=environment)
