// Reads requests with the CloudEvents SDK, unchanged: a line of JSON for each, {"headers": {..}, "body": ".."}, from standard
// input; writes a line of JSON for each: {"ok": the event}, or {"error": why it is none}.
import { createInterface } from 'node:readline';
import { HTTP } from 'cloudevents';

for await (const line of createInterface({ input: process.stdin })) {
	const { headers, body } = JSON.parse(line);
	try {
		const event = HTTP.toEvent({ headers, body });
		event.validate();
		console.log(JSON.stringify({ ok: event }));
	} catch (error) {
		console.log(JSON.stringify({ error: String(error) }));
	}
}
