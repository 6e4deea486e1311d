"""A web service: ``uvicorn web_service:app``. Runs are made of ``workflow.json`` with other values."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from sse_starlette import EventSourceResponse

from discomfort import ComfyConnector, DiscomfortError, PayloadError, ValidationError


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with await ComfyConnector.create(on_server_death="restart") as app.state.connector:
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/runs")
async def start(values: dict[str, object], request: Request, wait: bool = False) -> Response:
    run = await app.state.connector.submit("workflow.json", values=values)
    return await picture(run.prompt_id, request) if wait else Response(run.prompt_id)


@app.get("/runs/{prompt_id}/picture")
async def picture(prompt_id: str, request: Request) -> Response:
    run = await app.state.connector.find(prompt_id)
    await request.body()
    gone = asyncio.ensure_future(request.receive())  # after the body, only the client's leaving is received
    gone.add_done_callback(lambda _: asyncio.ensure_future(run.cancel()))
    await run
    return Response(await run.outputs()[0].read(), media_type="image/png")


@app.get("/runs/{prompt_id}/events")
async def events(prompt_id: str) -> EventSourceResponse:
    run = await app.state.connector.find(prompt_id)
    stream = ({"event": event.kind, "data": json.dumps(event.to_dict())} async for event in run.events())
    return EventSourceResponse(stream, client_close_handler_callable=lambda _: run.cancel())


@app.get("/health")
async def health() -> Response:
    report = await app.state.connector.health()
    return Response(json.dumps(report), 200 if report.ok else 503)


@app.exception_handler(DiscomfortError)
async def refuse(request: Request, error: DiscomfortError) -> Response:
    return Response(str(error), 422 if isinstance(error, PayloadError | ValidationError) else 503)
