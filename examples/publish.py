"""How a service written in Python publishes what its model sees, says and later learns.

There is nothing of modelwatch in it: the events are JSON, one a message, and any
Kafka client will do.

    pip install confluent-kafka
    python examples/publish.py 127.0.0.1:9092
"""

import json
import sys
import time
import uuid

from confluent_kafka import Producer

MODEL, VERSION = "flight-delay", "3"


class Events:
    """Publishes without making a request wait: the client sends in the background."""

    def __init__(self, brokers):
        # acks=all and idempotence: an event that was accepted is stored once.
        self.producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True, "linger.ms": 50})
        self.failed = 0

    def send(self, topic, request, **body):
        event = {"id": request, "model": MODEL, "ts": int(time.time() * 1000), **body}
        # NaN is no JSON: send it as the string "NaN"; a missing value is None.
        value = json.dumps(event, allow_nan=False)
        try:
            # The key keeps all events of one request in one partition, in order.
            self.producer.produce(topic, key=request, value=value, on_delivery=self._delivered)
        except BufferError:
            self.failed += 1  # the queue is full because Kafka is away: count it, serve on
        self.producer.poll(0)

    def _delivered(self, error, _message):
        self.failed += error is not None

    def close(self):
        left = self.producer.flush(10)
        if self.failed or left:
            sys.exit(f"{self.failed} events failed, {left} not sent")


def main():
    events = Events(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:9092")
    request = uuid.uuid4().hex
    features = {"distance": 733, "origin": "ORD", "temp": None}
    events.send("flights.features", request, version=VERSION, features=features)
    events.send("flights.predictions", request, version=VERSION, prediction="late", score=0.83)
    # The label comes when it is known, hours or weeks later, from whoever learns it.
    events.send("flights.labels", request, label="late")
    events.close()


if __name__ == "__main__":
    main()
