"""Batching: photos of many clients are collected and scored together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from numpy.typing import NDArray


class Full(Exception):
    """Too many photos are in progress already; another one would wait too long."""


class Batcher:
    """Collects photos until there are `batch_size`, or none arrived for `wait_seconds`, and scores them together.

    A photo without others does not wait. One batch is collected at a time, so that clients which were answered together
    and ask again together share the next one: a partial batch takes the network as long as a full one.
    """

    def __init__(
        self,
        score: Callable[[Sequence[bytes]], NDArray[Any]],
        *,
        batch_size: int,
        wait_seconds: float,
        most_waiting: int,
        at_once: int,
    ) -> None:
        """Initialize; `score` maps [batch] encoded photos to scores [batch, classes], and `at_once` threads call it."""
        self._score, self._batch_size, self._wait_seconds = score, batch_size, wait_seconds
        self._most_waiting, self._at_once = most_waiting, at_once
        self._in_progress = 0
        self.answered = 0

    async def __aenter__(self) -> Batcher:
        """Start collecting, on the running event loop."""
        self._queue: asyncio.Queue[tuple[bytes, asyncio.Future[NDArray[Any]]]] = asyncio.Queue()
        self._executor = ThreadPoolExecutor(self._at_once)
        self._collecting = asyncio.Lock()
        self._workers = [asyncio.create_task(self._work()) for _ in range(self._at_once)]
        return self

    async def __aexit__(self, *error: Any) -> None:
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        self._executor.shutdown()

    async def scores(self, encoded: bytes) -> NDArray[Any]:
        """Return the probabilities of a photo [classes].

        Raises:
            Full: `most_waiting` photos are in progress.
        """
        if self._in_progress >= self._most_waiting:
            raise Full
        self._in_progress += 1
        try:
            future: asyncio.Future[NDArray[Any]] = asyncio.get_running_loop().create_future()
            self._queue.put_nowait((encoded, future))
            found = await future
            self.answered += 1
            return found
        finally:
            self._in_progress -= 1

    async def _work(self) -> None:
        while True:
            async with self._collecting:
                batch = await self._collect()
            wanted = [(encoded, future) for encoded, future in batch if not future.done()]  # without clients that left
            if wanted:
                await self._answer(wanted)

    async def _collect(self) -> list[tuple[bytes, asyncio.Future[NDArray[Any]]]]:
        batch = [await self._queue.get()]
        while len(batch) < self._batch_size:
            if not self._queue.empty():
                batch.append(self._queue.get_nowait())
                continue
            if self._in_progress <= len(batch):
                break
            try:
                batch.append(await asyncio.wait_for(self._queue.get(), self._wait_seconds))
            except TimeoutError:
                break
        return batch

    async def _answer(self, batch: list[tuple[bytes, asyncio.Future[NDArray[Any]]]]) -> None:
        loop = asyncio.get_running_loop()
        try:
            scores = await loop.run_in_executor(self._executor, self._score, [encoded for encoded, _ in batch])
        except Exception as error:  # goes to each client of this batch; the next one may succeed
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), row in zip(batch, scores, strict=True):
            if not future.done():
                future.set_result(row)
