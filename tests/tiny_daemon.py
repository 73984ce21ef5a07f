"""`python tests/tiny_daemon.py [ARG…]`: the daemon, told that the published models are tiny ones.

The digests of the real files cannot be met by made ones, so sizes and digests are taken out of the
data; everything else is the real thing, down to the download process.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace

from lofi import hub
from lofi.daemon import app

VOCABULARY = "{endpoint}/ace-step/ACE-Step/resolve/main/vocab.json"


def tiny(published: hub.Published, endpoint: str) -> hub.Published:
    wanted = "TINY_VOCABULARY_BYTES" if published.url else "TINY_FILE_BYTES"
    size = int(os.environ.get(wanted, "1000"))
    files = tuple(
        replace(file, size_bytes=size, sha256=None, is_exact=False) for file in published.files
    )
    url = published.url and VOCABULARY.format(endpoint=endpoint)
    return replace(published, files=files, revision=None, url=url)


def main() -> int:
    endpoint = os.environ["HF_ENDPOINT"]
    hub.PUBLISHED = {
        backend: {name: tiny(item, endpoint) for name, item in table.items()}
        for backend, table in hub.PUBLISHED.items()
    }
    return app.entry(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
