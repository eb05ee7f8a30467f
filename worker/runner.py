"""The only code that touches the device: slots, gather, forward, update, scatter.

States, positions, plan tables and noise keys live on the device, so a step uploads nothing but
which slots it is for, and reads nothing back.
"""

from collections import Counter

import torch
from torch import Tensor

from models.diffusion import reverse_step
from models.noise import Purpose, normal
from models.pixels import to_uint8
from models.plan import COLUMNS, Plan
from models.unet import UNet
from worker.row import Pixels, Row


class TorchRunner:
    """Fixed slots for `capacity` rows, and one more that padding works on.

    A step of any number of rows runs as chunks of the sizes given, padded; every size must round
    like the largest (see `chunks`), which makes a row's pixels independent of its neighbours.
    """

    def __init__(self, net: UNet, *, device: str, capacity: int, sizes: tuple[int, ...]) -> None:
        self.capacity = capacity
        self.sizes = tuple(sorted(sizes, reverse=True))
        self.shape = net.config.image_shape
        self._net = net.to(device).eval()
        self._device = torch.device(device)
        self._scratch = capacity
        self._x = self._zeros(*self.shape)
        self._x0 = self._zeros(*self.shape)
        self._seed, self._index = self._zeros(dtype=torch.int64), self._zeros(dtype=torch.int64)
        self._position, self._plan = self._zeros(dtype=torch.int64), self._zeros(dtype=torch.int64)
        self._free = list(range(capacity))
        self._tables = _PlanTables(capacity, self._device)

    @torch.inference_mode()
    def admit(self, row: Row) -> None:
        """Give a row a slot, its plan, its noise key and x_T."""
        slot = row.slot = self._free.pop()
        self._plan[slot] = self._tables.acquire(row.ticket.plan)
        self._position[slot] = row.position
        self._seed[slot], self._index[slot] = row.ticket.seed, row.index
        one = slice(slot, slot + 1)
        zero = torch.zeros(1, dtype=torch.int64, device=self._device)
        self._x[one] = normal(
            self._seed[one], self._index[one], zero, Purpose.FIRST_STATE, self.shape
        )
        self._x0[one] = 0.0

    @torch.inference_mode()
    def step(self, rows: list[Row]) -> None:
        """Take every row one position further, in chunks."""
        start = 0
        for size in cover(len(rows), self.sizes):
            chunk = rows[start : start + size]
            padding = [self._scratch] * (size - len(chunk))
            slots = torch.tensor([row.slot for row in chunk] + padding, device=self._device)
            self._step_chunk(slots, noisy=any(row.ticket.plan.stochastic for row in chunk))
            start += size

    @torch.inference_mode()
    def collect(self, rows: list[Row]) -> list[Pixels]:
        """The finished rows' images as uint8 (H, W, C) arrays; their slots are free afterwards."""
        if not rows:
            return []
        slots = torch.tensor([row.slot for row in rows], device=self._device)
        pixels = to_uint8(self._x[slots]).permute(0, 2, 3, 1).cpu().numpy()
        for row in rows:
            self.release(row)
        return list(pixels)

    def release(self, row: Row) -> None:
        """Free a row's slot and its hold on the plan."""
        self._tables.release(row.ticket.plan)
        self._free.append(row.slot)
        row.slot = -1

    def state(self, row: Row) -> Tensor:
        """(C, H, W) a view of a running row's x, for tests and agreement checks."""
        return self._x[row.slot]

    def _step_chunk(self, slots: Tensor, *, noisy: bool) -> None:
        position = self._position[slots]
        coefficients = self._tables.lines(self._plan[slots], position)  # (M, 9)
        x = self._x[slots]
        eps = self._net(x, coefficients[:, 0].long())
        noise = None
        if noisy:  # s is 0 in every other row, so leaving the noise out changes nothing
            noise = normal(
                self._seed[slots], self._index[slots], position, Purpose.STEP, self.shape
            )
        x, x0 = reverse_step(coefficients, x, eps, self._x0[slots], noise)
        self._x[slots], self._x0[slots] = x, x0
        self._position[slots] = position + 1
        self._position[self._scratch] = 0

    def _zeros(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.zeros(self.capacity + 1, *shape, dtype=dtype, device=self._device)


class _PlanTables:
    """Plans in use, on the device, counted by the rows that use them; line 0 is padding's."""

    def __init__(self, capacity: int, device: torch.device) -> None:
        self._tables = torch.zeros(capacity + 1, 1, len(COLUMNS), device=device)
        self._free = list(range(1, capacity + 1))
        self._numbers: dict[Plan, int] = {}
        self._users: Counter[Plan] = Counter()

    def acquire(self, plan: Plan) -> int:
        """The plan's number, uploading it where no row uses it yet."""
        if plan not in self._numbers:
            number = self._numbers[plan] = self._free.pop()
            self._make_room(plan.steps)
            table = torch.from_numpy(plan.table).to(self._tables)
            self._tables[number, : plan.steps] = table
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

    def _make_room(self, steps: int) -> None:
        """Lengthen all tables; happens once for the longest chain."""
        missing = steps - self._tables.shape[1]
        if missing > 0:
            self._tables = torch.nn.functional.pad(self._tables, (0, 0, 0, missing))


def cover(rows: int, sizes: tuple[int, ...]) -> list[int]:
    """Chunk sizes (given largest first) for a number of rows, with the least padding.

    Whole chunks of the largest size; the rest takes the smallest size that holds it.
    """
    full, rest = divmod(rows, sizes[0])
    return [sizes[0]] * full + ([min(s for s in sizes if s >= rest)] if rest else [])
