/** Server-sent events from a fetch: EventSource cannot send a token, and a proxy's 502 ends it for good. */

import { LONGEST_PAUSE } from "../shared/timing.js";

const MAX_LINE = 1 << 20;

/** @typedef {{event: string, data: string, retry: number}} Frame */

/**
 * @param {ReadableStream<Uint8Array>} body @param {(seconds: number) => void} heard called for every chunk,
 *   comments included, with the time until the next comment if one says it
 * @returns {AsyncGenerator<Frame, void, void>}
 */
export async function* frames(body, heard) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  let frame = { event: "", data: "", retry: 0 };
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const text = rest + decoder.decode(value, { stream: true });
      heard(Number(/^: keep-alive (\d+)/m.exec(text)?.[1]));
      const lines = text.split(/\r?\n/);
      rest = lines.pop() ?? "";
      if (rest.length > MAX_LINE) throw new Error("a line of the stream has no end");
      for (const line of lines) {
        const [, field, text] = /^(\w+): ?(.*)$/.exec(line) ?? [];
        if (field === "event") frame.event = text;
        else if (field === "data") frame.data += text;
        else if (field === "retry") frame.retry = Math.min(Number(text) || 0, LONGEST_PAUSE);
        else if (line === "" && (frame.event || frame.retry)) {
          yield frame;
          frame = { event: "", data: "", retry: 0 };
        }
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
