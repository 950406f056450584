"""Batching of many clients' photos: answers, batch sizes, parallel calls, and the effect of one failure."""

from __future__ import annotations

import asyncio
import threading
import time

import numpy as np
import pytest

from slimline.stages.serving.batcher import Batcher, Full


class Network:
    """Returns each photo's number as its score, and records the sizes of batches and how many run at once."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.sizes: list[int] = []
        self._seconds, self._lock, self._now, self.at_once = seconds, threading.Lock(), 0, 0

    def __call__(self, encoded):
        with self._lock:
            self.sizes.append(len(encoded))
            self._now += 1
            self.at_once = max(self.at_once, self._now)
        time.sleep(self._seconds)
        with self._lock:
            self._now -= 1
        if b"bad" in encoded:
            raise RuntimeError("a bad batch")
        return np.array([[float(one)] for one in encoded])


def batcher(network, **settings):
    given = {"batch_size": 4, "wait_seconds": 0.02, "most_waiting": 100, "at_once": 1, **settings}
    return Batcher(network, **given)


def test_each_client_gets_its_own_answer():
    network = Network(0.002)

    async def run():
        async with batcher(network, at_once=2) as made:
            found = await asyncio.gather(*(made.scores(str(number).encode()) for number in range(50)))
        return [row[0] for row in found], made.answered

    assert asyncio.run(run()) == (list(range(50)), 50)
    assert sum(network.sizes) == 50
    assert max(network.sizes) == 4
    assert len(network.sizes) <= 15
    assert network.at_once == 2


def test_a_photo_without_others_does_not_wait():
    async def run():
        async with batcher(Network(), wait_seconds=60) as made:
            return await asyncio.wait_for(made.scores(b"1"), 5)

    assert asyncio.run(run()) == [1.0]


def test_photos_that_arrive_while_others_are_in_progress_share_a_batch():
    network = Network(0.2)

    async def later(made, number):
        await asyncio.sleep(0.01 * number)
        return await made.scores(str(number).encode())

    async def run():
        async with batcher(network, at_once=3, wait_seconds=0.1) as made:
            return await asyncio.gather(*(later(made, number) for number in range(5)))

    assert [row[0] for row in asyncio.run(run())] == list(range(5))
    assert network.sizes == [1, 4]


def test_a_batch_is_scored_when_no_more_photos_arrive():
    network = Network(0.5)

    async def run():
        async with batcher(network, at_once=2, wait_seconds=0.02) as made:
            first = asyncio.create_task(made.scores(b"1"))
            await asyncio.sleep(0.1)
            began = time.perf_counter()
            second = asyncio.create_task(made.scores(b"2"))
            while len(network.sizes) < 2:
                await asyncio.sleep(0.001)
            waited = time.perf_counter() - began
            await asyncio.gather(first, second)
        return waited

    assert 0.01 < asyncio.run(run()) < 0.3


def test_an_error_affects_only_its_own_batch():
    async def run():
        async with batcher(Network(), batch_size=2) as made:
            found = await asyncio.gather(*map(made.scores, (b"bad", b"1")), return_exceptions=True)
            later = await made.scores(b"7")
        return found, later

    found, later = asyncio.run(run())
    assert all(isinstance(one, RuntimeError) for one in found)
    assert later == [7.0]


def test_clients_beyond_most_waiting_are_refused():
    async def run():
        async with batcher(Network(0.05), most_waiting=3) as made:
            found = await asyncio.gather(*(made.scores(b"1") for _ in range(5)), return_exceptions=True)
            again = await made.scores(b"2")
        return found, again

    found, again = asyncio.run(run())
    assert sum(isinstance(one, Full) for one in found) == 2
    assert again == [2.0]


def test_a_client_that_leaves_does_not_affect_the_others():
    network = Network(0.2)

    async def run():
        async with batcher(network) as made:
            first = asyncio.create_task(made.scores(b"0"))
            await asyncio.sleep(0.05)
            left = asyncio.create_task(made.scores(b"1"))
            stays = asyncio.create_task(made.scores(b"2"))
            await asyncio.sleep(0.05)
            left.cancel()
            found = [await first, await stays]
            with pytest.raises(asyncio.CancelledError):
                await left
        return found

    assert asyncio.run(run()) == [[0.0], [2.0]]
    assert network.sizes == [1, 1]
