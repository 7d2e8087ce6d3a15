"""What pyproject.toml cannot say: the bundle lies beside the package in a checkout, and inside it in a wheel."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

BUNDLE = Path("bundle")
CARRIED = Path("fetal_monai", "_bundle")
MADE = {"models", "eval"}  # by runs in a checkout


class BuildWithBundle(build_py):
    """Build the package with the bundle in it; an editable installation finds that of the checkout."""

    def bundle_files(self) -> list[Path]:
        """List the bundle's files, relative to the checkout."""
        files = (path for path in sorted(BUNDLE.rglob("*")) if path.is_file())
        return [path for path in files if path.parts[1] not in MADE]

    def run(self) -> None:
        """Copy what every build copies, then the bundle."""
        super().run()
        if self.editable_mode:
            return
        if not (BUNDLE / "configs").is_dir():
            raise SystemExit("there is no bundle/configs here; build from a checkout or a source distribution")
        target = Path(self.build_lib, CARRIED)
        shutil.rmtree(target, ignore_errors=True)  # of an earlier build
        for path in self.bundle_files():
            copy = target / path.relative_to(BUNDLE)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)

    def get_source_files(self) -> list[str]:
        """List what a source distribution carries."""
        return [*super().get_source_files(), *(path.as_posix() for path in self.bundle_files())]

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """List what a build writes."""
        copies = [str(Path(self.build_lib, CARRIED, path.relative_to(BUNDLE))) for path in self.bundle_files()]
        return [*super().get_outputs(include_bytecode), *copies]


setup(cmdclass={"build_py": BuildWithBundle})
