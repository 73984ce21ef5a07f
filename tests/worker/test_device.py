"""Devices and precision, for machines that are not at hand as well."""

from __future__ import annotations

import json
import os

import pytest
import torch
from torch import Tensor

from lofi.errors import DeviceUnavailable
from lofi.worker import device as devices
from lofi.worker.device import (
    MPS_CONV_LIMIT,
    SELF_TESTS,
    choose,
    policy,
    policy_for,
    probe,
    self_test,
    thread_count,
)

BF16, FP32 = torch.bfloat16, torch.float32


@pytest.mark.parametrize(
    ("wanted", "available", "expected"),
    [
        ("auto", ["cuda:0", "cuda:1", "cpu"], "cuda:0"),
        ("auto", ["mps", "cpu"], "mps"),
        ("auto", ["cpu"], "cpu"),
        ("cuda", ["cuda:0", "cuda:1", "cpu"], "cuda:0"),
        ("cuda:1", ["cuda:0", "cuda:1", "cpu"], "cuda:1"),
        ("metal", ["mps", "cpu"], "mps"),
        ("xpu", ["xpu:0", "cpu"], "xpu:0"),
        ("CPU ", ["cuda:0", "cpu"], "cpu"),
    ],
)
def test_choosing_a_device(wanted: str, available: list[str], expected: str) -> None:
    assert choose(wanted, available) == expected


@pytest.mark.parametrize("wanted", ["cuda", "cuda:3", "mps", "tpu", ""])
def test_a_device_that_is_not_there_is_never_replaced(wanted: str) -> None:
    with pytest.raises(DeviceUnavailable) as caught:
        choose(wanted, ["cpu"])
    assert "cpu" in caught.value.hint and caught.value.data["devices"] == ["cpu"]


@pytest.mark.parametrize(
    ("device", "backend", "bf16", "is_fast", "dtype", "codec"),
    [
        ("cuda:0", "ace_step_15", None, True, BF16, BF16),
        ("cuda:0", "ace_step_15", None, False, FP32, FP32),
        ("cuda:0", "ace_step_15", False, True, FP32, FP32),
        ("cuda:0", "ace_step", None, True, BF16, BF16),
        ("xpu:0", "ace_step_15", None, True, BF16, BF16),
        ("cpu", "ace_step_15", None, True, BF16, BF16),
        ("cpu", "ace_step_15", None, False, FP32, FP32),
        ("cpu", "ace_step", None, True, FP32, FP32),
        ("cpu", "ace_step", True, True, BF16, BF16),
        ("mps", "ace_step_15", None, True, BF16, FP32),
        ("mps", "ace_step_15", None, False, FP32, FP32),
        ("mps", "ace_step", None, True, FP32, FP32),
        ("mps", "ace_step", True, True, BF16, FP32),
    ],
)
def test_precision(
    device: str,
    backend: str,
    bf16: bool | None,
    is_fast: bool,
    dtype: torch.dtype,
    codec: torch.dtype,
) -> None:
    found = policy_for(device, backend, bf16, has_fast_bf16=is_fast)
    assert (found.dtype, found.codec_dtype) == (dtype, codec)
    assert torch.float16 not in (found.dtype, found.codec_dtype)


@pytest.mark.parametrize(
    ("device", "backend", "is_fast", "warns"),
    [
        ("cpu", "ace_step", True, True),
        ("mps", "ace_step", True, True),
        ("cuda:0", "ace_step_15", False, True),
        ("cuda:0", "ace_step_15", True, False),
        ("cpu", "ace_step_15", True, False),
    ],
)
def test_asking_for_bf16_where_it_is_not_good_warns(
    device: str, backend: str, is_fast: bool, warns: bool
) -> None:
    found = policy_for(device, backend, True, has_fast_bf16=is_fast)
    assert found.dtype is BF16
    assert [notice.code for notice in found.warnings] == (["DEGRADED"] if warns else [])


def test_the_policy_of_apple_devices() -> None:
    old = policy_for("mps", "ace_step_15", None, has_fast_bf16=True, system_version=(14, 6))
    new = policy_for("mps", "ace_step_15", None, has_fast_bf16=True, system_version=(15, 1))
    assert (old.dtype, old.codec_dtype) == (new.dtype, new.codec_dtype) == (BF16, FP32)
    assert (old.conv_limit, new.conv_limit) == (MPS_CONV_LIMIT, None)
    elsewhere = policy_for("cuda:0", "ace_step_15", None, has_fast_bf16=True)
    assert elsewhere.conv_limit is None


def test_the_one_retry_is_float32_and_the_last_place_is_the_cpu() -> None:
    start = policy_for("mps", "ace_step_15", None, has_fast_bf16=True)
    precise = start.in_float32()
    assert (precise.dtype, precise.codec_dtype, precise.device) == (FP32, FP32, "mps")
    assert start.on_cpu().device == "cpu" and start.on_cpu().conv_limit is None
    assert (start.dtype_name, precise.dtype_name) == ("bfloat16", "float32")


def test_the_policy_of_this_machine() -> None:
    found = policy("cpu", "ace_step_15", None)
    assert found.dtype is (BF16 if devices.has_fast_bf16("cpu") else FP32)
    assert policy("cpu", "ace_step", None).dtype is FP32


def test_the_probe_is_json_and_ends_with_the_cpu() -> None:
    found = json.loads(json.dumps(probe()))
    assert found["torch"] == str(torch.__version__)
    assert found["devices"][-1]["id"] == "cpu"
    for device in found["devices"]:
        assert set(device) == {"id", "name", "memory_total_mb", "memory_free_mb", "bf16"}
        assert 0 < device["memory_free_mb"] <= device["memory_total_mb"]


def test_threads_are_the_cores_this_process_may_use() -> None:
    assert thread_count(3) == 3
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else {0}
    assert 1 <= thread_count(None) <= max(len(allowed), os.cpu_count() or 1)
    if hasattr(os, "sched_setaffinity"):
        try:
            os.sched_setaffinity(0, {min(allowed)})
            assert thread_count(None) == 1
        finally:
            os.sched_setaffinity(0, allowed)


def test_two_hardware_threads_of_a_core_count_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_allowed_cpus", lambda: {0, 1, 2, 3})
    monkeypatch.setattr(devices, "_core_of", lambda cpu: f"{cpu // 2}")
    monkeypatch.setattr(devices, "_cpu_quota", lambda: None)
    assert thread_count(None) == 2
    monkeypatch.setattr(devices, "_cpu_quota", lambda: 1.5)
    assert thread_count(None) == 1


def test_the_self_test_passes_where_it_is_measured() -> None:
    assert self_test("cpu") == []
    assert {"attention", "convolution", "transposed convolution", "gather"} <= set(SELF_TESTS)


def test_the_self_test_names_what_is_wrong_and_what_fails() -> None:
    def wrong(device: str) -> Tensor:
        return torch.ones(3) * (1.0 if device == "cpu" else 1.1)

    def failing(device: str) -> Tensor:
        if device != "cpu":
            raise NotImplementedError("convolution of more than 65536")
        return torch.ones(3)

    operations = {"wrong": wrong, "failing": failing, "right": lambda device: torch.ones(3)}
    assert self_test("mps", operations) == ["wrong", "failing"]
