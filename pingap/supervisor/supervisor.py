"""The supervisor: keeps the listening sockets open and the workers alive.

It handles no requests. It forks, so it has no threads, and everything that may take long or fail is done
in a worker.
"""

from __future__ import annotations

import gc
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from itertools import islice
from socket import socket
from typing import Any, Final

import anyio
from anyio.abc import TaskGroup

from pingap.host.cpu_affinity import pin
from pingap.host.parent_death import end_with_parent
from pingap.host.services import attempt, keep_running
from pingap.observability.notifications import (
    ERROR,
    Level,
    Notification,
    WaitingNotifications,
    publish,
    taken,
)
from pingap.observability.sums import Figures, add_figures, entries_of, no_figures, put
from pingap.shared_state.bus import Bus
from pingap.shared_state.segment import SharedSegment
from pingap.supervisor.base import Base, StartError
from pingap.supervisor.child import Child
from pingap.supervisor.fork import fork
from pingap.worker.channel import Channel, Message, pair
from pingap.worker.figures import without_gauges
from pingap.worker.listening import Listening, of_worker
from pingap.worker.process import WorkerProcess
from pingap.worker.worker import Worker

log = logging.getLogger("pingap")

LOOK_SECONDS: Final = 1.0
"""How often to check whether a worker is silent."""
REPORT_SECONDS: Final = 2.0
"""How long a worker may take to report its counts."""
MOST_ENTRIES: Final = 100
"""Parts of figures in one message, which must not delay a worker's requests."""
SHORT_LIFE: Final = 1.0
"""A worker that ends sooner is replaced after increasing delays."""
LONGEST_WAIT: Final = 10.0
LAST_SECONDS: Final = 5.0
"""Extra time for a worker to end after its own limit, before it is killed."""


class Supervisor:
    """Starts workers, replaces those that end, and sends them messages.

    :param base: the parameters of the workers.
    :param sockets: all listening sockets; they are closed when the workers drain.
    :param workers: number of workers.
    :param spare: sockets of systemd that no server uses.
    """

    def __init__(
        self,
        base: Base,
        sockets: Iterable[Listening],
        workers: int,
        spare: Iterable[Listening] = (),
    ) -> None:
        self.base = base
        self.sockets = list(sockets)
        self.spare = list(spare)
        self.children: dict[int, Child] = {}
        """Index -> the worker that has this place."""
        self._leaving: set[Child] = set()
        """Workers that a signal asked to end; others have taken their places."""
        self.leader: Child | None = None
        self.answers: dict[str, Callable[[Child, Message], Awaitable[dict[str, Any]]]] = {}
        """Kind of a request from workers -> its handler, which returns the reply."""
        self.news = Bus()
        """Messages between workers, and notifications of the supervisor."""
        self.news.send = lambda key, value, retain: self.tell(
            "bus", key=key, value=value, retain=retain
        )
        self._waiting = WaitingNotifications(self.news)
        """Notifications that this process keeps for workers that start later."""
        self.workers = workers
        self._pid = os.getpid()
        self._tasks: TaskGroup
        self._early_ends: dict[int, int] = {}
        self.gone: Figures = no_figures()
        """The counts of workers that have ended."""
        self._all_ended = anyio.Event()
        self.forking = anyio.Lock()
        """Held while a worker is forked, and while a configuration change prevents forks."""
        # Twice as many columns: an ending worker and its replacement count separately.
        self._segment = SharedSegment(workers=2 * workers) if workers > 1 else None
        self._has_begun = self._stopping = False
        self._at_once = False

    async def start(self, tasks: TaskGroup) -> None:
        """Start all workers; return when each of them accepts connections.

        :raises StartError: a worker cannot serve.
        """
        self._tasks = tasks
        gc.collect()
        gc.freeze()  # keeps common objects in shared memory pages
        for index in range(self.workers):
            try:
                await self._fork(index)
            except OSError as error:
                raise StartError(f"no worker can be forked: {error.strerror}") from None
        for child in list(self.children.values()):
            await child.ready.wait()
            _check_serving(child)
        for child in self.children.values():  # a worker may have ended while others started
            _check_serving(child)
        self._has_begun = True
        tasks.start_soon(keep_running, self._watch_silence)

    async def _fork(self, index: int) -> None:
        async with self.forking:
            if self._stopping:
                return
            ours, theirs = pair()
            self.base.runtime.log_files.flush()  # otherwise the child would write the lines as well
            column = self._free_column(index)
            known = dict(self.news.values)  # the values that the child knows
            with theirs:
                pid = await fork(lambda: self._be_worker(index, column, theirs, ours))
        child = self.children[index] = Child(index, pid, Channel(ours), column)
        child.sockets = numbers_of(self._sockets_of(index))
        self._tasks.start_soon(self._run_channel, child)
        self._tasks.start_soon(self._look_after, child)
        for key, value in self.news.values.items():
            if known.get(key) != value:
                child.channel.send("bus", key=key, value=value, retain=True)
        for key in known.keys() - self.news.values.keys():
            if (said := taken(key)) is not None:  # changed in the meantime
                child.channel.send("bus", key=said[0], value=said[1], retain=False)
        self._choose_leader()
        if self._stopping:  # since the fork began
            child.channel.send("drain", at_once=self._at_once)

    def _sockets_of(self, index: int) -> list[Listening]:
        return of_worker(self.sockets, index, self.base.counts)

    def listen_on(self, sockets: Iterable[Listening], removed: Iterable[Listening]) -> None:
        """Use other listening sockets from now on; running workers get them by messages.

        :param removed: sockets that no worker will accept from; systemd keeps its own open.
        """
        self.sockets, self.spare = list(sockets), []
        for one in removed:
            if one.is_lent:
                self.spare.append(one)
            else:
                one.remove_file()
                one.sock.close()

    def _free_column(self, index: int) -> int:
        """Return the column of the shared state for a new worker."""
        used = {child.column for child in self.every_child()}
        return index if index not in used else index + self.workers

    def _be_worker(self, index: int, column: int, theirs: socket, ours: socket) -> int:
        """Serve; runs in the child."""
        end_with_parent(self._pid)
        if self.base.parent is not None:
            self.base.parent.close()
        if self.base.control is not None:
            self.base.control.forked()
        if self.base.runtime.config.basic.cpu_affinity:
            pin(index)
        ours.close()
        for child in self.every_child():
            child.channel.close()
        self.base.runtime.log_files.forked()
        accepted = self._sockets_of(index)
        for one in (*self.sockets, *self.spare):
            if one not in accepted:
                one.sock.close()
        shared = None if self._segment is None else self._segment.attach(column)
        worker = Worker(self.base.runtime, accepted, shared, storage=self.base.storage)
        for key, value in self.news.values.items():  # compared with the shared values
            worker.bus.deliver(key, value)
        return WorkerProcess(worker, Channel(theirs), self.base.log_target).run()

    async def _run_channel(self, child: Child) -> None:
        await child.channel.run()

    async def _look_after(self, child: Child) -> None:
        """Handle the messages of a worker until it ends; then start another one in its place."""
        while (message := await child.channel.receive()) is not None:
            child.heard = time.monotonic()
            self._on_message(child, message)
        await child.ended.wait()
        child.channel.close()
        if self._segment is not None:
            self._segment.release_worker(child.column)
        self._count_in(child)
        if child in self._leaving:
            self._leaving.remove(child)
            log.info("%s %s", child.name, child.ending)
        else:
            del self.children[child.index]
            if self._has_begun and not self._stopping:
                await self._replace(child)
        if not self.every_child():
            self._all_ended.set()

    def every_child(self) -> list[Child]:
        """Return all workers, including those that drain."""
        return [*self.children.values(), *self._leaving]

    async def _let_go(self, child: Child) -> None:
        """Start another worker in the place of one that was asked to end, while it drains."""
        if self._stopping or self.children.get(child.index) is not child:
            return
        log.info("%s is shutting down and will be replaced", child.name)
        del self.children[child.index]
        self._leaving.add(child)
        await self._fork_again(child.index)

    async def _replace(self, child: Child) -> None:
        lost = f"; requests in progress at its last report: {child.requests}"
        reason = f": {child.failure}" if child.failure else ""
        level = logging.ERROR if child.status else logging.INFO
        log.log(level, "%s %s%s%s; it will be replaced", child.name, child.ending, reason, lost)
        if child.status:
            message = f"{child.name} {child.ending}; it will be replaced"
            self.notify("worker_ended", message, f"{reason[2:]}{lost}".lstrip("; "))
        lived = time.monotonic() - child.began
        early = self._early_ends.get(child.index, 0) + 1 if lived < SHORT_LIFE else 0
        self._early_ends[child.index] = early
        self._choose_leader()  # among the remaining workers
        if early > 1:
            await anyio.sleep(min(LONGEST_WAIT, 0.1 * 2**early))
        await self._fork_again(child.index)

    async def _fork_again(self, index: int) -> None:
        """Start a worker in a free place, as soon as the system has resources for it."""
        while True:
            try:
                return await self._fork(index)
            except OSError as error:
                log.error("no worker can be forked: %s", error.strerror)  # noqa: TRY400
                await anyio.sleep(LONGEST_WAIT)

    def _on_message(self, child: Child, message: Message) -> None:
        kind = message["kind"]
        if kind == "beat":
            child.requests = message["requests"]
        elif kind == "ready":
            child.ready.set()
        elif kind == "leaving":
            self._tasks.start_soon(self._let_go, child)
        elif kind == "failed":
            child.failure = message["text"]
        elif kind == "figures":
            if message["replaces"]:
                child.figures = no_figures()
            put(child.figures, message["entries"])
        elif kind == "others":
            self._tasks.start_soon(attempt, self._tell_of_others, child, message)
        elif kind == "bus":
            self._pass_on(child, message)
        else:
            self._tasks.start_soon(attempt, self._answer, child, message)

    # What concerns all workers.

    def tell(self, kind: str, /, **fields: Any) -> None:
        """Send a message to every worker."""
        for child in self.every_child():
            child.channel.send(kind, **fields)

    async def _answer(self, child: Child, question: Message) -> None:
        answer = await self.answers[question["kind"]](child, question)
        child.channel.reply(question, **answer)

    def _pass_on(self, sender: Child, message: Message) -> None:
        said = {name: message[name] for name in ("key", "value", "retain")}
        self.news.deliver(**said)
        for child in self.every_child():
            if child is not sender:
                child.channel.send("bus", **said)

    def notify(self, kind: str, message: str, detail: str = "", level: Level = ERROR) -> None:
        """Have a worker handle a notification; it has already been logged."""
        publish(self.news, Notification(kind, message, level, detail))

    def _choose_leader(self) -> None:
        """Choose the worker that does the work that one does for all, until it ends."""
        if self.children and self.leader not in self.children.values():
            self.leader = self.children[min(self.children)]
            self.leader.channel.send("lead")

    async def _tell_of_others(self, child: Child, question: Message) -> None:
        """Send a worker the counts of all others, running or ended."""
        others = [one for one in self.every_child() if one is not child]
        async with anyio.create_task_group() as tasks:
            for other in others:
                tasks.start_soon(other.channel.ask, "report", REPORT_SECONDS)
        entries = entries_of(add_figures([self.gone, *(other.figures for other in others)]))
        while part := list(islice(entries, MOST_ENTRIES)):
            child.channel.send("others", entries=part)
        child.channel.reply(question)

    def _count_in(self, child: Child) -> None:
        """Keep the counts of a worker that ended, as far as they were reported."""
        self.gone = add_figures([self.gone, without_gauges(child.figures)])

    async def _watch_silence(self) -> None:
        """Kill workers that no longer report that they are alive; they are replaced then."""
        now = time.monotonic()
        while True:
            before = now
            await anyio.sleep(LOOK_SECONDS)
            limit = self.base.runtime.config.basic.worker_timeout
            now = time.monotonic()
            if now - before > 2 * LOOK_SECONDS:
                continue  # this process was stopped or busy: their messages have not been read yet
            for child in self.every_child():
                if limit and now - child.heard > limit and not child.ended.is_set():
                    message = f"{child.name} has not reported for {limit:.0f} s and will be killed"
                    log.error("%s", message)
                    self.notify("worker_silent", message)
                    child.kill()

    # The end.

    def on_end(self, pid: int, status: int) -> bool:
        """Record that a process has ended; return whether it was a worker."""
        for child in self.every_child():
            if child.pid == pid:
                child.on_end(status)
                return True
        return False

    async def drain(self, *, at_once: bool) -> None:
        """Let all workers end when their requests are answered; return when they have.

        :param at_once: close connections whose client may be about to send its next request, because no
            process takes over.
        """
        self._stopping, self._at_once = True, at_once
        for one in (*self.sockets, *self.spare):
            one.sock.close()
        for child in self.children.values():
            if not child.ready.is_set():  # it has no requests, and does not read messages yet
                child.kill()
        self.tell("drain", at_once=at_once)
        if self.every_child():
            basic = self.base.runtime.config.basic
            seconds = basic.grace_period + basic.graceful_shutdown_timeout + LAST_SECONDS
            with anyio.move_on_after(seconds):
                await self._all_ended.wait()
        for child in self.every_child():
            if not child.ended.is_set():
                log.error("%s does not exit and will be killed", child.name)
                child.kill()

    def kill(self) -> None:
        """End all workers at once."""
        self._stopping = True
        for child in self.every_child():
            child.kill()


def numbers_of(sockets: Iterable[Listening]) -> frozenset[int]:
    """Return the numbers of listening sockets."""
    return frozenset(one.number for one in sockets)


def _check_serving(child: Child) -> None:
    if child.ended.is_set():
        raise StartError(child.failure or f"{child.name} {child.ending}")


def ended_processes() -> Iterator[tuple[int, int]]:
    """Yield ID and status of every child that has ended since the last call."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        yield pid, status
