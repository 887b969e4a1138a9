"""A retraining job: waits for requests of modelwatch, claims one, trains, says how it ended.

    pip install nats-py
    python examples/subscribe.py flight-delay nats://127.0.0.1:4222

A request is stored once and may be delivered more than once. What makes two jobs
train once is the claim: each status names the sequence of the status it follows,
and the server refuses all but one that follow the same.
"""

import asyncio
import json
import sys

import nats
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import APIError

STREAM = "MODELWATCH_RETRAIN"
WRONG_LAST_SEQUENCE = 10071


class Lost(Exception):
    """Another job has the request."""


class Claim:
    """The statuses of one request, as told by this job."""

    def __init__(self, js, message, by):
        self.js, self.by, self.last = js, by, 0
        self.request = json.loads(message.data)
        # Taken from the subject and not from the body, which has names as they are, unescaped.
        self.subject = message.subject.replace("modelwatch.retrain.", "modelwatch.retrain_status.", 1)

    async def say(self, state, **more):
        request = self.request["request"]
        headers = {
            "ce-specversion": "1.0",
            "ce-id": f"{request}:{self.by}:{self.last}",
            "ce-source": self.by,
            "ce-type": f"modelwatch.retrain.{state}",
            "Nats-Expected-Last-Subject-Sequence": str(self.last),
        }
        body = {"request": request, "model": self.request["model"], "state": state, "by": self.by, **more}
        try:
            ack = await self.js.publish(self.subject, json.dumps(body, allow_nan=False).encode(), headers=headers)
        except APIError as e:
            if e.err_code == WRONG_LAST_SEQUENCE:
                raise Lost(request) from None
            raise
        self.last = ack.seq

    async def take(self, redelivered):
        """Claims the request; False if it has ended. A job that died is taken over when its request comes again."""
        try:
            await self.say("claimed")
            return True
        except Lost:
            stored = await self.js.get_last_msg(STREAM, self.subject)
        status = json.loads(stored.data)
        if status["state"] in ("succeeded", "failed"):
            return False
        if status["by"] != self.by and not redelivered:
            raise Lost(status["by"])
        self.last = stored.seq
        await self.say("claimed")
        return True


async def handle(js, message, train, by, lease):
    claim = Claim(js, message, by)
    job = None
    try:
        if not await claim.take(message.metadata.num_delivered > 1):
            await message.ack()
            return
        job = asyncio.create_task(train(claim.request))
        # The heartbeat goes two ways: the server must not deliver again, modelwatch must not call the claim stale.
        while not (await asyncio.wait([job], timeout=lease / 3))[0]:
            await message.in_progress()
            await claim.say("claimed")
        if job.exception():
            await claim.say("failed", error=str(job.exception())[:500])
        else:
            await claim.say("succeeded", **job.result())
        await message.ack_sync()
    except Lost:
        if job:
            job.cancel()
        await message.nak(delay=lease)


async def serve(url, model, train, by, lease=30):
    connection = await nats.connect(url)
    js = connection.jetstream()
    requests = await js.pull_subscribe(
        f"modelwatch.retrain.{model}.>",
        durable=f"retrain-{model}",
        stream=STREAM,
        config=ConsumerConfig(ack_policy=AckPolicy.EXPLICIT, ack_wait=lease, max_ack_pending=1),
    )
    while True:
        try:
            [message] = await requests.fetch(1, timeout=5)
        except asyncio.TimeoutError:
            continue
        await handle(js, message, train, by, lease)


async def train(request):
    """The training itself. Work that blocks goes to asyncio.to_thread, or the heartbeat stops."""
    print("training", request["model"], "on", request["data"], "because of", request["causes"], flush=True)
    return {"version": "4", "metrics": {"auc": 0.79}}


if __name__ == "__main__":
    model = sys.argv[1] if len(sys.argv) > 1 else "flight-delay"
    url = sys.argv[2] if len(sys.argv) > 2 else "nats://127.0.0.1:4222"
    # The name is the job's and not the process's: started again, it takes its own claim up again.
    asyncio.run(serve(url, model, train, by=f"job/{model}"))
