"""Where each model component is published: repository, revision, files, sizes, digests, licence.

Data alone. Every revision is pinned; sizes and digests are those published or seen for it. Where
none is given here, the hub's own list for that revision has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lofi.catalog import BACKENDS, LM_SIZES, Backend, Variant, lm_component

LYRIC_VOCABULARY = "lyric_vocabulary"


@dataclass(frozen=True, slots=True)
class File:
    """One file. `size_bytes` is about right where `is_exact` is false."""

    name: str
    size_bytes: int
    sha256: str | None = None
    is_exact: bool = True


@dataclass(frozen=True, slots=True)
class Published:
    """One component as it lies on the model hub, or a plain file at `url`."""

    name: str
    repository: str
    license: str
    files: tuple[File, ...]
    folder: str = ""
    """Its folder inside the repository; empty for the root."""
    revision: str | None = None
    is_pinned: bool = True
    """False where somebody asked for another revision than the one named here."""
    patterns: tuple[str, ...] = ()
    """Weight files whose exact names only the hub knows (shards)."""
    url: str | None = None

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


_BUNDLE = "ACE-Step/Ace-Step1.5"
_BUNDLE_REVISION = "19671f406d603126926c1b7e2adc169acbcade22"
_SILENCE = File(
    "silence_latent.pt",
    3_841_215,
    "a778e9dd942f5e8b2c09c55370782d318834432b03dabbcdf70e6ed49ad6358b",
)
_DIT_BYTES = 4_787_825_604
_XL_SHARD_BYTES = (4_986_971_456, 4_986_942_776, 4_986_942_808, 4_988_483_464)


def _dit(variant: str, revision: str, sha256: str | None = None) -> Published:
    name = f"acestep-v15-{variant}"
    if variant.startswith("xl"):
        shards = tuple(
            File(f"model-{index:05d}-of-00004.safetensors", size, is_exact=False)
            for index, size in enumerate(_XL_SHARD_BYTES, 1)
        )
        index = File("model.safetensors.index.json", 71_471, is_exact=False)
        weights: tuple[File, ...] = (*shards, index)
    else:
        weights = (File("model.safetensors", _DIT_BYTES, sha256, is_exact=sha256 is not None),)
    config = File("config.json", 1_968, is_exact=False)
    return Published(
        name, f"ACE-Step/{name}", "MIT", (config, *weights, _SILENCE), revision=revision
    )


_TURBO = Published(
    "acestep-v15-turbo",
    _BUNDLE,
    "MIT",
    (
        File("config.json", 1_968),
        File(
            "model.safetensors",
            _DIT_BYTES,
            "3f6e0797fad420a39bd33979eb6e840e30989e34a3794e843d23b60ec6e422d7",
        ),
        _SILENCE,
    ),
    folder="acestep-v15-turbo",
    revision=_BUNDLE_REVISION,
)
_VAE = Published(
    "vae",
    _BUNDLE,
    "MIT",
    (
        File("config.json", 425),
        File(
            "diffusion_pytorch_model.safetensors",
            337_431_388,
            "da17edb604c40deaf09e9b24974e590d1ca83a374070e5d0884cfa4bed9a99b0",
        ),
    ),
    folder="vae",
    revision=_BUNDLE_REVISION,
)
_TEXT_ENCODER = Published(
    "Qwen3-Embedding-0.6B",
    _BUNDLE,
    "Apache-2.0",
    (
        File("config.json", 1_359),
        File(
            "model.safetensors",
            1_191_586_416,
            "0437e45c94563b09e13cb7a64478fc406947a93cb34a7e05870fc8dcd48e23fd",
        ),
        File(
            "tokenizer.json",
            11_423_705,
            "def76fb086971c7867b829c23a26261e38d9d74e02139253b38aeb9df8b4b50a",
        ),
    ),
    folder="Qwen3-Embedding-0.6B",
    revision=_BUNDLE_REVISION,
)


def _planner(size: str) -> Published:
    name = lm_component(size)
    tokenizer = File("tokenizer.json", 24_321_939)
    config = File("config.json", 1_386, is_exact=False)
    if size == "0.6b":
        weights = File(
            "model.safetensors",
            1_325_804_024,
            "5d92a60806e2e88c04de58ddc6dde93f2bc8f1336162b3ad5853886c9bcc6b82",
        )
        return Published(name, f"ACE-Step/{name}", "MIT", (config, weights, tokenizer),
                         revision="148d8ea0225bdab342ee1ae3a354275ccd60ca80")  # fmt: skip
    if size == "1.7b":
        weights = File(
            "model.safetensors",
            3_708_521_528,
            "f161689da73e5ecefa28ff780d51c2d92a00f056d021d7933c779ed5c6cd7db8",
        )
        return Published(name, _BUNDLE, "MIT", (config, weights, tokenizer), folder=name,
                         revision=_BUNDLE_REVISION)  # fmt: skip
    shards = tuple(
        File(f"model-{index:05d}-of-00002.safetensors", 4_189_554_176, is_exact=False)
        for index in (1, 2)
    )
    index = File("model.safetensors.index.json", 32_000, is_exact=False)
    return Published(name, f"ACE-Step/{name}", "MIT", (config, *shards, index, tokenizer),
                     revision="0a3ec94b557aea7d508da38b31cfe7341f6ff737")  # fmt: skip


_V1 = "ACE-Step/ACE-Step-v1-3.5B"
_V1_REVISION = "82cd0d7b6322bd28cd4e830fe675ddb6180ce36c"


def _v1(name: str, *files: File) -> Published:
    return Published(name, _V1, "Apache-2.0", files, folder=name, revision=_V1_REVISION)


_ACE_STEP_V1 = (
    _v1(
        "ace_step_transformer",
        File(
            "config.json",
            639,
            "4d78beb6afb4c7f3705256b44faaf60f3e1e2d78f4015ca87740f3695d7f5447",
        ),
        File(
            "diffusion_pytorch_model.safetensors",
            6_611_000_000,
            "e810f16728d8a2e0d1b9c3a907aac8c9a427ce38edbd890cb3dce5ff92da5aad",
            is_exact=False,
        ),
    ),
    _v1(
        "umt5-base",
        File(
            "config.json",
            900,
            "afae5da9a35e2b293cee66536f03fc2581cfc3f3d5707d3a262b552748de1572",
            is_exact=False,
        ),
        File(
            "model.safetensors",
            1_130_000_000,
            "779cec0d210b2123e21d0a9cd8128f02b4d412627355028965a8be0b241cc3b6",
            is_exact=False,
        ),
        File(
            "tokenizer.json",
            16_800_000,
            "20a46ac256746594ed7e1e3ef733b83fbc5a6f0922aa7480eda961743de080ef",
            is_exact=False,
        ),
    ),
    _v1(
        "music_dcae_f8c8",
        File(
            "config.json",
            900,
            "b14a49a8c52a52c2c8050098af1a946810a8a1a0b6e50abc75ba81371383cf04",
            is_exact=False,
        ),
        File(
            "diffusion_pytorch_model.safetensors",
            314_000_000,
            "2b0cb469307ac50659d1880db2a99bae47d0df335cbb36853964662d4b80e8ee",
            is_exact=False,
        ),
    ),
    _v1(
        "music_vocoder",
        File(
            "config.json",
            940,
            "39ddc4c417e01dc3be1862fcf315887358dd61b7f91c3cc8227f65072984bb55",
        ),
        File(
            "diffusion_pytorch_model.safetensors",
            206_000_000,
            "c92c9b46e28ab7b37b777780cf4308ad7ddac869636bb77aa61599358c4bc1c0",
            is_exact=False,
        ),
    ),
    Published(
        LYRIC_VOCABULARY,
        "ace-step/ACE-Step",
        "the lyric vocabulary descends from that of XTTS, which has terms of its own",
        (
            File(
                "vocab.json",
                364_005,
                "c2a66ea48c478c0bb9acb5497144b926acdeaa37128faaa799508d40f2b9cc558",
            ),
        ),
        url="https://raw.githubusercontent.com/ace-step/ACE-Step/"
        "54da683d36177c904a1210358888d2278cb81e78/"
        "acestep/models/lyrics_utils/vocab.json",
    ),
)

_MUSICGEN = {
    "small": ("4c8334b02c6ec4e8664a91979669a501ec497792", 2_364_000_000),
    "medium": ("d3bd7b00761b78ad7a8a05145ee31e7832e9916c", 8_040_000_000),
    "large": ("15ccdc92099879e47b6da12c350cdb71d4eab3ca", 13_100_000_000),
    "stereo-small": ("3a110c0092820d470372c880c5ea06ce21a78ddd", 2_380_000_000),
    "stereo-medium": ("2747e613fbaadc43b14257224326ef58c5c11b81", 8_080_000_000),
    "stereo-large": ("bda8ec330c9c17e09728589eaf678f58f7d2d932", 13_200_000_000),
    "melody": ("68d653a95788ec0d2b0abccab22c0b3a200c2d90", 6_300_000_000),
}
"""Revision, and about how many bytes its weights have."""


def _musicgen(variant: str) -> Published:
    revision, weights_bytes = _MUSICGEN[variant]
    return Published(
        variant,
        f"facebook/musicgen-{variant}",
        "CC-BY-NC-4.0 (no commercial use)",
        (
            File("config.json", 7_800, is_exact=False),
            File("generation_config.json", 225, is_exact=False),
            File("tokenizer.json", 2_420_000, is_exact=False),
            File("model*.safetensors", weights_bytes, is_exact=False),
        ),
        revision=revision,
        patterns=("model*.safetensors", "model.safetensors.index.json"),
    )


PUBLISHED: Mapping[str, Mapping[str, Published]] = {
    "ace_step_15": {
        item.name: item
        for item in (
            _TURBO,
            _dit("turbo-shift1", "5b86586cc1faecd5214281b05440c8903b6da20f"),
            _dit("turbo-shift3", "625a282f7c8d882c930a5e500be4c82800f84fb4"),
            _dit("turbo-continuous", "f8e893768347fd42f5988e07d1d80675fc3e5718"),
            _dit(
                "sft",
                "c410d249e71ea9385a7b586865e65b1473e1098d",
                "d4dd3a93870f06720027965b90771f529ab02094b3d29e2518f1d5e097e1af7e",
            ),
            _dit(
                "base",
                "e432212fec32b8965a14ffa57ae653438d6abd14",
                "4177f600501a6d4bd81cadaa0abac557ffd15c54e5c8cb52053cdb24a0844d6b",
            ),
            _dit("xl-turbo", "d4a0b288b83ebb7e25a8c0b32c573c22e134e8ee"),
            _dit("xl-sft", "d06de46b4622f781cf07f4a013a67d591ca52819"),
            _dit("xl-base", "220c1166efbdd9583eafcb12eb160594bbfcb241"),
            _VAE,
            _TEXT_ENCODER,
            *(_planner(size) for size in ("0.6b", "1.7b", "4b")),
        )
    },
    "ace_step": {item.name: item for item in _ACE_STEP_V1},
    "musicgen": {
        variant.name: _musicgen(variant.name) for variant in BACKENDS["musicgen"].variants
    },
}


@dataclass(frozen=True, slots=True)
class Order:
    """What a setup would fetch."""

    backend: str
    variant: str
    components: tuple[Published, ...] = field(default_factory=tuple)

    @property
    def size_bytes(self) -> int:
        return sum(component.size_bytes for component in self.components)

    @property
    def license(self) -> str:
        return "; ".join(dict.fromkeys(component.license for component in self.components))


def order(backend: Backend, variant: Variant, lm_size: str | None = None) -> Order:
    """Returns every component that the variant (and a planner) needs."""
    table = PUBLISHED[backend.type]
    names = list(variant.components)
    if lm_size is not None and backend.type == "ace_step_15":
        names.append(lm_component(lm_size))
    if backend.type == "ace_step":
        names.append(LYRIC_VOCABULARY)
    return Order(backend.type, variant.name, tuple(table[name] for name in names))


def planners(backend: Backend) -> tuple[Published, ...]:
    """Returns the planners that go with a backend, smallest first."""
    if backend.type != "ace_step_15":
        return ()
    return tuple(PUBLISHED[backend.type][lm_component(size)] for size in LM_SIZES)


def size_bytes(backend: str, component: str) -> int:
    """Returns what a component weighs as published, 0 when nobody knows."""
    published = PUBLISHED.get(backend, {}).get(component)
    return published.size_bytes if published is not None else 0
