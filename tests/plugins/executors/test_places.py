"""How many cells run at once, and where: on machines that are only described."""

from __future__ import annotations

import pytest

from codrun_executors.places import Gpu, capacities, cells_in, names_of_gpus, spread
from codrun_executors.room import Room, room_on_cpu, room_on_gpus

GB = 1_000_000_000


def gpus(*free: float | None) -> list[Gpu]:
    return [Gpu(number, str(number), None if each is None else int(each * GB)) for number, each in enumerate(free)]


@pytest.mark.parametrize(
    ("visible", "count", "names"),
    [
        (None, 3, ["0", "1", "2"]),
        ("2,0", 2, ["2", "0"]),
        (" GPU-8f6d , MIG-1a2b/3/0", 2, ["GPU-8f6d", "MIG-1a2b/3/0"]),
        ("1,-1,0", 1, ["1"]),  # CUDA reads up to the first that there is not
        ("", 0, []),
    ],
)
def test_gpus_are_called_what_the_variable_calls_them(visible: str | None, count: int, names: list[str]) -> None:
    assert names_of_gpus(visible, count) == names


def test_cells_that_fit_into_memory() -> None:
    assert cells_in(10 * GB, 2 * GB, GB) == 3, "of nine tenths of ten, three each"
    assert cells_in(2 * GB, 2 * GB, GB) == 0
    assert cells_in(None, 2 * GB, GB) is None
    assert cells_in(10 * GB, None, GB) is None


def test_a_gpu_has_room_for_what_its_memory_holds() -> None:
    # each cell takes 2 GB and 0.6 GB of CUDA's own, of nine tenths of what is free
    assert capacities(gpus(24, 8, 2), 2 * GB, None) == [8, 2, 0]
    assert capacities(gpus(24, 8, 2), 2 * GB, 3) == [3, 3, 3], "the recipe knows better"
    assert capacities(gpus(24, None), 2 * GB, None) == [8, 1], "unknown: one"
    assert capacities(gpus(24, 8), None, None) == [1, 1], "a cell of an unknown size: one"
    assert capacities(gpus(1, 2, 1), 2 * GB, None) == [0, 1, 0], "none fits: one where there is most"
    assert capacities([], 2 * GB, None) == []


def test_gpus_are_filled_evenly() -> None:
    assert spread([2, 2, 2], 4) == [0, 1, 2, 0]
    assert spread([3, 1, 0, 2], 6) == [0, 1, 3, 0, 3, 0]
    assert spread([2, 1], 5) == [0, 1, 0, 0, 1], "more than there is room for: again from the start"
    assert spread([1], 3) == [0, 0, 0]
    assert spread([1, 1], 0) == []


def test_on_a_cpu_each_cell_has_a_core_and_its_memory() -> None:
    assert room_on_cpu("cpu", 64 * GB, None, 8).at_once == 8
    assert room_on_cpu("cpu", 64 * GB, 2 * GB, 8).at_once == 8
    assert room_on_cpu("cpu", 10 * GB, 2 * GB, 8).at_once == 3
    assert room_on_cpu("cpu", GB, 2 * GB, 8).at_once == 1, "one always runs"


def test_where_memory_decides_it_is_said() -> None:
    room = room_on_cpu("cpu", 10 * GB, 2 * GB, 8)
    why = "a cell takes up to 2.0 GB, its process 0.5 GB, and 10.0 GB are free"
    assert room.sentence(3, 20) == f"3 at once, not 8, for want of memory: {why}"
    assert room.sentence(3, 5) == f"3 at once, not 5, for want of memory: {why}"
    assert room.sentence(6, 20) == f"6 cells at once may run out of memory: {why}, which is room for 3"
    assert room.sentence(3, 3) is None, "all run at once"
    assert room.sentence(2, 20) is None, "--jobs decides"
    assert room_on_cpu("cpu", 64 * GB, 2 * GB, 8).sentence(8, 20) is None


def placed(room: Room, jobs: int) -> list[tuple[str | None, str | None]]:
    return [
        (place.gpu and place.gpu.name, place.environment.get("CUDA_VISIBLE_DEVICES")) for place in room.places(jobs)
    ]


def test_several_gpus_are_each_all_that_their_workers_see() -> None:
    room = room_on_gpus("cuda", [Gpu(0, "GPU-8f"), Gpu(1, "MIG-1a")], None, None, 8, None)
    assert (room.at_once, room.device) == (2, "cuda")
    assert placed(room, 2) == [("GPU-8f", "GPU-8f"), ("MIG-1a", "MIG-1a")]
    assert placed(room, 3)[2] == ("GPU-8f", "GPU-8f"), "more --jobs than room"
    assert placed(room, 1) == [("GPU-8f", "GPU-8f")]
    assert {place.environment["RAYON_NUM_THREADS"] for place in room.places(3)} == {"1"}


def test_one_gpu_is_shared_under_the_name_that_it_has_here() -> None:
    """So that the run's own process may use it too, with one job."""
    room = room_on_gpus("cuda:1", [Gpu(1, "1", 24 * GB)], 2 * GB, None, 16, None)
    assert (room.at_once, room.device, placed(room, 2)) == (8, "cuda:1", [(None, None)] * 2)
    room = room_on_gpus("cuda", [Gpu(3, "GPU-8f", 24 * GB)], 2 * GB, None, 16, None)
    assert (room.at_once, room.device) == (8, "cuda:3")


def test_gpus_are_bounded_by_cores_and_by_the_machine_s_memory() -> None:
    assert room_on_gpus("cuda", gpus(80, 80), 2 * GB, None, 16, None).at_once == 16
    assert room_on_gpus("cuda", gpus(80, 80), 2 * GB, 12, 16, None).at_once == 24, "the recipe knows better"
    assert room_on_gpus("cuda", gpus(80, 80, 80, 80), 30 * GB, None, 2, None).at_once == 4, "one on each, fewer cores"
    room = room_on_gpus("cuda", gpus(80, 80), 2 * GB, None, 16, 9 * GB)
    assert room.at_once == 4
    assert room.sentence(4, 20) == (
        "4 at once, not 16, for want of memory: a process with CUDA takes about 2.0 GB of the machine's, and 9.0 GB "
        "are free"
    )


def test_where_a_gpu_s_memory_decides_it_is_said() -> None:
    room = room_on_gpus("cuda", gpus(24, 8, 2), 4 * GB, None, 16, None)
    why = "a cell takes up to 4.0 GB, and a GPU has at most 24.0 GB free"
    assert (room.at_once, room.rooms) == (5, (4, 1, 0))
    assert room.sentence(5, 20) == f"5 at once, not 16, for want of memory: {why}"
    assert room_on_gpus("cuda", gpus(80, 80), None, None, 16, None).sentence(2, 20) is None, "a cell of an unknown size"
