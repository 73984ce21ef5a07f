"""The published addresses: nothing that changes by itself is ever fetched."""

from __future__ import annotations

import re

import pytest

from lofi import hub
from lofi.catalog import BACKENDS

COMMIT = re.compile(r"[0-9a-f]{40}")
COMPONENTS = [item for table in hub.PUBLISHED.values() for item in table.values()]


@pytest.mark.parametrize("published", COMPONENTS, ids=lambda item: str(item.name))
def test_every_revision_is_pinned(published: hub.Published) -> None:
    if published.url is None:
        assert published.revision and COMMIT.fullmatch(published.revision)
        assert all(file.name.rpartition(".")[2] != "bin" for file in published.files)
    else:
        assert COMMIT.search(published.url), "a commit, not a branch"
        assert all(file.sha256 for file in published.files)


def test_every_variant_can_be_ordered() -> None:
    for backend in BACKENDS.values():
        for variant in backend.variants if not backend.is_light else ():
            order = hub.order(backend, variant)
            assert {*variant.components} <= {item.name for item in order.components}
            assert order.size_bytes > 1e9 and order.license
