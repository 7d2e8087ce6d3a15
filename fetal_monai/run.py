"""Running the bundle as `python -m monai.bundle run` does, without what MONAI tells every time."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fetal_monai.console import INTERRUPTED, prepare_console
from fetal_monai.errors import FetalMonaiError
from fetal_monai.utils.bundle import bundle_root
from fetal_monai.utils.notices import quiet_trust_notice
from fetal_monai.utils.settings import config_files, refuse_wrong_settings

_MISTAKES = {  # MONAI's words, and ours
    "Cannot find the config file": "{}; check the spelling; names are looked up from the working directory",
    "missing 1 required positional argument: 'config_file'": (
        "no configuration is named; add --config_file bundle/configs/train.yaml "
        "(where there is no bundle, `fetal-monai bundle OUT` writes one)"
    ),
    "doesn't exist in the config file": (
        "{}; correct it, or name the configuration that has it: `evaluating` needs evaluate.yaml, the last of them"
    ),
}


def run_bundle(arguments: Sequence[str]) -> None:
    """Run a bundle.

    MONAI warns that configurations run code and must be trusted. Of those that come with this package that is left out;
    where any other is named, it stands.

    Args:
        arguments: those of `python -m monai.bundle run`.

    Raises:
        FetalMonaiError: for a mistake that the person who runs it can mend, such as a setting that is misspelt.
        SystemExit: for arguments that MONAI does not know.
    """
    import fire  # noqa: PLC0415
    from monai.bundle import run  # noqa: PLC0415

    prepare_console()
    refuse_wrong_settings(arguments)
    if only_ours(arguments):
        quiet_trust_notice()
    try:
        fire.Fire(run, command=list(arguments), name="fetal-monai run")
    except KeyboardInterrupt:
        sys.stderr.write(INTERRUPTED)
        raise
    except (FileNotFoundError, TypeError, ValueError) as error:
        said = next((ours for words, ours in _MISTAKES.items() if words in str(error)), None)
        if said is None:
            raise
        raise FetalMonaiError(said.format(str(error).rstrip("."))) from error


def only_ours(arguments: Sequence[str]) -> bool:
    """Tell whether all files that arguments name are configurations that come with the package.

    Args:
        arguments: of a run.

    Returns:
        False if one lies elsewhere, or none is named.

    Example:
        >>> train = bundle_root() / "configs" / "train.yaml"
        >>> only_ours(["training", "--config_file", f"['{train}']"]), only_ours(["--config_file", "mine.yaml"])
        (True, False)
    """
    root = bundle_root().resolve()
    named = [path.resolve() for argument in arguments for path in config_files(argument)]
    return bool(named) and all(path.is_relative_to(root) for path in named)
