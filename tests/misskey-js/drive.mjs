// Makes calls with misskey-js, unchanged: reads a line of JSON for each, ["endpoint", {params}], from standard input, and
// writes a line of JSON for each answer: {"ok": answer}, or {"error": what misskey-js was told} when it is an API error.
import { createInterface } from 'node:readline';
import { api } from 'misskey-js';

const client = new api.APIClient({ origin: process.env.ORIGIN, credential: process.env.CREDENTIAL });

for await (const line of createInterface({ input: process.stdin })) {
	const [endpoint, params] = JSON.parse(line);
	try {
		console.log(JSON.stringify({ ok: await client.request(endpoint, params) }));
	} catch (error) {
		if (!api.isAPIError(error)) throw error;
		console.log(JSON.stringify({ error }));
	}
}
