"""The house writes `Example:` above one example; Griffe knows the section as `Examples:`."""

from __future__ import annotations

import re
from typing import Any

import griffe


class OneExample(griffe.Extension):
    """Rename the heading in each docstring, before it is parsed."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Look at one object of the package.

        Args:
            obj: a module, class, function or attribute.
        """
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
