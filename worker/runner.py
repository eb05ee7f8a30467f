"""The only code that touches the device: slots, gather, forward, update, scatter.

States, positions, plan tables and noise keys live on the device, so a step uploads nothing but
which slots it is for, and reads nothing back.
"""

import time
from collections import Counter
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from models.diffusion import per_row, reverse_step
from models.noise import Purpose, normal
from models.pixels import to_uint8
from models.plan import COLUMNS, Plan
from worker.cuda import Graphs, Landing
from worker.row import Broken, Pixels, Row

MEASURED_STEPS = 4


class Net(Protocol):
    """What the runner asks of a network: see `models.sampling_net.SamplingNet`."""

    shape: tuple[int, int, int]
    T: int
    none: int  # the number of no class

    def __call__(self, x_t: Tensor, t: Tensor, y: Tensor) -> Tensor:
        """float32 (B, C, H, W), int64 (B,), class numbers (B,) -> eps like x_t."""


class TorchRunner:
    """Fixed slots for the states of many rows, and one more that padding works on.

    A step takes up to sizes[0] rows, padded to the smallest of the sizes that holds them; every
    size must round like the largest (see `chunks`), so a row's pixels do not tell its neighbours.
    """

    def __init__(
        self, net: Net, *, device: str, slots: int, sizes: tuple[int, ...], graphed: bool = False
    ) -> None:
        self.slots, self.width = slots, sizes[0]
        self._sizes = tuple(sorted(sizes))
        self._net, self._shape = net, net.shape
        self._device = torch.device(device)
        self._scratch = slots
        self._x, self._x0 = self._zeros(*net.shape), self._zeros(*net.shape)
        self._seed, self._index = self._zeros(dtype=torch.int64), self._zeros(dtype=torch.int64)
        self._position, self._plan = self._zeros(dtype=torch.int64), self._zeros(dtype=torch.int64)
        self._class, self._guidance = self._zeros(dtype=torch.int64), self._zeros()
        self._class += net.none
        self._free = list(range(slots))
        self._tables = _PlanTables(slots, net.T, self._device)
        self._take = Graphs(self._advance, self._scratch) if graphed else self._advance
        self.step_s: Mapping[int, float] = dict.fromkeys(sizes, 1.0)

    @torch.inference_mode()
    def measure(self) -> None:
        """Find out what a step of each size takes, on padding; until then all count as equal."""
        self.step_s = {size: self._seconds(size) for size in self._sizes}

    @torch.inference_mode()
    def admit(self, row: Row) -> None:
        """Give a row a slot, its plan, its noise key and its first state."""
        slot, start, number = self._free.pop(), row.start, row.class_number
        row.slot = slot
        for values, value in (
            (self._plan, self._tables.acquire(row.ticket.plan)),
            (self._position, row.position),
            (self._seed, row.ticket.seed),
            (self._index, row.index if start is None else start.noise_index),
            (self._class, self._net.none if number is None else number),
            (self._guidance, row.ticket.guidance),
            (self._x0, 0.0),
        ):
            values[slot].fill_(value)  # an assignment would wait for the device
        self._x[slot] = self._x_T(slot) if start is None else start.x_t

    @torch.inference_mode()
    def step(self, rows: list[Row]) -> None:
        """Take up to `width` rows one position further."""
        slots = self._upload(self._padded([row.slot for row in rows], self._scratch))
        noisy = any(row.ticket.plan.stochastic for row in rows)
        guided = [place for place, row in enumerate(rows) if row.guided]
        if guided:  # not as a graph: there would be one for every number of them
            self._advance(slots, noisy=noisy, guided=self._upload(self._padded(guided, guided[0])))
        else:
            self._take(slots, noisy=noisy)

    @torch.inference_mode()
    def collect(self, rows: list[Row]) -> list[Pixels]:
        """The finished rows' images: what numpy makes uint8 (H, W, C) of. Their slots are free.

        It raises NotFinite for one whose chain left the numbers.
        """
        images = self._images(self._x, rows, finite=True)
        for row in rows:
            self.release(row)
        return images

    @torch.inference_mode()
    def preview(self, rows: list[Row]) -> list[Pixels]:
        """What rows under way look like by now, their last x0_hat, as `collect` gives images."""
        return self._images(self._x0, rows)

    def release(self, row: Row) -> None:
        """Free a row's slot and its hold on the plan."""
        self._tables.release(row.ticket.plan)
        self._free.append(row.slot)
        row.slot = -1

    def state(self, row: Row) -> Tensor:
        """(C, H, W) a view of a running row's x, for tests and agreement checks."""
        return self._x[row.slot]

    def _images(self, states: Tensor, rows: list[Row], *, finite: bool = False) -> list[Pixels]:
        if not rows:
            return []
        x = states[self._upload([row.slot for row in rows])]
        good = x.isfinite().flatten(1).all(1) if finite else torch.ones_like(x[:, 0, 0, 0]).bool()
        pixels = to_uint8(x).permute(0, 2, 3, 1).contiguous()
        if pixels.is_cuda:
            landing = Landing(pixels, good)
            return [landing.image(i) for i in range(len(rows))]
        return [
            image if fine else Broken()
            for image, fine in zip(pixels.numpy(), good.tolist(), strict=True)
        ]

    def _x_T(self, slot: int) -> Tensor:  # noqa: N802
        """(C, H, W) by the slot's noise key."""
        one = slice(slot, slot + 1)
        zero = torch.zeros(1, dtype=torch.int64, device=self._device)
        key = self._seed[one], self._index[one], zero
        return normal(*key, Purpose.FIRST_STATE, self._shape)[0]

    def _advance(self, slots: Tensor, *, noisy: bool, guided: Tensor | None = None) -> None:
        position = self._position[slots]
        coefficients = self._tables.lines(self._plan[slots], position)  # (M, 9)
        x, t = self._x[slots], coefficients[:, 0].long()
        eps = self._net(x, t, self._class[slots])
        if guided is not None:
            weight = self._guidance[slots[guided]]
            eps[guided] = self._toward_class(eps[guided], x[guided], t[guided], weight)
        noise = None
        if noisy:  # s is 0 in every other row, so leaving the noise out changes nothing
            noise = normal(
                self._seed[slots], self._index[slots], position, Purpose.STEP, self._shape
            )
        x, x0 = reverse_step(coefficients, x, eps, self._x0[slots], noise)
        self._x[slots], self._x0[slots] = x, x0
        self._position[slots] = position + 1
        self._position[self._scratch].zero_()  # assigning a number copies it there: not in a graph

    def _toward_class(self, eps: Tensor, x: Tensor, t: Tensor, weight: Tensor) -> Tensor:
        """eps_none + w (eps_class - eps_none): classifier-free guidance (Ho & Salimans 2022)."""
        none = self._net(x, t, torch.full_like(t, self._net.none))
        return none + per_row(weight) * (eps - none)

    def _padded(self, numbers: list[int], filler: int) -> list[int]:
        """Up to the smallest chunk size that holds them."""
        size = next(size for size in self._sizes if size >= len(numbers))
        return numbers + [filler] * (size - len(numbers))

    def _seconds(self, size: int) -> float:
        """The best of a few steps: what gets in the way of one is no property of its size."""
        slots = self._upload([self._scratch] * size)
        self._take(slots, noisy=True)  # not counted, but graphs and kernels are there afterwards
        taken = []
        for _ in range(1 + MEASURED_STEPS):
            started = time.perf_counter()
            self._take(slots, noisy=False)
            if self._device.type == "cuda":
                torch.cuda.synchronize()
            taken.append(time.perf_counter() - started)
        return min(taken[1:])

    def _upload(self, slots: list[int]) -> Tensor:
        """Without waiting for what the device is still doing."""
        if self._device.type == "cpu":
            return torch.tensor(slots)
        return torch.tensor(slots, pin_memory=True).to(self._device, non_blocking=True)

    def _zeros(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.zeros(self.slots + 1, *shape, dtype=dtype, device=self._device)


class _PlanTables:
    """Plans in use, on the device, counted by the rows that use them; line 0 is padding's."""

    def __init__(self, plans: int, T: int, device: torch.device) -> None:  # noqa: N803
        self._tables = torch.zeros(plans + 1, T, len(COLUMNS), device=device)
        self._free = list(range(1, plans + 1))
        self._numbers: dict[Plan, int] = {}
        self._users: Counter[Plan] = Counter()

    def acquire(self, plan: Plan) -> int:
        """The plan's number, uploading it where no row uses it yet."""
        if plan not in self._numbers:
            number = self._numbers[plan] = self._free.pop()
            self._tables[number, : plan.steps] = torch.from_numpy(plan.table).to(self._tables)
        self._users[plan] += 1
        return self._numbers[plan]

    def release(self, plan: Plan) -> None:
        """One user fewer; the number is free with the last."""
        self._users[plan] -= 1
        if self._users[plan] == 0:
            del self._users[plan]
            self._free.append(self._numbers.pop(plan))

    def lines(self, numbers: Tensor, positions: Tensor) -> Tensor:
        """(M,), (M,) -> (M, 9): each row's coefficients."""
        return self._tables[numbers, positions]
