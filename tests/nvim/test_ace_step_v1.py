"""Every task of ACE-Step v1 from a real Neovim: one editor, one warm worker, a tiny checkpoint."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.checkpoints import ace_step_v1
from tests.nvim.conftest import neovims
from tests.nvim.editor import Editor, Home

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
SECONDS = 120.0
FRAMES_PER_SEC = 44100 / 4096
Track = dict[str, Any]


class Room:
    """A Neovim with v1 installed and chosen, and a look at what it made."""

    def __init__(self, program: Path, home: Home) -> None:
        self.home = home
        self.editor = Editor(program, home, {"playback": {"auto_play": False}})
        self.editor.watch()

    def command(self, words: str) -> Track:
        """Types `:Lofi generate` with these words; returns the finished track."""
        self.editor.lua("_G.seen.events = {}")
        self.editor.command(f"Lofi generate {words} infer_steps=4 save_latents=true")
        made = self.editor.event("generation_complete", SECONDS)
        found = self.editor.call("track", made["track_id"])
        return {**found["track"], "recipe": found["recipe"]}

    def api(self, **params: Any) -> Track:
        """Calls `require('lofi').generate` and waits for the track."""
        track: Track = self.editor.call(
            "generate", {"infer_steps": 4, "save_latents": True, **params}, seconds=SECONDS
        )
        return track


def sound(track: Track) -> NDArray[np.int16]:
    samples, rate = soundfile.read(track["path"], dtype="int16")
    assert rate == 48000 and samples.shape[1] == 2
    assert np.abs(samples.astype(int)).max() > 100
    return np.asarray(samples)


def latents(track: Track) -> Tensor:
    """[8, 16, T]."""
    path = Path(track["path"]).with_name(f"{track['track_id']}.latents.safetensors")
    found: Tensor = load_file(path)["latents"][0]
    return found


def change(made: Track, before: Track) -> Tensor:
    """The largest difference of each latent frame, [T]."""
    return (latents(made) - latents(before)).abs().amax(dim=(0, 1))


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    home = Home()
    models = ace_step_v1.write_checkpoint(tmp_path_factory.mktemp("v1"))
    home.environment["LOFI_ACE_STEP_MODEL_PATH"] = str(models)
    opened = Room(next(iter(neovims().values())), home)
    yield opened
    opened.editor.close()
    home.close()


@pytest.fixture(scope="module")
def song(room: Room) -> Track:
    """Chosen once as a newcomer does, then made without naming the backend."""
    room.editor.command("Lofi config backend ace-step")
    return room.command("rain on a window, felt piano seed=3 5")


def test_text2music(room: Room, song: Track) -> None:
    assert (song["backend"], song["seed"], song.get("parent")) == ("ace_step", 3, None)
    assert song["model_version"].startswith("ace-step-v1-3.5b+"), "own weights, own tracks"
    assert (song["recipe"]["lyrics"], song["recipe"]["guidance_scale"]) == ("[inst]", 15)
    samples = sound(song)
    assert len(samples) == 5 * 48000
    again = room.command("rain on a window, felt piano seed=3 force=true 5")
    assert again["track_id"] == song["track_id"]
    assert np.array_equal(sound(again), samples), "the same seed, the same music"
    assert not np.array_equal(sound(room.command("rain on a window, felt piano seed=4 5")), samples)
    phases = [item["phase"] for item in room.editor.events("generation_progress")]
    assert phases == sorted(
        phases, key=["loading", "encoding", "diffusion", "decoding", "writing"].index
    )


def test_takes_of_a_batch_equal_single_requests(room: Room, song: Track) -> None:
    room.editor.lua("_G.seen.events = {}")
    room.editor.command(
        "Lofi generate rain on a window, felt piano seed=2 batch_size=2 force=true "
        "infer_steps=4 save_latents=true 5"
    )
    take = room.editor.event("generation_complete", SECONDS, track_id=song["track_id"])
    assert np.array_equal(sound(take), sound(room.api(prompt=song["prompt"], seed=3,
                                                      duration_sec=5, force=True)))  # fmt: skip


def test_retake(room: Room, song: Track) -> None:
    def retake(variance: float) -> Track:
        return room.command(
            f"task=retake source={song['track_id']} retake_variance={variance} retake_seed=9"
        )

    same, near, far = retake(0.0), retake(0.2), retake(1.0)
    assert same["parent"] == song["track_id"] != same["track_id"]
    assert np.array_equal(sound(same), sound(song)), "no variance, no change"
    assert 0 < change(near, song).mean() < change(far, song).mean()


def test_repaint(room: Room, song: Track) -> None:
    def repaint(variance: float) -> Track:
        return room.command(
            f"loud drums task=repaint source={song['track_id']} repaint_start=1 repaint_end=3 "
            f"retake_variance={variance} seed=5"
        )

    kept, made = repaint(0.0), repaint(1.0)
    start, stop = int(1 * FRAMES_PER_SEC), int(3 * FRAMES_PER_SEC)
    changed = change(made, kept)
    assert changed[start:stop].min() > 0.01
    assert changed[:start].max() < 1e-5 and changed[stop:].max() < 1e-5
    assert made["parent"] == song["track_id"] and len(sound(made)) == 5 * 48000


@pytest.mark.parametrize(
    ("left", "right"), [(0, 3), (2, 0), (1.5, 7)], ids=["right", "left", "both"]
)
def test_extend(left: float, right: float, room: Room, song: Track) -> None:
    longer = room.command(
        f"slow piano task=extend source={song['track_id']} seed=5 "
        f"extend_left_sec={left} extend_right_sec={right}"
    )
    assert len(sound(longer)) == round((5 + left + right) * 48000)
    source = latents(room.api(prompt="x", task="audio2audio", source=song["track_id"],
                              ref_audio_strength=1.0))  # fmt: skip
    first = -(-int(left * 44100) // 4096)
    kept = latents(longer)[..., first : first + source.shape[-1]]
    # away from the ends, where the codec sees what lies beside
    torch.testing.assert_close(kept[..., 8:40], source[..., 8:40], rtol=0, atol=0.05)


def test_edit(room: Room, song: Track) -> None:
    def edit(words: str) -> Track:
        return room.command(f"loud drums task=edit source={song['track_id']} seed=5 {words}")

    untouched = edit("edit_n_min=1 edit_n_max=1")
    little, remix = edit("edit_type=only_lyrics"), edit("edit_type=remix edit_n_avg=2")
    assert little["recipe"]["edit_source_prompt"] == song["prompt"], "described by its recipe"
    assert change(little, untouched).mean() > 0
    assert not np.array_equal(sound(remix), sound(little))


def test_audio2audio(room: Room, song: Track, tmp_path: Path) -> None:
    path = tmp_path / "a song.flac"  # a file of another rate, mono, a blank in its name
    soundfile.write(path, sound(song)[::2, 0], 24000)

    def near(strength: float) -> Track:
        return room.command(
            f"loud drums task=audio2audio source='{path}' seed=5 ref_audio_strength={strength}"
        )

    whole, strong, weak = near(1.0), near(0.7), near(0.1)
    assert change(strong, whole).mean() < change(weak, whole).mean()
    assert "parent" not in whole and len(sound(whole)) == 5 * 48000


def test_lora(room: Room, song: Track) -> None:
    generator = torch.Generator().manual_seed(1)
    tensors = {}
    for part in ("attn.to_q", "attn.to_v", "cross_attn.to_k", "cross_attn.to_out.0"):
        name = f"transformer_blocks.3.{part}"
        tensors[f"{name}.lora_A.weight"] = torch.randn(4, 16, generator=generator)
        tensors[f"{name}.lora_B.weight"] = torch.randn(16, 4, generator=generator)
    cache = Path(room.home.environment["XDG_CACHE_HOME"])
    folder = cache / "lofi.nvim" / "lora" / "vinyl"
    folder.mkdir(parents=True)
    save_file(tensors, folder / "pytorch_lora_weights.safetensors")
    asked = {"prompt": song["prompt"], "seed": 3, "duration_sec": 5}

    def adapted(scale: float) -> Track:
        return room.api(loras=[{"name": "vinyl", "scale": scale}], **asked)

    half, full, none = adapted(0.5), adapted(1.0), adapted(0.0)
    assert change(half, song).mean() > 0
    assert len({half["track_id"], full["track_id"], none["track_id"], song["track_id"]}) == 4
    assert not np.array_equal(sound(half), sound(full))
    assert np.array_equal(sound(none), sound(song))
    adapted(1.0)
    assert np.array_equal(sound(room.api(force=True, **asked)), sound(song)), "taken out exactly"
    with pytest.raises(AssertionError, match="INVALID_LORA"):
        room.api(loras=[{"name": "shellac"}], **asked)
    shutil.rmtree(folder)
