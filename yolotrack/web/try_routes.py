"""The live demo page: a video or the synthetic street in, pictures while it is tracked, video and table out."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from yolotrack.model import Pixels
from yolotrack.web.app import STATIC
from yolotrack.web.try_jobs import RESULTS, Job, Jobs, State, as_dict

log = logging.getLogger(__name__)

GAP_SECONDS = 0.04
"""Between two looks at a job: the page gets 25 pictures a second at most."""
STILL_SECONDS = 2.0
"""After so long the page hears from a job that did not change: a page that is gone is noticed."""
SLOWEST_PAGE = 30.0
"""Seconds that a page may take for one message."""
LONGEST_SEED = 9
GONE = "there is no such job, or its time is over"


class TryPage:
    """Requests of the demo page. Pictures are encoded for pages that look, when they are ready for the next one."""

    def __init__(self, jobs: Jobs, encode: Callable[[Pixels], bytes]) -> None:
        """`encode` gives the JPEG of a picture; it is called from several threads."""
        self._jobs = jobs
        self._encode = encode

    @property
    def routes(self) -> list[BaseRoute]:
        """For the app."""
        return [
            Route("/try", self.page),
            Route("/try/offer", self.offer),
            Route("/try/jobs", self.start, methods=["POST"]),
            Route("/try/jobs/{job_id}", self.cancel, methods=["DELETE"]),
            Route("/try/jobs/{job_id}/{name}", self.result),
            WebSocketRoute("/try/jobs/{job_id}", self.watch),
        ]

    async def page(self, _request: Request) -> Response:
        """The page itself."""
        return FileResponse(STATIC / "try.html")

    async def offer(self, _request: Request) -> Response:
        """What can be had here: the limits, and whether uploads can be tracked."""
        jobs = self._jobs
        return JSONResponse({"limits": asdict(jobs.limits), "checked": jobs.checked, "refusal": jobs.refusal})

    async def start(self, request: Request) -> Response:
        """A new job: `?seed=5` for the street of that seed, otherwise the body is the video, as it is."""
        seed = request.query_params.get("seed")
        try:
            return await self._upload(request) if seed is None else self._street(seed)
        except OSError as error:
            log.warning("a job could not be kept: %s", error.strerror)
            return _refused(507, "there is no room for this here; try later, or a smaller video")

    async def cancel(self, request: Request) -> Response:
        """Nobody wants this job any more."""
        job = self._jobs.find(request.path_params["job_id"])
        if job is None:
            return _refused(404, GONE)
        self._jobs.cancel(job)
        return Response(status_code=204)

    async def result(self, request: Request) -> Response:
        """A file that a job left."""
        job, name = self._jobs.find(request.path_params["job_id"]), request.path_params["name"]
        if job is None or name not in RESULTS or job.status.state is not State.DONE:
            return _refused(404, GONE)
        return FileResponse(job.folder / name, filename=name)

    async def watch(self, socket: WebSocket) -> None:
        """A job's status and newest picture, again whenever they changed and the page has drawn the last ones.

        A message is one line of JSON, then the JPEG if there is a new one. The page answers each with any text.
        """
        await socket.accept()
        job = self._jobs.find(socket.path_params["job_id"])
        if job is None:
            return await socket.close(4404, GONE)
        try:
            await self._tell(socket, job)
            await socket.close()
        except (WebSocketDisconnect, asyncio.TimeoutError):
            pass  # the job goes on

    async def _tell(self, socket: WebSocket, job: Job) -> None:
        told, drawn, last = None, 0, 0.0
        while True:
            status, newest, ahead = job.status, job.newest, self._jobs.ahead(job)
            number = newest[0] if newest else drawn
            if (status, number, ahead) != told or time.monotonic() - last > STILL_SECONDS:
                header = json.dumps(as_dict(status) | {"ahead": ahead}).encode() + b"\n"
                jpeg = await run_in_threadpool(self._encode, newest[1]) if newest and number > drawn else b""
                await socket.send_bytes(header + jpeg)
                await asyncio.wait_for(socket.receive_text(), SLOWEST_PAGE)
                told, drawn, last = (status, number, ahead), number, time.monotonic()
            if status.ended:
                return
            await asyncio.sleep(GAP_SECONDS)

    def _street(self, text: str) -> Response:
        if not (text.isascii() and text.isdecimal() and len(text) <= LONGEST_SEED):
            return _refused(400, f"a street's number has at most {LONGEST_SEED} digits")
        job = self._jobs.open(int(text))
        return _started(job) if job else _full()

    async def _upload(self, request: Request) -> Response:
        limit = self._jobs.limits.upload_bytes
        announced = request.headers.get("content-length", "0")
        if not announced.isdecimal() or int(announced) > limit:
            return _too_large(limit)
        job = self._jobs.open()
        if job is None:
            return _full()
        try:
            refused = await self._receive(request, job, limit)
            if refused is None:
                self._jobs.submit(job)
                return _started(job)
            return refused
        finally:
            if job.status.state is State.UPLOADING:
                self._jobs.cancel(job)

    async def _receive(self, request: Request, job: Job, limit: int) -> Response | None:
        """The body into the job's file, and what is wrong with it."""
        got = 0
        try:
            with anyio.fail_after(self._jobs.limits.upload_seconds):
                async with await anyio.open_file(job.upload, "xb") as file:
                    async for chunk in request.stream():
                        got += len(chunk)
                        if got > limit:
                            return _too_large(limit)
                        await file.write(chunk)
        except TimeoutError:
            return _refused(408, "the upload took too long; take a smaller video")
        except ClientDisconnect:
            return _refused(400, "the upload broke off")
        return None if got else _refused(400, "this file is empty; take a video that plays")


def _started(job: Job) -> Response:
    return JSONResponse({"job": job.job_id}, 201)


def _full() -> Response:
    return _refused(503, "the queue is full; try again in a minute", {"Retry-After": "60"})


def _too_large(limit: int) -> Response:
    return _refused(413, f"this video is larger than the {limit // 1024**2} MB that are accepted here")


def _refused(code: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": message}, code, headers)
