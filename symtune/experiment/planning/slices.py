"""The accelerators that a plan can be made for, by their names in the clouds."""

import dataclasses
import os
import re
from collections.abc import Mapping

from symtune.errors import SymtuneError, did_you_mean


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chip:
  """One kind of accelerator, as JAX sees it.

  Attributes:
    memory: bytes of one JAX device.
    flops: dense bfloat16 peak of one JAX device, per second.
    names_per_device: how much one JAX device adds to the number in a slice's name.
    devices_per_host: most JAX devices on one host.
  """

  memory: int
  flops: float
  names_per_device: int = 1
  devices_per_host: int = 8


_GIB, _GB = 2**30, 10**9
# TPU: cloud.google.com/tpu/docs, one page per generation. The number of a v2, v3, v4 or
# v5p slice counts TensorCores, two per chip; JAX shows a v4 or v5p chip as one device.
# GPU: the vendors' data sheets, without sparsity.
_CHIPS: Mapping[str, Chip] = {
  "v2": Chip(memory=8 * _GIB, flops=22.5e12),
  "v3": Chip(memory=16 * _GIB, flops=61.5e12),
  "v4": Chip(memory=32 * _GIB, flops=275e12, names_per_device=2, devices_per_host=4),
  "v5e": Chip(memory=16 * _GIB, flops=197e12, devices_per_host=4),
  "v5litepod": Chip(memory=16 * _GIB, flops=197e12, devices_per_host=4),
  "v5p": Chip(memory=95 * _GIB, flops=459e12, names_per_device=2, devices_per_host=4),
  "v6e": Chip(memory=32 * _GIB, flops=918e12, devices_per_host=4),
  "a100_40gb": Chip(memory=40 * _GB, flops=312e12),
  "a100": Chip(memory=80 * _GB, flops=312e12),
  "h100": Chip(memory=80 * _GB, flops=989e12),
  "h200": Chip(memory=141 * _GB, flops=989e12),
  # Cards of workstations and small servers; sums are kept in float32.
  "l4": Chip(memory=24 * _GB, flops=121e12),
  "a10": Chip(memory=24 * _GB, flops=125e12),
  "rtx3090": Chip(memory=24 * _GB, flops=71e12),
  "rtx4090": Chip(memory=24 * _GB, flops=165e12),
  "rtx5090": Chip(memory=32 * _GB, flops=209e12),
}

_CPU = "cpu"
# Float32, of one core with AVX2 at 2.5 GHz; wider or faster cores do more.
_CORE_FLOPS = 80e9


@dataclasses.dataclass(frozen=True, kw_only=True)
class Slice:
  """Devices that work on one run.

  Attributes:
    name: such as "v4-32" or "h100-8".
    devices: number of JAX devices.
    memory: bytes of each device.
    flops: dense bfloat16 peak of each device, per second.
    devices_per_host: devices on one host, which may share parameters.
  """

  name: str
  devices: int
  memory: int
  flops: float
  devices_per_host: int


def find_slice(name: str) -> Slice:
  """The devices of a slice, by name.

  Args:
    name: a kind and a number: "v4-32" (32 TensorCores, 16 chips), "v5e-16", "h100-8",
      or "cpu-2" for two cores of this machine, with all of its memory.

  Raises:
    SymtuneError: an unknown kind, or a number that is not one of its sizes.
  """
  match = re.fullmatch(r"([a-z0-9_]+)-(\d+)", name.lower())
  if match and match[1] == _CPU and int(match[2]) > 0:
    return _this_machine(name, int(match[2]))
  chip = _CHIPS.get(match[1]) if match else None
  if match is None or chip is None:
    raise SymtuneError(
      f"--slice: got {name!r}, expected a kind and a number such as v4-32 or h100-8. "
      f"Kinds: {', '.join((*_CHIPS, _CPU))}."
      f"{did_you_mean(name.lower().partition('-')[0], _CHIPS)}"
    )
  count = int(match[2])
  if count < chip.names_per_device or count % chip.names_per_device:
    raise SymtuneError(
      f"--slice: got {name!r}, expected a multiple of {chip.names_per_device} for "
      f"{match[1]}, whose number counts TensorCores."
    )
  return Slice(
    name=name,
    devices=count // chip.names_per_device,
    memory=chip.memory,
    flops=chip.flops,
    devices_per_host=min(chip.devices_per_host, count // chip.names_per_device),
  )


def _this_machine(name: str, cores: int) -> Slice:
  """Cores of this machine, which JAX shows as one device."""
  memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
  return Slice(
    name=name,
    devices=1,
    memory=memory,
    flops=cores * _CORE_FLOPS,
    devices_per_host=1,
  )
