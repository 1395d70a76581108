#!/usr/bin/env python3
"""Publishes events to hikyaku by RabbitMQ: NDJSON from standard input, one event a line.

    AMQP_URL=amqp://misskey:password@localhost:5672/hikyaku python3 producer.py < events.ndjson

Needs pika 1.2 or newer (Debian: python3-pika). A line goes out with the bytes it came in, and is done when RabbitMQ has
confirmed it. Until then it is sent again, with the same message_id, for as long as it takes; so an answer that was lost
makes a copy that receivers know by its webhook-id, and nothing is lost.
"""

import contextlib
import json
import os
import sys
import time
import uuid

import pika
import pika.exceptions

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/%2F")
EXCHANGE = os.environ.get("EXCHANGE", "hikyaku.events")
AGAIN_LONGEST_S = 30


class Producer:
    connection = channel = None

    def connect(self):
        parameters = pika.URLParameters(URL)
        parameters.heartbeat = 10
        parameters.blocked_connection_timeout = 30  # RabbitMQ takes nothing for now (an alarm): come back later
        self.connection = pika.BlockingConnection(parameters)
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()  # from now on basic_publish returns when the message is stored, else raises

    def close(self):
        connection, self.connection, self.channel = self.connection, None, None
        with contextlib.suppress(pika.exceptions.AMQPError):  # it may be gone already
            if connection is not None and connection.is_open:
                connection.close()

    def publish(self, line):
        event = json.loads(line)  # to look at; what is sent are the bytes that came in
        if not isinstance(event, dict) or not isinstance(event.get("type"), str):
            raise ValueError("it must be an object with a type")
        properties = pika.BasicProperties(
            content_type="application/json",
            delivery_mode=2,  # persistent
            message_id=event.get("eventId") or str(uuid.uuid4()),
        )
        wait_s = 1
        while True:
            try:
                if self.channel is None:
                    self.connect()
                self.channel.basic_publish(EXCHANGE, event["type"], line, properties)
                return
            except pika.exceptions.AMQPError as error:
                print(f"not confirmed, again in {wait_s} s: {error!r}", file=sys.stderr, flush=True)
            self.close()
            time.sleep(wait_s)
            wait_s = min(2 * wait_s, AGAIN_LONGEST_S)


producer = Producer()
left_out = 0
for number, line in enumerate(sys.stdin.buffer, 1):
    if not line.strip():
        continue
    try:
        producer.publish(line.rstrip(b"\r\n"))
    except ValueError as error:
        print(f"line {number} is no event and was left out: {error}", file=sys.stderr, flush=True)
        left_out += 1
producer.close()
sys.exit(1 if left_out else 0)
