"""The hook of mkdocs that adds the reference pages to the site; they are in no folder."""

from __future__ import annotations

from typing import Any

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from model_keys import plain_docstring
from reference import pages


class Docstrings(griffe.Extension):
    """Lets mkdocstrings read the docstrings of this project, whose few marks of reStructuredText are not Markdown."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = plain_docstring(obj.docstring.value)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    for path, text in pages().items():
        files.append(File.generated(config, path, content=text))
    return files
