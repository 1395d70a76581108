"""A collector that takes OTLP over HTTP as OpenTelemetry defines it, and says each span as a line of JSON.

It is stricter than a real one: a field that the definitions do not have, a text that is no UTF-8, or an id of a wrong length is
answered 400. The first line is its port.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status


def refuse_unknown(message):
    if len(UnknownFieldSet(message)) > 0:
        raise ValueError(f"{message.DESCRIPTOR.full_name} has fields that are not defined")
    for field, value in message.ListFields():
        if field.message_type is not None:
            for each in value if field.is_repeated else [value]:
                refuse_unknown(each)


def attributes(pairs):
    told = {}
    for pair in pairs:
        if pair.key in told:
            raise ValueError(f"the attribute {pair.key} is there twice")
        told[pair.key] = getattr(pair.value, pair.value.WhichOneof("value"))
    return told


def spans(request):
    for resource_spans in request.resource_spans:
        resource = attributes(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                if (len(span.trace_id), len(span.span_id)) != (16, 8) or len(span.parent_span_id) not in (0, 8):
                    raise ValueError("an id has a wrong length")
                if not 0 < span.start_time_unix_nano <= span.end_time_unix_nano:
                    raise ValueError("it ends before it begins")
                yield {
                    "trace": span.trace_id.hex(),
                    "span": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(),
                    "name": span.name,
                    "kind": Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
                    "began": span.start_time_unix_nano,
                    "ended": span.end_time_unix_nano,
                    "flags": span.flags,
                    "failed": span.status.code == Status.STATUS_CODE_ERROR,
                    "attributes": attributes(span.attributes),
                    "resource": resource,
                    "scope": scope_spans.scope.name,
                }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status, answer = 200, ExportTraceServiceResponse().SerializeToString()
        try:
            if self.path != "/v1/traces" or self.headers["Content-Type"] != "application/x-protobuf":
                raise ValueError(f"{self.path} with {self.headers['Content-Type']}")
            request = ExportTraceServiceRequest()
            request.ParseFromString(body)
            refuse_unknown(request)
            told = list(spans(request))
            for span in told:
                span["authorization"] = self.headers["Authorization"]
            print("".join(json.dumps(span) + "\n" for span in told), end="", flush=True)
        except Exception as error:
            status, answer = 400, str(error).encode()
            print(f"refused: {error}", file=sys.stderr, flush=True)
        self.send_response(status)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
